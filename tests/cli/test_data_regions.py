"""`skycue data` writes, imports and checks region records."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skycue.cli.app import app
from skycue.data.regions import read_records


def run(*arguments: object) -> Result:
    """Run `skycue data`."""
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def square(x: int, y: int, side: int = 20) -> list[list[int]]:
    """A square as COCO's polygon."""
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A file of two images: two ships beside each other, and nothing."""
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 300, "height": 300},
            {"id": 2, "file_name": "b.jpg", "width": 300, "height": 300},
        ],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "segmentation": square(150 + 45 * n, 140)}
            for n in range(2)
        ],
    }
    path = tmp_path / "harbor.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_captions_of_objects_are_written_and_counted(coco: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    result = run("captions-from-instances", coco, "-o", out)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {
        "file": str(out),
        "images": 1,
        "records": 2,
        "phrases": 2.0,
        "masks": 2.0,
        "sentences": 2.0,
        "words": 17.5,
        "vocabulary": 15,
        "captions": 2,
        "with_relation": 1.0,
        "with_count": 0.0,
        "with_unknown": 0.0,
        "relations": {"left of": 1, "right of": 1},
        "classes": {"ship": 2},
    }
    assert [record.caption for record in read_records(out)] == [
        "A ship is in the middle of the image. It is to the left of another ship.",
        "There is a ship on the right of the image. Another ship is to the left of it.",
    ]


def test_captions_of_whole_images_are_written(coco: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    result = run("captions-from-instances", coco, "-o", out, "--mode", "image")
    assert json.loads(result.stdout)["records"] == 1
    (record,) = read_records(out)
    assert record.caption == "This image contains two ships."
    assert (
        run("import-regions", "coco", coco, "-o", tmp_path / "b", "--mode", "full").exit_code == 0
    )
    assert read_records(tmp_path / "b") == (record,)


def test_an_output_is_overwritten_only_by_force(coco: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    out.write_text("mine", encoding="utf-8")
    refused = run("captions-from-instances", coco, "-o", out)
    assert refused.exit_code == 1
    assert "exists: choose another name" in refused.stderr
    assert out.read_text(encoding="utf-8") == "mine"
    assert run("captions-from-instances", coco, "-o", out, "--force").exit_code == 0


def test_datasets_are_imported_by_their_layout(tmp_path: Path) -> None:
    tile = {
        "id": 1,
        "img": "a.png",
        "gcg_description": "<p> A ship-1 </p> [SEG] sails. It is alone.",
        "polygons": [[[[0, 0], [40, 0], [40, 40]]]],
    }
    (tmp_path / "tile.json").write_text(json.dumps(tile), encoding="utf-8")
    out = tmp_path / "out" / "records.jsonl"
    result = run("import-regions", "geopixeld", tmp_path / "tile.json", "-o", out)
    told = json.loads(result.stdout)
    assert (told["records"], told["with_unknown"], told["classes"]) == (1, 1.0, {"ship": 1})
    rle = {"size": [50, 50], "counts": [0, 100, 2400]}
    groundings = {"A man": {"token_positives": [0, 5], "rle_masks": [rle]}}
    item = {"file_name": "b.jpg", "caption": "A man runs.", "groundings": groundings}
    (tmp_path / "grandf.json").write_text(json.dumps([item]), encoding="utf-8")
    result = run("import-regions", "grandf", tmp_path / "grandf.json", "-o", out, "--force")
    assert json.loads(result.stdout)["records"] == 1
    assert read_records(out)[0].source == "grandf"


def test_a_source_without_objects_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_text('{"images": [], "categories": [], "annotations": []}', encoding="utf-8")
    result = run("captions-from-instances", path, "-o", tmp_path / "records.jsonl")
    assert result.exit_code == 1
    assert "no object that could be boxed" in result.stderr
    assert not (tmp_path / "records.jsonl").exists()


def test_checking_prints_statistics_or_what_is_wrong(coco: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    run("captions-from-instances", coco, "-o", out)
    assert json.loads(run("check-regions", out).stdout)["records"] == 2
    lines = out.read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[1])
    record["phrases"][0]["span"] = [0, 999]
    out.write_text(f"{lines[0]}\n{json.dumps(record)}\n", encoding="utf-8")
    result = run("check-regions", out)
    assert result.exit_code == 1
    assert "line 2: phrases.0.span: 0 to 999 is no part of a caption" in result.stderr
