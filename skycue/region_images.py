"""The images that a region model is trained on, read or drawn into memory, and their boxes."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from skycue.data.instances import Instance, InstanceImage, instance_of, read_coco
from skycue.data.region_captions import GroundedCaption, GroundedPhrase
from skycue.data.regions import RegionRecord, read_records
from skycue.data.renderer.instance_scenes import render
from skycue.errors import DatasetError
from skycue.region_recipe import RecordSource, RegionDataConfig, RenderedSource
from skycue.region_samples import WHOLE, Given, Item, TrainImage, load_outlined, read_sized
from skycue.seeds import generator_at

log = logging.getLogger(__name__)


class RegionImages(NamedTuple):
    """Images with the boxes in them that are trained on.

    Attributes:
        images: In memory.
        items: Boxes around objects, and those of records.
        wholes: Boxes around whole images.
    """

    images: list[TrainImage]
    items: list[Item]
    wholes: list[Item]


class RegionSplit(NamedTuple):
    """What is trained on and what only validates."""

    train: RegionImages
    held_out: RegionImages


def load_images(config: RegionDataConfig, root: Path, beside: Path | None = None) -> RegionSplit:
    """Read, draw and split the images of a recipe.

    Args:
        config: What to learn from.
        root: Data root.
        beside: Folder of the recipe, where the list of held-out images is looked for.

    Raises:
        DatasetError: If nothing is left to train on, or the list names an image that is not there.
        SkycueError: Of the kind that fits a wrong file.
    """
    held_out = _read_names(config.held_out, beside)
    parts = RegionSplit(RegionImages([], [], []), RegionImages([], [], []))
    for source in config.outlined:
        outlined = load_outlined(root / source.images, read_coco(root / source.annotations))
        for image in outlined:
            if image.name in held_out:
                _add(parts.held_out, image)
            else:
                _add(parts.train, image, source.boxes)
    for records in config.records:
        for image in _read_records(records, root):
            _add(parts.held_out if image.name in held_out else parts.train, image)
    unknown = held_out - {image.name for image in parts.held_out.images}
    if unknown:
        raise DatasetError(f"{config.held_out}: no image {min(unknown)} among the data.")
    if config.rendered is not None:
        _add_rendered(parts.train, config.rendered)
    if not parts.train.items:
        raise DatasetError(f"no boxes to train on below {root}: name sources under data:.")
    log.info(
        "%d images with %d boxes to train on, %d images with %d boxes held out",
        *(len(part) for part in parts.train[:2]),
        *(len(part) for part in parts.held_out[:2]),
    )
    return parts


def class_names_of(images: Sequence[TrainImage]) -> list[str]:
    """Return the classes of all objects, sorted."""
    return sorted({i.class_name for image in images for i in image.outlines.instances})


def _read_names(path: Path | None, beside: Path | None) -> set[str]:
    if path is None:
        return set()
    found = beside / path if beside and not path.is_absolute() else path
    try:
        return set(found.read_text(encoding="utf-8").split())
    except OSError as error:
        raise DatasetError(f"cannot read the list {found}: {error.strerror}.") from error


def _add(part: RegionImages, image: TrainImage, most: int | None = None) -> None:
    """Add an image with its boxes, or with some of them, drawn by its name."""
    number = len(part.images)
    part.images.append(image)
    if image.given:
        part.items.append(Item(number, 0))
        return
    part.wholes.append(Item(number, WHOLE))
    numbers: Sequence[int] = range(len(image.outlines.instances))
    if most is not None and most < len(numbers):
        chance = torch.randperm(len(numbers), generator=generator_at(0, "boxes", image.name))
        numbers = sorted(chance[:most].tolist())
    part.items.extend(Item(number, instance) for instance in numbers)


def _read_records(source: RecordSource, root: Path) -> list[TrainImage]:
    """Make an image of each record; records of one file share its pixels."""
    shared: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = {}
    images = []
    for record in read_records(root / source.records):
        if record.image not in shared:
            path = root / source.images / record.image
            shared[record.image] = read_sized(path, record.size)
        outlines, caption = _outlines_of(record)
        if outlines.instances:
            given = Given(record.box, caption)
            images.append(TrainImage(record.image, shared[record.image], outlines, given))
    return images


def _outlines_of(record: RegionRecord) -> tuple[InstanceImage, GroundedCaption]:
    """Turn the masks of a record's phrases into objects, the prompted phrase's first."""
    order = list(range(len(record.phrases)))
    if record.prompted is not None:
        order.insert(0, order.pop(record.prompted))
    instances: list[Instance] = []
    numbers: dict[int, tuple[int, ...]] = {}
    for index in order:
        phrase = record.phrases[index]
        name = phrase.class_name or record.words(phrase)
        found = instance_of(name, phrase.mask())
        numbers[index] = () if found is None else (len(instances),)
        instances += [] if found is None else [found]
    phrases = tuple(
        GroundedPhrase(*phrase.span, numbers[index], phrase.class_name or record.words(phrase))
        for index, phrase in enumerate(record.phrases)
    )
    caption = GroundedCaption(record.caption, phrases, record.prompted)
    return InstanceImage(record.image, record.size, tuple(instances)), caption


def _add_rendered(part: RegionImages, source: RenderedSource) -> None:
    """Draw images, and choose some boxes of each."""
    for seed in range(source.seed, source.seed + source.count):
        drawn = render(seed, size=source.size)
        if not drawn.instances:  # nothing to tell of, as with outlined images
            continue
        pixels = np.ascontiguousarray(drawn.pixels.transpose(1, 2, 0))  # [H, W, 3]
        name = f"rendered/{seed}"
        outlines = InstanceImage(name, (source.size, source.size), drawn.instances)
        chance = torch.randperm(len(drawn.instances), generator=generator_at(seed, "boxes"))
        number = len(part.images)
        part.images.append(TrainImage(name, pixels, outlines))
        part.wholes.append(Item(number, WHOLE))
        part.items.extend(Item(number, index) for index in chance[: source.boxes].tolist())
