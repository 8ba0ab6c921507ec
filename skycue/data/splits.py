"""Cuts of a scene dataset into train, val and test.

A cut is made by a hash of the seed and each image's folder and file name: the same on every machine
and wherever the dataset lies. Files with the same bytes always fall into the same part. Where
images have several labels the cut is an iterative stratification (`stratification.py`).
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from skycue.data.captions import CAPTIONS_FILE, read_captions
from skycue.data.label_files import find_labels, read_labels
from skycue.data.scenes import (
    PARTS,
    Finding,
    FolderReport,
    Part,
    SceneItem,
    SceneSplit,
    check_folder,
    check_items,
    copies,
    equal_paths,
    image_root,
    is_multi_label,
)
from skycue.data.split_files import SPLIT_FILE, build_split, read_split
from skycue.data.stratification import stratify
from skycue.errors import SplitError

logger = logging.getLogger(__name__)

FRACTIONS = (0.49, 0.21, 0.30)
"""Train, val and test as APPLeNet's published split files cut: 70/30, and 70/30 again."""

VAL_OF_TRAIN = 0.1
"""Part of an official train split that becomes val."""


def make_split(
    data: Path, seed: int = 1, fractions: tuple[float, float, float] = FRACTIONS
) -> SceneSplit:
    """Cut each class into train, val and test by a hash of the seed and the file name.

    Where images have several labels, each class is cut as nearly so as they allow.

    Args:
        data: A dataset's folder.
        seed: Chooses the cut.
        fractions: Parts of each class that go to train, val and test; they add up to 1.

    Raises:
        DatasetError: If something is wrong with the folder or its images.
        SplitError: If the fractions make no sense, or leave a class without a training image.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        given = ", ".join(f"{fraction:g}" for fraction in fractions)
        raise SplitError(
            f"fractions {given}: three numbers from 0 to 1 that add up to 1 are needed."
        )
    report = check_folder(data)
    report.require_sound()
    parts = _cut(report, report.items, fractions, seed)
    split = build_split(report.root, report.class_names, parts)
    for part, fraction in zip(PARTS, fractions, strict=True):
        if fraction > 0:
            _notice_missing_classes(split, part)
    return split


def split_from_captions(
    data: Path, seed: int = 1, captions: Path = Path(CAPTIONS_FILE)
) -> SceneSplit:
    """Take the official split that a captions file records; val is cut from train by the seed.

    Args:
        data: A dataset's folder.
        seed: Chooses which tenth of each class's training images becomes val, if the file names
            no val images itself.
        captions: The file, in `data` or anywhere else.

    Raises:
        CaptionError: If the file is missing or malformed.
        DatasetError: If something is wrong with the folder or its images.
        SplitError: If images and records do not match one to one, or a record names no part.
    """
    path = captions if captions.is_file() else data / captions
    report = check_folder(data)
    report.require_sound()
    return _official_split(report, _official_parts(path, data, report), seed)


def split_from_names(data: Path, part_of: Mapping[str, Part], seed: int = 1) -> SceneSplit:
    """Take a split that says of each image by its path which part it is in.

    Args:
        data: A dataset's folder.
        part_of: Part of each image, by its path relative to the folder of the images; if none is
            in val, val is cut from train.
        seed: Of that cut.

    Raises:
        DatasetError: If something is wrong with the folder or its images.
        SplitError: If an image has no part, or a copy in another part.
    """
    report = check_folder(data)
    report.require_sound()
    names = {item.path: item.path.relative_to(report.root).as_posix() for item in report.items}
    partless = tuple(name for name in names.values() if name not in part_of)
    if partless:
        raise SplitError(f"{data}: {Finding('images without a part of the split', partless)}.")
    return _official_split(report, {path: part_of[name] for path, name in names.items()}, seed)


def load_split(data: Path, seed: int = 1) -> SceneSplit:
    """Return the split of a dataset's folder, after all its images are checked.

    That is its `split.json`; else the official split of its `captions.jsonl`, if that records one;
    else the default cut. A seed gives the same split at each call, and what was chosen is logged.
    It is multi-label where the folder has a file of labels.

    Raises:
        DatasetError: If something is wrong with the folder or its images.
        SplitError: If the split file cannot be used, or says other labels than the file of labels.
    """
    path, captions = data / SPLIT_FILE, data / CAPTIONS_FILE
    if path.is_file():
        split = read_split(path, image_root(data))
        _refuse_other_labels(split, path, data)
        report = check_items(split.root, split.class_names, [*split.train, *split.val, *split.test])
        report.require_sound()
        _refuse_copies_across_parts(split, report)
        source = str(path)
    elif captions.is_file() and any(record.split for record in read_captions(captions)):
        split = split_from_captions(data, seed)
        source = f"official split of {captions}, val cut from train with seed {seed}"
    else:
        split = make_split(data, seed)
        source = f"default cut of {data} with seed {seed}"
    logger.info(
        "%s: %d train, %d val, %d test images, sha256 %s",
        *(source, len(split.train), len(split.val), len(split.test), split.sha256[:12]),
    )
    return split


def _cut(
    report: FolderReport,
    items: Sequence[SceneItem],
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[Part, list[SceneItem]]:
    """Cut items by fractions for train, val and test."""
    parts: dict[Part, list[SceneItem]] = {part: [] for part in PARTS}
    if is_multi_label(items):
        units = _shuffled_units(report, items, seed)
        chosen = stratify([unit[0].labels for unit in units], [len(u) for u in units], fractions)
        for unit, place in zip(units, chosen, strict=True):
            parts[PARTS[place]] += unit
        return parts
    of_class: dict[int, list[SceneItem]] = defaultdict(list)
    for item in items:
        of_class[item.only_label].append(item)
    for _, of_label in sorted(of_class.items()):
        units = _shuffled_units(report, of_label, seed)
        parts["test"] += _take(units, len(of_label) * fractions[2])
        parts["val"] += _take(units, len(of_label) * fractions[1])
        parts["train"] += _take(units, len(of_label))
    return parts


def _shuffled_units(
    report: FolderReport, items: Iterable[SceneItem], seed: int
) -> list[list[SceneItem]]:
    """Order images by a hash; files with the same bytes stay together."""
    digest_of = {check.path: check.sha256 for check in report.checks}
    units: dict[str, list[SceneItem]] = defaultdict(list)
    for item in items:
        units[digest_of[item.path]].append(item)
    return sorted(units.values(), key=lambda unit: _shuffle_key(unit[0], report.root, seed))


def _shuffle_key(item: SceneItem, root: Path, seed: int) -> str:
    """Return what orders an image: the same wherever the dataset lies."""
    name = f"{seed}/{item.path.relative_to(root).as_posix()}"
    return hashlib.sha256(name.encode()).hexdigest()


def _take(units: list[list[SceneItem]], wanted: float) -> list[SceneItem]:
    """Move images from the front of `units` until `wanted`, rounded half up, are taken."""
    taken: list[SceneItem] = []
    while units and len(taken) < int(wanted + 0.5):
        taken += units.pop(0)
    return taken


def _official_split(report: FolderReport, part_of: Mapping[Path, Part], seed: int) -> SceneSplit:
    """Build a split that was given; val is cut from train if it has none."""
    parts: dict[Part, list[SceneItem]] = {part: [] for part in PARTS}
    for item in report.items:
        parts[part_of[item.path]].append(item)
    if not parts["val"]:
        fractions = (1 - VAL_OF_TRAIN, VAL_OF_TRAIN, 0.0)
        parts |= _cut(report, parts["train"], fractions, seed) | {"test": parts["test"]}
    split = build_split(report.root, report.class_names, parts)
    _refuse_copies_across_parts(split, report)
    return split


def _official_parts(path: Path, data: Path, report: FolderReport) -> Mapping[Path, Part]:
    """Return the part of each image by the records of a captions file."""
    part_of: dict[Path, Part] = {}
    partless: list[str] = []
    for record in read_captions(path):
        if record.split is None:
            partless.append(record.image)
        else:
            part_of[data / record.image] = record.split
    images = {item.path for item in report.items}
    absent = [image.relative_to(data).as_posix() for image in sorted(part_of.keys() - images)]
    unrecorded = [image.relative_to(data).as_posix() for image in sorted(images - part_of.keys())]
    findings = [
        Finding(what, tuple(names))
        for what, names in (
            ("records that name no split", partless),
            ("recorded but not in a class folder", absent),
            ("images without a recorded split", unrecorded),
        )
        if names
    ]
    if findings:
        raise SplitError(f"{path} gives no split of {data}: {'; '.join(map(str, findings))}.")
    return part_of


def _refuse_other_labels(split: SceneSplit, path: Path, data: Path) -> None:
    """Refuse a split file that was made before the labels changed."""
    source = find_labels(data)
    if source is None:
        return
    labels = read_labels(source)
    of_image = {split.root / image: found for image, found in labels.of_image.items()}
    items = [item for part in PARTS for item in split.part(part)]
    changed = [item.path for item in items if of_image.get(item.path) != item.label]
    if changed or split.class_names != labels.class_names:
        what = f"the labels of {changed[0].name}" if changed else "its classes"
        raise SplitError(
            f"{path} does not fit {source.name}: {what} differ. Make a new one with `skycue split`."
        )


def _refuse_copies_across_parts(split: SceneSplit, report: FolderReport) -> None:
    """Refuse files with the same bytes in two parts: a test image would be a training image."""
    part_of = {item.path: part for part in PARTS for item in split.part(part)}
    across = tuple(
        equal_paths(group, split.root)
        for group in copies(report.checks)
        if len({part_of[path] for path in group}) > 1
    )
    if across:
        finding = Finding("same bytes in two parts of the split", across)
        raise SplitError(f"{split.root}: {finding}. Remove one of each.")


def _notice_missing_classes(split: SceneSplit, part: Part) -> None:
    """Log or refuse classes of which a part holds no image.

    Raises:
        SplitError: If it is the training part.
    """
    held = {label for item in split.part(part) for label in item.labels}
    missing = tuple(name for label, name in enumerate(split.class_names) if label not in held)
    if not missing:
        return
    finding = Finding(f"classes without a {part} image", missing)
    if part == "train":
        raise SplitError(f"{split.root}: {finding}. Add images or lower the other fractions.")
    logger.warning("%s: %d x %s", split.root, len(missing), finding)
