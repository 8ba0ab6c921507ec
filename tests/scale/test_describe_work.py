"""Boxes all over an archive have a row for each phrase, as the describer alone would say."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from numpy.testing import assert_allclose
from rasterio.transform import Affine

from skycue.boxes import PlacedBox
from skycue.errors import BoxError
from skycue.geo.georeference import GeoReference
from skycue.geo.raster import Raster
from skycue.raster_describer import describe_boxes
from skycue.region_describer import RegionDescriber
from skycue.scale.compact import compact
from skycue.scale.describe_work import DescribeWork, open_describe_work
from skycue.scale.manifest import Manifest
from skycue.scale.plan import make_plan
from skycue.scale.run import run_plan
from tests.made_up_rasters import CRS, PLACE, fields, write_tiff
from tests.scale.here_engine import HereEngine
from tests.tiny_clvnet import shared_network

EAST = Affine(0.5, 0.0, 593_100.0, 0.0, -0.5, 5_750_000.0)
"""Of a raster 100 m east of the one at `PLACE`."""


@pytest.fixture(autouse=True)
def tiny_describer(monkeypatch: pytest.MonkeyPatch) -> RegionDescriber:
    """A describer of a tiny random network, in place of the one that is named."""
    describer = RegionDescriber(shared_network(), name="tiny")
    monkeypatch.setattr(RegionDescriber, "load", lambda *arguments, **options: describer)
    return describer


@pytest.fixture
def archive(tmp_path: Path) -> list[Path]:
    """Two rasters of 160 x 120 pixels; of the first, the left 64 columns are nodata."""
    pixels = fields(3, 4, seed=1)
    pixels[:, :, :64] = 0
    west = write_tiff(tmp_path / "west.tif", pixels, nodata=0)
    return [west, write_tiff(tmp_path / "east.tif", fields(3, 4, seed=2), transform=EAST)]


def write_boxes(path: Path, on_map: dict[str, tuple[float, float, float, float]]) -> Path:
    """Write boxes in the CRS of the rasters as a GeoPackage."""
    from shapely import box

    frame = gpd.GeoDataFrame(
        {"id": [*on_map]}, geometry=[box(*b) for b in on_map.values()], crs=CRS
    )
    frame.to_file(path, driver="GPKG")
    return path


def pixel_box(x: float, y: float, place: Affine = PLACE) -> tuple[float, float, float, float]:
    """Return the map coordinates of a box of 20 x 10 pixels."""
    reference = GeoReference(CRS, tuple(place)[:6])
    corners = reference.to_map(np.array([[x, y + 10], [x + 20, y]]))
    (west, south), (east, north) = corners.tolist()
    return west, south, east, north


def run(
    work: DescribeWork, archive: list[Path], folder: Path, unit_size: int = 3
) -> tuple[gpd.GeoDataFrame, Manifest]:
    """Do an archive in this process."""
    plan = make_plan(archive, work, unit_size=unit_size)
    plan.save(folder)
    manifest = run_plan(folder, plan, work, lambda: HereEngine(work, folder))
    [path] = compact(folder, plan, work.empty())
    return gpd.read_parquet(path), manifest


def work_of(boxes: Path | None, out_crs: str = "EPSG:4326") -> DescribeWork:
    return open_describe_work("tiny", boxes=boxes, window=48, out_crs=out_crs, device="cpu")


def test_rows_are_the_features_of_the_answers(
    archive: list[Path], tmp_path: Path, tiny_describer: RegionDescriber
) -> None:
    boxes = write_boxes(
        tmp_path / "boxes.gpkg",
        {
            "a": pixel_box(70, 20),
            "b": pixel_box(100, 90),
            "c": pixel_box(30, 40, EAST),
            "nothing": pixel_box(10, 10),
            "elsewhere": pixel_box(10_000, 10),
        },
    )
    rows, manifest = run(work_of(boxes, CRS), archive, tmp_path / "run")
    assert set(rows["box_id"]) == {"a", "b", "c"}
    assert manifest.n_skipped == 1  # the box over nodata
    assert [(gone.place, gone.reason) for gone in manifest.unusable] == [
        ("elsewhere", "it lies on no raster of the archive.")
    ]
    raster = Raster.open(archive[1])
    [answer] = describe_boxes(tiny_describer, raster, [PlacedBox("c", (30.0, 40.0, 50.0, 50.0))])
    features = answer.to_features()
    found = rows[rows["box_id"] == "c"]
    assert len(found) == max(1, len(features))
    assert_allclose(
        found[["box_x_min", "box_y_min", "box_x_max", "box_y_max"]].iloc[0], [30, 40, 50, 50]
    )
    assert set(found["caption"]) == {answer.answer.caption}
    for (_, row), feature in zip(found.iterrows(), features, strict=False):
        assert row["phrase"] == feature.properties["phrase"]
        assert row["score"] == pytest.approx(feature.properties["score"], rel=1e-3)
        assert row["raster"] == str(archive[1])
        assert row["source_crs"] == CRS


def test_a_box_on_two_rasters_is_described_on_both_and_cut_to_each(
    archive: list[Path], tmp_path: Path
) -> None:
    across = write_tiff(
        tmp_path / "across.tif", fields(3, 4, seed=3), transform=PLACE @ Affine.translation(150, 0)
    )
    boxes = write_boxes(tmp_path / "boxes.gpkg", {"edge": pixel_box(145, 20)})
    rows, _ = run(work_of(boxes), [archive[0], across], tmp_path / "run")
    cut = rows.groupby("raster")[["box_x_min", "box_x_max"]].first()
    assert_allclose(cut.loc[str(archive[0])], [145, 160])
    assert_allclose(cut.loc[str(across)], [0, 15])


def test_every_window_is_a_box_where_none_are_given(archive: list[Path], tmp_path: Path) -> None:
    rows, manifest = run(work_of(None), archive, tmp_path / "run")
    assert manifest.n_places == 2 * 4 * 3
    assert manifest.n_skipped == 3  # the left column of windows of the first raster
    assert rows[["raster", "box_id"]].drop_duplicates().shape[0] == 24 - 3
    last = rows[rows["raster"] == str(archive[1])].iloc[-1]
    assert (last["box_x_max"], last["box_y_max"]) == (160, 120)


def test_units_hold_neighbours_and_their_size_changes_no_row(
    archive: list[Path], tmp_path: Path
) -> None:
    spots = [(70, 10), (130, 100), (72, 14), (128, 96), (74, 12), (126, 98)]
    boxes = write_boxes(
        tmp_path / "boxes.gpkg", {f"{n}": pixel_box(x, y) for n, (x, y) in enumerate(spots)}
    )
    one, _ = run(work_of(boxes), archive, tmp_path / "one", unit_size=1)
    all_, _ = run(work_of(boxes), archive, tmp_path / "all", unit_size=100)
    assert one[["box_id", "phrase", "caption"]].equals(all_[["box_id", "phrase", "caption"]])
    assert_allclose(one["score"], all_["score"], rtol=1e-3)


def test_what_keeps_a_run_from_beginning_is_told(archive: list[Path], tmp_path: Path) -> None:
    nowhere = tmp_path / "boxes.geojson"
    nowhere.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    with pytest.raises(BoxError, match="holds no features"):
        work_of(nowhere)
    boxes = write_boxes(tmp_path / "boxes.gpkg", {"a": pixel_box(70, 20)})
    plain = write_tiff(tmp_path / "plain.tif", fields(3, 4), crs=None)
    plan = make_plan([plain, *archive], work_of(boxes), unit_size=9)
    assert [Path(failure.raster).name for failure in plan.record.unusable] == ["plain.tif"]


def test_identity_follows_the_model_and_what_is_asked() -> None:
    known = work_of(None)
    assert work_of(None).identity == known.identity
    assert known._replace(device="cuda", model="/elsewhere").identity == known.identity
    changed = [
        known._replace(model_sha256="0"),
        known._replace(window=64),
        known._replace(ask="What is this?"),
        known._replace(out_crs="EPSG:3857"),
        known._replace(bands=(3, 2, 1)),
    ]
    assert len({known.identity, *(work.identity for work in changed)}) == 6
