"""Region records, one JSON line each: a box, what is said of it, and what each phrase shows.

A line holds the image, a box in its pixels, a caption whose phrases have masks, and which phrase is
the boxed object. Every line is checked when it is read: spans, order, sizes, run lengths, boxes.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from skycue.boxes import Box, check_box
from skycue.data.caption_templates import check_class_name
from skycue.data.instances import Instance, InstanceImage, instance_of
from skycue.data.region_captions import GroundedCaption, caption_image, caption_region
from skycue.data.rle import Mask, Rle, area_of, decode_mask, encode_mask, is_whole, merge_masks
from skycue.errors import BoxError, RecordError
from skycue.files import write_atomically

MAX_TOLD = 10
"""Wrong lines that a message tells in full; the others are counted."""


class PhraseRecord(BaseModel, frozen=True, extra="forbid"):
    """Words of a caption with the objects that they name."""

    span: tuple[int, int]
    """First character of the words in the caption, and the one behind the last."""
    masks: tuple[Rle, ...] = Field(min_length=1)
    """One for each object, each of the image's size."""
    class_name: str | None = None
    """What the objects are, where the source says it apart from the words."""

    def mask(self) -> Mask:
        """Return the union of the masks, [H, W]."""
        return decode_mask(merge_masks(self.masks))


class RegionRecord(BaseModel, frozen=True, extra="forbid"):
    """A box on an image and its caption: a line of a records file."""

    image: str = Field(min_length=1)
    """Path relative to the folder of the images, with forward slashes."""
    size: tuple[int, int]
    """(height, width) of the image in pixels."""
    box: Box
    """x_min, y_min, x_max, y_max in pixels."""
    caption: str = Field(min_length=1)
    """Plain text, without tags."""
    phrases: tuple[PhraseRecord, ...] = ()
    """In the order of the caption."""
    prompted: int | None = None
    """Which phrase is the boxed object; None where none is, as for a whole image."""
    source: str = Field(min_length=1)
    """The dataset or rule that the record comes from."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Check what fields say of each other; a message starts with the field's name."""
        if min(self.size) < 1:
            raise ValueError(f"size: {self.size} has no pixels")
        try:
            check_box(self.box, self.size)
        except BoxError as error:
            raise ValueError(f"box: {error}") from error
        end = 0
        for number, phrase in enumerate(self.phrases):
            self._check_phrase(phrase, f"phrases.{number}", end)
            end = phrase.span[1]
        self._check_prompted()
        return self

    def _check_phrase(self, phrase: PhraseRecord, name: str, earlier_end: int) -> None:
        """Check a phrase against the caption, the phrase before it and the image's size."""
        start, end = phrase.span
        if not 0 <= start < end <= len(self.caption):
            raise ValueError(
                f"{name}.span: {start} to {end} is no part of a caption of "
                f"{len(self.caption)} characters"
            )
        if start < earlier_end:
            raise ValueError(
                f"{name}.span: starts at {start}, before the last one's end {earlier_end}"
            )
        if not self.caption[start:end].strip():
            raise ValueError(f"{name}.span: {start} to {end} holds no words")
        for number, rle in enumerate(phrase.masks):
            if rle.size != self.size:
                raise ValueError(
                    f"{name}.masks.{number}: size {rle.size}, the image is {self.size}"
                )
            if not is_whole(rle):
                raise ValueError(f"{name}.masks.{number}: run lengths do not fill {rle.size}")

    def _check_prompted(self) -> None:
        """Check that the boxed object is a phrase that shows something."""
        if self.prompted is None:
            return
        if not 0 <= self.prompted < len(self.phrases):
            raise ValueError(f"prompted: {self.prompted}, of {len(self.phrases)} phrases")
        if not any(area_of(rle) for rle in self.phrases[self.prompted].masks):
            raise ValueError(f"prompted: phrase {self.prompted} has an empty mask")

    def words(self, phrase: PhraseRecord) -> str:
        """Return the words of a phrase."""
        return self.caption[phrase.span[0] : phrase.span[1]]


