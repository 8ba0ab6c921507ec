"""How long do boxes on an image take with the region model `mini`?

    python -m bench.region_boxes

An image of 1024 px that the renderer draws, and ten of its objects. The first box: in a process
that has done nothing before, from the pixels to the answer, with and without the loading of the
model. Further boxes: on the encoded image, caption and masks. Ten boxes: in one batch against one
by one; both have the same captions, and masks that differ in no more than a hundredth of a percent
of the pixels. Where `mini` is not in the package, a random network of its shape stands in, whose
captions are as long as they may be.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from bench.peak_memory import peaks, run_alone
from bench.timing import (
    NO_TARGET,
    TOLERANCE,
    Clock,
    DifferentOutputsError,
    Options,
    Result,
    best_times,
    read_options,
    reader,
    report,
)
from skycue.answers import Answer
from skycue.backbones.vocabulary import train_bpe_tokenizer
from skycue.boxes import Box
from skycue.config import load_config, shipped_configs
from skycue.data.renderer.instance_scenes import RenderedImage, render
from skycue.region_describer import RegionDescriber
from skycue.region_network import CONFIG_FILE, MINI, build_network, mini_folder, save_network
from skycue.region_recipe import RegionTrainingConfig
from skycue.regions.grounded_text import PHRASE_END, PHRASE_START

FIRST_TARGET_S = 2.0
FURTHER_TARGET_S = 0.150
BATCH_TARGET = 2.0
SIDE = 1024
N_BOXES = 10
RECIPE = "mini_region"
MARK_FACTOR = -200.0
"""On the token embeddings of `<p>` and `</p>` in the stand-in."""
TEXTS = ("a ship in the upper left of the image. next to it are three storage tanks.",)
"""What the vocabulary of the stand-in is learned from."""


class Case(NamedTuple):
    """A model and what it is asked.

    Attributes:
        model: A name that `RegionDescriber.load` knows.
        label: What the table calls it.
        image: A file.
        boxes: On it, in pixels.
    """

    model: str
    label: str
    image: Path
    boxes: list[Box]


class FirstBox(NamedTuple):
    """Seconds of the first box in a new process: the loading of the model, and all after it."""

    load_s: float
    answer_s: float


def measure(options: Options, *, side: int = SIDE, settings: Sequence[str] = ()) -> list[Result]:
    """Ask for the first box, further ones, and ten at once.

    Args:
        options: Of the run.
        side: Of the image in pixels.
        settings: Overrides of the recipe, for the stand-in.
    """
    with tempfile.TemporaryDirectory() as folder:
        case = prepare(Path(folder), side, settings)
        return [*measure_first(case, side, options), *measure_further(case, side, options)]


def prepare(folder: Path, side: int, settings: Sequence[str] = ()) -> Case:
    """Write the image, and a stand-in where `mini` is missing, into a folder."""
    drawn = _drawn_image(side)
    image = folder / "image.png"
    Image.fromarray(np.ascontiguousarray(drawn.pixels.transpose(1, 2, 0))).save(image)
    boxes = [instance.box for instance in drawn.instances[:N_BOXES]]
    if (mini_folder() / CONFIG_FILE).is_file() and not settings:
        return Case(MINI, "`mini`", image, boxes)
    config = load_config(RegionTrainingConfig, shipped_configs()[RECIPE], settings)
    torch.manual_seed(1)
    vocabulary = train_bpe_tokenizer(TEXTS, config.model.language.vocab_size)
    network = build_network(config.model, vocabulary)
    language = network.reasoner.language
    marks = [language.id_of(mark) for mark in (PHRASE_START, PHRASE_END)]
    with torch.no_grad():  # so that phrases are opened and closed, and masks asked for
        language.embeddings.weight[marks] *= MARK_FACTOR
    save_network(network, folder / "model")
    return Case(str(folder / "model"), "random weights of `mini`'s shape", image, boxes)


def _drawn_image(side: int) -> RenderedImage:
    """Draw the first image that has enough objects."""
    return next(
        image
        for image in (render(seed, size=side) for seed in range(1000))
        if len(image.instances) >= N_BOXES
    )


def measure_first(case: Case, side: int, options: Options) -> list[Result]:
    """Time the first box in new processes, and as a command; the best rounds count."""
    asked = (case.model, case.image, case.boxes[0], options.clock)
    found = [run_alone(first_box, *asked, options=options) for _ in range(options.rounds)]
    answer_s = min(times.answer_s for times, _ in found)
    total_s = min(times.load_s + times.answer_s for times, _ in found)
    corners = ",".join(f"{edge:g}" for edge in case.boxes[0])
    command = [sys.executable, "-m", "skycue", "describe", str(case.image), "--box", corners]
    command += ["--model", case.model, "--device", "cpu"]

    def describe() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    command_s = best_times({"command": describe}, options._replace(clock="wall"))["command"]
    question = f"first box on an image of {side} px, {case.label}"
    detail = f"decoding of the file included; best of {options.rounds} processes"
    return [
        Result(
            question=f"{question}, load of the model excluded",
            answer=f"{answer_s:.2f} s",
            target=f"under {FIRST_TARGET_S:g} s",
            met=answer_s < FIRST_TARGET_S,
            detail=detail,
        ),
        _unasked(f"{question}, load of the model included", f"{total_s:.2f} s", detail),
        _unasked(f"{question}, the whole `skycue describe`", f"{command_s:.2f} s", "wall clock"),
        peaks(question, {"one box": max(peak for _, peak in found)}),
    ]


def first_box(model: str, image: Path, box: Box, clock: Clock) -> FirstBox:
    """Load a model and describe a box, in a process that has done neither."""
    read = reader(clock)
    started = read()
    describer = RegionDescriber.load(model)
    loaded = read()
    describer.encode(image).describe(box)
    return FirstBox(loaded - started, read() - loaded)


def measure_further(case: Case, side: int, options: Options) -> list[Result]:
    """Time boxes on an encoded image, one by one and in one batch, in turns."""
    encoded = RegionDescriber.load(case.model).encode(case.image)
    alone = [encoded.describe(box) for box in case.boxes]
    difference = compare(encoded.describe_all(case.boxes), alone)
    read, medians = reader(options.clock), []

    def one_by_one() -> None:
        times = []
        for box in case.boxes:
            started = read()
            encoded.describe(box)
            times.append(read() - started)
        medians.append(median(times))

    sides = {"one by one": one_by_one, "batch": lambda: encoded.describe_all(case.boxes)}
    times = best_times(sides, options)
    ratio, further_s = times["one by one"] / times["batch"], min(medians)
    n_boxes = len(case.boxes)
    words = sum(len(answer.caption.split()) for answer in alone) / n_boxes
    n_masks = sum(len(answer.phrases) for answer in alone) / n_boxes
    _, peak = run_alone(all_boxes, case.model, case.image, case.boxes, options=options)
    return [
        Result(
            question=f"each further box on an encoded image of {side} px, {case.label}",
            answer=f"{1000 * further_s:.0f} ms",
            target=f"under {1000 * FURTHER_TARGET_S:g} ms",
            met=further_s < FURTHER_TARGET_S,
            detail=f"median of {n_boxes} boxes, the best of {options.rounds} medians; "
            f"{words:.0f} words and {n_masks:.1f} masks a box",
        ),
        Result(
            question=f"{n_boxes} boxes in one batch against one by one, {case.label}",
            answer=f"{ratio:.1f}x",
            target=f"at least {BATCH_TARGET:g}x",
            met=ratio >= BATCH_TARGET,
            detail=f"{times['one by one']:.3g} s to {times['batch']:.3g} s, best of "
            f"{options.rounds}; same captions, scores differ by {difference:.0e}",
        ),
        peaks(f"{n_boxes} boxes in one batch, {case.label}", {"batch": peak}),
    ]


def all_boxes(model: str, image: Path, boxes: list[Box]) -> None:
    """Describe boxes in one batch."""
    RegionDescriber.load(model).encode(image).describe_all(boxes)


def compare(batch: Sequence[Answer], alone: Sequence[Answer]) -> float:
    """Return the largest difference of scores.

    Raises:
        DifferentOutputsError: If a caption or a phrase differs, masks in more than `TOLERANCE` of
            the pixels, or scores by more than that.
    """
    worst = 0.0
    for number, (own, other) in enumerate(zip(batch, alone, strict=True)):
        if own.caption != other.caption or own.prompted != other.prompted:
            raise DifferentOutputsError(f"box {number}: {own.caption!r} against {other.caption!r}")
        for one, two in zip(own.phrases, other.phrases, strict=True):
            worst = max(worst, abs(one.score - two.score))
            pixels = 0.0
            if one.mask is not None and two.mask is not None:
                pixels = float(np.mean(one.mask.full() != two.mask.full()))
            alike = one.span == two.span and (one.mask is None) == (two.mask is None)
            if not alike or max(worst, pixels) > TOLERANCE:
                raise DifferentOutputsError(f"box {number}: the masks of {one.text!r} differ")
    return worst


def _unasked(question: str, answer: str, detail: str) -> Result:
    """Return an answer of which nothing was asked."""
    return Result(question=question, answer=answer, target=NO_TARGET, met=True, detail=detail)


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
