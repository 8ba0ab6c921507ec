"""STAC Items of results, as pystac reads and validates them without a network."""

import hashlib
import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest
from pystac.validation import validate_dict
from shapely.geometry import shape

import skycue
from skycue.geo.georeference import GeoReference
from skycue.geo.stac import SourceRaster, UsedModel, write_stac_item

MADE = datetime(2026, 11, 30, 12, 30, tzinfo=UTC)
MODEL = UsedModel("mini", "ab" * 32)
ROTTERDAM = GeoReference("EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every attempt at a connection fail."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def source(georeference: GeoReference | None, taken: datetime | None = None) -> SourceRaster:
    """Return a raster of 400 x 600 pixels."""
    return SourceRaster("tänks.tif", "cd" * 32, (400, 600), georeference, taken)


def test_an_item_names_what_made_it_and_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "map.tif").write_bytes(b"pixels")
    (tmp_path / "boxes.parquet").write_bytes(b"rows")
    assets = {"map": folder / "map.tif", "features": tmp_path / "boxes.parquet"}
    path = folder / "item.json"
    write_stac_item(path, assets, source=source(ROTTERDAM), model=MODEL, created=MADE)
    validate_dict(json.loads(path.read_text(encoding="utf-8")))
    item = pystac.Item.from_file(str(path))
    assert item.id == "tänks-cdcdcdcd-abababab"
    assert item.properties["skycue:model"] == "mini"
    assert item.properties["skycue:model_sha256"] == "ab" * 32
    assert item.properties["skycue:version"] == skycue.__version__
    assert item.datetime == MADE
    assert "not known" in item.properties["description"]
    assert {key: asset.href for key, asset in item.assets.items()} == {
        "map": "./map.tif",
        "features": "../boxes.parquet",
    }
    asset = item.assets["map"]
    assert asset.media_type == pystac.MediaType.COG
    assert asset.extra_fields["skycue:sha256"] == hashlib.sha256(b"pixels").hexdigest()
    assert asset.get_absolute_href() == str(folder / "map.tif")
    footprint = shape(item.geometry)
    assert footprint.bounds == pytest.approx(item.bbox, abs=1e-7)
    assert 4.3 < footprint.centroid.x < 4.4
    assert 51.8 < footprint.centroid.y < 52.0


@pytest.mark.parametrize(
    ("place", "bbox"),
    [
        (GeoReference("EPSG:4326", (0.01, 0.0, 177.0, 0.0, -0.01, 10.0)), [177, 6, -177, 10]),
        (GeoReference("EPSG:3413", (1000.0, 0.0, -3e5, 0.0, -1000.0, 2e5)), [-180, None, 180, 90]),
        (None, None),
    ],
    ids=["across the antimeridian", "around the pole", "without a place"],
)
def test_items_of_rasters_anywhere_are_valid(
    tmp_path: Path, place: GeoReference | None, bbox: list[float | None] | None
) -> None:
    taken = datetime(2020, 1, 2, tzinfo=UTC)
    path = tmp_path / "item.json"
    write_stac_item(path, {}, source=source(place, taken), model=MODEL, created=MADE)
    item = pystac.Item.from_file(str(path))
    item.validate()
    assert item.datetime == taken
    assert "not known" not in item.properties["description"]
    if bbox is None:
        assert item.bbox is None
        assert item.geometry is None
    else:
        assert item.bbox is not None
        known = [(a, b) for a, b in zip(item.bbox, bbox, strict=True) if b is not None]
        assert all(a == pytest.approx(b) for a, b in known)
        assert shape(item.geometry).is_valid
