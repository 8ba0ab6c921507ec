"""Split files: which image of a dataset belongs to train, val and test.

The shape is CoOp's: for each part a list of [path, label, class name], with paths relative to the
folder that holds the class folders (Zhou et al., "Learning to Prompt for Vision-Language Models",
IJCV 2022, https://arxiv.org/abs/2109.01134). In a multi-label dataset label and class name are
lists, which may be empty: ["1.jpg", [0, 4], ["airplane", "ship"]]. The file also records the
SHA-256 of its lists, which CoOp's reader passes over, so that a change shows.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from skycue.data.image_files import leaves_folder
from skycue.data.scenes import PARTS, Finding, Part, SceneItem, SceneSplit
from skycue.errors import SplitError
from skycue.files import write_atomically

SPLIT_FILE = "split.json"
"""Name of the split file in a dataset's folder."""


class Entry(NamedTuple):
    """One image in a split file."""

    path: str
    """Relative to the image root, with forward slashes."""
    label: int | tuple[int, ...]
    class_name: str | tuple[str, ...]

    def pairs(self) -> list[tuple[int, str]]:
        """Return each label with its class name."""
        labels = self.label if isinstance(self.label, tuple) else (self.label,)
        names = self.class_name if isinstance(self.class_name, tuple) else (self.class_name,)
        return list(zip(labels, names, strict=True))


class SplitFile(BaseModel, frozen=True):
    """What a split file holds; keys of other programs are passed over."""

    train: tuple[Entry, ...]
    val: tuple[Entry, ...]
    test: tuple[Entry, ...]
    sha256: str | None = None
    """Hash of the lists when they were written; absent in files made elsewhere."""

    def part(self, part: Part) -> tuple[Entry, ...]:
        """Return the images of one part."""
        return {"train": self.train, "val": self.val, "test": self.test}[part]

    def entries(self) -> list[Entry]:
        """Return the images of all parts."""
        return [*self.train, *self.val, *self.test]


def build_split(
    root: Path, class_names: tuple[str, ...], parts: Mapping[Part, Sequence[SceneItem]]
) -> SceneSplit:
    """Make a split of parts in any order: its items are sorted, and its hash is formed."""
    train, val, test = (
        tuple(sorted(parts[part], key=lambda item: (item.label, item.path.as_posix())))
        for part in PARTS
    )
    split = SceneSplit(root, class_names, train, val, test, sha256="")
    return replace(split, sha256=digest_of(_file_of(split)))


def write_split(split: SceneSplit, path: Path) -> None:
    """Write a split file, one image a line, atomically."""
    file = _file_of(split)
    lists = ",\n".join(f'"{part}": [\n{_lines(file.part(part))}\n]' for part in PARTS)
    write_atomically(path, f'{{"sha256": "{split.sha256}",\n{lists}}}\n')


def read_split(path: Path, root: Path, sha256: str | None = None) -> SceneSplit:
    """Read a split file of ours, or one of CoOp's shape from elsewhere.

    Args:
        path: The file.
        root: The folder that its paths are relative to: the one with the class folders.
        sha256: The hash that the split must have, such as the one in a result.

    Raises:
        SplitError: If the file is missing, malformed, changed since its hash was recorded, not the
            one asked for, or names files that are absent; all of these are named.
    """
    file = _parse(path)
    digest = digest_of(file)
    for recorded, where in ((file.sha256, "in the file"), (sha256, "in the result that uses it")):
        if recorded is not None and recorded != digest:
            raise SplitError(
                f"{path} has changed: its images hash to {digest[:12]}, but {recorded[:12]} is "
                f"recorded {where}. Restore it, or make a new one with `skycue split`."
            )
    _check_labels(path, file.entries())
    _check_paths(path, root, file.entries())
    names = dict(pair for entry in file.entries() for pair in entry.pairs())
    train, val, test = (
        tuple(SceneItem(root / entry.path, _in_order(entry.label)) for entry in file.part(part))
        for part in PARTS
    )
    return SceneSplit(
        root, tuple(names[label] for label in sorted(names)), train, val, test, digest
    )


def _in_order(label: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """Return several labels in rising order, as items have them."""
    return tuple(sorted(label)) if isinstance(label, tuple) else label


def _file_of(split: SceneSplit) -> SplitFile:
    """Return what the split's file holds."""
    train, val, test = (
        tuple(
            Entry(
                item.path.relative_to(split.root).as_posix(),
                item.label,
                tuple(split.class_names[label] for label in item.label)
                if isinstance(item.label, tuple)
                else split.class_names[item.label],
            )
            for item in items
        )
        for items in (split.train, split.val, split.test)
    )
    return SplitFile(train=train, val=val, test=test, sha256=split.sha256)


def digest_of(file: SplitFile) -> str:
    """Hash the canonical bytes of the lists: JSON, UTF-8, no blanks, parts in their order."""
    lists = {part: file.part(part) for part in PARTS}
    canonical = json.dumps(lists, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _lines(entries: Sequence[Entry]) -> str:
    """Return one JSON list a line."""
    return ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)


def _parse(path: Path) -> SplitFile:
    """Read a split file's structure."""
    try:
        return SplitFile.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise SplitError(f"no split file {path}; `skycue split` makes one.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SplitError(
            f"{path} is no split file: {place or 'content'}: {first['msg']}. Lists named train, "
            "val and test with [path, label, class name] are expected."
        ) from error


def _check_labels(path: Path, entries: Sequence[Entry]) -> None:
    """Refuse labels that are not 0 to C-1 with one class name each, and lists beside numbers."""
    if len({isinstance(entry.label, tuple) for entry in entries}) > 1:
        raise SplitError(f"{path}: some images have one label, others a list: give all a list.")
    for entry in entries:
        n_names = len(entry.class_name) if isinstance(entry.class_name, tuple) else 1
        if n_names != (len(entry.label) if isinstance(entry.label, tuple) else 1):
            raise SplitError(f"{path}: {entry.path} has not as many class names as labels.")
    names_of: dict[int, set[str]] = defaultdict(set)
    labels_of: dict[str, set[int]] = defaultdict(set)
    for entry in entries:
        for label, name in entry.pairs():
            names_of[label].add(name)
            labels_of[name].add(label)
    wrong = [f"label {k} is {', '.join(sorted(v))}" for k, v in names_of.items() if len(v) > 1]
    wrong += [f"{k} has labels {sorted(v)}" for k, v in labels_of.items() if len(v) > 1]
    if sorted(names_of) != list(range(len(names_of))):
        wrong.append(f"labels {sorted(names_of)} are not 0 to {len(names_of) - 1}")
    if wrong or not names_of:
        raise SplitError(f"{path}: {'; '.join(wrong) or 'no labelled image is listed'}.")


def _check_paths(path: Path, root: Path, entries: Sequence[Entry]) -> None:
    """Refuse paths that stand twice, leave the image root or name no file."""
    twice = [path for path, count in Counter(entry.path for entry in entries).items() if count > 1]
    outside = [e.path for e in entries if leaves_folder(e.path)]
    absent = [
        e.path for e in entries if not leaves_folder(e.path) and not (root / e.path).is_file()
    ]
    findings = [
        Finding(what, tuple(paths))
        for what, paths in (
            ("listed twice", twice),
            ("outside the dataset", outside),
            (f"absent from {root}", absent),
        )
        if paths
    ]
    if findings:
        raise SplitError(f"{path} does not fit its images: {'; '.join(map(str, findings))}.")
