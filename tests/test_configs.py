"""Every file in `configs/` says how it was made, and loads."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

from skycue.config import Config, load_config, shipped_configs
from skycue.scene_config import SceneConfig

FOLDER = Path(__file__).parents[1] / "configs"
FILES = sorted(FOLDER.glob("*.yaml"))


def heading(path: Path) -> str:
    """The comment that a file begins with, on one line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line[1:].strip() for line in takewhile(lambda line: line[:1] == "#", lines))


def model_of(path: Path) -> type[Config]:
    """The model of a file: that of the command which its heading names."""
    if "skycue train clip " in heading(path):
        from skycue.clip_recipe import ClipTrainingConfig

        return ClipTrainingConfig
    if "skycue train regions " in heading(path):
        from skycue.region_recipe import RegionTrainingConfig

        return RegionTrainingConfig
    if "skycue benchmark regions " in heading(path):
        from skycue.protocols.regions import RegionBenchmarkConfig

        return RegionBenchmarkConfig
    if "skycue benchmark " in heading(path):
        from skycue.protocols.benchmark import BenchmarkConfig

        return BenchmarkConfig
    return SceneConfig


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_configuration_loads(path: Path) -> None:
    load_config(model_of(path), path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_configuration_begins_with_its_command_and_its_result(path: Path) -> None:
    assert re.search(rf"skycue (fit|benchmark|train) .*{path.stem}", heading(path))
    result = r"Result: (.*\d{4}-\d{2}-\d{2}|not measured)"
    assert re.search(result, heading(path)), "no result with its date"


def test_every_variant_of_the_region_ablation_is_a_recipe() -> None:
    from skycue.protocols.regions import RegionBenchmarkConfig, plan_rows

    rows = plan_rows(load_config(RegionBenchmarkConfig, FOLDER / "region_ablation.yaml"))
    recipes = {row.name: row.recipe for row in rows}
    assert len(recipes) == 9
    without = recipes["box as token"]
    assert without is not None
    assert without.model.mask_decoder.context == "off"
    assert all(recipe != recipes["all"] for name, recipe in recipes.items() if name != "all")


def test_configurations_are_found_by_their_names() -> None:
    assert shipped_configs().keys() == {path.stem for path in FILES}
