"""Read the JSON files of datasets, with errors that name the file and the place."""

import json
from pathlib import Path
from typing import TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from skycue.data.regions import describe_problem
from skycue.errors import DatasetError

T = TypeVar("T")


def read_json(path: Path) -> object:
    """Read a JSON file.

    Raises:
        DatasetError: If it is missing or no JSON.
    """
    try:
        return cast(object, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not JSON ({error}).") from error


def as_layout(layout: type[T], content: object, where: str) -> T:
    """Return content that has the layout of a dataset.

    Raises:
        DatasetError: If it has not; the message names the field.
    """
    try:
        return TypeAdapter(layout).validate_python(content)
    except ValidationError as error:
        raise DatasetError(f"{where}: {describe_problem(error)}.") from error


def size_of_image(path: Path) -> tuple[int, int]:
    """Return (height, width) of an image file from its header.

    Raises:
        DatasetError: If the file is missing or no image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return (image.height, image.width)
    except (OSError, UnidentifiedImageError) as error:
        raise DatasetError(f"cannot read the size of image {path}: {error}.") from error
