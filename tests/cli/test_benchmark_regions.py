"""`skycue benchmark regions`: from its arguments to the path of a report."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from skycue import region_describer, region_training
from skycue.cli.app import app
from skycue.data.regions import write_records
from skycue.region_recipe import RegionTrainingConfig
from tests.made_up_regions import KnowingDescriber, records

RECIPE = "data: {rendered: {count: 1}}\nstages: [{name: all, train: {epochs: 1}}]\n"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, Path, Path | None]]:
    """What was trained: folder, seed, data root and folder of the recipe."""
    calls: list[tuple[str, int, Path, Path | None]] = []

    def train(
        config: RegionTrainingConfig,
        root: Path,
        output: Path,
        *,
        seed: int,
        beside: Path | None,
        **options: object,
    ) -> None:
        calls.append((output.name, seed, root, beside))

    def load(name: str, **options: object) -> KnowingDescriber:
        return KnowingDescriber(model=name)

    monkeypatch.setattr(region_training, "train_regions", train)
    monkeypatch.setattr(region_describer.RegionDescriber, "load", load)
    return calls


def test_variants_are_trained_measured_and_told_in_a_report(
    trained: list[tuple[str, int, Path, Path | None]], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    write_records(tmp_path / "boxes.jsonl", records())
    settings = (
        f"base={tmp_path / 'recipe.yaml'}",
        "variants={all: [], box as text: [model.reasoner.box_input=text]}",
        "metrics=[p_iou, shuffle]",
    )
    arguments = [
        *("benchmark", "regions", "--data", f"made up={tmp_path / 'boxes.jsonl'}"),
        *("--seeds", "1,2", "--data-root", str(tmp_path / "data"), "--device", "cpu"),
        *("-o", str(tmp_path / "run"), *(word for each in settings for word in ("--set", each))),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = tmp_path / "run" / "report.md"
    assert result.stdout.splitlines()[-1] == str(report)
    lines = report.read_text(encoding="utf-8").splitlines()
    assert "| variant | p_iou | shuffled_p_iou |" in lines
    assert "| box as text | 100.0 ± 0.0 | 0.0 ± 0.0 |" in lines
    assert trained == [
        (f"{name}_seed-{seed}", seed, tmp_path / "data", tmp_path)
        for name in ("all", "box-as-text")
        for seed in (1, 2)
    ]


def test_an_unknown_setting_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    arguments = ["benchmark", "regions", "--data", "x=nowhere.jsonl", "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--set", "variant={}"])
    assert result.exit_code == 1
    assert "did you mean 'variants'" in result.stderr
