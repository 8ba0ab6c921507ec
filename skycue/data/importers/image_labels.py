"""COCO instances to the classes that each image shows, and to the part of the split it is in."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from skycue.data.instances import read_image_classes
from skycue.data.scenes import Finding, Part
from skycue.errors import DatasetError


class ShownClasses(NamedTuple):
    """What some COCO files say of their images, by the paths of the images.

    Attributes:
        classes_of: Class names, in the order of the alphabet.
        part_of: The part of the split.
    """

    classes_of: dict[str, tuple[str, ...]]
    part_of: dict[str, Part]


def import_classes(train: Path, test: Path | None = None, val: Path | None = None) -> ShownClasses:
    """Read which classes images show.

    Args:
        train: COCO instances of the training images.
        test: Those of the test images.
        val: Those of the validation images, or a text file (.txt) that names training images, one a
            line, which become validation images.

    Raises:
        DatasetError: If a file is missing or not COCO, an image is in two of them, or the text file
            names what is no training image.
    """
    found = ShownClasses({}, {})
    _add(found, train, "train")
    if test is not None:
        _add(found, test, "test")
    if val is not None and val.suffix != ".txt":
        _add(found, val, "val")
    elif val is not None:
        names = _lines(val)
        others = [name for name in names if found.part_of.get(name) != "train"]
        if others:
            what = Finding(f"not among the images of {train.name}", tuple(others))
            raise DatasetError(f"{val} does not fit: {what}.")
        found.part_of.update(dict.fromkeys(names, "val"))
    return found


def _add(found: ShownClasses, path: Path, part: Part) -> None:
    """Add the images of a file, all of one part."""
    classes_of = read_image_classes(path)
    twice = tuple(name for name in classes_of if name in found.classes_of)
    if twice:
        raise DatasetError(f"{path}: {Finding('images that another file has too', twice)}.")
    found.classes_of.update(classes_of)
    found.part_of.update(dict.fromkeys(classes_of, part))


def _lines(path: Path) -> Sequence[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {path}: {error}.") from error
    return [name for line in lines if (name := line.strip())]
