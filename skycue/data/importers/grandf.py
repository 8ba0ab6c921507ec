"""GranD-f: grounded captions of natural images, in the three layouts of its files.

Rasheed et al., "GLaMM: Pixel Grounding Large Multimodal Model", CVPR 2024,
https://arxiv.org/abs/2311.03356. The human-annotated and OpenPSG parts list captions with
groundings, the Flickr part is COCO-like, the RefCOCOg part lists referring sentences with polygons.
Summed masks of a phrase may exceed 1 there; here they are the objects of one phrase, whose union
counts each pixel once.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from pydantic import BaseModel, Field

from skycue.data.importers.outlined_caption import (
    CaptionMode,
    OutlinedCaption,
    OutlinedPhrase,
    records_of,
    trim_spans,
)
from skycue.data.importers.source_files import as_layout, read_json, size_of_image
from skycue.data.regions import RegionRecord
from skycue.data.rle import PlainRle, Rle, encode_polygon, whole
from skycue.errors import DatasetError, RecordError

SOURCE = "grandf"

logger = logging.getLogger(__name__)


class _Grounding(BaseModel):
    token_positives: tuple[int, int]
    rle_masks: list[Rle | PlainRle] = Field(min_length=1)


class _GroundedItem(BaseModel):
    file_name: str
    caption: str
    groundings: dict[str, _Grounding]


class _FlickrImage(BaseModel):
    id: int
    file_name: str
    height: int
    width: int
    caption: str


class _FlickrAnnotation(BaseModel):
    image_id: int
    tokens_positive: list[tuple[int, int]] = Field(min_length=1)
    sam_mask: Rle | PlainRle
    ignore: bool = False


class _Flickr(BaseModel):
    images: list[_FlickrImage]
    annotations: list[_FlickrAnnotation]


class _Reference(BaseModel):
    sentence: str = Field(min_length=1)
    segmentation: list[list[float]]


class _ReferringItem(BaseModel):
    img_file_name: str
    caption: str
    refs: list[_Reference]


def import_grandf(
    path: Path, images: Path | None = None, mode: CaptionMode = "intent"
) -> Iterator[RegionRecord]:
    """Make records of a GranD-f annotation file, whose layout is told from its content.

    Args:
        path: Such as `GranDf_HA_GCG_train.json`, `flickr_mergedGT_GCG_train.json` or
            `RefCOCOg_GCG_train.json`.
        images: Folder of the images; only the RefCOCOg layout needs it, which tells no sizes.
        mode: What follows a box.

    Raises:
        DatasetError: If the file has none of the layouts, or sizes are not to be had.
        RecordError: If an item contradicts itself.
    """
    return records_of(read_grandf(path, images), SOURCE, mode)


def read_grandf(path: Path, images: Path | None = None) -> tuple[OutlinedCaption, ...]:
    """Read the captions of a GranD-f annotation file; see `import_grandf`."""
    content = read_json(path)
    if isinstance(content, dict) and "annotations" in content:
        return tuple(_read_flickr(path, as_layout(_Flickr, content, str(path))))
    items = cast("list[object]", content) if isinstance(content, list) else []
    if not items or not all(isinstance(item, dict) and item for item in items):
        raise DatasetError(
            f"{path} has no layout of GranD-f: neither a list of captions with groundings or "
            "references, nor images with annotations."
        )
    return tuple(
        _read_item(cast("dict[str, object]", item), f"{path}: item {number}", images)
        for number, item in enumerate(items)
    )


def _read_item(item: dict[str, object], where: str, images: Path | None) -> OutlinedCaption:
    """Read an item of one of the two lists."""
    if "groundings" in item:
        return _read_grounded(as_layout(_GroundedItem, item, where), where)
    if len(item) != 1:
        raise DatasetError(f"{where}: neither 'groundings' nor a single key with references.")
    (inner,) = item.values()
    return _read_referring(as_layout(_ReferringItem, inner, where), where, images)


def _read_grounded(item: _GroundedItem, where: str) -> OutlinedCaption:
    """Read the human-annotated and OpenPSG layout, whose spans count from the stripped caption."""
    found = [
        (grounding.token_positives, tuple(_whole(rle, where) for rle in grounding.rle_masks))
        for grounding in item.groundings.values()
    ]
    if not found:
        raise DatasetError(f"{where}: groundings: none, so that the image's size is not told.")
    text = item.caption.strip('"').strip()
    return _outlined(where, item.file_name, found[0][1][0].size, text, found)


def _read_flickr(path: Path, flickr: _Flickr) -> Iterator[OutlinedCaption]:
    """Read the COCO-like layout; objects whose first span is the same are of one phrase."""
    groups: dict[int, dict[tuple[int, int], list[Rle]]] = {image.id: {} for image in flickr.images}
    for number, annotation in enumerate(flickr.annotations):
        where = f"{path}: annotations.{number}"
        if annotation.image_id not in groups:
            raise DatasetError(f"{where} names image {annotation.image_id}, which is not listed.")
        if not annotation.ignore:
            masks = groups[annotation.image_id].setdefault(annotation.tokens_positive[0], [])
            masks.append(_whole(annotation.sam_mask, where))
    for image in flickr.images:
        found = [(span, tuple(masks)) for span, masks in groups[image.id].items()]
        size = (image.height, image.width)
        where = f"{path}: image {image.id}"
        yield _outlined(where, image.file_name, size, image.caption, found)


def _read_referring(item: _ReferringItem, where: str, images: Path | None) -> OutlinedCaption:
    """Read the RefCOCOg layout, whose spans are where the sentences stand in the caption."""
    if images is None:
        raise DatasetError(
            f"{where} does not tell the size of {item.img_file_name}: "
            "name the folder of the images."
        )
    size = size_of_image(images / item.img_file_name)
    text = item.caption.strip('"').strip()
    found: list[tuple[tuple[int, int], tuple[Rle, ...]]] = []
    for reference in item.refs:
        start = text.lower().find(reference.sentence.lower())
        if start < 0:
            logger.warning("%s: '%s' is not in the caption: left out", where, reference.sentence)
            continue
        try:
            masks = tuple(encode_polygon(polygon, size) for polygon in reference.segmentation)
        except (ValueError, TypeError) as error:
            raise DatasetError(f"{where}: '{reference.sentence}' has a bad polygon.") from error
        found.append(((start, start + len(reference.sentence)), masks))
    return _outlined(where, item.img_file_name, size, text, found)


def _outlined(
    where: str,
    image: str,
    size: tuple[int, int],
    text: str,
    found: list[tuple[tuple[int, int], tuple[Rle, ...]]],
) -> OutlinedCaption:
    """Put phrases in the order of the text; what an earlier one covers is left out."""
    found = sorted(found, key=lambda phrase: phrase[0])
    phrases: list[OutlinedPhrase] = []
    for (start, end), (given, masks) in zip(
        trim_spans([span for span, _ in found]), found, strict=True
    ):
        if not 0 <= given[0] < given[1] <= len(text):
            raise RecordError(
                f"{where}: words {given[0]} to {given[1]} are no part of a caption of "
                f"{len(text)} characters."
            )
        words = text[start:end]
        if words.strip():
            start += len(words) - len(words.lstrip())
            phrases.append(OutlinedPhrase(start, start + len(words.strip()), masks))
        else:
            logger.warning("%s: words %d to %d are another phrase's: left out", where, *given)
    return OutlinedCaption(where, image, size, text, tuple(phrases))


def _whole(shape: Rle | PlainRle, where: str) -> Rle:
    """Return a mask whose runs fill its size."""
    try:
        return whole(shape)
    except ValueError as error:
        raise DatasetError(f"{where}: {error}.") from error
