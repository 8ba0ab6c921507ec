"""A scene dataset: a folder of images for each class, or images with a file of their labels.

The class folders lie in the dataset's folder or in its `images/`. Where a file of labels lies there
(`label_files.py`), an image has the labels that the file says, several or one, whatever folder it
is in: the dataset is multi-label. Everything that is wrong is found before anything else happens,
and named at once.
"""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from skycue.data.images import CONVERTED_MODES, IMAGE_SUFFIXES, ImageCheck, check_image
from skycue.data.label_files import ImageLabels, find_labels, read_labels
from skycue.errors import DatasetError

logger = logging.getLogger(__name__)

Part = Literal["train", "val", "test"]
"""The three parts of a split: what is learned from, chosen by, and measured on."""

PARTS: tuple[Part, ...] = ("train", "val", "test")

IGNORED_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""Files that desktops leave in folders, passed over like those whose name starts with a dot."""

NAMED_AT_MOST = 20
"""Files that an error line or a log line names before it points to `skycue data check`."""


class SceneItem(NamedTuple):
    """One labelled image."""

    path: Path
    """The file, ready to be opened: the image root joined with the path in the split."""
    label: int | tuple[int, ...]
    """Index into the class names that the items came with; in a multi-label dataset the indices of
    all classes that the image shows, in rising order, and there may be none."""

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels of the image."""
        return self.label if isinstance(self.label, tuple) else (self.label,)

    @property
    def only_label(self) -> int:
        """The label of an image of a dataset that is not multi-label."""
        assert isinstance(self.label, int), f"{self.path} is of a multi-label dataset"
        return self.label


def is_multi_label(items: Iterable[SceneItem]) -> bool:
    """Say whether images are of a multi-label dataset; without any image they are not."""
    return any(isinstance(item.label, tuple) for item in items)


@dataclass(frozen=True)
class SceneSplit:
    """A dataset cut into three parts that share no image."""

    root: Path
    """The folder that paths are relative to: the one that holds the class folders."""
    class_names: tuple[str, ...]
    """Names as the folders say, in label order; `clean_class_name` makes prompts of them."""
    train: tuple[SceneItem, ...]
    val: tuple[SceneItem, ...]
    test: tuple[SceneItem, ...]
    sha256: str
    """Of the split's canonical bytes, in hexadecimal: the same for equal splits on any machine."""

    def part(self, part: Part) -> tuple[SceneItem, ...]:
        """Return the images of one part."""
        return {"train": self.train, "val": self.val, "test": self.test}[part]

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return is_multi_label((*self.train, *self.val, *self.test))


class Finding(NamedTuple):
    """Something to say about files of a dataset."""

    what: str
    """The problem or remark, such as "empty class"."""
    names: tuple[str, ...]
    """Paths relative to the image root, or class names."""

    def __str__(self) -> str:
        """Put the finding on one line, with at most `NAMED_AT_MOST` names."""
        rest = len(self.names) - NAMED_AT_MOST
        more = f" and {rest} more" if rest > 0 else ""
        return f"{self.what}: {', '.join(self.names[:NAMED_AT_MOST])}{more}"


@dataclass(frozen=True)
class FolderReport:
    """What was found in a dataset's folder."""

    root: Path
    """The folder that holds the class folders."""
    class_names: tuple[str, ...]
    items: tuple[SceneItem, ...]
    """All images in the order of class name, then file name."""
    checks: tuple[ImageCheck, ...]
    """One for each item."""
    problems: tuple[Finding, ...]
    """What forbids to use the folder."""
    remarks: tuple[Finding, ...]
    """What is survived: conversions, mixed sizes, files passed over, copies within a class."""

    def require_sound(self) -> None:
        """Log the remarks, each with its count.

        Raises:
            DatasetError: If there are problems; all of them are named in one line.
        """
        if self.problems:
            text = "; ".join(str(problem) for problem in self.problems)
            raise DatasetError(
                f"{self.root} cannot be used: {text}. `skycue data check` on the dataset's folder "
                "lists all."
            )
        for remark in self.remarks:
            logger.warning("%s: %d x %s", self.root, len(remark.names), remark)


