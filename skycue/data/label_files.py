"""Files that say which classes each image shows, for datasets whose images show several.

Three forms, all found in a dataset's folder:

- `labels.csv`: a column `image` with paths relative to the folder of the images, and a column of 0
  and 1 for each class;
- `labels.json`: `{"path of image": ["class", ...], ...}`; its classes are put in alphabetical
  order, and an image may show none;
- a folder `labels` or `Labels` of such CSV files, one for each folder of images and named after it,
  with bare file names: the layout of MLRSNet (Qi et al., ISPRS Journal 2020,
  https://arxiv.org/abs/2010.00243).
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from pydantic import TypeAdapter, ValidationError

from skycue.data.image_files import leaves_folder
from skycue.errors import DatasetError
from skycue.files import write_atomically

LABELS_CSV = "labels.csv"
LABELS_JSON = "labels.json"
LABELS_FOLDER = "labels"
"""In lower case: MLRSNet has `Labels`."""
IMAGE_COLUMN = "image"
"""Heads the column of paths in a CSV file."""
NAMED_AT_MOST = 5
"""Wrong entries that a message names."""

_LISTS = TypeAdapter(dict[str, list[str]])


class ImageLabels(NamedTuple):
    """What a file of labels says."""

    source: Path
    """The file, or the folder of files."""
    class_names: tuple[str, ...]
    """In the order of the columns, or of the alphabet."""
    of_image: dict[str, tuple[int, ...]]
    """For the path of each image, relative to the folder of the images, the indices of the classes
    that it shows, in rising order."""


def find_labels(data: Path) -> Path | None:
    """Return the file or folder of labels in a dataset's folder, None if it has none.

    Raises:
        DatasetError: If there is more than one.
    """
    if not data.is_dir():
        return None
    found = [data / name for name in (LABELS_CSV, LABELS_JSON) if (data / name).is_file()]
    found += [
        path
        for path in sorted(data.iterdir())
        if path.name.lower() == LABELS_FOLDER and path.is_dir() and any(path.glob("*.csv"))
    ]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DatasetError(f"{data} has its labels more than once ({names}): keep one of them.")
    return found[0] if found else None


def read_labels(source: Path) -> ImageLabels:
    """Read a file of labels, or a folder of them.

    Raises:
        DatasetError: If it is malformed: no such header, a value that is not 0 or 1, an image twice
            or outside the dataset, files of other columns, fewer than two classes.
    """
    if source.is_dir():
        labels = _read_folder(source)
    else:
        labels = _read_csv(source) if source.suffix == ".csv" else _read_json(source)
    outside = [name for name in labels.of_image if leaves_folder(name)]
    if outside:
        raise DatasetError(f"{source} names images outside the dataset: {_some(outside)}.")
    if len(labels.class_names) < 2:
        raise DatasetError(
            f"{source} has {len(labels.class_names)} class: at least two are needed."
        )
    return labels


def write_labels(path: Path, classes_of: Mapping[str, Sequence[str]]) -> None:
    """Write `labels.json`, an image a line in the order given."""
    lines = ",\n".join(
        f"{json.dumps(image, ensure_ascii=False)}: {json.dumps(list(names), ensure_ascii=False)}"
        for image, names in classes_of.items()
    )
    write_atomically(path, f"{{\n{lines}\n}}\n")


def _read_folder(folder: Path) -> ImageLabels:
    """Join the CSV files of a folder; each is named after the folder that its images lie in."""
    parts = [_read_csv(path) for path in sorted(folder.glob("*.csv"))]
    first = parts[0]
    for part in parts[1:]:
        if part.class_names != first.class_names:
            raise DatasetError(
                f"{part.source} has other class columns than {first.source.name}: give all files "
                "the same header."
            )
    of_image = {
        f"{part.source.stem}/{name}": labels
        for part in parts
        for name, labels in part.of_image.items()
    }
    return ImageLabels(folder, first.class_names, of_image)


def _read_csv(path: Path) -> ImageLabels:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read {path}: {error}.") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if header[:1] != [IMAGE_COLUMN]:
        raise DatasetError(
            f"{path} has no header: its first line is to be {IMAGE_COLUMN!r} and the classes."
        )
    class_names = tuple(header[1:])
    _refuse_twice(path, class_names, "class")
    if "" in class_names:
        raise DatasetError(
            f"{path} has a class column without a name: column {header.index('') + 1}."
        )
    _refuse_twice(path, [row[0] for row in rows[1:]], "image")
    return ImageLabels(path, class_names, dict(_labels_of_rows(path, rows[1:], class_names)))


def _labels_of_rows(
    path: Path, rows: Sequence[Sequence[str]], class_names: Sequence[str]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield image and labels of each line below the header."""
    for image, *values in rows:
        if len(values) != len(class_names):
            raise DatasetError(
                f"{path}: {image} has {len(values)} values, but there are {len(class_names)} "
                "classes."
            )
        for name, value in zip(class_names, values, strict=True):
            if value.strip() not in ("0", "1"):
                raise DatasetError(f"{path}: {image} has {value!r} for {name!r}: 0 or 1 is needed.")
        yield image, tuple(k for k, value in enumerate(values) if value.strip() == "1")


def _read_json(path: Path) -> ImageLabels:
    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        _refuse_twice(path, [name for name, _ in items], "image")
        return dict(items)

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=pairs)
        classes_of = _LISTS.validate_python(cast(object, content), strict=True)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {path} as JSON: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ": ".join(map(str, first["loc"]))
        raise DatasetError(
            f"{path} is no file of labels: {place or 'content'}: {first['msg']}. It is to be "
            '{"image": ["class", ...]}.'
        ) from error
    for image, names in classes_of.items():
        _refuse_twice(path, names, f"{image}: class")
    class_names = sorted({name for names in classes_of.values() for name in names})
    place_of = {name: k for k, name in enumerate(class_names)}
    of_image = {
        image: tuple(sorted(place_of[name] for name in names))
        for image, names in classes_of.items()
    }
    return ImageLabels(path, tuple(class_names), of_image)


def _refuse_twice(path: Path, names: Sequence[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DatasetError(f"{path}: {what} stands twice: {_some(twice)}.")


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
