"""Let a model describe boxes and keep its answers, so that measuring needs the model only once.

The answers lie in a JSON Lines file: a first line that names the model, then a line with all
answers to boxes of one image, written when the image is done. A killed run goes on at the next
image; a run that asks for more boxes of an image adds a line.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from pydantic import ValidationError

from skycue.boxes import Box
from skycue.config import Config
from skycue.data.rle import Rle
from skycue.errors import RunError
from skycue.files import write_atomically
from skycue.progress import track

if TYPE_CHECKING:
    from skycue.answers import Answer

logger = logging.getLogger(__name__)


class EncodedImage(Protocol):
    """An image that boxes can be asked about."""

    def describe_all(self, boxes: Sequence[Box], /) -> Sequence[Answer]:
        """Return an answer to each box, in their order."""


class Describer(Protocol):
    """A region model, such as `skycue.region_describer.RegionDescriber`."""

    @property
    def model(self) -> str:
        """Its name with a hash of its weights."""

    def encode(self, image: Path, /) -> EncodedImage:
        """Read an image file."""


class PredictedPhrase(Config):
    """A phrase of an answer."""

    text: str
    """Its words."""
    mask: Rle | None
    """What it shows; None where the model gave no mask."""
    score: float
    """How sure the model is."""


class Prediction(Config):
    """A model's answer to one box."""

    box: Box
    """As it was asked."""
    caption: str
    """The words, without tags."""
    phrases: tuple[PredictedPhrase, ...]
    """In the order of the caption."""
    prompted: int | None
    """The phrase that the model says is the object in the box."""
    flags: tuple[str, ...] = ()
    """What the model itself found wrong."""

    @classmethod
    def of(cls, box: Box, answer: Answer) -> Prediction:
        """Keep what an answer to a box says."""
        phrases = tuple(
            PredictedPhrase(
                text=phrase.text,
                mask=None if phrase.mask is None else phrase.mask.to_rle(),
                score=float(phrase.score),
            )
            for phrase in answer.phrases
        )
        return cls(
            box=box,
            caption=answer.caption,
            phrases=phrases,
            prompted=answer.prompted,
            flags=tuple(answer.flags),
        )

    @property
    def prompted_phrase(self) -> PredictedPhrase | None:
        """The phrase that is the object in the box, if the model marked one."""
        return None if self.prompted is None else self.phrases[self.prompted]


class ImagePredictions(Config):
    """A line of the file: answers to boxes of one image."""

    image: str
    """As the records name it."""
    answers: tuple[Prediction, ...]
    """One for each box that was asked."""


class PredictionsHeader(Config):
    """The first line of the file."""

    format: Literal["skycue-region-predictions-1"] = "skycue-region-predictions-1"
    """Another value is another layout and is refused."""
    model: str
    """Name and hash of the model that answered."""


Predictions: TypeAlias = dict[tuple[str, Box], Prediction]
"""Answers by image and box."""


def read_predictions(path: Path, model: str) -> Predictions:
    """Read the answers that a file holds; none where there is no file.

    A last line that was cut off by a kill is dropped.

    Raises:
        RunError: If the file holds something else, or answers of another model.
    """
    if not path.is_file():
        return {}
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last end of line is cut off
    try:
        header = PredictionsHeader.model_validate_json(lines[0] if lines else b"{}")
        images = [ImagePredictions.model_validate_json(line) for line in lines[1:]]
    except ValidationError as error:
        raise RunError(
            f"{path} holds no predictions of this version; write to another folder with -o, or "
            "start anew with --force."
        ) from error
    if header.model != model:
        raise RunError(
            f"{path} holds answers of {header.model}, not of {model}; write to another folder "
            "with -o, or start anew with --force."
        )
    return {(each.image, answer.box): answer for each in images for answer in each.answers}


def predict_regions(
    describer: Describer,
    wanted: Mapping[str, Sequence[Box]],
    root: Path,
    path: Path,
) -> Predictions:
    """Ask a model about the boxes that are not answered yet, all boxes of an image at once.

    Args:
        describer: The model.
        wanted: Boxes of each image, in pixels.
        root: Folder of the images.
        path: Where the answers are kept.

    Returns:
        The answers to all wanted boxes, and to others that were asked earlier.

    Raises:
        RunError: If `path` holds something else, or answers of another model.
        ImageReadError: If an image cannot be read.
    """
    predictions = read_predictions(path, describer.model)
    if not predictions:
        write_atomically(path, PredictionsHeader(model=describer.model).model_dump_json() + "\n")
    missing = {
        image: [box for box in dict.fromkeys(boxes) if (image, box) not in predictions]
        for image, boxes in wanted.items()
    }
    missing = {image: boxes for image, boxes in missing.items() if boxes}
    logger.info("%d of %d images are left to describe", len(missing), len(wanted))
    with path.open("rb+") as file:
        file.seek(_end_of_whole_lines(path))
        file.truncate()
        for image, boxes in track(missing.items(), "describing", len(missing)):
            answers = describer.encode(root / image).describe_all(boxes)
            found = tuple(Prediction.of(*pair) for pair in zip(boxes, answers, strict=True))
            line = ImagePredictions(image=image, answers=found).model_dump_json()
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            predictions |= {(image, answer.box): answer for answer in found}
    return predictions


def drop_other_answers(path: Path, model: str) -> None:
    """Remove a file of predictions that cannot be gone on with."""
    try:
        read_predictions(path, model)
    except RunError:
        path.unlink()


def _end_of_whole_lines(path: Path) -> int:
    """Return the number of bytes up to the end of the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1
