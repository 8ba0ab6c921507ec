"""Fit a prompt method to labelled images, and score images with it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skycue.backbones.captioner import open_text_source
from skycue.backbones.clip import Clip
from skycue.backbones.sentence import SentenceEncoder, default_sentence_encoder
from skycue.data.scenes import SceneItem, is_multi_label
from skycue.device import autocast, explain_out_of_memory
from skycue.encoding import RandomCrops, SceneEncoder
from skycue.errors import ConfigError, DeviceError
from skycue.metrics.multi_label import mean_average_precision
from skycue.scene_config import SceneConfig
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.bimors import BiMoRSConfig
from skycue.scenes.registry import build_method, needs_of
from skycue.store import EncodingStore
from skycue.training import Batch, StepRecord, train
from skycue.training_state import EpochRecord

IMAGES_AT_ONCE = 256
"""Images that are encoded and scored together; a method cuts its own work smaller."""


class FittedMethod(NamedTuple):
    """A method after its training."""

    method: PromptMethod
    config: SceneConfig
    """The configuration, with what was left to the encoder filled in."""
    epochs: tuple[EpochRecord, ...] = ()
    """How training went; empty where it has no epochs."""
    interpolation: float | None = None
    """Share of what was learned that was kept, where the configuration says `interpolate`."""


def open_encoder(
    clip: Clip,
    config: SceneConfig,
    *,
    backbone: str,
    store: EncodingStore | None = None,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    root: Path | None = None,
) -> SceneEncoder:
    """Build the encoder that a configuration asks for, with captions only where they are read.

    Args:
        clip: The backbone.
        config: Method, source of captions, sentence encoder.
        backbone: Name of the backbone, which the default sentence encoder follows.
        store: Where encodings are kept.
        batch_size: Images encoded at once; as the configuration says, if not given.
        dtype: Number format to compute in.
        root: The dataset's folder, for captions files that lie apart from it.
    """
    captions = sentence = None
    if "caption" in needs_of(config.method):
        captions = open_text_source(
            config.captions, clip, device=clip.device, dtype=dtype, root=root
        )
        sentence = SentenceEncoder(
            config.sentence_encoder or default_sentence_encoder(backbone), clip.device
        )
    return SceneEncoder(
        clip,
        store=store,
        captions=captions,
        sentence=sentence,
        batch_size=batch_size or config.encoding_batch,
        dtype=dtype,
    )


def fit_method(
    items: Sequence[SceneItem],
    prompt_names: Sequence[str],
    config: SceneConfig,
    *,
    encoder: SceneEncoder,
    seed: int,
    validation: Sequence[SceneItem] = (),
    state: Path | None = None,
    after_step: Callable[[StepRecord], None] | None = None,
) -> FittedMethod:
    """Fit the method of a configuration; a function of its arguments.

    Args:
        items: Images to learn from; their labels index into `prompt_names`.
        prompt_names: Class names as prompts read them.
        config: Method and training.
        encoder: Encodes the images; its backbone is the method's.
        seed: Of the random starts and of the batches.
        validation: Images to choose an epoch by, where the configuration says so.
        state: File that keeps the training state, to go on from after a kill.
        after_step: Told about each step of training; what it raises ends the training.

    Raises:
        ConfigError: If an option does not fit the backbone, or an epoch is to be chosen and there
            are no validation images.
        DeviceError: If training is asked for in float16.
        OutOfMemoryError: If a step does not fit the device.
    """
    config = with_caption_width(config, encoder)
    torch.manual_seed(seed)  # random starts read the global generator
    method = build_method(encoder.clip, config.method).eval()
    if config.multi_label is not None:
        method.multi_label = config.multi_label
    if method.trains == "nothing":
        return FittedMethod(method, config)
    labels = labels_of(items, len(prompt_names))
    paths = [item.path for item in items]
    if method.trains == "solver":
        method.solve(encoder.encode(paths, method.needs), labels, prompt_names)
        return FittedMethod(method, config)
    if encoder.dtype == torch.float16:
        raise DeviceError("float16 is too coarse to train in: use --dtype bfloat16 or float32.")
    whole = _encode_whole(paths, config, encoder, method)
    if method.starts_from_images:
        method.start_from(whole, labels, prompt_names)
    if config.multi_label is not None:
        _set_level(method, whole, labels, prompt_names, encoder)
    start = {name: p.detach().clone() for name, p in method.learned_parameters().items()}
    inputs_of = _inputs_of_batch(paths, whole, config, encoder, seed, method)
    device = encoder.clip.device

    def loss_of(batch: Batch) -> Tensor:
        with autocast(device, encoder.dtype):
            targets = labels[batch.indices].to(device)
            method.chance = batch.generator
            return method.loss(inputs_of(batch).to(device), targets, prompt_names)

    validate = None
    if validation and picks_by_validation(config):
        validate = _validation(method, validation, prompt_names, encoder)
    with explain_out_of_memory("train.batch_size or method.text_memory_mb (--set)"):
        epochs = train(
            method.learned_parameters(),
            loss_of,
            len(items),
            config.train,
            seed=seed,
            state=state,
            run=_identity(items, prompt_names, config, encoder),
            validate=validate if config.train.keep == "best_validation" else None,
            after_step=after_step,
        )
    if not config.train.interpolate:
        return FittedMethod(method, config, tuple(epochs))
    share = _interpolate(method.learned_parameters(), start, config.train.interpolate, validate)
    return FittedMethod(method, config, tuple(epochs), share)


def picks_by_validation(config: SceneConfig) -> bool:
    """Say whether validation images decide what is kept of a training."""
    return config.train.keep == "best_validation" or len(config.train.interpolate) > 1


def with_caption_width(config: SceneConfig, encoder: SceneEncoder) -> SceneConfig:
    """Return the configuration with the width of the encoder's caption vectors."""
    if encoder.sentence is None or not isinstance(config.method, BiMoRSConfig):
        return config
    method = config.method.model_copy(update={"caption_width": encoder.sentence.dim})
    return config.model_copy(update={"method": method})


