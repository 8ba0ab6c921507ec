"""How much faster does each prompt method learn and score than by its released code?

    python -m bench.method_steps [METHOD ...]

22 classes, ViT-B/16, the published batch of each method; a step is forward, backward and SGD. Two
references: the released recipe, which decodes and encodes the images each time, random crops in a
step (the user's gain); and the same encodings on both sides (the code's merit). Both are the way of
the method's released code (`bench/released_ways.py`). Memory is that with the same encodings.
Releases compute in float16 on a GPU; here all sides compute in float32 on the CPU.
"""

import argparse
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bench.networks import CLASS_NAMES, Size, gradients, random_captions, random_clip
from bench.peak_memory import peaks, run_alone
from bench.released_ways import WAYS, Way
from bench.tiles import write_tiles
from bench.timing import (
    Options,
    Result,
    best_times,
    largest_difference,
    options_of,
    ratio,
    report,
)
from skycue.augmentation import random_resized_crop
from skycue.backbones.preprocess import preprocess
from skycue.data.images import read_image
from skycue.encoding import TOWER_FIELDS, computed_fields, tower_fields
from skycue.scenes.base import ImageInputs, Need, PromptMethod
from skycue.scenes.registry import METHODS, build_method
from skycue.scenes.tip_adapter import TipAdapter

Side = Literal["ours", "the released way"]

N_CLASSES = 22
N_SHOTS = 16
"""Images of each class that a method remembers, if it does."""
N_SCORED = 8
"""Images that are scored at once."""
ENCODED_AT_ONCE = 4
"""Images that are encoded at once before anything is measured."""
MOVED = 0.02
"""Deviation of what is added to a method's start, so that no gradient is zero."""
SEED = 2
"""Of a method's start: one under which the only hidden unit of a tiny CoCoOp is alive."""
LEARNING_RATE = 1e-6
"""So low that the rounds of all sides do the same work."""
MOMENTUM = 0.9


class Case(NamedTuple):
    """A method with random weights, and what it is shown.

    Attributes:
        method: At the published sizes.
        way: How its released code works.
        paths: Image files, B of them.
        captions: Vectors of their captions, [B, S].
        kept: Their encodings as they are kept.
        labels: Their classes, [B].
        class_names: C names.
    """

    method: PromptMethod
    way: Way
    paths: Sequence[Path]
    captions: Tensor
    kept: ImageInputs
    labels: Tensor
    class_names: Sequence[str]

    def our_loss(self) -> Tensor:
        """Return the loss of a step by our code."""
        return self.method.loss(self.kept.to("cpu"), self.labels, self.class_names)

    def same_loss(self) -> Tensor:
        """Return it the released way, from kept encodings."""
        return self.way.loss_of(self.method, self.kept.to("cpu"), self.labels, self.class_names)

    def released_loss(self, generator: Generator) -> Tensor:
        """Return it by the released recipe, from files."""
        passes = self.way.image_passes
        inputs = encode_crops(self.method, self.paths, self.captions, generator, passes=passes)
        return self.way.loss_of(self.method, inputs, self.labels, self.class_names)

    @torch.no_grad()
    def our_logits(self) -> Tensor:
        """Score by our code."""
        logits: Tensor = self.method(self.kept.to("cpu"), self.class_names)
        return logits

    @torch.no_grad()
    def same_logits(self) -> Tensor:
        """Score the released way."""
        return self.way.logits(self.method, self.kept.to("cpu"), self.class_names)

    @torch.no_grad()
    def released_logits(self) -> Tensor:
        """Score by the released recipe, from files."""
        inputs = encode_whole(self.method, self.paths, self.captions)
        return self.way.logits(self.method, inputs.to("cpu"), self.class_names)


def build_case(name: str, folder: Path, size: Size, n_classes: int, n_images: int) -> Case:
    """Build a method, write images into a folder and encode them."""
    clip = random_clip(size)
    _, config = METHODS[name]
    torch.manual_seed(SEED)
    chosen = config.model_validate(dict(WAYS[name].settings))
    method = build_method(clip, chosen)  # type: ignore[arg-type]  # one of the union
    with torch.no_grad():
        for parameter in method.learned_parameters().values():
            parameter.add_(torch.randn_like(parameter), alpha=MOVED)
    if isinstance(method, TipAdapter):
        remember(method, CLASS_NAMES[:n_classes])
    paths = write_tiles(folder, n_images)
    captions = random_captions(n_images)
    return Case(
        method,
        WAYS[name],
        paths,
        captions,
        encode_whole(method, paths, captions),
        torch.arange(n_images) % n_classes,
        CLASS_NAMES[:n_classes],
    )


def remember(method: TipAdapter, class_names: Sequence[str]) -> None:
    """Let a method remember random images."""
    n_images = N_SHOTS * len(class_names)
    embedding = F.normalize(torch.randn(n_images, method.clip.config.embed_dim), dim=-1)
    labels = torch.arange(n_images) % len(class_names)
    method.solve(ImageInputs(embedding=embedding), labels, class_names)


@torch.no_grad()
def encode_whole(method: PromptMethod, paths: Sequence[Path], captions: Tensor) -> ImageInputs:
    """Encode images as they are kept, few at once, so that no peak of memory comes from here.

    Pixels, where the loss reads them, are decoded already.
    """
    side, needs = method.clip.config.image.image_size, _tower_needs(method.needs)
    parts, squares = [], []
    for start in range(0, len(paths), ENCODED_AT_ONCE):
        images = [read_image(path) for path in paths[start : start + ENCODED_AT_ONCE]]
        pixels = torch.stack([preprocess(image, side) for image in images])
        parts.append(tower_fields(method.clip, pixels, needs))
        squares.append(pixels)
    fields = {name: torch.cat([part[name] for part in parts]) for name in needs}
    if "pixels" in method.loss_needs:
        fields["pixels"] = torch.cat(squares)
    return ImageInputs(**fields, caption=captions)


