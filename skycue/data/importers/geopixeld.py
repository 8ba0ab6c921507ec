"""GeoPixelD: grounded descriptions of the 800 x 800 tiles of iSAID.

Shabbir et al., "GeoPixel: Pixel Grounding Large Multimodal Model in Remote Sensing", ICML 2025,
https://arxiv.org/abs/2501.13925. A description holds "<p> phrase </p> [SEG]" for each phrase; its
objects are polygons. Phrases carry running indices ("tennis court-2"), which stay in the caption
and are taken off the class name.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, Field

from skycue.data.importers.outlined_caption import (
    CaptionMode,
    OutlinedCaption,
    OutlinedPhrase,
    records_of,
)
from skycue.data.importers.source_files import as_layout, read_json, size_of_image
from skycue.data.regions import RegionRecord
from skycue.data.rle import PlainRle, Rle, encode_polygon, encode_runs, whole
from skycue.errors import DatasetError, GroundedTextError, RecordError

SOURCE = "geopixeld"
TILE_SIZE = (800, 800)
"""(height, width) of a tile whose image is not at hand."""

Polygon = list[tuple[float, float]]
Polygons = list[list[Polygon]]
"""For each phrase the polygons of its objects."""

_LEAST_POINTS = 3
_SLACK = 1.0  # pixels by which the corner of a polygon may lie outside, from rounding
_TAGGED = re.compile(r"<p>(?P<words>[^<>\[\]]*)</p>\s*\[SEG\]")
_STRAY_TAG = re.compile(r"</?p>|\[SEG\]")
_SPACE_BEFORE_MARK = re.compile(r"\s+(?=[.,;:!?])")
_INDEX = re.compile(r"(?<=[a-z])\s*-\s*\d+$")
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)

_POLYGON_KEYS = AliasChoices("polygons", "polygon")


class _Tile(BaseModel):
    """A file of one tile."""

    img: str
    gcg_description: str
    polygons: Polygons = Field(validation_alias=_POLYGON_KEYS)


class _Outlines(BaseModel):
    """The part of a tile's file that a training item points to."""

    polygons: Polygons = Field(validation_alias=_POLYGON_KEYS)


class _Turn(BaseModel):
    speaker: Literal["human", "user", "bot", "gpt"] = Field(validation_alias="from")
    value: str


class _TrainingItem(BaseModel):
    """An item of the training list."""

    conversations: list[_Turn]
    image: str
    polygons: str | None = Field(default=None, validation_alias=_POLYGON_KEYS)
    segmentation: list[Rle | PlainRle] | None = None


class TaggedText(NamedTuple):
    """A description without its tags.

    Attributes:
        text: Plain words.
        spans: First character of each phrase, and the one behind its last.
    """

    text: str
    spans: tuple[tuple[int, int], ...]


def import_geopixeld(
    path: Path, images: Path | None = None, mode: CaptionMode = "intent"
) -> Iterator[RegionRecord]:
    """Make records of GeoPixelD's annotations.

    Args:
        path: A folder of one JSON file a tile, one such file, or the training list.
        images: Folder of the tiles, from which sizes are read; without it tiles are 800 x 800.
        mode: What follows a box.

    Raises:
        DatasetError: If a file is missing or has another layout.
        GroundedTextError: If a description's tags are broken.
        RecordError: If there are not as many masks as phrases.
    """
    return records_of(read_geopixeld(path, images), SOURCE, mode)


