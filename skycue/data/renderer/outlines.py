"""Outlines of things on the ground: placing them, their hull, and how much the image shows."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from skycue.data.renderer.canvas import Point


class Pose(NamedTuple):
    """Where a thing lies: its points are in lengths along x and widths along y of its own.

    Attributes:
        centre: The origin of its points, in metres.
        angle: Direction of its x, in radians.
        length_m: Metres of a unit of x.
        width_m: Metres of a unit of y.
    """

    centre: Point
    angle: float
    length_m: float = 1.0
    width_m: float = 1.0

    def place(self, points: Sequence[Point]) -> list[Point]:
        """Turn its points into metres on the ground."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        (x0, y0), along, across = self.centre, self.length_m, self.width_m
        return [
            (x0 + x * along * cos - y * across * sin, y0 + x * along * sin + y * across * cos)
            for x, y in points
        ]

    def quad(self, back: float, front: float, top: float, low: float | None = None) -> list[Point]:
        """Place a rectangle from `back` to `front`, as wide as from `low` (-top) to `top`."""
        bottom = -top if low is None else low
        return self.place([(back, bottom), (front, bottom), (front, top), (back, top)])


def mirrored(half: Sequence[Point]) -> list[Point]:
    """Complete one side of an outline, from front to end with y >= 0, by its mirror image."""
    other = [(x, -y) for x, y in reversed(half) if y]
    return [*half, *other]


def disc(centre: Point, radius: float, corners: int = 28) -> list[Point]:
    """Return a circle as a polygon."""
    step = 2 * math.pi / corners
    x, y = centre
    return [
        (x + radius * math.cos(k * step), y + radius * math.sin(k * step)) for k in range(corners)
    ]


def arc(centre: Point, radius: float, start: float, end: float, corners: int = 16) -> list[Point]:
    """Return points on a circle from one angle to another, both included."""
    angles = [start + (end - start) * k / corners for k in range(corners + 1)]
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def band(points: Sequence[Point], width: float) -> list[Point]:
    """Return the outline of a line of a given width through points."""
    left, right = [], []
    for index, (x, y) in enumerate(points):
        x0, y0 = points[max(0, index - 1)]
        x1, y1 = points[min(len(points) - 1, index + 1)]
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
        left.append((x + dx, y + dy))
        right.append((x - dx, y - dy))
    return left + right[::-1]


def drawn_in(points: Sequence[Point], share: float) -> list[Point]:
    """Draw points nearer to their mean, to a share of their distance from it."""
    x0, y0 = (sum(values) / len(points) for values in zip(*points, strict=True))
    return [(x0 + share * (x - x0), y0 + share * (y - y0)) for x, y in points]


def distance_to(point: Point, start: Point, end: Point) -> float:
    """Return the distance of a point from the line between two others."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / (dx * dx + dy * dy)
    t = min(1.0, max(0.0, along))
    return math.hypot(point[0] - start[0] - t * dx, point[1] - start[1] - t * dy)


def convex_hull(points: Sequence[Point]) -> list[Point]:
    """Return the corners of the hull of points, in order (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    hull: list[Point] = []
    for way in (ordered, ordered[::-1]):
        chain: list[Point] = []
        for point in way:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        hull += chain[:-1]
    return hull


def area(points: Sequence[Point]) -> float:
    """Return the area of a polygon (shoelace formula)."""
    total = 0.0
    x0, y0 = points[-1] if points else (0.0, 0.0)
    for x1, y1 in points:
        total += x0 * y1 - x1 * y0
        x0, y0 = x1, y1
    return abs(total) / 2


def area_inside(points: Sequence[Point], side: float) -> tuple[float, float]:
    """Return a polygon's area inside the square from 0 to `side`, and its whole area."""
    whole = area(points)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if min(xs) >= 0 and min(ys) >= 0 and max(xs) <= side and max(ys) <= side:
        return whole, whole
    if max(xs) <= 0 or max(ys) <= 0 or min(xs) >= side or min(ys) >= side:
        return 0.0, whole
    kept = list(points)
    for axis in (0, 1):
        for sign, limit in ((1.0, 0.0), (-1.0, -side)):
            kept = _cut(kept, axis, sign, limit)
    return area(kept), whole


def _cut(points: Sequence[Point], axis: int, sign: float, limit: float) -> list[Point]:
    """Keep the part of a polygon where sign * coordinate >= limit (Sutherland and Hodgman)."""
    kept: list[Point] = []
    for index, end in enumerate(points):
        start = points[index - 1]
        a, b = sign * start[axis] - limit, sign * end[axis] - limit
        if (a >= 0) != (b >= 0):
            t = a / (a - b)
            kept.append((start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])))
        if b >= 0:
            kept.append(end)
    return kept


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive where the way a, b, c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