def image_root(data: Path) -> Path:
    """Return the folder that paths are relative to.

    With class folders: `data/images` if it has folders, else `data`. With a file of labels: the
    folder `images` or `Images` in `data` if there is one, else `data`.

    Raises:
        DatasetError: If there is no such folder, or class folders lie in both places.
    """
    if not data.is_dir():
        raise DatasetError(f"no folder {data}; a dataset is a folder with one folder per class.")
    if find_labels(data) is not None:
        return next((folder for folder in _folders(data) if folder.name.lower() == "images"), data)
    images = data / "images"
    if not images.is_dir() or not _folders(images):
        return data
    beside = [f.name for f in _folders(data) if f != images and any(map(_is_image, f.iterdir()))]
    if beside:
        raise DatasetError(
            f"{data} has class folders both in images/ and beside it ({', '.join(beside)}); "
            "move them into one place."
        )
    return images


def check_folder(data: Path, decode: bool = False) -> FolderReport:
    """Look at every file of a dataset and report all that is wrong or worth knowing.

    Ten thousand tiles take a few seconds: files are hashed, and decoded only where a header or a
    missing end marker asks for it.

    Args:
        data: A dataset's folder.
        decode: Decode every image in full.

    Raises:
        DatasetError: If the folder itself is missing or ambiguous, or its file of labels is
            malformed.
    """
    root = image_root(data)
    if labels := find_labels(data):
        return _check_labelled(root, read_labels(labels), decode)
    folders = _folders(root)
    items: list[SceneItem] = []
    empty: list[str] = []
    nested: list[str] = []
    passed_over = [path.name for path in _files(root)]
    for label, folder in enumerate(folders):
        files = _files(folder)
        images = [path for path in files if _is_image(path)]
        items += [SceneItem(path, label) for path in images]
        passed_over += [_relative(path, root) for path in files if not _is_image(path)]
        nested += [_relative(path, root) for path in _folders(folder)]
        if not images:
            empty.append(folder.name)
    problems = [
        Finding("class folder without an image", tuple(empty)),
        Finding("folder inside a class folder", tuple(nested)),
    ]
    if len(folders) < 2:
        problems.insert(0, Finding("fewer than two class folders", (f"{len(folders)} found",)))
    ignored = Finding("passed over, not an image in a class folder", tuple(passed_over))
    report = check_items(root, [folder.name for folder in folders], items, decode)
    return replace(
        report,
        problems=(*(finding for finding in problems if finding.names), *report.problems),
        remarks=(*([ignored] if passed_over else []), *report.remarks),
    )


def check_items(
    root: Path, class_names: Sequence[str], items: Sequence[SceneItem], decode: bool = False
) -> FolderReport:
    """Look at the files of the given items; see `check_folder`."""
    checks = check_images([item.path for item in items], decode)
    return FolderReport(
        root=root,
        class_names=tuple(class_names),
        items=tuple(items),
        checks=checks,
        problems=tuple(finding for finding in _problems(root, items, checks) if finding.names),
        remarks=tuple(finding for finding in _remarks(root, items, checks) if finding.names),
    )


def scan_folder(data: Path) -> tuple[tuple[str, ...], tuple[SceneItem, ...]]:
    """Return the class names and all images of a dataset, both in sorted order.

    Raises:
        DatasetError: Naming, at once, every unreadable, empty, non-RGB, 16-bit or odd-sized image,
            empty class and file that stands in two classes.
    """
    report = check_folder(data)
    report.require_sound()
    return report.class_names, report.items


def relabel(
    items: Iterable[SceneItem], class_names: Sequence[str], new_labels: Mapping[str, int]
) -> tuple[SceneItem, ...]:
    """Keep the items of some classes and give them new labels, as base-to-new and domain shift do.

    An image of a multi-label dataset is kept if it shows one of the classes; of its labels, those
    that are kept stay.

    Args:
        items: Items whose labels index into `class_names`.
        class_names: Raw class names of the items.
        new_labels: New label of each raw class name to keep; several names may share one.

    Raises:
        DatasetError: If a name to keep is not among `class_names`.
    """
    unknown = sorted(set(new_labels) - set(class_names))
    if unknown:
        raise DatasetError(
            f"no class {', '.join(unknown)} here; the classes are {', '.join(class_names)}."
        )
    kept = []
    for item in items:
        new = sorted({new_labels[n] for k in item.labels if (n := class_names[k]) in new_labels})
        if new:
            kept.append(
                SceneItem(item.path, tuple(new) if isinstance(item.label, tuple) else new[0])
            )
    return tuple(kept)


