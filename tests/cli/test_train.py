"""`skycue train`: mistakes are told in one line, before anything is computed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skycue.cli.app import app
from skycue.config import load_config
from skycue.region_recipe import RegionTrainingConfig

RECIPE = Path(__file__).parents[2] / "configs" / "mini_clip.yaml"


def refusal(output: Path, root: Path, *more: str) -> str:
    """Run `train clip`, which must fail, and return what it says."""
    arguments = ["train", "clip", str(RECIPE), "-o", str(output), "--data-root", str(root)]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu", *more])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_recipe_with_an_unknown_key_is_refused_with_the_right_one(tmp_path: Path) -> None:
    assert "did you mean 'teacher'" in refusal(tmp_path, tmp_path, "--set", "teachr=none")


def test_a_finished_backbone_is_not_replaced_without_force(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert f"{tmp_path / 'config.json'} exists" in refusal(tmp_path, tmp_path)


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "rsicd" / "captions.jsonl"
    assert f"no captions file {missing}" in refusal(tmp_path / "out", tmp_path)


REGIONS = RECIPE.parent / "mini_region.yaml"


def test_regions_refuse_fake_weights_for_a_real_training(tmp_path: Path) -> None:
    arguments = ["train", "regions", str(REGIONS), "-o", str(tmp_path), "--data-root", "x"]
    result = CliRunner().invoke(app, [*arguments, "--fake-weights"])
    assert result.exit_code == 1
    assert "give --dry-run as well" in result.stderr


def test_regions_are_trained_on_data_that_are_somewhere(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "regions", str(REGIONS), "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert "give --data-root" in result.stderr


def test_a_finished_region_model_is_not_replaced_without_force(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    arguments = ["train", "regions", str(REGIONS), "-o", str(tmp_path), "--data-root", "x"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert f"{tmp_path / 'config.json'} exists" in result.stderr


@pytest.mark.slow
def test_a_dry_run_prints_losses_and_memory_and_writes_nothing(tmp_path: Path) -> None:
    recipe = load_config(RegionTrainingConfig, REGIONS)
    arguments = ["train", "regions", str(REGIONS), "-o", str(tmp_path / "out")]
    for number in range(len(recipe.stages)):
        arguments += ["--set", f"stages.{number}.train.batch_size=2"]
    result = CliRunner().invoke(app, [*arguments, "--dry-run", "--fake-weights"])
    assert result.exit_code == 0
    stages = [json.loads(line) for line in result.stdout.splitlines()]
    assert [stage["stage"] for stage in stages] == [stage.name for stage in recipe.stages]
    assert all(stage["weights_gib"] > 0 for stage in stages)
    assert not (tmp_path / "out").exists()
