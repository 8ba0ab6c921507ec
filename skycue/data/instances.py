"""Images with outlined objects: what rule-written captions, training and evaluation start from."""

import json
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from skycue.boxes import Box
from skycue.data.mask_crops import MaskCrop
from skycue.data.rle import PlainRle, Rle, decode_mask, polygons_to_mask, whole
from skycue.errors import DatasetError

Mask = NDArray[np.bool_]


class Instance(NamedTuple):
    """One object: its class, and its mask as a crop, which is small where the image is large.

    Attributes:
        class_name: Such as "storage tank".
        corner: (x, y) of the crop's upper left pixel in the image.
        crop: The mask inside its tight box, [h, w]; the first and last row and column hold a pixel.
    """

    class_name: str
    corner: tuple[int, int]
    crop: Mask

    @property
    def box(self) -> Box:
        """The tight box, in pixels of the image."""
        (x, y), (height, width) = self.corner, self.crop.shape
        return (float(x), float(y), float(x + width), float(y + height))

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.crop))

    def mask(self, size: tuple[int, int]) -> Mask:
        """Return the mask on an image of (height, width), [H, W]."""
        full = np.zeros(size, dtype=np.bool_)
        (x, y), (height, width) = self.corner, self.crop.shape
        full[y : y + height, x : x + width] = self.crop
        return full


class InstanceImage(NamedTuple):
    """An image with its objects, in the order of their file.

    Attributes:
        image: Path relative to the folder of the images.
        size: (height, width) in pixels.
        instances: Its objects; there may be none.
    """

    image: str
    size: tuple[int, int]
    instances: tuple[Instance, ...]


def instance_of(class_name: str, mask: Mask) -> Instance | None:
    """Cut a mask [H, W] to its tight box; None where it is empty."""
    cut = MaskCrop.of(mask)
    return Instance(class_name, cut.corner, cut.pixels) if cut.pixels.size else None


class _CocoImage(BaseModel):
    id: int
    file_name: str
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class _CocoCategory(BaseModel):
    id: int
    name: str


class _CocoAnnotation(BaseModel):
    id: int
    image_id: int
    category_id: int
    segmentation: list[list[float]] | Rle | PlainRle | None = None
    iscrowd: int = 0


class _Coco(BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory]


def read_coco(path: Path) -> tuple[InstanceImage, ...]:
    """Read a COCO instances file; crowd regions are no objects and are left out.

    Returns:
        All images, in the order of the file.

    Raises:
        DatasetError: If the file is missing or not COCO, or an annotation names an image or
            category that is not there, or has a mask that is empty or cannot be read.
    """
    coco = _parse(path)
    names = _class_names(coco, path)
    sizes = {image.id: (image.height, image.width) for image in coco.images}
    found: dict[int, list[Instance]] = {image.id: [] for image in coco.images}
    for annotation in coco.annotations:
        where = f"{path}: annotation {annotation.id}"
        if annotation.iscrowd:
            continue
        if annotation.segmentation is None:
            raise DatasetError(f"{where} has no segmentation: its outline is needed here.")
        size, shape = sizes[annotation.image_id], annotation.segmentation
        instance = instance_of(names[annotation.category_id], _mask_of(shape, size, where))
        if instance is None:
            raise DatasetError(f"{where} has an empty mask; remove it.")
        found[annotation.image_id].append(instance)
    return tuple(
        InstanceImage(image.file_name, sizes[image.id], tuple(found[image.id]))
        for image in coco.images
    )


def read_image_classes(path: Path) -> dict[str, tuple[str, ...]]:
    """Read which classes each image of a COCO instances file shows; outlines are not needed.

    Returns:
        Class names in the order of the alphabet by the image's path, in the order of the file; none
        for an image without an object. Crowd regions count: they show their class.

    Raises:
        DatasetError: If the file is missing or not COCO, or an annotation names an image or
            category that is not there.
    """
    coco = _parse(path)
    names = _class_names(coco, path)
    shown: dict[int, set[str]] = {image.id: set() for image in coco.images}
    for annotation in coco.annotations:
        shown[annotation.image_id].add(names[annotation.category_id])
    return {image.file_name: tuple(sorted(shown[image.id])) for image in coco.images}


def _class_names(coco: _Coco, path: Path) -> dict[int, str]:
    """Return the name of each category, once all annotations name what is there."""
    names = {category.id: category.name.replace("_", " ") for category in coco.categories}
    listed = {image.id for image in coco.images}
    for annotation in coco.annotations:
        where = f"{path}: annotation {annotation.id}"
        if annotation.image_id not in listed:
            raise DatasetError(f"{where} names image {annotation.image_id}, which is not listed.")
        if annotation.category_id not in names:
            raise DatasetError(f"{where} names category {annotation.category_id}: none such.")
    return names


def _mask_of(shape: list[list[float]] | Rle | PlainRle, size: tuple[int, int], where: str) -> Mask:
    """Return the mask of an annotation, [H, W]."""
    if not isinstance(shape, list) and shape.size != size:
        raise DatasetError(f"{where} has a mask of {shape.size}, its image is {size}.")
    try:
        return (
            polygons_to_mask(shape, size) if isinstance(shape, list) else decode_mask(whole(shape))
        )
    except ValueError as error:
        raise DatasetError(f"{where} has a mask that cannot be read: {error}.") from error


def _parse(path: Path) -> _Coco:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _Coco.model_validate(cast(object, content))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not JSON ({error}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path} is no COCO instances file: {place}: {first['msg']}.") from error
