"""What a region model answers to a box: a caption whose phrases have masks, and what is doubtful.

An answer is kept as JSON (all of it), as COCO (its masks) and as a picture. The image and its place
are not known here: `skycue.raster_answers` joins answers with them.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, JsonValue

from skycue.boxes import Box, xyxy_to_xywh
from skycue.data.mask_crops import MaskCrop
from skycue.data.rle import Rle
from skycue.region_drawing import DrawnPhrase, draw_region

UNNAMED = "region"
"""Category of a mask whose class is not known."""
MAX_SAME_WORDS = 3
"""One word so often in a row is no sentence."""
MAX_SAME_TRIPLES = 3
"""The same three words so often in one caption are no description."""
LEAST_INSIDE = 0.5
"""Share of the prompted mask inside the box below which it is flagged."""


@dataclass(frozen=True)
class AnswerPhrase:
    """Words of a caption and what they stand for on the image."""

    text: str
    """The words."""
    span: tuple[int, int]
    """First character in the caption, and the one after the last."""
    mask: MaskCrop | None
    """Their pixels, as a crop; None where the model gave none."""
    score: float
    """How sure the model is of the mask, in [0, 1]."""
    class_name: str | None = None
    """Class of what the mask shows, where it is known."""
    class_score: float | None = None
    """Probability of the class, where a scene classifier named it."""

    def annotation(self, number: int, *, image: int, category: int) -> dict[str, JsonValue] | None:
        """Return what COCO says of the mask; None without pixels, for COCO has no empty masks."""
        if self.mask is None or self.box is None:
            return None
        return {
            "id": number,
            "image_id": image,
            "category_id": category,
            "segmentation": self.mask.to_rle().model_dump(mode="json"),
            "area": self.mask.area,
            "bbox": list(xyxy_to_xywh(self.box)),
            "iscrowd": 0,
            "score": self.score,
            "phrase": self.text,
        }

    @classmethod
    def of_mask(
        cls,
        caption: str,
        span: tuple[int, int],
        mask: MaskCrop | NDArray[np.bool_] | None,
        score: float,
    ) -> "AnswerPhrase":
        """Return the phrase at a span of a caption; a full mask [H, W] is cut to its crop."""
        crop = MaskCrop.of(mask) if isinstance(mask, np.ndarray) else mask
        return cls(caption[slice(*span)], span, crop, score)

    @property
    def box(self) -> Box | None:
        """Tight around the mask; None where it has no pixels."""
        return None if self.mask is None else self.mask.box


class PhraseJson(BaseModel, frozen=True, extra="forbid"):
    """A phrase in `answer.json`; the fields are those of `AnswerPhrase`."""

    text: str
    span: tuple[int, int]
    mask: Rle | None
    """Run lengths as COCO has them."""
    box: Box | None
    score: float
    class_name: str | None
    class_score: float | None


class AnswerJson(BaseModel, frozen=True, extra="forbid"):
    """The content of `answer.json`; the fields are those of `Answer`."""

    image: str
    size: tuple[int, int]
    box: Box
    caption: str
    phrases: tuple[PhraseJson, ...]
    prompted: int | None
    windows: tuple[Box, ...]
    model: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a model says of a box on an image."""

    image: str
    """Path of the image, or empty where pixels were given."""
    size: tuple[int, int]
    """(height, width) of the image in pixels."""
    box: Box
    """The box, cut to the image."""
    caption: str
    """The text, without tags."""
    phrases: tuple[AnswerPhrase, ...]
    """In the order of the caption."""
    prompted: int | None
    """Which phrase is the object in the box; None where none is."""
    windows: tuple[Box, ...]
    """Rectangles of the image that the network looked at; they may reach outside."""
    model: str
    """Name of the model."""
    flags: tuple[str, ...]
    """What is doubtful, in words, by `find_flags` and `find_strays`; empty where nothing is."""

    def to_json(self) -> str:
        """Return the whole answer as one line of JSON; `AnswerJson` reads it back."""
        return self.to_record().model_dump_json()

    def to_record(self) -> AnswerJson:
        """Return the whole answer as `answer.json` holds it."""
        phrases = tuple(
            PhraseJson(
                text=phrase.text,
                span=phrase.span,
                mask=None if phrase.mask is None else phrase.mask.to_rle(),
                box=phrase.box,
                score=phrase.score,
                class_name=phrase.class_name,
                class_score=phrase.class_score,
            )
            for phrase in self.phrases
        )
        return AnswerJson(
            image=self.image,
            size=self.size,
            box=self.box,
            caption=self.caption,
            phrases=phrases,
            prompted=self.prompted,
            windows=self.windows,
            model=self.model,
            flags=self.flags,
        )

    def to_coco(self) -> dict[str, JsonValue]:
        """Return the masks as a COCO file, which `pycocotools` reads.

        Phrases without pixels are left out, for COCO has no empty masks. The category is the
        phrase's class, or "region"; the words stand in `phrase`.
        """
        names = sorted({phrase.class_name or UNNAMED for phrase in self.phrases})
        height, width = self.size
        image: JsonValue = {"id": 1, "file_name": self.image, "width": width, "height": height}
        annotations: list[JsonValue] = []
        for number, phrase in enumerate(self.phrases):
            category = names.index(phrase.class_name or UNNAMED) + 1
            annotation = phrase.annotation(number + 1, image=1, category=category)
            if annotation is not None:
                annotations.append({**annotation, "prompted": number == self.prompted})
        categories: list[JsonValue] = [
            {"id": number, "name": name} for number, name in enumerate(names, start=1)
        ]
        return {
            "info": {"description": self.caption, "contributor": self.model},
            "images": [image],
            "annotations": annotations,
            "categories": categories,
        }

    def draw(self, pixels: NDArray[np.uint8]) -> bytes:
        """Return a PNG: masks on the image, the caption below in their colours, the box dashed.

        Args:
            pixels: The image, RGB [3, H, W].
        """
        phrases = [DrawnPhrase(phrase.span, phrase.mask, _note(phrase)) for phrase in self.phrases]
        return draw_region(pixels, self.box, self.caption, phrases)


