"""Cuts of a scene dataset into train, val and test.

A cut is made by a hash of the seed and each image's folder and file name: the same on every machine
and wherever the dataset lies. Files with the same bytes always fall into the same part.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from skycue.data.captions import CAPTIONS_FILE, read_captions
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
)
from skycue.data.split_files import SPLIT_FILE, build_split, read_split
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
    parts: dict[Part, list[SceneItem]] = {part: [] for part in PARTS}
    for units in _shuffled_classes(report, report.items, seed):
        n_items = sum(len(unit) for unit in units)
        parts["test"] += _take(units, n_items * fractions[2])
        parts["val"] += _take(units, n_items * fractions[1])
        parts["train"] += _take(units, n_items)
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
    part_of = _official_parts(path, data, report)
    parts: dict[Part, list[SceneItem]] = {part: [] for part in PARTS}
    for item in report.items:
        parts[part_of[item.path]].append(item)
    if not parts["val"]:
        official, parts["train"] = parts["train"], []
        for units in _shuffled_classes(report, official, seed):
            n_items = sum(len(unit) for unit in units)
            parts["val"] += _take(units, n_items * VAL_OF_TRAIN)
            parts["train"] += _take(units, n_items)
    split = build_split(report.root, report.class_names, parts)
    _refuse_copies_across_parts(split, report)
    return split


def load_split(data: Path, seed: int = 1) -> SceneSplit:
    """Return the split of a dataset's folder, after all its images are checked.

    That is its `split.json`; else the official split of its `captions.jsonl`, if that records one;
    else the default cut. A seed gives the same split at each call, and what was chosen is logged.

    Raises:
        DatasetError: If something is wrong with the folder or its images.
        SplitError: If the split file cannot be used.
    """
    path, captions = data / SPLIT_FILE, data / CAPTIONS_FILE
    if path.is_file():
        split = read_split(path, image_root(data))
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


def _shuffled_classes(
    report: FolderReport, items: Iterable[SceneItem], seed: int
) -> list[list[list[SceneItem]]]:
    """Order the images of each class by a hash; files with the same bytes stay together."""
    digest_of = {check.path: check.sha256 for check in report.checks}
    units: dict[int, dict[str, list[SceneItem]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        units[item.label][digest_of[item.path]].append(item)
    return [
        sorted(units[label].values(), key=lambda unit: _shuffle_key(unit[0], seed))
        for label in sorted(units)
    ]


def _shuffle_key(item: SceneItem, seed: int) -> str:
    """Return what orders an image within its class: the same wherever the dataset lies."""
    name = f"{seed}/{item.path.parent.name}/{item.path.name}"
    return hashlib.sha256(name.encode()).hexdigest()


def _take(units: list[list[SceneItem]], wanted: float) -> list[SceneItem]:
    """Move images from the front of `units` until `wanted`, rounded half up, are taken."""
    taken: list[SceneItem] = []
    while units and len(taken) < int(wanted + 0.5):
        taken += units.pop(0)
    return taken


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
    held = {item.label for item in split.part(part)}
    missing = tuple(name for label, name in enumerate(split.class_names) if label not in held)
    if not missing:
        return
    finding = Finding(f"classes without a {part} image", missing)
    if part == "train":
        raise SplitError(f"{split.root}: {finding}. Add images or lower the other fractions.")
    logger.warning("%s: %d x %s", split.root, len(missing), finding)