@torch.no_grad()
def logits_of(
    method: PromptMethod, inputs: ImageInputs, prompt_names: Sequence[str], dtype: torch.dtype
) -> Tensor:
    """Return a logit for each image and class, float32 [B, C], on the CPU.

    Args:
        method: Fitted, or one that needs no fitting.
        inputs: What the method needs to know of B images, on any device.
        prompt_names: C class names as prompts read them.
        dtype: Number format of the computation.

    Raises:
        NewClassesError: If the method cannot score a class that it has not learned.
        OutOfMemoryError: If the prompts do not fit the device.
    """
    device = method.clip.device
    rows = []
    with explain_out_of_memory("method.text_memory_mb (--set)"), autocast(device, dtype):
        for start in range(0, inputs.n_images, IMAGES_AT_ONCE):
            part = inputs.select(slice(start, start + IMAGES_AT_ONCE)).to(device)
            rows.append(method(part, prompt_names).float().cpu())
    return torch.cat(rows)


def labels_of(items: Sequence[SceneItem], n_classes: int) -> Tensor:
    """Return the labels of images, [N] int64.

    Where images show several classes: 1 where an image shows a class, else 0, float32 [N, C].
    """
    if not is_multi_label(items):
        return torch.tensor([item.only_label for item in items], dtype=torch.int64)
    labels = torch.zeros(len(items), n_classes)
    for row, item in zip(labels, items, strict=True):
        row[list(item.labels)] = 1
    return labels


def _set_level(
    method: PromptMethod,
    inputs: ImageInputs,
    labels: Tensor,
    prompt_names: Sequence[str],
    encoder: SceneEncoder,
) -> None:
    """Give the loss of several labels its level, by the training images before training."""
    device = encoder.clip.device
    with autocast(device, encoder.dtype):
        method.set_level(inputs.to(device), labels.to(device), prompt_names)


