"""`skycue run` does an archive, goes on, and tells what failed in one line."""

import json
import shlex
from pathlib import Path

import geopandas as gpd
import pytest
import yaml
from shapely import Polygon, box
from typer.testing import CliRunner, Result

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.cli.app import app
from tests.made_up_rasters import CRS, PLACE, fields, write_tiff, zero_shot
from tests.tiny_clvnet import save_tiny_model

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def archive(tiny_clip: Clip, tmp_path: Path) -> Path:
    """A folder with a model and two rasters of 12 and 6 windows of 40 pixels."""
    save_clip(tiny_clip, tmp_path / "backbone")
    classifier = zero_shot(tiny_clip)
    classifier.backbone = str(tmp_path / "backbone")
    classifier.save(tmp_path / "model")
    (tmp_path / "rasters").mkdir()
    write_tiff(tmp_path / "rasters" / "a.tif", fields(3, 4, seed=1))
    write_tiff(tmp_path / "rasters" / "b.tif", fields(2, 3, seed=2), crs="EPSG:32723")
    return tmp_path


def classify(archive: Path, *options: str) -> Result:
    model, rasters, output = (str(archive / name) for name in ("model", "rasters", "out"))
    given = ["run", "classify", model, rasters, "-o", output, "--window", "40", *options]
    return CliRunner().invoke(app, [*given, "--workers", "1", "--set", "device=cpu"])


def test_an_archive_becomes_one_file_and_the_same_command_has_nothing_left_to_do(
    archive: Path,
) -> None:
    first = classify(archive, "--compact", "--set", "unit_size=5")
    assert first.exit_code == 0, first.output
    rows_file = str(archive / "out" / "rows-00000.parquet")
    assert json.loads(first.stdout) == {
        "output": str(archive / "out"),
        "units": 5,
        "rows": 18,
        "skipped": 0,
        "failed": 0,
        "files": [rows_file],
    }
    rows = gpd.read_parquet(rows_file)
    assert rows.crs.to_epsg() == 4326
    assert rows["source_crs"].value_counts().to_dict() == {"EPSG:32631": 12, "EPSG:32723": 6}
    again = classify(archive, "--compact", "--set", "unit_size=5")
    assert again.stdout == first.stdout
    assert "5 of 5 units are finished" in again.stderr


def test_a_raster_that_cannot_be_read_ends_with_1_and_the_others_are_done(archive: Path) -> None:
    (archive / "rasters" / "c.tif").write_text("no raster")
    result = classify(archive)
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("skycue: ")]
    assert "0 of 18 places failed, and 1 rasters or boxes could not be planned" in line
    assert len(list((archive / "out" / "parts").glob("*/*.parquet"))) == 2
    manifest = json.loads((archive / "out" / "manifest.json").read_text())
    assert "not a raster" in manifest["unusable"][0][3]
    assert classify(archive, "--set", "keep_going=true").exit_code == 0


def test_boxes_of_an_archive_become_a_row_for_each_phrase_and_those_on_no_raster_are_named(
    archive: Path,
) -> None:
    west, north = PLACE.c, PLACE.f
    places = {
        "on a": box(west + 10, north - 30, west + 30, north - 15),
        "on neither": box(west + 9_000, north - 30, west + 9_020, north - 15),
    }
    write_boxes(archive / "boxes.gpkg", places)
    model = save_tiny_model(archive / "tiny")
    words = ["run", "describe", str(model), str(archive / "rasters"), "--boxes"]
    words += [str(archive / "boxes.gpkg"), "-o", str(archive / "out"), "--compact"]
    words += ["--out-crs", "EPSG:32631", "--workers", "1", "--set", "device=cpu"]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 1
    assert "0 of 1 places failed, and 1 rasters or boxes could not be planned" in first.stderr
    first = CliRunner().invoke(app, [*words, "--set", "keep_going=true"])
    assert first.exit_code == 0, first.output
    assert "1 of 1 units are finished" in first.stderr
    rows_file = archive / "out" / "rows-00000.parquet"
    rows = gpd.read_parquet(rows_file)
    assert json.loads(first.stdout) == {
        "output": str(archive / "out"),
        "units": 1,
        "rows": len(rows),
        "skipped": 0,
        "failed": 0,
        "files": [str(rows_file)],
    }
    [caption] = set(rows["caption"])
    spans = rows[["span_start", "span_end", "phrase"]].dropna().itertuples(index=False, name=None)
    assert [caption[int(start) : int(end)] == phrase for start, end, phrase in spans] == (
        [True] * rows["phrase"].notna().sum()
    )
    assert set(rows["raster"]) == {str(archive / "rasters" / "a.tif")}
    corners = rows[["box_x_min", "box_y_min", "box_x_max", "box_y_max"]].drop_duplicates()
    assert corners.to_numpy().tolist() == [[20, 30, 60, 60]]
    manifest = json.loads((archive / "out" / "manifest.json").read_text("utf-8"))
    assert [(place, why) for _, place, _, why in manifest["unusable"]] == [
        ("on neither", "it lies on no raster of the archive.")
    ]
    write_boxes(archive / "boxes.gpkg", {"another": places["on a"]})
    changed = CliRunner().invoke(app, words)
    assert changed.exit_code == 1
    assert "holds a run with boxes" in " ".join(changed.stderr.split())


def write_boxes(path: Path, places: dict[str, Polygon]) -> None:
    """Write named boxes in the CRS of the first raster."""
    path.unlink(missing_ok=True)
    gpd.GeoDataFrame({"id": [*places]}, geometry=[*places.values()], crs=CRS).to_file(path)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--stride", "41"], 1, "a stride of 41 pixels leaves gaps between windows of 40"),
        (["--out-crs", "EPSG:1"], 1, "EPSG:1"),
        (["--set", "unit_sise=3"], 1, "unknown key 'unit_sise'; did you mean 'unit_size'?"),
        (["--address", "auto"], 2, "give --engine ray too"),
        (["--engine", "ray", "--address", "ray://head:10001"], 1, "is that of a Ray client"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    archive: Path, options: list[str], code: int, message: str
) -> None:
    result = classify(archive, *options)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())


def test_the_file_for_kubernetes_has_the_form_of_a_ray_job_and_a_command_that_is_understood() -> (
    None
):
    job = yaml.safe_load((DOCS / "kuberay.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    [workers] = cluster["workerGroupSpecs"]
    for group in (cluster["headGroupSpec"], workers):
        assert group["rayStartParams"]["disable-usage-stats"] == "true"
        [container] = group["template"]["spec"]["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in group["template"]["spec"]["volumes"]}
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[0] == "skycue"
    assert words[words.index("--workers") + 1] == str(workers["maxReplicas"])
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 1  # all options and settings were read; the volume is not here
    assert result.stderr.startswith("skycue: no config.json in /archive/model")
