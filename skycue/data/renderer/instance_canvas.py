"""Ground to draw on that remembers which pixel belongs to which object.

Two images are drawn with the same geometry: the colours, and for each pixel the number of the
object that is seen there. So masks are exact, and what covers an object takes its pixels.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from skycue.data.instances import Instance, instance_of
from skycue.data.renderer.canvas import Colour, Point
from skycue.data.renderer.ground_canvas import OVERSAMPLING, SHADOW, GroundCanvas, scaled
from skycue.data.renderer.outlines import area_inside, distance_to
from skycue.data.renderer.surfaces import CROWN_COUNT, coloured, crown, ramp

MIN_PIXELS = 12
"""An object with fewer visible pixels is neither drawn nor listed."""
MIN_VISIBLE = 0.3
"""Share of an object's pixels that stays visible: a tree that would leave less is not planted."""
MIN_INSIDE = 0.25
"""Share of an object that must lie in the image; one cut more is not drawn, unless the part that
can be seen has `ENOUGH_PIXELS`."""
ENOUGH_PIXELS = 500


class _Stamp(NamedTuple):
    class_name: str
    pixels: int  # image pixels inside its outline and the image
    box: tuple[int, int, int, int]  # around it, in drawn pixels


class InstanceCanvas(GroundCanvas):
    """Ground on which objects are numbered from 1 in the order in which they are drawn."""

    def __init__(self, size: int, gsd_m: float, rng: np.random.Generator) -> None:
        super().__init__(size, gsd_m, rng)
        self._draw_ids = ImageDraw.Draw(self._ids)
        self._stamps: list[_Stamp] = []
        self._leaves = self._leaf_palettes()
        self._roads: list[tuple[Point, Point, float]] = []

    def stamp(self, outline: Sequence[Point], class_name: str, colour: Colour) -> int:
        """Draw an object; return its number, or 0 where too little of it would be seen."""
        number = self.claim(outline, class_name)
        if number:
            self._draw.polygon(self._to_pixels(outline), fill=colour)
        return number

    def claim(self, outline: Sequence[Point], class_name: str) -> int:
        """Make what is drawn inside the outline one object; return its number, or 0."""
        if not self.shows(outline):
            return 0
        pixels = round(area_inside(outline, self.extent_m)[0] / self.gsd_m**2)
        self._stamps.append(_Stamp(class_name, pixels, self._bounds(outline)))
        self._draw_ids.polygon(self._to_pixels(outline), fill=len(self._stamps))
        return len(self._stamps)

    def shows(self, outline: Sequence[Point]) -> bool:
        """Tell whether enough of an object lies in the image to draw it."""
        inside, whole = area_inside(outline, self.extent_m)
        pixels = inside / self.gsd_m**2
        return pixels >= 1.5 * MIN_PIXELS and (
            inside >= MIN_INSIDE * whole or pixels >= ENOUGH_PIXELS
        )

    def is_free(self, points: Sequence[Point], *, on: int = 0) -> bool:
        """Tell whether no object lies in the box around points, but for the one numbered `on`."""
        box = self._bounds(points)
        if box[2] <= box[0] or box[3] <= box[1]:
            return True
        window = self._ids.crop(box)
        if window.getbbox() is None:
            return True
        return bool(on) and set(np.unique(np.asarray(window)).tolist()) <= {0, on}

    def keep_clear(self, start: Point, end: Point, width_m: float) -> None:
        """Remember a road, on which nothing is to be built."""
        self._roads.append((start, end, width_m))

    def has_room(self, points: Sequence[Point]) -> bool:
        """Tell whether neither an object nor a road lies at a compact outline."""
        return self.is_off_roads(points) and self.is_free(points)

    def is_off_roads(self, points: Sequence[Point]) -> bool:
        """Tell whether no road lies at a compact outline."""
        middle = (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
        near = min(distance_to(middle, *side) for side in itertools.pairwise(points))
        for start, end, width_m in self._roads:
            if distance_to(middle, start, end) < near + width_m / 2:
                return False
            if any(distance_to(point, start, end) < width_m / 2 for point in points):
                return False
        return True

    def plant(self, centre: Point, radius_m: float) -> bool:
        """Draw a tree with its shadow, unless it would hide most of an object."""
        radius = max(2, round(radius_m * self._scale))
        x, y = round(centre[0] * self._scale), round(centre[1] * self._scale)
        corner = (x - radius, y - radius)
        levels, mask = crown(int(self.rng.integers(CROWN_COUNT)), radius)
        palette = self._leaves[int(self.rng.integers(len(self._leaves)))]
        if not self._may_cover(corner, mask):
            return False
        shade_at = self.in_shadow([centre], 1.5 * radius_m)[0]
        sx, sy = (round(value * self._scale) - radius for value in shade_at)
        shade = mask.point([0] * 255 + [self._shadow_alpha])
        self._image.paste(SHADOW, (sx, sy), shade)
        self._image.paste(coloured(levels, palette), corner, mask)
        self._ids.paste(0, corner, mask)
        return True

    def instances(self) -> tuple[Instance, ...]:
        """Return the objects in the order in which they were drawn, with their visible pixels."""
        ids = majority(np.asarray(self._ids).astype(np.int16))
        found = []
        for number, box in _boxes(ids, len(self._stamps)):
            left, top, right, bottom = box
            part = instance_of("", ids[top:bottom, left:right] == number)
            if part is not None and part.area >= MIN_PIXELS:
                corner = (left + part.corner[0], top + part.corner[1])
                found.append(Instance(self._stamps[number - 1].class_name, corner, part.crop))
        return tuple(found)

    def _may_cover(self, corner: tuple[int, int], mask: Image.Image) -> bool:
        """Tell whether an outline leaves enough of each object under it."""
        x, y = corner
        window = self._ids.crop((x, y, x + mask.width, y + mask.height))
        if window.getbbox() is None:
            return True
        covered = np.bincount(np.asarray(window)[np.asarray(mask) > 0])
        for number in np.flatnonzero(covered[1:]) + 1:
            stamp = self._stamps[number - 1]
            seen = np.count_nonzero(np.asarray(self._ids.crop(stamp.box)) == number)
            left = seen - covered[number]
            wanted = max(MIN_VISIBLE * stamp.pixels, 1.5 * MIN_PIXELS)
            if left < wanted * OVERSAMPLING**2:
                return False
        return True

    def _leaf_palettes(self) -> list[bytes]:
        """Colours of the trees of this place."""
        palettes = []
        for _ in range(4):
            green = self.rng.uniform((52, 66, 32), (92, 106, 58)) * self._tint
            dark = scaled((18, 28, 16), self._tint)
            palettes.append(ramp(dark, scaled((1, 1, 1), 1.25 * green)))
        return palettes


def majority(ids: NDArray[np.int16]) -> NDArray[np.int16]:
    """Give each pixel the number that most of its four drawn pixels hold, [H, W] of [2H, 2W].

    Where two hold one number and two another, the one of the upper left drawn pixel counts.
    """
    a, b, c, d = ids[0::2, 0::2], ids[0::2, 1::2], ids[1::2, 0::2], ids[1::2, 1::2]
    other = (b == c) | (b == d)
    return np.where((a == b) | (a == c) | (a == d) | ~(other | (c == d)), a, np.where(other, b, c))


def _boxes(ids: NDArray[np.int16], count: int) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Return the box of each number that is there: left, top, right, bottom, ends excluded."""
    rows, columns = np.nonzero(ids)
    numbers = ids[rows, columns]
    low = np.full((count + 1, 2), np.iinfo(np.int64).max)
    high = np.full((count + 1, 2), -1)
    for axis, places in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], numbers, places)
        np.maximum.at(high[:, axis], numbers, places)
    return [
        (n, (int(low[n, 0]), int(low[n, 1]), int(high[n, 0]) + 1, int(high[n, 1]) + 1))
        for n in range(1, count + 1)
        if high[n, 0] >= 0
    ]
