"""Every window of an archive has a row, which says what the classifier alone would say of it."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from numpy.testing import assert_allclose
from rasterio.transform import Affine

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.errors import GeoError
from skycue.geo.cells import CellGrid
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.inference import SceneClassifier
from skycue.scale.classify_work import ClassifyWork, open_classify_work
from skycue.scale.compact import compact
from skycue.scale.plan import make_plan
from skycue.scale.run import run_plan
from skycue.scene_map import write_map
from skycue.scene_windows import classify_windows
from tests.conftest import TINY_CLASSES
from tests.made_up_rasters import fields, write_tiff, zero_shot
from tests.scale.here_engine import HereEngine

SOUTH = ("EPSG:32723", Affine(10.0, 0.0, 190_000.0, 0.0, -10.0, 8_250_000.0))
WINDOW, STRIDE = 48, 32


@pytest.fixture
def model(tiny_clip: Clip, tmp_path: Path) -> Path:
    """The folder of a classifier of a tiny backbone that has learned nothing."""
    save_clip(tiny_clip, tmp_path / "backbone")
    classifier = zero_shot(tiny_clip)
    classifier.backbone = str(tmp_path / "backbone")
    classifier.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def archive(tmp_path: Path) -> list[Path]:
    """Rasters in two UTM zones and without any CRS; the first has an empty corner."""
    pixels = fields(3, 4, seed=1)
    pixels[:, :64, :64] = 0
    folder = tmp_path / "archive"
    folder.mkdir()
    return [
        write_tiff(folder / "a_north.tif", pixels, nodata=0),
        write_tiff(folder / "b_south.tif", fields(2, 3, seed=2), crs=SOUTH[0], transform=SOUTH[1]),
        write_tiff(folder / "c_nowhere.tif", fields(2, 2, seed=3), crs=None),
    ]


def work_of(model: Path, out_crs: str = "EPSG:4326") -> ClassifyWork:
    return open_classify_work(model, window=WINDOW, stride=STRIDE, out_crs=out_crs, device="cpu")


def run(
    work: ClassifyWork, archive: list[Path], folder: Path, unit_size: int = 7
) -> gpd.GeoDataFrame:
    plan = make_plan(archive, work, unit_size=unit_size)
    plan.save(folder)
    run_plan(folder, plan, work, lambda: HereEngine(work, folder))
    [path] = compact(folder, plan, work.empty())
    return gpd.read_parquet(path)


def test_rows_say_what_the_classifier_says_and_where(
    model: Path, archive: list[Path], tmp_path: Path
) -> None:
    rows = run(work_of(model), archive, tmp_path / "run")
    assert rows.crs.to_epsg() == 4326
    classifier = SceneClassifier.load(model)
    for path in archive:
        raster = Raster.open(path)
        grid = CellGrid(raster.size, WINDOW, STRIDE)
        windows = list(grid)
        expected = classify_windows(classifier, raster, windows)
        filled = [raster.read(grid.cell(n)).valid.any() for n in range(len(grid))]
        found = rows[rows["raster"] == str(path)]
        assert [tuple(place) for place in found[["x", "y", "width", "height"]].to_numpy()] == [
            window for window, is_filled in zip(windows, filled, strict=True) if is_filled
        ]
        columns = [f"p_{name}" for name in TINY_CLASSES]
        assert_allclose(found[columns].to_numpy(), expected[filled], atol=1e-5)
        best = expected[filled].argmax(axis=1)
        assert found["class"].tolist() == [TINY_CLASSES[n] for n in best]
        assert_allclose(found["score"], expected[filled].max(axis=1), atol=1e-5)
        crs = raster.georeference and raster.georeference.crs
        assert set(found["source_crs"].fillna("")) == {crs or ""}
    assert len(rows[rows["raster"] == str(archive[0])]) < len(windows_of(archive[0]))


def windows_of(path: Path) -> list[PixelWindow]:
    return list(CellGrid(Raster.open(path).size, WINDOW, STRIDE))


def test_rows_are_the_cells_of_the_map(model: Path, archive: list[Path], tmp_path: Path) -> None:
    rows = run(work_of(model, "EPSG:32631"), archive, tmp_path / "run")
    classifier = SceneClassifier.load(model)
    path = archive[0]
    raster = Raster.open(path)
    write_map(classifier, raster, tmp_path / "map", window=WINDOW, stride=STRIDE)
    with rasterio.open(tmp_path / "map" / "probabilities.tif") as cells:
        probabilities, place = cells.read(), cells.transform
    found = rows[rows["raster"] == str(path)]
    assert len(found) == np.isfinite(probabilities[0]).sum()
    columns = [f"p_{name}" for name in TINY_CLASSES]
    for outline, values in zip(found.geometry, found[columns].to_numpy(), strict=True):
        left, bottom, right, top = outline.bounds
        column, row = ~place * ((left + right) / 2, (bottom + top) / 2)
        assert_allclose(values, probabilities[:, int(row), int(column)], atol=1e-5)
        inside = (160 - int(column) * STRIDE, 120 - int(row) * STRIDE)
        width, height = (min(STRIDE, length) for length in inside)
        assert_allclose(right - left, width * place.a / STRIDE)
        assert_allclose(top - bottom, -height * place.e / STRIDE)


def test_a_raster_without_a_place_has_rows_without_outlines(
    model: Path, archive: list[Path], tmp_path: Path
) -> None:
    rows = run(work_of(model, "EPSG:32631"), archive, tmp_path / "run")
    nowhere = rows[rows["raster"] == str(archive[2])]
    assert len(nowhere) == len(windows_of(archive[2]))
    assert nowhere.geometry.isna().all()
    assert nowhere["source_crs"].isna().all()


def test_the_size_of_units_changes_no_row(model: Path, archive: list[Path], tmp_path: Path) -> None:
    one = run(work_of(model), archive, tmp_path / "one", unit_size=1).drop(columns="unit")
    all_ = run(work_of(model), archive, tmp_path / "all", unit_size=1000).drop(columns="unit")
    assert one.geometry.geom_equals_exact(all_.geometry, 0).sum() == one.geometry.notna().sum()
    numbers = ["score", *(f"p_{name}" for name in TINY_CLASSES)]
    assert_allclose(one[numbers], all_[numbers], atol=1e-5)
    rest = [name for name in one.columns if name not in (*numbers, "geometry")]
    assert one[rest].equals(all_[rest])


def test_a_damaged_window_fails_alone_and_a_lost_raster_as_a_whole(
    model: Path, tmp_path: Path
) -> None:
    whole = write_tiff(tmp_path / "a.tif", fields(4, 8), compress="deflate")
    with rasterio.open(whole) as dataset:  # pixels from (256, 128) on
        place = int(dataset.get_tag_item("BLOCK_OFFSET_4_2", "TIFF", bidx=1))
    content = bytearray(whole.read_bytes())
    content[place : place + 100] = bytes(100)
    whole.write_bytes(content)
    gone = write_tiff(tmp_path / "b.tif", fields(2, 2))
    work = work_of(model)
    plan = make_plan([whole, gone], work, unit_size=1000)
    n_lost = len(windows_of(gone))
    gone.write_bytes(b"something else")
    folder = tmp_path / "run"
    plan.save(folder)
    manifest = run_plan(folder, plan, work, lambda: HereEngine(work, folder))
    damaged = [failure for failure in manifest.failures if failure.raster == str(whole)]
    touching = [w for w in windows_of(whole) if w.x + WINDOW > 256 and w.y + WINDOW > 128]
    assert 0 < len(touching) < len(windows_of(whole)) / 4
    assert [failure.place for failure in damaged] == [",".join(map(str, w)) for w in touching]
    assert all("damaged or cut off" in failure.reason for failure in damaged)
    [lost] = [failure for failure in manifest.failures if failure.raster == str(gone)]
    assert (lost.place, lost.n_places) == ("", n_lost)
    assert "not a raster" in lost.reason
    assert manifest.n_rows == len(windows_of(whole)) - len(damaged)


def test_identity_follows_the_model_and_the_settings(
    model: Path, tiny_clip: Clip, tmp_path: Path
) -> None:
    known = work_of(model)
    assert work_of(model).identity == known.identity
    assert known._replace(device="cuda", batch_size=3).identity == known.identity
    changed = [
        known._replace(window=64),
        known._replace(stride=16),
        known._replace(out_crs="EPSG:3857"),
        known._replace(bands=(3, 2, 1)),
    ]
    assert len({known.identity, *(work.identity for work in changed)}) == 5
    model.rename(tmp_path / "moved")
    assert work_of(tmp_path / "moved").identity == known.identity


def test_wrong_windows_are_refused_before_anything_is_read(model: Path) -> None:
    with pytest.raises(GeoError, match="a stride of 20 pixels leaves gaps"):
        open_classify_work(model, window=10, stride=20, out_crs="EPSG:4326")


def test_parts_of_all_rasters_have_one_schema(
    model: Path, archive: list[Path], tmp_path: Path
) -> None:
    run(work_of(model), archive, tmp_path / "run")
    parts = list((tmp_path / "run" / "parts").glob("*/*.parquet"))
    assert len(parts) > 3
    assert len({str(pq.read_schema(part).remove_metadata()) for part in parts}) == 1
