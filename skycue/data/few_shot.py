"""Few-shot draws and base-to-new halves: pure functions of what they are given.

A draw orders the images of a class by a hash of the seed and the image's class folder and file name
and takes the first K. So it is the same on every machine and Python version, wherever the dataset
lies, in whatever order the items come, and the draw of 4 shots is part of the draw of 16. Where
images have several labels, an image counts for each of them: a class that is often seen with others
gets more than K images, none fewer.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from skycue.data.scenes import SceneItem
from skycue.errors import ShotsError


def draw(
    items: Iterable[SceneItem], shots: int, seed: int, class_names: Sequence[str] = ()
) -> tuple[SceneItem, ...]:
    """Draw K images of each class.

    Args:
        items: Labelled images, usually the train part of a split.
        shots: K, images of each class, at least 1.
        seed: Chooses the draw.
        class_names: Names of the labels, to be told in a message; the folders' if not given.

    Returns:
        `shots` items of each label, by label and then by the order of the draw; each item once, all
        its labels with it.

    Raises:
        ShotsError: If K is below 1, or above the images of some class; all such are named.
    """
    if shots < 1:
        raise ShotsError(f"{shots} shots asked for; at least 1 image of each class is needed.")
    of_label = _by_label(items)
    if not of_label:
        raise ShotsError(f"{shots} shots asked for, but there are no images to draw from.")
    short = [
        f"{class_names[label] if class_names else _class_folder(group[0])} ({len(group)})"
        for label, group in sorted(of_label.items())
        if len(group) < shots
    ]
    if short:
        raise ShotsError(
            f"{shots} shots asked for, but {len(short)} of {len(of_label)} classes hold fewer: "
            f"{', '.join(short)}. Lower the shots or add images."
        )
    return _first_of_each(of_label, shots, seed)


def draw_at_most(items: Iterable[SceneItem], shots: int, seed: int) -> tuple[SceneItem, ...]:
    """Draw K images of each class, or all where a class has fewer; none if K is 0.

    Args:
        items: Labelled images, usually the validation part of a split.
        shots: K, at least 0.
        seed: Chooses the draw.

    Returns:
        By label and then by the order of the draw; each item once, all its labels with it.
    """
    return _first_of_each(_by_label(items), shots, seed)


def base_new(class_names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cut class names into base and new halves; of an odd number, base gets the extra one.

    Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022, section 4.1,
    https://arxiv.org/abs/2203.05557: the first half in label order is base.
    """
    half = (len(class_names) + 1) // 2
    return tuple(class_names[:half]), tuple(class_names[half:])


def _by_label(items: Iterable[SceneItem]) -> dict[int, list[SceneItem]]:
    """Return the images of each label; an image of several labels stands at each of them."""
    of_label: dict[int, list[SceneItem]] = defaultdict(list)
    for item in items:
        for label in item.labels:
            of_label[label].append(item)
    return of_label


def _first_of_each(
    of_label: Mapping[int, Sequence[SceneItem]], shots: int, seed: int
) -> tuple[SceneItem, ...]:
    """Return the first K images of each label in the order of the draw, each once."""
    drawn: dict[SceneItem, None] = {}
    for _, group in sorted(of_label.items()):
        drawn |= dict.fromkeys(sorted(group, key=lambda item: _draw_key(item, seed))[:shots])
    return tuple(drawn)


def _draw_key(item: SceneItem, seed: int) -> tuple[str, str]:
    """Return what orders an image in a draw: a hash, and the path for equal names.

    The folder of a multi-label image is no class: it may be the dataset's own, of any name.
    """
    folder = f"{_class_folder(item)}/" if isinstance(item.label, int) else ""
    name = f"{seed}/{folder}{item.path.name}"
    return hashlib.sha256(name.encode()).hexdigest(), item.path.as_posix()


def _class_folder(item: SceneItem) -> str:
    """Return the name of the folder that the image lies in."""
    return item.path.parent.name