def check_images(paths: Sequence[Path], decode: bool = False) -> tuple[ImageCheck, ...]:
    """Check many image files in threads; the answers come in the order of the paths."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return tuple(pool.map(lambda path: check_image(path, decode), paths))


def copies(checks: Iterable[ImageCheck]) -> list[list[Path]]:
    """Return groups of two or more files with the same bytes, in the order they were given."""
    paths_of: dict[str, list[Path]] = defaultdict(list)
    for check in checks:
        if check.sha256:
            paths_of[check.sha256].append(check.path)
    return [paths for paths in paths_of.values() if len(paths) > 1]


def equal_paths(paths: Sequence[Path], root: Path) -> str:
    """Name files with the same bytes: "a/1.jpg = a/2.jpg"."""
    return " = ".join(_relative(path, root) for path in paths)


def _check_labelled(root: Path, labels: ImageLabels, decode: bool) -> FolderReport:
    """Look at the images that a file of labels names, and for images that it leaves out."""
    named = {name: root / name for name in sorted(labels.of_image)}
    items = [
        SceneItem(path, labels.of_image[name]) for name, path in named.items() if path.is_file()
    ]
    absent = tuple(name for name, path in named.items() if not path.is_file())
    shown = {label for item in items for label in item.labels}
    never = tuple(name for k, name in enumerate(labels.class_names) if k not in shown)
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and _is_image(path))
    unlabelled = (_relative(path, root) for path in found)
    left_out = tuple(name for name in unlabelled if name not in named)
    report = check_items(root, labels.class_names, items, decode)
    problems = (
        Finding(f"in {labels.source.name} but not in {root}", absent),
        Finding("class that no image shows", never),
    )
    remark = Finding(f"passed over, not in {labels.source.name}", left_out)
    return replace(
        report,
        problems=(*(finding for finding in problems if finding.names), *report.problems),
        remarks=(*([remark] if left_out else []), *report.remarks),
    )


def _problems(
    root: Path, items: Sequence[SceneItem], checks: Sequence[ImageCheck]
) -> list[Finding]:
    """Collect why files are refused, files of one problem together."""
    label_of = {item.path: item.label for item in items}
    names_of: dict[str, list[str]] = defaultdict(list)
    for check in checks:
        if check.problem is not None:
            names_of[check.problem].append(_relative(check.path, root))
    for group in copies(check for check in checks if check.problem is None):
        if len({label_of[path] for path in group}) > 1:
            names_of["same bytes in two classes"].append(equal_paths(group, root))
    return [Finding(what, tuple(names)) for what, names in names_of.items()]


def _remarks(root: Path, items: Sequence[SceneItem], checks: Sequence[ImageCheck]) -> list[Finding]:
    """Collect what is survived but must not stay unsaid."""
    label_of = {item.path: item.label for item in items}
    sound = [check for check in checks if check.problem is None]
    remarks = []
    for mode in CONVERTED_MODES:
        converted = tuple(_relative(check.path, root) for check in sound if check.mode == mode)
        remarks.append(Finding(f"mode {mode}, converted to RGB", converted))
    if sound:
        (usual, n_usual), *_ = Counter(check.size for check in sound).most_common(1)
        if 2 * n_usual > len(sound):  # else images of any size are what is usual
            odd = tuple(_relative(check.path, root) for check in sound if check.size != usual)
            remarks.append(Finding(f"size other than the usual {usual[0]} x {usual[1]}", odd))
    within = [group for group in copies(sound) if len({label_of[path] for path in group}) == 1]
    copied = tuple(equal_paths(group, root) for group in within)
    remarks.append(Finding("same bytes within a class", copied))
    return remarks


def _folders(folder: Path) -> list[Path]:
    """Return the visible folders inside a folder, sorted by name."""
    paths = [path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path)]
    return sorted(paths, key=lambda path: path.name)  # paths sort otherwise on Windows


def _files(folder: Path) -> list[Path]:
    """Return the visible files inside a folder, sorted by name."""
    paths = [path for path in folder.iterdir() if path.is_file() and not _is_hidden(path)]
    return sorted(paths, key=lambda path: path.name)


def _is_hidden(path: Path) -> bool:
    """Say whether a file or folder belongs to the desktop and not to the dataset."""
    return path.name.startswith(".") or path.name.lower() in IGNORED_FILES


def _is_image(path: Path) -> bool:
    """Say whether a file's name marks an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def _relative(path: Path, root: Path) -> str:
    """Return a path relative to the image root, with forward slashes."""
    return path.relative_to(root).as_posix()
