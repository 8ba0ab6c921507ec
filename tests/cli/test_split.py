"""`skycue split` writes a file once and says what is in it."""

import json
from pathlib import Path

from typer.testing import CliRunner

from skycue.cli.app import app
from skycue.data.splits import load_split, make_split


def test_one_line_tells_counts_and_hash_and_the_file_is_used(scene_folder: Path) -> None:
    run = CliRunner().invoke(app, ["split", str(scene_folder), "--seed", "4"])
    assert run.exit_code == 0
    summary = json.loads(run.stdout)
    assert summary == {
        "split": str(scene_folder / "split.json"),
        "classes": 3,
        "train": 12,
        "val": 6,
        "test": 6,
        "sha256": make_split(scene_folder, seed=4).sha256,
    }
    assert load_split(scene_folder).sha256 == summary["sha256"]


def test_fractions_choose_the_sizes(scene_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "split.json"
    fractions = ["--fractions", "0.5,0,0.5", "-o", str(output)]
    run = CliRunner().invoke(app, ["split", str(scene_folder), *fractions])
    summary = json.loads(run.stdout)
    assert (summary["train"], summary["val"], summary["test"]) == (12, 0, 12)
    assert output.is_file()


def test_the_official_split_is_found_beside_the_images(scene_folder: Path) -> None:
    lines = [
        {
            "image": path.relative_to(scene_folder).as_posix(),
            "split": "test" if path.stem.endswith("3") else "train",
            "captions": ["a scene ."],
        }
        for path in sorted(scene_folder.rglob("*.png"))
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    (scene_folder / "official.jsonl").write_text(text)
    run = CliRunner().invoke(app, ["split", str(scene_folder), "--official", "official.jsonl"])
    summary = json.loads(run.stdout)
    assert (summary["train"], summary["val"], summary["test"]) == (18, 3, 3)


def test_mistakes_are_one_line_and_leave_no_file(scene_folder: Path) -> None:
    runner, output = CliRunner(), scene_folder / "split.json"
    wrong = runner.invoke(app, ["split", str(scene_folder), "--fractions", "half"])
    assert (wrong.exit_code, output.exists()) == (1, False)
    assert wrong.stderr == (
        "skycue: fractions 'half' are not three numbers; write them as 0.49,0.21,0.30.\n"
    )
    output.write_text("mine")
    again = runner.invoke(app, ["split", str(scene_folder)])
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert output.read_text() == "mine"
    assert runner.invoke(app, ["split", str(scene_folder), "--force"]).exit_code == 0
