"""What a region model learns from: boxes of outlined images, turned, jittered and cut to windows.

Captions are written anew by rules after an image has been turned or mirrored, so that they stay
true. A sample is a function of (image, object, generator).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skycue.boxes import Box, Frame, jitter_box
from skycue.data.images import read_pixels
from skycue.data.instances import Instance, InstanceImage
from skycue.data.region_captions import (
    GroundedCaption,
    caption_image,
    caption_region,
    tell_neighbours,
)
from skycue.errors import DatasetError
from skycue.windows import OUTSIDE, cut_window, mask_on

N_ORIENTATIONS = 8
"""Four turns, each mirrored or not."""
COVERED = 127
"""A cell belongs to the class of an object that covers it by more than half, of 255."""


class Given(NamedTuple):
    """A box that comes with its own words.

    Attributes:
        box: Where it lies, in pixels.
        caption: Its caption; the phrases number the objects of the image.
    """

    box: Box
    caption: GroundedCaption


class TrainImage(NamedTuple):
    """An outlined image in memory.

    Attributes:
        name: Where it came from.
        pixels: RGB, [H, W, 3].
        outlines: Its objects.
        given: The box and caption of a record; such an image is neither turned nor mirrored. None:
            captions are written by rules.
    """

    name: str
    pixels: NDArray[np.uint8]
    outlines: InstanceImage
    given: Given | None = None


WHOLE = -1
"""In place of the number of an object: the whole image."""
NOTHING_TOLD = GroundedCaption("", (), None)
"""In place of a text about neighbours, where none is wanted or none can be written."""


class Item(NamedTuple):
    """A box to train on: the number of an image, and of an object in it or `WHOLE`."""

    image: int
    instance: int


class SampleConfig(NamedTuple):
    """How samples are cut and varied.

    Attributes:
        scales: Side of each window over the longer side of the box, the widest last.
        size: Side of a window in pixels.
        cells: Side of the mask targets.
        jitter: Share of its extent by which each side of the box may move.
        zoom: Largest change of a window's scale, as a factor.
        colour: Largest change of brightness and contrast, as a share.
        outside: Levels of RGB where a window shows nothing of the image.
        outlines: Cut masks and classes too; without, those of a sample are empty.
        neighbours: Tell the sides of neighbours too; without, that text is empty.
    """

    scales: tuple[float, ...]
    size: int
    cells: int
    jitter: float = 0.1
    zoom: float = 1.15
    colour: float = 0.25
    outside: tuple[int, int, int] = OUTSIDE
    outlines: bool = True
    neighbours: bool = True


class RegionSample(NamedTuple):
    """A box with what is seen around it and what is to be said of it.

    Attributes:
        pixels: RGB of each window, [V, 3, S, S] uint8.
        boxes: The prompt box as shares of each window, [V, 4].
        position: The prompt box as shares of the image, [4].
        masks: How much of each cell each phrase's objects cover, [K, V, T, T] uint8; phrase by
            phrase, in the order of the caption.
        classes: Class of each cell, counted from 1, 0 for none, [V, T, T] uint8.
        objects: Boxes of all objects of the image as shares of each window, [V, N, 4].
        target: Class of the prompted object, counted from 1; 0 for one that is not known.
        caption: What is said.
        neighbours: The side of each neighbour, to learn from; no text where rules know none.
        image: Number of the image.
        orientation: How it was turned, 0 to 7.
    """

    pixels: Tensor
    boxes: Tensor
    position: Tensor
    masks: Tensor
    classes: Tensor
    objects: Tensor
    target: int
    caption: GroundedCaption
    neighbours: GroundedCaption
    image: int
    orientation: int


def load_outlined(root: Path, images: Sequence[InstanceImage]) -> list[TrainImage]:
    """Read the pixels of outlined images, those without objects left out.

    Raises:
        ImageReadError: If a file cannot be read.
        DatasetError: If an image has another size than its outlines.
    """
    return [
        TrainImage(image.image, read_sized(root / image.image, image.size), image)
        for image in images
        if image.instances
    ]


def read_sized(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read the pixels of an image whose (height, width) is known, [H, W, 3].

    Raises:
        ImageReadError: If the file cannot be read.
        DatasetError: If it has another size.
    """
    pixels = read_pixels(path)
    if pixels.shape[:2] != size:
        raise DatasetError(
            f"{path} has {pixels.shape[1]} x {pixels.shape[0]} pixels, its masks "
            f"{size[1]} x {size[0]}: give the images that were outlined."
        )
    return pixels


