"""Rendered images as files: PNG or GeoTIFF, and one COCO instances file for a set of them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from skycue.data.instances import Instance
from skycue.data.renderer.instance_scenes import CLASS_NAMES, RenderedImage, render
from skycue.data.renderer.sensors import TEST_SENSORS, sensor_of
from skycue.data.rle import encode_mask
from skycue.errors import OutputExistsError
from skycue.files import write_atomically

IMAGES = "images"
"""The folder of the images, inside that of a set."""
INSTANCES = "instances.json"
"""The COCO file, beside it; its file names are relative to the folder of the images."""
ORIGIN = (450_000.0, 5_410_000.0)
"""Easting and northing of the upper left corner of the first georeferenced image, in metres."""
TRAIN, TEST = "train", "test"
"""Names for all sensors of training, and for all that no training sees."""

Point = tuple[float, float]


class RenderedSet(NamedTuple):
    """What was written.

    Attributes:
        folder: Where.
        images: How many.
        instances: Objects on them.
        classes: Objects of each class.
        sensors: Images of each sensor.
        layouts: Images of each kind of place.
    """

    folder: str
    images: int
    instances: int
    classes: dict[str, int]
    sensors: dict[str, int]
    layouts: dict[str, int]


def write_rendered(
    folder: Path, image: RenderedImage, *, crs: str | None = None, origin: Point = ORIGIN
) -> Path:
    """Write an image as SEED.png, or with a CRS as the GeoTIFF SEED.tif.

    Args:
        folder: An existing folder.
        image: What to write.
        crs: A projected CRS in metres, such as "EPSG:32631"; its pixels are `gsd_m` metres.
        origin: Easting and northing of the upper left corner, where `crs` is given.

    Returns:
        The file.

    Raises:
        GeoError: If the CRS is unknown or not in metres.
    """
    if crs is None:
        path = folder / f"{image.seed:06d}.png"
        Image.fromarray(np.ascontiguousarray(image.pixels.transpose(1, 2, 0))).save(path)
        return path
    from skycue.geo.georeference import GeoReference
    from skycue.geo.write_raster import check_metric_crs, write_raster

    check_metric_crs(crs)
    path = folder / f"{image.seed:06d}.tif"
    transform = (image.gsd_m, 0.0, origin[0], 0.0, -image.gsd_m, origin[1])
    write_raster(path, image.pixels, GeoReference(crs, transform))
    return path


def render_set(count: int, *, seed: int, size: int, sensors: str) -> Iterator[RenderedImage]:
    """Draw `count` images from `seed` on.

    Args:
        count: How many.
        seed: That of the first; each further one adds 1.
        size: Pixels along each side.
        sensors: "train", "test", or the name of one sensor.

    Raises:
        DatasetError: If no sensor has that name.
    """
    if sensors not in (TRAIN, TEST):
        sensor_of(sensors)
    return (
        render(number, size=size, sensor=_sensor_for(number, sensors))
        for number in range(seed, seed + count)
    )


def write_set(
    folder: Path, images: Iterable[RenderedImage], *, crs: str | None = None, force: bool = False
) -> RenderedSet:
    """Write images and the COCO file of their objects; with a CRS they lie side by side.

    Raises:
        OutputExistsError: If `folder` holds something and `force` is not given.
        GeoError: If the CRS is unknown or not in metres.
    """
    if folder.exists() and any(folder.iterdir()) and not force:
        raise OutputExistsError(f"{folder} is not empty; choose another folder or give --force")
    if crs is not None:
        from skycue.geo.write_raster import check_metric_crs

        check_metric_crs(crs)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    counts: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    east, north = ORIGIN
    for image in images:
        path = write_rendered(folder / IMAGES, image, crs=crs, origin=(east, north))
        height, width = image.pixels.shape[1:]
        east += width * image.gsd_m
        entry = {"id": len(entries) + 1, "file_name": path.name, "width": width, "height": height}
        facts = {"sensor": image.sensor.name, "gsd_m": image.gsd_m, "layout": image.layout}
        entries.append({**entry, **facts})
        for instance in image.instances:
            known = {"id": len(annotations) + 1, "image_id": len(entries)}
            annotations.append({**known, **_annotation(instance, (height, width))})
        for counter, names in zip(counts, _names(image), strict=True):
            counter.update(names)
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASS_NAMES, 1)]
    coco = {"images": entries, "annotations": annotations, "categories": categories}
    write_atomically(folder / INSTANCES, json.dumps(coco))
    classes, sensors, layouts = (dict(sorted(counter.items())) for counter in counts)
    return RenderedSet(str(folder), len(entries), len(annotations), classes, sensors, layouts)


def _sensor_for(number: int, sensors: str) -> str | None:
    """Return the sensor of an image: those of the test take turns, those of training are drawn."""
    if sensors == TEST:
        return TEST_SENSORS[number % len(TEST_SENSORS)]
    return None if sensors == TRAIN else sensors


def _annotation(instance: Instance, size: tuple[int, int]) -> dict[str, object]:
    """Return COCO's entry of an object, but for its ids."""
    (x, y), (height, width) = instance.corner, instance.crop.shape
    rle = encode_mask(instance.mask(size))
    return {
        "category_id": CLASS_NAMES.index(instance.class_name) + 1,
        "bbox": [x, y, width, height],
        "area": instance.area,
        "iscrowd": 0,
        "segmentation": {"size": list(rle.size), "counts": rle.counts},
    }


def _names(image: RenderedImage) -> tuple[list[str], list[str], list[str]]:
    """Return the classes of an image's objects, its sensor, and its kind of place."""
    return [x.class_name for x in image.instances], [image.sensor.name], [image.layout]
