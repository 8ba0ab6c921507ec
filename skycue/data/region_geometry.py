"""What objects are to each other: neighbours, sides, gaps, containment, rows, sizes, grid cells.

Rule-written captions say what holds with a margin; a caption is judged without it. So each rule has
a bar for saying and a lower one for judging (`Bars`), and what is said is always judged true.
Gaps, containment, rows, sizes and what is all around are told by outlines: the boxes of slanted
objects overlap where the objects are far apart. Neighbours, sides and cells are told by boxes,
whose extents along the axes are the outlines' own.
"""

import itertools
import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from skycue.boxes import Box
from skycue.data.instances import Instance, InstanceImage
from skycue.data.mask_geometry import breadth_of, gap_between, middle_of, share_within

Side = Literal["left of", "right of", "above", "below"]
"""Where a subject is, as seen from an object."""
SizeWord = Literal["large", "small"]

WINDOW_HALF_SIDE = 2.5
"""Neighbours are objects whose centre lies in a square around the subject's centre, whose half side
is this many times the subject's longer side: the wide window that the network looks at."""
LEAST_NEIGHBOUR = 0.15
"""Objects whose longer side is below this share of the subject's are too small to be seen there."""
LEAST_KIND = 3
"""Sizes are told among at least this many objects of a kind in the image."""
LEAST_SURROUNDING = 3
"""Objects that it takes to be among them."""
LEAST_ROW = 2
"""Neighbours that it takes to be in a row with them."""
CONTAINER_AREA = 1.5
"""The box of an object that holds another is at least this many times as large."""
CELLS = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the middle", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)
"""Names of the cells of a 3 x 3 grid of the image, by the centre of the box."""
PLACES = tuple(place for row in CELLS for place in row)
"""The same names, row by row."""


class Bars(NamedTuple):
    """How clear a rule's case must be.

    Attributes:
        side_ratio: Offset of the centres along the axis, over the offset across it, at least.
        side_overlap: Overlap along the axis, as a share of the smaller extent, at most.
        gap: Between objects next to each other, over the smaller one's longer side, at most.
        covered: Share of an object that lies within its container, at least.
        bearing_gap: Widest angle without a neighbour around the subject, in degrees, at most.
        row_offset: From the line of a row, over the median of the breadths, at most.
        size_ratio: Of the area to the median of the kind, or the inverse, at least.
    """

    side_ratio: float
    side_overlap: float
    gap: float
    covered: float
    bearing_gap: float
    row_offset: float
    size_ratio: float


SAID = Bars(1.5, 0.25, 0.4, 0.9, 160.0, 0.35, 1.5)
"""For writing a caption."""
JUDGED = Bars(1.0, 1.0, 0.6, 0.75, 180.0, 0.5, 1.25)
"""For judging one."""


class Layout(NamedTuple):
    """The objects of an image, each with its box and its class, in the order of the image."""

    size: tuple[int, int]
    instances: tuple[Instance, ...]
    boxes: tuple[Box, ...]
    class_names: tuple[str, ...]


def layout_of(image: InstanceImage) -> Layout:
    """Take the objects of an image with their boxes and classes."""
    boxes = tuple(instance.box for instance in image.instances)
    class_names = tuple(instance.class_name for instance in image.instances)
    return Layout(image.size, image.instances, boxes, class_names)


def neighbours_of(boxes: Sequence[Box], index: int) -> list[int]:
    """Return the neighbours of a box in its window, nearest centre first."""
    subject = boxes[index]
    longer = longer_side(subject)
    reach, least = WINDOW_HALF_SIDE * longer, LEAST_NEIGHBOUR * longer
    found: list[tuple[float, int]] = []
    for other, box in enumerate(boxes):
        dx, dy = offset(subject, box)
        if other == index or max(abs(dx), abs(dy)) > reach or longer_side(box) < least:
            continue
        found.append((math.hypot(dx, dy), other))
    return [other for _, other in sorted(found)]


def offset(subject: Box, target: Box) -> tuple[float, float]:
    """Return how far the target's centre is to the right of and below the subject's, in pixels."""
    return (
        (target[0] + target[2] - subject[0] - subject[2]) / 2,
        (target[1] + target[3] - subject[1] - subject[3]) / 2,
    )


def longer_side(box: Box) -> float:
    """Return the longer of width and height."""
    return max(box[2] - box[0], box[3] - box[1])


