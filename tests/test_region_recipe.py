"""The recipe of a region model: what it allows, and how wrong ones are refused."""

from pathlib import Path

import pytest

from skycue.config import load_config
from skycue.errors import ConfigError
from skycue.region_recipe import LossWeights, RegionTrainingConfig

RECIPE = """
data:
  outlined: [{annotations: vhr10/train.json, images: vhr10/images}]
stages:
  - {name: masks, kind: masks, train: {epochs: 2, batch_size: 4}}
  - {name: full, train: {epochs: 3, batch_size: 4}}
"""


def load(
    tmp_path: Path, text: str = RECIPE, settings: tuple[str, ...] = ()
) -> RegionTrainingConfig:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return load_config(RegionTrainingConfig, path, settings)


def test_the_weights_are_those_of_glamm_and_a_tenth_for_each_alignment() -> None:
    weights = LossWeights()
    assert (weights.text, weights.bce, weights.dice) == (1.0, 2.0, 0.5)
    assert (weights.semantic, weights.relation) == (0.1, 0.1)


def test_a_short_recipe_is_filled_up(tmp_path: Path) -> None:
    recipe = load(tmp_path)
    masks, full = recipe.stages
    assert (masks.kind, full.kind) == ("masks", "full")
    assert full.trains == ("*",)
    assert full.align_after > 0
    assert recipe.data.outlined[0].images == Path("vhr10/images")
    assert (recipe.data.rendered, recipe.data.held_out, recipe.start) == (None, None, None)
    assert RegionTrainingConfig.model_validate_json(recipe.model_dump_json()) == recipe


def test_the_matrix_term_is_written_down_only_where_it_is_on(tmp_path: Path) -> None:
    assert "matrix" not in load(tmp_path).model_dump_json()
    recipe = load(tmp_path, settings=("weights.matrix=0.2",))
    assert RegionTrainingConfig.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.weights.matrix == 0.2


def test_settings_reach_a_stage_by_its_number(tmp_path: Path) -> None:
    settings = ("stages.1.train.epochs=7", "data.jitter=0", "stages.0.weights.relation=0")
    recipe = load(tmp_path, settings=settings)
    assert [stage.train.epochs for stage in recipe.stages] == [2, 7]
    assert recipe.data.jitter == 0
    assert recipe.stages[0].weights == LossWeights(relation=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("stages.0.kind=mask",), "stages.0.kind"),
        (("stages.0.name=First stage",), "stages.0.name"),
        (("stages.1.align_afer=3",), "align_afer"),
        (("data.jitter=0.6",), "data.jitter"),
        (("data.zoom=0.5",), "data.zoom"),
        (("stages.1.weights.dice=-1",), "dice"),
        (("stages=[]",), "stages"),
        (("model.language.layers=0",), "model.language.layers"),
    ],
)
def test_what_is_not_allowed_is_refused_by_its_name(
    tmp_path: Path, settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, settings=settings)


def test_a_recipe_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data"):
        load(tmp_path, RECIPE.replace("data:", "date:"))
