"""Maps of classes: cells, files, and what does not change them."""

import json
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from PIL import Image
from shapely import Polygon

from skycue.backbones.clip import Clip
from skycue.class_map import NO_CLASS, ClassMap, _regions_of
from skycue.errors import GeoError
from skycue.geo.cells import CellGrid
from skycue.geo.raster import Raster
from skycue.scene_map import FeatureFormat, MapRecord, write_map
from skycue.scene_windows import classify_windows
from skycue.store import EncodingStore
from tests.conftest import TINY_CLASSES
from tests.made_up_rasters import CRS, PLACE, fields, write_tiff, zero_shot

WINDOW, STRIDE = 48, 24
ROUNDING = 1e-5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Fields of 160 x 200 pixels; the right third holds nothing."""
    pixels = fields(4, 5)
    pixels[:, :, 130:] = 0
    return write_tiff(tmp_path / "fields.tif", pixels, nodata=0)


def make_map(
    clip: Clip, path: Path, folder: Path, formats: Sequence[FeatureFormat] = ("gpkg",)
) -> MapRecord:
    raster = Raster.open(path)
    return write_map(zero_shot(clip), raster, folder, window=WINDOW, stride=STRIDE, formats=formats)


def probabilities_in(folder: Path) -> NDArray[np.float32]:
    with rasterio.open(folder / "probabilities.tif") as dataset:
        found: NDArray[np.float32] = dataset.read()
        return found  # [C, h, w]


def test_a_cell_has_the_probabilities_of_its_window(
    tiny_clip: Clip, path: Path, tmp_path: Path
) -> None:
    record = make_map(tiny_clip, path, tmp_path / "map")
    grid = CellGrid((160, 200), WINDOW, STRIDE)
    expected = classify_windows(zero_shot(tiny_clip), Raster.open(path), grid)
    found = probabilities_in(tmp_path / "map")
    assert found.shape == (3, 7, 9)
    expected.reshape(7, 9, 3)[:, 6:] = np.nan  # cells from column 144 on hold no valid pixel
    assert_allclose(found.reshape(3, -1).T, expected, atol=ROUNDING)
    assert (record.size, record.skipped) == ((7, 9), 7 * 3)
    assert (record.classified, record.straddling) == (63 - 21, 7)  # 120 to 144, valid to 130
    assert record.classified == sum(record.cells.values())
    with rasterio.open(tmp_path / "map" / "probabilities.tif") as dataset:
        assert dataset.descriptions == TINY_CLASSES
        assert dataset.crs == CRS
        assert dataset.transform == PLACE @ PLACE.scale(STRIDE)
        assert np.isnan(dataset.nodata)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_polygons_cover_the_cells_of_their_class(
    tiny_clip: Clip, path: Path, tmp_path: Path
) -> None:
    record = make_map(tiny_clip, path, tmp_path / "map", ("gpkg", "parquet", "geojson"))
    table = geopandas.read_file(tmp_path / "map" / "classes.gpkg")
    assert table.crs.to_string() == CRS
    raster_m2, valid_m2 = (160 * width * 0.5**2 for width in (144, 130))  # whole cells, and valid
    assert table.area.sum() == pytest.approx(raster_m2, rel=1e-9)
    assert (table.area * table["valid_share"]).sum() == pytest.approx(valid_m2, rel=1e-9)
    assert_allclose(table["area_m2"], table.area, rtol=0.002)  # UTM is not true to area
    counts = table.groupby("class")["cells"].sum().to_dict()
    assert counts == {name: count for name, count in record.cells.items() if count}
    found = probabilities_in(tmp_path / "map")
    weighted = (table["score"] * table["cells"]).sum()
    assert weighted == pytest.approx(float(np.nan_to_num(found).max(axis=0).sum()), rel=1e-5)
    for row in table.itertuples():  # the class on the ground is that of the cell
        x, y = row.geometry.representative_point().coords[0]
        column, line = ~(PLACE @ PLACE.scale(STRIDE)) @ (x, y)
        cell = found[:, int(line), int(column)]
        assert row._1 == TINY_CLASSES[int(cell.argmax())]
    parquet = geopandas.read_parquet(tmp_path / "map" / "classes.parquet")
    assert parquet.geometry.geom_equals(table.geometry).all()
    assert len(json.loads((tmp_path / "map" / "classes.geojson").read_text())["features"]) == len(
        table
    )


def test_rows_at_a_time_and_batches_do_not_matter(
    tiny_clip: Clip, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_map(tiny_clip, path, tmp_path / "whole")
    monkeypatch.setattr("skycue.class_map.CELLS_AT_ONCE", 20)  # two rows
    classifier = zero_shot(tiny_clip, batch_size=5)
    raster = Raster.open(path)
    parts = write_map(classifier, raster, tmp_path / "parts", window=WINDOW, stride=STRIDE)
    assert_allclose(
        probabilities_in(tmp_path / "parts"), probabilities_in(tmp_path / "whole"), atol=ROUNDING
    )
    same = {"seconds"}
    assert parts.model_dump(exclude=same) == whole.model_dump(exclude=same)


def test_a_raster_without_a_place_has_a_map_without_polygons(
    tiny_clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "fields.png"
    Image.fromarray(fields(4, 5).transpose(1, 2, 0)).save(path)
    record = make_map(tiny_clip, path, tmp_path / "map")
    assert record.files == ("item.json", "probabilities.tif", "quicklook.png")
    assert {file.name for file in (tmp_path / "map").iterdir()} == {*record.files, "map.json"}
    assert "has no place on the map: its classes have no polygons" in caplog.text


def test_a_raster_without_a_valid_pixel_has_an_empty_map(tiny_clip: Clip, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "empty.tif", np.zeros((3, 100, 90), np.uint8), nodata=0)
    record = make_map(tiny_clip, path, tmp_path / "map")
    assert (record.classified, record.skipped) == (0, 20)
    assert np.isnan(probabilities_in(tmp_path / "map")).all()
    assert len(geopandas.read_file(tmp_path / "map" / "classes.gpkg")) == 0


def test_the_record_is_written_and_a_second_map_uses_kept_encodings(
    tiny_clip: Clip, path: Path, tmp_path: Path
) -> None:
    records, raster = [], Raster.open(path)
    for name in ("first", "second"):
        classifier = zero_shot(tiny_clip, store=EncodingStore(tmp_path / "store"))
        folder = tmp_path / name
        records.append(
            write_map(classifier, raster, folder, window=WINDOW, stride=STRIDE, model="scenes")
        )
    first, second = records
    assert (first.reused, first.encoded) == (0, 42)
    assert (second.reused, second.encoded) == (42, 0)
    assert_array_equal(probabilities_in(tmp_path / "first"), probabilities_in(tmp_path / "second"))
    text = (tmp_path / "first" / "map.json").read_text()
    assert MapRecord.model_validate_json(text) == first
    assert first.raster_sha256 == raster.sha256()
    assert (first.model, first.bands, first.window) == ("scenes", (1, 2, 3), WINDOW)
    assert first.model_sha256 == zero_shot(tiny_clip).fingerprint
    item = json.loads((tmp_path / "first" / "item.json").read_text())
    assert item["properties"]["skycue:model_sha256"] == first.model_sha256
    assert item["properties"]["skycue:source_sha256"] == first.raster_sha256
    assert item["assets"].keys() == {*first.files} - {"item.json"}


def test_a_map_that_is_not_finished_has_no_record(
    tiny_clip: Clip, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_map(tiny_clip, path, tmp_path / "map")

    def fail(*_: object, **__: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("skycue.class_map.draw_class_map", fail)
    with pytest.raises(KeyboardInterrupt):
        make_map(tiny_clip, path, tmp_path / "map")
    assert not (tmp_path / "map" / "map.json").exists()


def test_a_stride_that_leaves_gaps_is_refused(tiny_clip: Clip, path: Path, tmp_path: Path) -> None:
    with pytest.raises(GeoError, match="a stride of 49 pixels leaves gaps between windows of 48"):
        write_map(zero_shot(tiny_clip), Raster.open(path), tmp_path / "map", window=48, stride=49)
    assert not (tmp_path / "map").exists()


def test_regions_join_along_edges_and_not_over_corners() -> None:
    labels = np.array([[0, 0, 1], [1, 0, NO_CLASS], [0, 1, 1]], dtype=np.int16)
    regions, class_of = _regions_of(labels, 3)
    assert class_of.tolist() == [0, 0, 1, 1, 1]
    assert regions.tolist() == [[0, 0, 2], [3, 0, -1], [1, 4, 4]]


def test_polygons_end_where_the_raster_ends(tiny_clip: Clip, tmp_path: Path) -> None:
    turned = PLACE @ PLACE.rotation(30)
    path = write_tiff(tmp_path / "fields.tif", fields(4, 5), transform=turned)
    make_map(tiny_clip, path, tmp_path / "map")  # 160 x 200 pixels in cells of 24: 168 x 216
    table = geopandas.read_file(tmp_path / "map" / "classes.gpkg")
    corners = [turned @ corner for corner in ((0, 0), (200, 0), (200, 160), (0, 160))]
    raster = Polygon(corners)
    assert table.area.sum() == pytest.approx(raster.area, rel=1e-9)
    assert table.union_all().symmetric_difference(raster).area < 1e-4
    assert table["cells"].sum() == 7 * 9
    assert (table["valid_share"] == 1).all()


def test_what_is_not_filled_yet_has_no_class(path: Path) -> None:
    found = ClassMap(Raster.open(path), CellGrid((160, 200), 5, 5), ["a", "b"])
    assert found.counts() == {"a": 0, "b": 0}
    assert (found.labels == NO_CLASS).all()
    assert list(found.features()) == []