def read_records(path: Path) -> tuple[RegionRecord, ...]:
    """Read a records file; blank lines are passed over.

    Raises:
        RecordError: If it is missing, empty, no text, or holds lines that are no records; each is
            named with its line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror}. "
            "`skycue data captions-from-instances` writes a records file."
        ) from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    records: list[RegionRecord] = []
    wrong: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                records.append(RegionRecord.model_validate_json(line))
            except ValidationError as error:
                wrong.append(f"line {number}: {describe_problem(error)}")
    if wrong:
        told, more = "; ".join(wrong[:MAX_TOLD]), len(wrong) - MAX_TOLD
        rest = f"; and {more} more" if more > 0 else ""
        raise RecordError(f"{path}: {len(wrong)} wrong lines: {told}{rest}")
    if not records:
        raise RecordError(f"{path} holds no records.")
    return tuple(records)


def describe_problem(error: ValidationError) -> str:
    """Return "field: what is wrong" for the first problem of a record."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def write_records(path: Path, records: Iterable[RegionRecord]) -> None:
    """Write a records file; it is whole or as it was before."""
    lines = (record.model_dump_json(exclude_none=True) + "\n" for record in records)
    write_atomically(path, "".join(lines))


def records_from_instances(
    images: Iterable[InstanceImage], source: str, mode: Literal["region", "image"] = "region"
) -> Iterator[RegionRecord]:
    """Write rule-made records of outlined objects.

    Args:
        images: With their objects; those without any give no records.
        source: What the records say they come from.
        mode: "region" makes a record of each object, its tight box being the box; "image" one of
            each image, the box being all of it.

    Raises:
        CaptionError: If the name of a class cannot stand in a sentence.
    """
    for image in images:
        for name in {instance.class_name for instance in image.instances}:
            check_class_name(name)
        masks = [encode_mask(instance.mask(image.size)) for instance in image.instances]
        if mode == "region":
            for index, instance in enumerate(image.instances):
                yield _record(image, masks, caption_region(image, index), instance.box, source)
        elif image.instances:
            whole = (0.0, 0.0, float(image.size[1]), float(image.size[0]))
            yield _record(image, masks, caption_image(image), whole, source)


def instances_of_records(records: Iterable[RegionRecord]) -> tuple[InstanceImage, ...]:
    """Gather the boxed objects of records by image, as the ground truth of an evaluation.

    Returns:
        One image for each that a record names, in the order of the records; its objects are the
        prompted phrases' masks, in that order too. The class of an object is its phrase's
        `class_name`, or else the phrase's words. Records without a prompted phrase add nothing.

    Raises:
        RecordError: If records disagree on the size of an image.
    """
    sizes: dict[str, tuple[int, int]] = {}
    found: dict[str, list[Instance]] = {}
    for record in records:
        if sizes.setdefault(record.image, record.size) != record.size:
            sizes_told = f"{sizes[record.image]} and {record.size}"
            raise RecordError(f"records give {record.image} two sizes: {sizes_told}.")
        objects = found.setdefault(record.image, [])
        if record.prompted is not None:
            phrase = record.phrases[record.prompted]
            instance = instance_of(phrase.class_name or record.words(phrase), phrase.mask())
            assert instance is not None, "a record's prompted phrase has a mask"
            objects.append(instance)
    return tuple(InstanceImage(name, sizes[name], tuple(found[name])) for name in found)


def _record(
    image: InstanceImage, masks: list[Rle], caption: GroundedCaption, box: Box, source: str
) -> RegionRecord:
    """Give each phrase of a caption the masks of its objects."""
    phrases = tuple(
        PhraseRecord(
            span=(phrase.start, phrase.end),
            masks=tuple(masks[index] for index in phrase.instances),
            class_name=phrase.class_name,
        )
        for phrase in caption.phrases
    )
    return RegionRecord(
        image=image.image,
        size=image.size,
        box=box,
        caption=caption.text,
        phrases=phrases,
        prompted=caption.prompted,
        source=source,
    )