def side_of(subject: Box, target: Box, bars: Bars) -> Side | None:
    """Return on which side of the target the subject is; None where it is not clear."""
    dx, dy = offset(subject, target)
    axis = 0 if abs(dx) >= abs(dy) else 1
    along, across = (dx, dy) if axis == 0 else (dy, dx)
    if along == 0 or abs(along) < bars.side_ratio * abs(across):
        return None
    overlap = min(subject[axis + 2], target[axis + 2]) - max(subject[axis], target[axis])
    extent = min(subject[axis + 2] - subject[axis], target[axis + 2] - target[axis])
    if overlap > bars.side_overlap * extent:
        return None
    if axis == 0:
        return "left of" if along > 0 else "right of"
    return "above" if along > 0 else "below"


def is_next_to(first: Instance, second: Instance, bars: Bars) -> bool:
    """Tell whether the gap between two objects is small; touching ones have none."""
    most = bars.gap * min(longer_side(first.box), longer_side(second.box))
    # The gap between the boxes is never the larger one, and is quickly told.
    return _box_gap(first.box, second.box) <= most and gap_between(first, second) <= most


def is_inside(inner: Instance, outer: Instance, bars: Bars) -> bool:
    """Tell whether a larger object holds nearly all of another."""
    if _box_gap(inner.box, outer.box) > 0 or _area(outer.box) < CONTAINER_AREA * _area(inner.box):
        return False
    return share_within(inner, outer) >= bars.covered


def is_among(subject: Instance, group: Sequence[Instance], bars: Bars) -> bool:
    """Tell whether a group's middles lie all around the subject's."""
    if len(group) < LEAST_SURROUNDING:
        return False
    x, y = middle_of(subject)
    middles = (middle_of(each) for each in group)
    bearings = sorted(math.degrees(math.atan2(its_y - y, its_x - x)) for its_x, its_y in middles)
    gaps = [after - before for before, after in itertools.pairwise(bearings)]
    gaps.append(bearings[0] + 360 - bearings[-1])
    return max(gaps) <= bars.bearing_gap


def is_in_row(subject: Instance, group: Sequence[Instance], bars: Bars) -> bool:
    """Tell whether the middles of the subject and its group lie on one line.

    The line is the first principal axis of the middles. It must be longer than the row is wide for
    each object to have its own place on it: neighbours along it are half a breadth apart.
    """
    if len(group) < LEAST_ROW:
        return False
    objects = (subject, *group)
    centres = [middle_of(each) for each in objects]
    mean_x = sum(x for x, _ in centres) / len(centres)
    mean_y = sum(y for _, y in centres) / len(centres)
    away = [(x - mean_x, y - mean_y) for x, y in centres]
    xx, yy, xy = (
        sum(x * x for x, _ in away),
        sum(y * y for _, y in away),
        sum(x * y for x, y in away),
    )
    angle = math.atan2(2 * xy, xx - yy) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    breadth = median(breadth_of(each) for each in objects)
    if max(abs(y * cos - x * sin) for x, y in away) > bars.row_offset * breadth:
        return False
    places = sorted(x * cos + y * sin for x, y in away)
    steps = (after - before for before, after in itertools.pairwise(places))
    return min(steps) >= breadth / 2


def size_among_kind(image: InstanceImage, index: int, bars: Bars) -> SizeWord | None:
    """Return whether an object is large or small among its kind; None where it is neither."""
    kind = image.instances[index].class_name
    areas = [instance.area for instance in image.instances if instance.class_name == kind]
    if len(areas) < LEAST_KIND:
        return None
    area, middle = image.instances[index].area, median(areas)
    if area >= bars.size_ratio * middle:
        return "large"
    return "small" if area * bars.size_ratio <= middle else None


def cell_of(box: Box, size: tuple[int, int]) -> tuple[int, int]:
    """Return (row, column) of the cell of a 3 x 3 grid that holds the box's centre."""
    height, width = size
    row = int((box[1] + box[3]) / 2 * 3 / height)
    column = int((box[0] + box[2]) / 2 * 3 / width)
    return (min(max(row, 0), 2), min(max(column, 0), 2))


def place_of(box: Box, size: tuple[int, int]) -> str:
    """Return the name of the cell that holds the box's centre."""
    row, column = cell_of(box, size)
    return CELLS[row][column]


def _box_gap(first: Box, second: Box) -> float:
    """Return the distance between two boxes; 0 where they overlap."""
    gap_x = max(first[0] - second[2], second[0] - first[2], 0.0)
    gap_y = max(first[1] - second[3], second[1] - first[3], 0.0)
    return math.hypot(gap_x, gap_y)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