def turn(image: TrainImage, orientation: int) -> TrainImage:
    """Mirror (from 4 on) and turn an image by quarters, with its objects."""
    if orientation == 0 or image.given is not None:
        return image
    turned = _turn(image.pixels, orientation).astype(
        np.uint8, copy=False
    )  # a view: only what is cut out of it is copied
    return TrainImage(image.name, turned, turn_outlines(image.outlines, orientation))


def turn_outlines(outlines: InstanceImage, orientation: int) -> InstanceImage:
    """Mirror (from 4 on) and turn the objects of an image by quarters."""
    size = outlines.size
    instances = tuple(_turn_instance(i, size, orientation) for i in outlines.instances)
    turned_size = size if orientation % 2 == 0 else (size[1], size[0])
    return InstanceImage(outlines.image, turned_size, instances)


def _turn(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    mirrored = pixels[:, ::-1] if orientation >= 4 else pixels
    return np.rot90(mirrored, orientation % 4)


def _turn_instance(instance: Instance, size: tuple[int, int], orientation: int) -> Instance:
    (height, width), (x, y) = size, instance.corner
    h, w = instance.crop.shape
    if orientation >= 4:
        x = width - x - w
    for _ in range(orientation % 4):  # a quarter turn to the left: (x, y) goes to (y, width - x)
        x, y, w, h, width, height = y, width - x - w, h, w, height, width
    crop = np.ascontiguousarray(_turn(instance.crop, orientation)).astype(np.bool_)
    return Instance(instance.class_name, (x, y), crop)


def draw_sample(
    images: Sequence[TrainImage],
    item: Item,
    config: SampleConfig,
    class_names: Sequence[str],
    generator: torch.Generator,
) -> RegionSample:
    """Draw a varied sample of a box.

    Args:
        images: All images.
        item: Which box.
        config: Windows and variation.
        class_names: Names that cells are labelled by.
        generator: Where chance comes from.
    """
    image = images[item.image]
    drawn = int(torch.randint(N_ORIENTATIONS, (), generator=generator))
    orientation = 0 if image.given is not None else drawn
    turned = turn(image, orientation)
    box = box_of(turned, item)
    if config.jitter and item.instance != WHOLE:
        box = jitter_box(box, config.jitter, generator, min_iou=0.7)
    zooms = config.zoom ** (torch.rand(len(config.scales), generator=generator) * 2 - 1)
    scales = [scale * zoom for scale, zoom in zip(config.scales, zooms.tolist(), strict=True)]
    if not scales:  # the image is recoloured before it is padded: a network may know the padding
        shown = torch.from_numpy(np.ascontiguousarray(turned.pixels)).permute(2, 0, 1)
        recoloured = _recolour(shown, config.colour, generator).permute(1, 2, 0)
        turned = turned._replace(pixels=np.ascontiguousarray(recoloured.numpy()))
    sample = cut_sample(turned, item, config, class_names, box=box, scales=scales)
    pixels = _recolour(sample.pixels, config.colour, generator) if scales else sample.pixels
    return sample._replace(pixels=pixels, orientation=orientation)


def box_of(image: TrainImage, item: Item) -> Box:
    """Return the box of an item: its object's tight box, that of its record, or the image's."""
    if image.given is not None:
        return image.given.box
    if item.instance == WHOLE:
        height, width = image.outlines.size
        return (0.0, 0.0, float(width), float(height))
    return image.outlines.instances[item.instance].box


def caption_of(image: TrainImage, item: Item) -> GroundedCaption:
    """Return what is to be said of an item: by rules, or as its record has it."""
    if image.given is not None:
        return image.given.caption
    if item.instance == WHOLE:
        return caption_image(image.outlines)
    return caption_region(image.outlines, item.instance)


def neighbours_told(image: TrainImage, item: Item) -> GroundedCaption:
    """Return the sides of an object's neighbours; an empty text for records and whole images."""
    if image.given is not None or item.instance == WHOLE:
        return NOTHING_TOLD
    return tell_neighbours(image.outlines, item.instance)


def frames_around(
    box: Box, image_size: tuple[int, int], scales: Sequence[float], size: int
) -> list[Frame]:
    """Return the frames that a network looks at: windows around the box, or the whole image.

    Args:
        box: The prompt.
        image_size: (height, width) of the image.
        scales: Side of each window over the longer side of the box; none: the whole image, padded.
        size: Side of the network's input in pixels.
    """
    if not scales:
        return [Frame.padded(image_size, size)]
    return [Frame.around(box, scale, size, image_size) for scale in scales]


def cut_sample(
    image: TrainImage,
    item: Item,
    config: SampleConfig,
    class_names: Sequence[str],
    *,
    box: Box | None = None,
    scales: Sequence[float] | None = None,
) -> RegionSample:
    """Cut the sample of a box as it is, or as another box and other scales say."""
    outlines = image.outlines
    box = box or box_of(image, item)
    frames = frames_around(box, outlines.size, scales or config.scales, config.size)
    pixels = np.stack(  # [V, S, S, 3]
        [cut_window(image.pixels, frame, config.outside) for frame in frames]
    )
    caption = caption_of(image, item)
    prompted = "" if caption.prompted is None else outlines.instances[item.instance].class_name
    masks, classes = _outline(outlines, caption, frames, config, class_names)
    corners = torch.tensor([box])
    known = outlines.instances if config.outlines else ()
    objects = torch.tensor([instance.box for instance in known]).view(-1, 4)
    position = Frame.squashed(outlines.size, config.size).to_unit(corners)[0]
    return RegionSample(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),  # [V, 3, S, S]
        boxes=torch.cat([frame.to_unit(corners) for frame in frames]),
        position=position,
        masks=torch.from_numpy(masks),
        classes=torch.from_numpy(classes),
        objects=torch.stack([frame.to_unit(objects) for frame in frames]),
        target=_number_of(prompted, class_names),
        caption=caption,
        neighbours=neighbours_told(image, item) if config.neighbours else NOTHING_TOLD,
        image=item.image,
        orientation=0,
    )