@torch.no_grad()
def encode_crops(
    method: PromptMethod,
    paths: Sequence[Path],
    captions: Tensor,
    generator: Generator,
    *,
    passes: int = 1,
) -> ImageInputs:
    """Decode images and encode random crops of them with the frozen tower, so many times."""
    side = method.clip.config.image.image_size
    crops = [random_resized_crop(read_image(path), side, generator) for path in paths]
    pixels, needs = torch.stack(crops), _tower_needs(method.needs)
    fields = [computed_fields(method.clip, pixels, needs) for _ in range(passes)][-1]
    return ImageInputs(**fields, caption=captions, pixels=pixels)


def _tower_needs(needs: Collection[Need]) -> list[Need]:
    return [name for name in TOWER_FIELDS if name in needs]


def makes_steps(name: str) -> bool:
    """Whether a method is trained step by step."""
    return METHODS[name][0].trains == "gradient"


def measure_step(name: str, options: Options, size: Size, n_classes: int) -> list[Result]:
    """Compare losses and gradients, then time a step against both references."""
    way = WAYS[name]
    with tempfile.TemporaryDirectory() as folder:
        case = build_case(name, Path(folder), size, n_classes, way.batch)
        own, other = (
            loss_and_gradients(case.method, side) for side in (case.our_loss, case.same_loss)
        )
        difference = largest_difference(own, other)
        generator = torch.Generator().manual_seed(5)
        sides = {
            "released": steps(case.method, lambda: case.released_loss(generator)),
            "same": steps(case.method, case.same_loss),
            "ours": steps(case.method, case.our_loss),
        }
        times = best_times(sides, options)
    question = f"{name}, a step of batch {way.batch}, {n_classes} classes, {size}: "
    return [
        ratio(
            question + "kept encodings against the released recipe",
            times["released"],
            times["ours"],
            options,
            target=way.released_target,
            difference=difference,
        ),
        ratio(
            question + "same encodings on both sides",
            times["same"],
            times["ours"],
            options,
            target=way.same_target,
            difference=difference,
        ),
    ]


def measure_scoring(name: str, options: Options, size: Size, n_classes: int) -> list[Result]:
    """Compare logits, then time them against both references."""
    with tempfile.TemporaryDirectory() as folder:
        case = build_case(name, Path(folder), size, n_classes, N_SCORED)
        sides = {
            "released": case.released_logits,
            "same": case.same_logits,
            "ours": case.our_logits,
        }
        difference = largest_difference([case.our_logits()], [case.same_logits()])
        times = best_times(sides, options)
    question = f"{name}, scoring {N_SCORED} images, {n_classes} classes, {size}: "
    return [
        ratio(
            question + what,
            times[side],
            times["ours"],
            options,
            target=target,
            difference=difference,
        )
        for side, what, target in (
            ("released", "kept encodings against the released recipe", None),
            ("same", "same encodings on both sides", case.way.same_target),
        )
    ]


def measure_memory(name: str, options: Options, size: Size, n_classes: int) -> list[Result]:
    """Measure the peak of a step and of scoring, each side in a process of its own."""
    sides: tuple[Side, ...] = ("ours", "the released way")
    results = []
    works = [("a step", step_alone)] if makes_steps(name) else []
    for what, work in (*works, ("scoring", score_alone)):
        n_images = WAYS[name].batch if work is step_alone else N_SCORED
        found: dict[str, float] = {
            side: run_alone(work, name, side, size, n_classes, options=options)[1] for side in sides
        }
        results.append(
            peaks(f"{what} of {name}, {n_images} images, {n_classes} classes, {size}", found)
        )
    return results


def step_alone(name: str, side: Side, size: Size, n_classes: int) -> None:
    """Make one step from kept encodings."""
    with tempfile.TemporaryDirectory() as folder:
        case = build_case(name, Path(folder), size, n_classes, WAYS[name].batch)
    steps(case.method, case.our_loss if side == "ours" else case.same_loss)()


def score_alone(name: str, side: Side, size: Size, n_classes: int) -> None:
    """Score images from kept encodings."""
    with tempfile.TemporaryDirectory() as folder:
        case = build_case(name, Path(folder), size, n_classes, N_SCORED)
    _ = case.our_logits() if side == "ours" else case.same_logits()


def loss_and_gradients(method: PromptMethod, loss_of: Callable[[], Tensor]) -> list[Tensor]:
    """Return the loss and the gradient of every learned parameter."""
    method.chance = torch.Generator().manual_seed(SEED)
    loss = loss_of()
    return [loss.detach(), *gradients(loss, list(method.learned_parameters().values()))]


def steps(method: PromptMethod, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a training step by SGD with momentum."""
    parameters = list(method.learned_parameters().values())
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss_of())
        optimizer.step()

    return step


def measure(
    name: str, options: Options, *, size: Size = "ViT-B/16", n_classes: int = N_CLASSES
) -> list[Result]:
    """Ask of a method how fast it learns, if it does, and scores, and what memory it takes."""
    return [
        *(measure_step(name, options, size, n_classes) if makes_steps(name) else []),
        *measure_scoring(name, options, size, n_classes),
        *measure_memory(name, options, size, n_classes),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="all, if none is named")
    chosen, given = options_of(parser)
    for method_name in given.methods or WAYS:
        report(measure(method_name, chosen), chosen)
