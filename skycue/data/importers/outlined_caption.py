"""Captions of images whose phrases have masks, cut into a record for each phrase worth a box.

The box of a record is the tight box of one phrase's mask. A mask of many parts, or one whose box
covers most of the image, makes a useless box: such phrases are no prompts but stay in the captions
of others.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from skycue.boxes import Box
from skycue.data.instances import instance_of
from skycue.data.regions import PhraseRecord, RegionRecord, describe_problem
from skycue.data.rle import Mask, Rle, decode_mask, merge_masks
from skycue.errors import RecordError

MAX_PARTS = 5
"""Connected parts of a mask whose box is a prompt."""
MAX_BOX_SHARE = 0.6
"""Share of the image that a prompt's box covers at most."""

CaptionMode = Literal["intent", "full"]
"""What follows a box: the sentences that hold its phrase, or the whole caption."""

_SENTENCE_END = re.compile(r"[.!?][\"')]*\s+")


class OutlinedPhrase(NamedTuple):
    """Words of a caption with masks.

    Attributes:
        start: Of the first character.
        end: Behind the last one.
        masks: One for each object; they may overlap.
        class_name: Where the dataset says it.
    """

    start: int
    end: int
    masks: tuple[Rle, ...]
    class_name: str | None = None


class OutlinedCaption(NamedTuple):
    """A caption of an image with its phrases, in the order of the text.

    Attributes:
        where: The place in a file that a message names.
        image: Path relative to the folder of the images.
        size: (height, width) in pixels.
        text: Without tags.
        phrases: They do not overlap.
    """

    where: str
    image: str
    size: tuple[int, int]
    text: str
    phrases: tuple[OutlinedPhrase, ...]


def records_of(
    captions: Iterable[OutlinedCaption], source: str, mode: CaptionMode = "intent"
) -> Iterator[RegionRecord]:
    """Make a record of each phrase whose mask makes a box.

    Args:
        captions: Of images.
        source: The dataset that they come from.
        mode: "intent" keeps the sentences that hold the boxed phrase, with all their phrases;
            "full" keeps the whole caption.

    Raises:
        RecordError: If a caption contradicts itself; the message names its place.
    """
    for caption in captions:
        _check_sizes(caption)
        for number, phrase in enumerate(caption.phrases):
            box = prompt_box(phrase.masks, caption.size) if phrase.masks else None
            if box is not None:
                yield _record(caption, number, box, source, mode)


def prompt_box(masks: Sequence[Rle], size: tuple[int, int]) -> Box | None:
    """Return the tight box of the union of masks; None where it is no good prompt."""
    union = instance_of("", decode_mask(merge_masks(masks)))
    if union is None or union.crop.size > MAX_BOX_SHARE * size[0] * size[1]:
        return None
    return union.box if count_parts(union.crop) <= MAX_PARTS else None


def count_parts(mask: Mask) -> int:
    """Count the connected parts of a mask; pixels that touch at a corner are connected."""
    from scipy.ndimage import label  # slow to import

    _, count = label(mask, structure=np.ones((3, 3)))
    return int(count)


def sentence_around(text: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> slice:
    """Return the sentences of a text that hold the characters `start` to `end`.

    A full stop inside one of `spans` ends no sentence.
    """
    ends = [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        if not any(low < match.end() and match.start() < high for low, high in spans)
    ]
    first = max((place for place in ends if place <= start), default=0)
    last = min((place for place in ends if place >= end), default=len(text))
    return slice(first, first + len(text[first:last].rstrip()))


def trim_spans(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Move starts behind the ends of earlier spans; spans come sorted, and may become empty."""
    trimmed: list[tuple[int, int]] = []
    reached = 0
    for start, end in spans:
        trimmed.append((max(start, reached), max(end, reached)))
        reached = max(end, reached)
    return trimmed


def _check_sizes(caption: OutlinedCaption) -> None:
    """Check that every mask has the size of the image."""
    for phrase in caption.phrases:
        for rle in phrase.masks:
            if rle.size != caption.size:
                raise RecordError(
                    f"{caption.where}: '{caption.text[phrase.start : phrase.end]}' has a mask of "
                    f"{rle.size}, its image is {caption.size}."
                )


def _record(
    caption: OutlinedCaption, prompted: int, box: Box, source: str, mode: CaptionMode
) -> RegionRecord:
    """Cut the caption to what follows a box on one phrase."""
    spans = [(phrase.start, phrase.end) for phrase in caption.phrases]
    kept = (
        slice(0, len(caption.text))
        if mode == "full"
        else sentence_around(caption.text, *spans[prompted], spans)
    )
    inside = [n for n, (start, end) in enumerate(spans) if kept.start <= start and end <= kept.stop]
    try:
        return RegionRecord(
            image=caption.image,
            size=caption.size,
            box=box,
            caption=caption.text[kept],
            phrases=tuple(_phrase_record(caption, n, kept.start) for n in inside),
            prompted=inside.index(prompted),
            source=source,
        )
    except ValidationError as error:
        raise RecordError(f"{caption.where}: {describe_problem(error)}") from error


def _phrase_record(caption: OutlinedCaption, number: int, offset: int) -> PhraseRecord:
    """Move a phrase to where it stands in the sentences that are kept."""
    start, end, masks, class_name = caption.phrases[number]
    return PhraseRecord(span=(start - offset, end - offset), masks=masks, class_name=class_name)