def _outline(
    outlines: InstanceImage,
    caption: GroundedCaption,
    frames: Sequence[Frame],
    config: SampleConfig,
    class_names: Sequence[str],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return how much of each cell each phrase covers, [K, V, T, T], and the cells' classes."""
    cells = (config.cells, config.cells)
    masks = np.zeros((len(caption.phrases), len(frames), *cells), dtype=np.uint8)
    classes = np.zeros((len(frames), *cells), dtype=np.uint8)
    if not config.outlines:
        return masks, classes
    phrases_of: dict[int, list[int]] = {}
    for row, phrase in enumerate(caption.phrases):
        for number in phrase.instances:
            phrases_of.setdefault(number, []).append(row)
    for number, instance in enumerate(outlines.instances):
        for view, frame in enumerate(frames):
            mask = mask_on(instance, frame, cells)
            classes[view][mask > COVERED] = _number_of(instance.class_name, class_names)
            for row in phrases_of.get(number, ()):
                np.maximum(masks[row, view], mask, out=masks[row, view])
    return masks, classes


def _number_of(class_name: str, class_names: Sequence[str]) -> int:
    return 1 + class_names.index(class_name) if class_name in class_names else 0


def _recolour(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change contrast, brightness and the balance of channels, alike in all windows.

    Args:
        pixels: RGB, [..., 3, H, W] uint8.
        strength: Largest change, as a share.
        generator: Where chance comes from.
    """
    if not strength:
        return pixels
    chance = torch.rand(3, generator=generator) * 2 - 1
    tint = 1 + strength / 3 * (torch.rand(3, generator=generator) * 2 - 1)
    levels = pixels.float()
    middle = levels.mean()
    levels = (levels - middle) * (1 + strength * chance[0]) + middle * (1 + strength * chance[1])
    return (levels * tint.view(3, 1, 1)).round().clamp(0, 255).to(torch.uint8)