class EncodedRegionImage(Protocol):
    """An image that was encoded once and is asked about many boxes."""

    def describe_all(self, boxes: Sequence[Box], *, ask: str | None = None) -> Sequence[Answer]:
        """Return an answer to each box, in one batch.

        Args:
            boxes: x_min, y_min, x_max, y_max in pixels of the image.
            ask: What to ask in place of the model's usual question.
        """
        ...


class Describer(Protocol):
    """A model that describes regions."""

    @property
    def model(self) -> str:
        """Name of the model that changes with its weights; every answer holds it."""
        ...

    def encode(self, image: NDArray[np.uint8], /) -> EncodedRegionImage:
        """Encode an image, RGB [3, H, W]."""
        ...


def find_flags(
    caption: str, phrases: Sequence[AnswerPhrase], *, is_cut: bool = False
) -> tuple[str, ...]:
    """Return what is doubtful in an answer, in words.

    Args:
        caption: The text.
        phrases: Its phrases.
        is_cut: The text ran into the bound of its length.
    """
    flags = []
    if not caption.strip():
        flags.append("the caption is empty")
    if repeated := _repeated(caption):
        flags.append(f"the caption is degenerate: it repeats '{repeated}'")
    if is_cut:
        flags.append("the caption was cut at its longest length")
    if caption.strip() and not phrases:
        flags.append("the caption has no phrase")
    for number, phrase in enumerate(phrases):
        name = f"phrase {number} '{phrase.text}'"
        if not phrase.text.strip():
            flags.append(f"phrase {number} has no words")
        if phrase.mask is None:
            flags.append(f"{name} has no mask")
        elif phrase.mask.box is None:
            flags.append(f"{name} has a mask without area")
    return tuple(flags)


def find_strays(phrases: Sequence[AnswerPhrase], prompted: int | None, box: Box) -> tuple[str, ...]:
    """Return, in words, whether the masks of an answer are of something beside the box.

    Args:
        phrases: Of the caption.
        prompted: Which is taken for the object in the box; None where no mask meets it.
        box: What was asked about, in pixels of the image.
    """
    if prompted is None:
        is_any = any(phrase.box is not None for phrase in phrases)
        return ("no mask meets the box",) if is_any else ()
    phrase = phrases[prompted]
    if phrase.mask is None or phrase.box is None:
        return ()
    x_min, y_min, x_max, y_max = box
    around = (math.floor(x_min), math.floor(y_min), math.ceil(x_max), math.ceil(y_max))
    if phrase.mask.area_within(around) >= LEAST_INSIDE * phrase.mask.area:
        return ()
    return (f"phrase {prompted} '{phrase.text}' meets the box but lies mostly outside of it",)


def _repeated(caption: str) -> str | None:
    """Return a word that stands too often in a row, or three words that come too often."""
    words: list[str] = re.findall(r"\w+", caption.lower())
    for start in range(len(words) - MAX_SAME_WORDS + 1):
        if len(set(words[start : start + MAX_SAME_WORDS])) == 1:
            return words[start]
    triples = list(zip(words, words[1:], words[2:], strict=False))
    for triple in triples:
        if triples.count(triple) > MAX_SAME_TRIPLES:
            return " ".join(triple)
    return None


def _note(phrase: AnswerPhrase) -> str:
    """Return what the picture says behind a phrase: its score, and its class where it was named."""
    if phrase.box is None:
        return "(no mask)"
    named = ""
    if phrase.class_name is not None and phrase.class_score is not None:
        named = f"; {phrase.class_name} {phrase.class_score:.2f}"
    return f"({phrase.score:.2f}{named})"