def read_geopixeld(path: Path, images: Path | None = None) -> Iterator[OutlinedCaption]:
    """Read the descriptions of GeoPixelD's annotations; see `import_geopixeld`."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise DatasetError(f"no tile's file (*.json) in {path}.")
        for file in files:
            yield _read_tile(read_json(file), file, images)
        return
    content = read_json(path)
    if not isinstance(content, list):
        yield _read_tile(content, path, images)
        return
    for number, item in enumerate(content):
        where = f"{path}: item {number}"
        yield _read_training(as_layout(_TrainingItem, item, where), where, path.parent, images)


def parse_tagged(text: str) -> TaggedText:
    """Take the tags out of a description.

    Raises:
        GroundedTextError: If a tag has no partner, a phrase is empty or has no [SEG].
    """
    plain, place = "", 0
    spans: list[tuple[int, int]] = []
    for match in _TAGGED.finditer(text):
        plain = _join(plain, _plain(text[place : match.start()]))
        words = _plain(match["words"])
        if not words:
            raise GroundedTextError(f"phrase {len(spans) + 1} is empty")
        plain = _join(plain, words)
        spans.append((len(plain) - len(words), len(plain)))
        place = match.end()
    return TaggedText(_join(plain, _plain(text[place:])), tuple(spans))


def class_of_phrase(words: str) -> str:
    """Return a phrase without its article and running index, in lower case.

    >>> class_of_phrase("The tennis court-2")
    'tennis court'
    """
    return _INDEX.sub("", _ARTICLE.sub("", words.strip())).lower()


def _plain(text: str) -> str:
    """Collapse spaces; a tag that is left has no partner."""
    stray = _STRAY_TAG.search(text)
    if stray is not None:
        raise GroundedTextError(f"tag {stray[0]} does not belong to a '<p> phrase </p> [SEG]'")
    return _SPACE_BEFORE_MARK.sub("", " ".join(text.split()))


def _join(before: str, after: str) -> str:
    """Put pieces of text together with a space, but for punctuation."""
    needs_space = before and after and after[0] not in ".,;:!?)'"
    return before + (" " if needs_space and before[-1] != "(" else "") + after


def _read_tile(content: object, file: Path, images: Path | None) -> OutlinedCaption:
    """Read the file of one tile."""
    tile = as_layout(_Tile, content, str(file))
    size = _tile_size(tile.img, images)
    masks = _fill(tile.polygons, size, str(file))
    return _outlined(str(file), tile.img, size, tile.gcg_description, masks)


def _read_training(
    item: _TrainingItem, where: str, folder: Path, images: Path | None
) -> OutlinedCaption:
    """Read an item of the training list, whose outlines stand in a file or as run lengths."""
    turns = [turn.value for turn in item.conversations if turn.speaker in ("bot", "gpt")]
    if item.segmentation is not None:
        try:
            masks = [(whole(rle),) for rle in item.segmentation]
        except ValueError as error:
            raise DatasetError(f"{where}: segmentation: {error}.") from error
        size = masks[0][0].size if masks else _tile_size(item.image, images)
        return _outlined(where, item.image, size, " ".join(turns), masks)
    if item.polygons is None:
        raise DatasetError(f"{where} has neither 'polygons', 'polygon' nor 'segmentation'.")
    file, size = folder / item.polygons, _tile_size(item.image, images)
    content = read_json(file)
    outlines = {"polygons": content} if isinstance(content, list) else content
    polygons = as_layout(_Outlines, outlines, str(file)).polygons
    return _outlined(where, item.image, size, " ".join(turns), _fill(polygons, size, str(file)))


def _tile_size(image: str, images: Path | None) -> tuple[int, int]:
    """Return (height, width) of a tile."""
    return TILE_SIZE if images is None else size_of_image(images / image)


def _fill(polygons: Polygons, size: tuple[int, int], where: str) -> list[tuple[Rle, ...]]:
    """Turn polygons into masks; those of fewer than three points have no area and give none.

    A phrase without any keeps one empty mask.
    """
    masks: list[tuple[Rle, ...]] = []
    empty = encode_runs([size[0] * size[1]], size)
    for number, objects in enumerate(polygons):
        flat = [[value for point in polygon for value in point] for polygon in objects]
        for polygon in flat:
            reach = (max(polygon[1::2], default=0.0), max(polygon[0::2], default=0.0))
            if reach[0] > size[0] + _SLACK or reach[1] > size[1] + _SLACK:
                raise DatasetError(
                    f"{where}: polygons.{number} reaches outside a tile of {size[1]} x {size[0]} "
                    "pixels; name the folder of the images, from which sizes are read."
                )
        whole_ones = [polygon for polygon in flat if len(polygon) >= 2 * _LEAST_POINTS]
        masks.append(tuple(encode_polygon(polygon, size) for polygon in whole_ones) or (empty,))
    return masks


def _outlined(
    where: str,
    image: str,
    size: tuple[int, int],
    description: str,
    masks: Sequence[tuple[Rle, ...]],
) -> OutlinedCaption:
    """Give each phrase of a description its masks."""
    try:
        text, spans = parse_tagged(description)
    except GroundedTextError as error:
        raise GroundedTextError(f"{where}: {error}.") from error
    if len(spans) != len(masks):
        raise RecordError(f"{where} has {len(spans)} [SEG] and {len(masks)} masks.")
    phrases = (
        OutlinedPhrase(start, end, owned, class_of_phrase(text[start:end]))
        for (start, end), owned in zip(spans, masks, strict=True)
    )
    return OutlinedCaption(where, image, size, text, tuple(phrases))
