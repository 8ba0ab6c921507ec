"""The configuration of a scene classifier: its method, its training, how it reads class names."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from skycue.config import Config
from skycue.data.class_names import clean_class_names
from skycue.errors import ConfigError
from skycue.scenes.asymmetric import MultiLabelConfig
from skycue.scenes.bimors import BiMoRSConfig
from skycue.scenes.regional import RegionalConfig
from skycue.scenes.registry import MethodConfig
from skycue.training_config import EpochWeights, TrainConfig


class SceneTrainConfig(TrainConfig):
    """How to train a prompt method, under `train:` in a configuration."""

    augment: Literal["none", "released"] = "none"
    """Encode each image once, or take a random crop and flip of it in each epoch, as the released
    code of CoOp and its heirs does; captions describe the whole image either way."""
    interpolate: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """End between the start and what was learned, at (1 - a) start + a learned (Ilharco et al.,
    "Patching open-vocabulary models by interpolating weights" (PAINT), NeurIPS 2022, section 3,
    https://arxiv.org/abs/2208.05592). One number a, such as 0.5; or a list, of which the one that
    validates best is kept, of equal ones the smallest. An empty list leaves what was learned."""

    @field_validator("interpolate", mode="before")
    @classmethod
    def _one_number_is_a_list_of_one(cls, given: object) -> object:
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        return (given,) if is_number else given


DEFAULT_METHOD = "bimors"
"""The method of a configuration that names none."""

TRAIN_DEFAULTS: dict[str, SceneTrainConfig] = {
    # Zhou et al., CoOp: configs/trainers/CoOp/vit_b16_ctxv1.yaml, 200 epochs at 16 shots
    "coop": SceneTrainConfig(epochs=200, batch_size=32, lr=0.002),
    # Yao et al., KgCoOp: configs/trainers/KgCoOp/vit_b16_ep100_ctxv1.yaml
    "kgcoop": SceneTrainConfig(epochs=100, batch_size=128, lr=0.002),
    # Zhu et al., ProGrad: configs/trainers/ProGrad/rn50_ep100.yaml, of the base-to-new comparison
    "prograd": SceneTrainConfig(epochs=100, batch_size=32, lr=0.002),
    # Gao et al., CLIP-Adapter: CoOp's, which its released code refers to
    "clip-adapter": SceneTrainConfig(epochs=200, batch_size=32, lr=0.002),
    # Zhang et al., Tip-Adapter-F: section 4.1 and main.py
    "tip-adapter-f": SceneTrainConfig(
        epochs=20,
        batch_size=256,
        drop_last=False,
        optimizer="adamw",
        lr=0.001,
        epsilon=1e-4,
        weight_decay=0.01,
        schedule="step_cosine",
        warmup_epochs=0,
    ),
    # Zhou et al., CoCoOp: configs/trainers/CoCoOp/vit_b16_c4_ep10_batch1_ctxv1.yaml
    "cocoop": SceneTrainConfig(epochs=10, batch_size=1, lr=0.002),
    # Kashyap et al., BiMoRS: the released configuration
    "bimors": SceneTrainConfig(epochs=10, batch_size=4, lr=0.009),
    # Khattak et al., MaPLe: configs/trainers/VPT/vit_b16_c2_ep5_batch4_4.yaml
    "vpt": SceneTrainConfig(epochs=5, batch_size=4, lr=0.0025),
    # Khattak et al., MaPLe: configs/trainers/MaPLe/vit_b16_c2_ep5_batch4_2ctx.yaml
    "maple": SceneTrainConfig(epochs=5, batch_size=4, lr=0.0035),
    # Khattak et al., PromptSRC: configs/trainers/PromptSRC/vit_b16_c2_ep20_batch4_4+4ctx.yaml
    "promptsrc": SceneTrainConfig(
        epochs=20, batch_size=4, lr=0.0025, epoch_average=EpochWeights(mean=15, std=1)
    ),
    # Singha et al., APPLeNet: yaml/trainers/AppleNet/vit_b16_c4.yaml
    "applenet": SceneTrainConfig(epochs=100, batch_size=4, lr=2e-4, warmup_lr=1e-7),
    # Bhattacharya et al., C-SAW: yaml/trainers/csaw/vit_b16_c4.yaml
    "c-saw": SceneTrainConfig(epochs=100, batch_size=4, lr=2e-4, warmup_lr=1e-7),
    # Bose et al., StyLIP: the paper's settings were not at hand; the rate is that of APPLeNet
    "stylip": SceneTrainConfig(epochs=10, batch_size=4, lr=2e-4),
    # Ours, chosen on training images of VHR-10 that were not drawn: docs/multilabel.md
    "regional": SceneTrainConfig(
        epochs=60, batch_size=32, lr=0.003, optimizer="adamw", weight_decay=0.01, drop_last=False
    ),
}
"""Training of each method as its authors published it; what a configuration does not say."""


class SceneConfig(Config):
    """All that a fitted classifier depends on beside its images, seed and backbone."""

    method: MethodConfig = BiMoRSConfig()
    """`name` and options of the method; BiMoRS if it is not given."""
    train: SceneTrainConfig = SceneTrainConfig()
    """Training; what is not given is as the method's authors published it."""
    raw_names: bool = False
    """Put class names into prompts as the folders say, not cleaned."""
    captions: str = "bank"
    """Source of captions, for methods that read them: bank, hf:NAME or file:captions.jsonl."""
    sentence_encoder: str | None = None
    """What turns captions into vectors; not given, the one that fits the backbone."""
    encoding_batch: int = Field(default=32, ge=1)
    """Images encoded at once: changes speed and memory, not results."""
    validation_shots: int = Field(default=16, ge=0)
    """Validation images of each class, at most; 0 validates nothing."""
    multi_label: MultiLabelConfig | None = None
    """Loss and scores where images show several classes; `fit` takes the defaults if such images
    are given and nothing is said."""

    @model_validator(mode="before")
    @classmethod
    def _fill_training(cls, given: object) -> object:
        """Take what is not said about method and training from the defaults of the method."""
        if not isinstance(given, dict):
            return given
        method = given.get("method", {})
        if isinstance(method, dict):
            method = {"name": DEFAULT_METHOD} | method
            given = given | {"method": method}
        name = method["name"] if isinstance(method, dict) else getattr(method, "name", None)
        train = given.get("train", {})
        if name in TRAIN_DEFAULTS and isinstance(train, dict):
            given = given | {"train": _merged(TRAIN_DEFAULTS[name].model_dump(), train)}
        return given

    @model_validator(mode="after")
    def _training_has_an_effect(self) -> Self:
        name = self.method.name
        if name not in TRAIN_DEFAULTS and self.train != SceneTrainConfig():
            raise ValueError(f"{name} does not train step by step: leave out the `train` settings")
        return self


def _merged(settings: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """Return settings with those given in their place, also inside a setting of several."""
    merged = settings | given
    for name, value in given.items():
        before = settings.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[name] = _merged(before, value)
    return merged


def config_of(method: str) -> SceneConfig:
    """Return the default configuration of a method of that name."""
    return SceneConfig.model_validate({"method": {"name": method}})


def with_multi_label(config: SceneConfig, *, images_show_several: bool) -> SceneConfig:
    """Return a configuration that says of itself whether images show several classes.

    Raises:
        ConfigError: If `multi_label` is set, and images have one label each.
    """
    if not images_show_several and config.multi_label is not None:
        raise ConfigError(
            "multi_label is set, but each image has one label: leave it out, or give the data a "
            "labels.csv or labels.json."
        )
    if not images_show_several or config.multi_label is not None:
        return config
    return config.model_copy(update={"multi_label": MultiLabelConfig()})


def require_known_descriptions(config: SceneConfig, lists: Iterable[Sequence[str]]) -> None:
    """Refuse descriptions of classes that no data have: a misspelt name would go unused.

    Args:
        config: Method and how class names are read.
        lists: Class names as the data say; several lists of data that are asked about apart.

    Raises:
        ConfigError: If a described class is none of them; the names are told as prompts read them.
    """
    if not isinstance(config.method, RegionalConfig):
        return
    names = dict.fromkeys(name for names in lists for name in prompt_names(names, config))
    unknown = [name for name in config.method.descriptions if name not in names]
    if unknown:
        raise ConfigError(
            f"method.descriptions: {', '.join(unknown)} is no class of the data; the classes are "
            f"read as {', '.join(names)}."
        )


def prompt_names(class_names: Sequence[str], config: SceneConfig) -> tuple[str, ...]:
    """Return class names as prompts read them: cleaned, or raw where the configuration says so.

    Raises:
        ConfigError: If two classes would be read alike.
    """
    raw = tuple(class_names)
    names = raw if config.raw_names else clean_class_names(raw)
    folders_of: dict[str, list[str]] = defaultdict(list)
    for folder, name in zip(raw, names, strict=True):
        folders_of[name].append(folder)
    for name, folders in folders_of.items():
        if len(folders) > 1:
            raise ConfigError(
                f"classes {', '.join(folders)} are all read as {name!r}: rename or join them, or "
                "keep the names as they are with --raw-names."
            )
    return names
