"""Tests of `skycue caption`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skycue.backbones.captioner import open_text_source
from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.backbones.phrase_bank import PhraseBank
from skycue.cli.app import app
from skycue.data.captions import read_captions


@pytest.fixture
def backbone(tiny_clip: Clip, tmp_path: Path) -> Path:
    """A folder with a tiny backbone."""
    save_clip(tiny_clip, tmp_path / "backbone")
    return tmp_path / "backbone"


def run(*arguments: str | Path) -> Result:
    """Run the command on the CPU."""
    return CliRunner().invoke(app, ["caption", *map(str, arguments), "--device", "cpu"])


def test_a_folder_is_captioned_by_the_bank(
    backbone: Path, tiny_clip: Clip, scene_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "captions.jsonl"
    result = run(scene_folder, "-o", output, "--backbone", backbone, "--set", "bank.top_k=2")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"captions": str(output), "n_new": 24, "n_kept": 0}
    images = sorted(scene_folder.rglob("*.png"))
    records = read_captions(output)
    assert [record.image for record in records] == [
        path.relative_to(tmp_path).as_posix() for path in images
    ]
    assert records[0].settings["top_k"] == 2
    assert records[0].settings["backbone"] == tiny_clip.fingerprint
    assert open_text_source(f"file:{output}").caption(images) == [
        record.captions[0] for record in records
    ]


def test_a_second_run_adds_what_is_missing_only(
    backbone: Path, scene_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "captions.jsonl"
    run(scene_folder / "lake", "-o", output, "--backbone", backbone)
    before = output.read_bytes()
    result = run(scene_folder, "-o", output, "--backbone", backbone)
    assert json.loads(result.stdout)["n_new"] == 16
    assert json.loads(result.stdout)["n_kept"] == 8
    assert output.read_bytes().startswith(before)


def test_other_settings_are_one_line_and_force_replaces(
    backbone: Path, scene_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "captions.jsonl"
    arguments = (scene_folder, "-o", output, "--backbone", backbone)
    run(*arguments)
    refused = run(*arguments, "--set", "bank.top_k=1")
    assert refused.exit_code == 1
    assert "other settings: top_k 4 and now 1" in refused.stderr
    assert refused.stderr.count("\n") == 1
    replaced = run(*arguments, "--set", "bank.top_k=1", "--force")
    assert json.loads(replaced.stdout)["n_new"] == 24
    assert {record.settings["top_k"] for record in read_captions(output)} == {1}


def test_a_source_that_reads_captions_writes_none(
    backbone: Path, scene_folder: Path, tmp_path: Path
) -> None:
    result = run(scene_folder, "-o", tmp_path / "c.jsonl", "--source", "oracle:captions.jsonl")
    assert result.exit_code == 1
    assert "writes no captions; --source is bank or hf:NAME" in result.stderr


def test_captions_are_the_bank_s_own(
    backbone: Path, tiny_clip: Clip, scene_folder: Path, tmp_path: Path
) -> None:
    image = scene_folder / "lake" / "lake_0.png"
    run(image, "-o", tmp_path / "c.jsonl", "--backbone", backbone)
    assert read_captions(tmp_path / "c.jsonl")[0].captions == (
        PhraseBank(tiny_clip).caption([image])[0],
    )