def _encode_whole(
    paths: Sequence[Path], config: SceneConfig, encoder: SceneEncoder, method: PromptMethod
) -> ImageInputs:
    """Encode what is read of whole images, once.

    That is captions alone where each batch has crops of its own, unless images are looked at before
    training too. A caption describes the whole image, so it is encoded once; that is the released
    behaviour.
    """
    needs = method.needs | method.loss_needs
    looks_first = method.starts_from_images or config.multi_label is not None
    if config.train.augment == "released" and not looks_first:
        return encoder.encode(paths, needs & {"caption"})
    return encoder.encode(paths, needs - {"pixels"})


def _inputs_of_batch(
    paths: Sequence[Path],
    whole: ImageInputs,
    config: SceneConfig,
    encoder: SceneEncoder,
    seed: int,
    method: PromptMethod,
) -> Callable[[Batch], ImageInputs]:
    """Return what gives the inputs of a batch: kept encodings, or those of new random crops.

    Pixels are read for each batch: those of all images would not fit in memory.
    """
    needs = method.needs | method.loss_needs
    is_cropped = config.train.augment == "released"
    held = needs & {"caption"} if is_cropped else needs - {"pixels"}
    reader = encoder.without_store()

    def inputs_of(batch: Batch) -> ImageInputs:
        known = whole.select(batch.indices)
        if held == needs:
            return known
        chosen = [paths[index] for index in batch.indices.tolist()]
        crops = RandomCrops(seed, batch.epoch) if is_cropped else None
        read = reader.encode(chosen, needs - held, crops=crops)
        return read._replace(**{name: known.require(name) for name in held})

    return inputs_of


def _validation(
    method: PromptMethod,
    items: Sequence[SceneItem],
    prompt_names: Sequence[str],
    encoder: SceneEncoder,
) -> Callable[[], float]:
    """Return what measures the share of validation images that are recognised, or mAP."""
    inputs = encoder.encode([item.path for item in items], method.needs)
    labels = labels_of(items, len(prompt_names))

    def validate() -> float:
        logits = logits_of(method, inputs, prompt_names, encoder.dtype)
        if labels.dim() == 2:
            return mean_average_precision(logits.numpy(), labels.numpy() > 0)
        return float((logits.argmax(dim=-1) == labels).double().mean())

    return validate


@torch.no_grad()
def _interpolate(
    parameters: Mapping[str, nn.Parameter],
    start: Mapping[str, Tensor],
    shares: Sequence[float],
    validate: Callable[[], float] | None,
) -> float:
    """Leave (1 - a) start + a learned in the parameters, and return the share a that was taken.

    Args:
        parameters: As they were learned.
        start: The same before training.
        shares: Values of a; of several the one that validates best, of equal ones the smallest.
        validate: Returns a number to be high; needed for several.

    Raises:
        ConfigError: If one of several is to be chosen and there are no validation images.
    """
    learned = {name: p.detach().clone() for name, p in parameters.items()}

    def set_to(share: float) -> None:
        for name, parameter in parameters.items():
            parameter.copy_(torch.lerp(start[name], learned[name], share))

    if len(shares) > 1 and validate is None:
        raise ConfigError(
            f"train.interpolate has {len(shares)} values to choose from by validation, but there "
            "are no validation images: add some, or give one value."
        )
    taken = shares[0]
    if validate is not None:
        scores: dict[float, float] = {}
        for share in sorted(shares):
            set_to(share)
            scores[share] = validate()
        taken = max(scores, key=scores.__getitem__)
    set_to(taken)
    return taken


def _identity(
    items: Sequence[SceneItem],
    prompt_names: Sequence[str],
    config: SceneConfig,
    encoder: SceneEncoder,
) -> dict[str, str]:
    """Return what a training result depends on beside the training settings."""
    captions, sentence = encoder.captions, encoder.sentence
    images = "\n".join(f"{i.path.parent.name}/{i.path.name}={i.label}" for i in items)
    return {
        "method": config.method.model_dump_json(),
        "multi label": config.multi_label.model_dump_json() if config.multi_label else "none",
        "backbone": encoder.clip.fingerprint,
        "dtype": str(encoder.dtype),
        "classes": ", ".join(prompt_names),
        "images": hashlib.sha256(images.encode()).hexdigest(),
        "captions": captions.settings.model_dump_json() if captions else "none",
        "sentence encoder": sentence.settings.model_dump_json() if sentence else "none",
    }
