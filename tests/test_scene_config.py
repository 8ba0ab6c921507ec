"""Configurations of scene classifiers: what is filled in, what is refused, what is published."""

from pathlib import Path

import pytest

from skycue.config import load_config
from skycue.errors import ConfigError
from skycue.scene_config import TRAIN_DEFAULTS, SceneConfig, config_of
from skycue.scenes.registry import METHODS
from skycue.training_config import EpochWeights

CONFIGS = Path(__file__).parents[1] / "configs"
PUBLISHED = (*(name.replace("-", "_") for name in METHODS), "bimors_released")
SHORTENED = {"applenet", "c-saw"}
"""Methods whose file trains for fewer epochs than published; it says so."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_loads_and_begins_with_its_command(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    config = load_config(SceneConfig, path)
    assert config.method.name == name.removesuffix("_released").replace("_", "-")
    command, *_ = path.read_text(encoding="utf-8").splitlines()
    assert command == f"# skycue fit ../shared/data/resisc12 -o MODEL --config configs/{name}.yaml"


@pytest.mark.parametrize("name", sorted(TRAIN_DEFAULTS.keys() - SHORTENED))
def test_the_published_configuration_of_a_method_is_its_default(name: str) -> None:
    path = CONFIGS / f"{name.replace('-', '_')}.yaml"
    assert load_config(SceneConfig, path) == config_of(name)


def test_training_follows_the_method_and_keeps_what_is_given() -> None:
    config = load_config(SceneConfig, None, ["method.name=coop", "train.lr=0.1"])
    assert config.train == TRAIN_DEFAULTS["coop"].model_copy(update={"lr": 0.1})


def test_of_a_setting_with_parts_one_part_can_be_given() -> None:
    changes = ["method.name=promptsrc", "train.epochs=5", "train.epoch_average.mean=4"]
    average = load_config(SceneConfig, None, changes).train.epoch_average
    assert average == EpochWeights(mean=4, std=1)
    assert load_config(SceneConfig, None, [changes[0], "train.epoch_average=null"]).train == (
        TRAIN_DEFAULTS["promptsrc"].model_copy(update={"epoch_average": None})
    )


@pytest.mark.parametrize(
    ("given", "shares"), [("0.5", (0.5,)), ("1", (1.0,)), ("[0, 0.5]", (0.0, 0.5)), ("[]", ())]
)
def test_learned_weights_are_interpolated_at_one_number_or_a_list(
    given: str, shares: tuple[float, ...]
) -> None:
    changes = ["method.name=coop", f"train.interpolate={given}"]
    assert load_config(SceneConfig, None, changes).train.interpolate == shares


def test_a_share_of_what_was_learned_lies_between_none_and_all() -> None:
    with pytest.raises(ConfigError, match=r"interpolate\.0' is 1\.5: .*less than or equal to 1"):
        load_config(SceneConfig, None, ["method.name=coop", "train.interpolate=1.5"])


def test_an_average_far_behind_the_last_epoch_is_refused_in_one_short_line() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(SceneConfig, None, ["method.name=promptsrc", "train.epochs=5"])
    assert str(caught.value) == (
        "'train': epoch_average.mean 15 lies far behind the last of 5 epochs: lower it, or train "
        "longer"
    )


def test_a_configuration_that_names_no_method_is_of_bimors() -> None:
    config = load_config(SceneConfig, None, ["method.heads=2"])
    assert config.method.name == "bimors"
    assert config.train == TRAIN_DEFAULTS["bimors"]


@pytest.mark.parametrize("name", METHODS)
def test_a_configuration_survives_its_file(name: str) -> None:
    config = config_of(name)
    assert SceneConfig.model_validate_json(config.model_dump_json()) == config


def test_training_settings_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match="zero-shot does not train step by step"):
        load_config(SceneConfig, None, ["method.name=zero-shot", "train.lr=0.1"])
