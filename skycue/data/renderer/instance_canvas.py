"""Ground to draw on that remembers which pixel belongs to which object.

Two images are drawn with the same geometry: the colours, and for each pixel the number of the
object that is seen there. So masks are exact, and what covers an object takes its pixels.
Everything is in metres from the upper left corner, x to the right and y down.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from skycue.data.instances import Instance, instance_of
from skycue.data.renderer.canvas import Colour, Point
from skycue.data.renderer.outlines import area_inside, convex_hull
from skycue.data.renderer.surfaces import (
    CROWN_SIDE,
    MATERIALS,
    ROW_SIDE,
    TILE_SIDE,
    coloured,
    crown_sprites,
    ramp,
    tile,
)

OVERSAMPLING = 2
"""Drawn pixels along each side of a pixel of the image."""
SHADOW = (8, 12, 24)
"""Colour of a shadow; the sky lights it."""
DIRT, CLEAN = (214, 212, 208), (255, 255, 255)
"""What the darkest and lightest dirt leaves of a colour, of 255."""
MIN_PIXELS = 12
"""An object with fewer visible pixels is not listed."""
MIN_VISIBLE = 0.3
"""Share of an object's pixels in the image that must stay visible; what would cover more is not
drawn."""
MIN_INSIDE = 0.25
"""Share of an object that must lie in the image; one cut more is not drawn, unless the part that
can be seen has `ENOUGH_PIXELS`."""
ENOUGH_PIXELS = 500

Levels = NDArray[np.uint8]


class _Stamp(NamedTuple):
    class_name: str
    pixels: int  # drawn pixels when it was drawn


class InstanceCanvas:
    """Ground of size * gsd_m metres a side, to become an image of `size` pixels and its masks."""

    def __init__(self, size: int, gsd_m: float, rng: np.random.Generator) -> None:
        self.rng = rng
        self.gsd_m = gsd_m
        self.extent_m = size * gsd_m
        self._scale = OVERSAMPLING / gsd_m  # drawn pixels a metre
        side = size * OVERSAMPLING
        self._image = Image.new("RGB", (side, side))
        self._ids = Image.new("I", (side, side))
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._draw_ids = ImageDraw.Draw(self._ids)
        self._stamps: list[_Stamp] = []
        direction, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 1.1)
        self.sun = (length * math.cos(direction), length * math.sin(direction))  # shadow of 1 m
        self._shadow_alpha = int(rng.integers(105, 165))
        self._tint = rng.normal(1.0, 0.025, 3) * rng.normal(1.0, 0.05)
        self._leaves = self._leaf_palettes()

    # ground

    def cover(
        self, material: str, points: Sequence[Point] | None = None, *, shade: float = 1.0
    ) -> None:
        """Cover a polygon, or all, with a material of `MATERIALS`; `shade` makes it lighter."""
        tile_name, dark, light, period_m = MATERIALS[material]
        left, top, right, bottom = self._bounds(points) if points else (0, 0, *self._image.size)
        if right <= left or bottom <= top:
            return
        zoom = 1.0
        if period_m:
            period = CROWN_SIDE if tile_name == "canopy" else ROW_SIDE
            zoom = max(0.5, period_m * self._scale / period)
        shape = (math.ceil((bottom - top) / zoom), math.ceil((right - left) / zoom))
        levels = _part_of_tile(tile(tile_name), shape, self.rng.integers(TILE_SIDE, size=2))
        factors = self._tint * shade
        patch = coloured(levels, ramp(_scaled(dark, factors), _scaled(light, factors)))
        if patch.size != (right - left, bottom - top):
            patch = patch.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        if points is None:
            self._image.paste(patch)
            return
        mask = Image.new("1", patch.size)
        moved = [(x - left, y - top) for x, y in self._to_pixels(points)]
        ImageDraw.Draw(mask).polygon(moved, fill=1)
        self._image.paste(patch, (left, top), mask)

    # paint: flat colour that belongs to whatever lies there

    def paint(self, points: Sequence[Point], colour: Colour, *, alpha: int = 255) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._to_pixels(points), fill=(*colour, alpha))

    def paint_line(
        self, points: Sequence[Point], width_m: float, colour: Colour, *, alpha: int = 255
    ) -> None:
        """Draw a line; one thinner than a drawn pixel is as much fainter."""
        width = width_m * self._scale
        strength = round(alpha * min(1.0, max(width, 0.4)))
        self._draw.line(
            self._to_pixels(points),
            fill=(*colour, strength),
            width=max(1, round(width)),
            joint="curve" if len(points) > 2 and width > 4 else None,
        )

    def paint_disc(self, centre: Point, radius_m: float, colour: Colour) -> None:
        """Fill a disc."""
        x, y, r = (value * self._scale for value in (*centre, radius_m))
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def shadow(self, points: Sequence[Point], height_m: float) -> None:
        """Darken what lies in the shadow of a convex body that stands on the ground."""
        far = self.in_shadow(points, height_m)
        self.paint(convex_hull([*points, *far]), SHADOW, alpha=self._shadow_alpha)

    def floating_shadow(self, points: Sequence[Point], height_m: float) -> None:
        """Darken the shadow of a thin body of any outline that is `height_m` above the ground."""
        self.paint(self.in_shadow(points, height_m), SHADOW, alpha=self._shadow_alpha)

    def in_shadow(self, points: Sequence[Point], height_m: float) -> list[Point]:
        """Return where the shadow of points `height_m` above the ground falls."""
        dx, dy = self.sun[0] * height_m, self.sun[1] * height_m
        return [(x + dx, y + dy) for x, y in points]

    def lit_side(self, angle: float) -> int:
        """Return 1 where the sun shines on the side y > 0 of a body along `angle`, else -1."""
        return 1 if self.light_from(angle + math.pi / 2) > 0 else -1

    def light_from(self, direction: float) -> float:
        """Return how far a slope that faces `direction` faces the sun, -1 to 1."""
        x, y = self.sun
        return -(x * math.cos(direction) + y * math.sin(direction)) / math.hypot(x, y)

    def curve(self, points: Sequence[Point]) -> list[Point]:
        """Round the corners of a line (Chaikin, twice)."""
        line = list(points)
        for _ in range(2):
            cut = [
                (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))
                for a, b in itertools.pairwise(line)
                for t in (0.25, 0.75)
            ]
            line = [line[0], *cut, line[-1]]
        return line

    # objects

    def stamp(self, outline: Sequence[Point], class_name: str, colour: Colour) -> int:
        """Draw an object; return its number, or 0 where too little of it would be seen."""
        if not self.shows(outline):
            return 0
        self._stamps.append(_Stamp(class_name, 0))
        number = len(self._stamps)
        self.extend(number, outline, colour)
        return number

    def claim(self, outline: Sequence[Point], class_name: str) -> int:
        """Make what is drawn inside the outline one object; return its number, or 0."""
        if not self.shows(outline):
            return 0
        self._stamps.append(_Stamp(class_name, 0))
        number = len(self._stamps)
        self._draw_ids.polygon(self._to_pixels(outline), fill=number)
        return number

    def extend(self, number: int, outline: Sequence[Point], colour: Colour) -> None:
        """Draw a further part of an object that `stamp` began."""
        pixels = self._to_pixels(outline)
        self._draw.polygon(pixels, fill=colour)
        self._draw_ids.polygon(pixels, fill=number)

    def shows(self, outline: Sequence[Point]) -> bool:
        """Tell whether enough of an object lies in the image to draw it."""
        inside, whole = area_inside(outline, self.extent_m)
        pixels = inside / self.gsd_m**2
        return pixels >= 1.5 * MIN_PIXELS and (
            inside >= MIN_INSIDE * whole or pixels >= ENOUGH_PIXELS
        )

    def meets(self, points: Sequence[Point]) -> bool:
        """Tell whether one of some points lies in the image."""
        side = self.extent_m
        return any(0 <= x <= side and 0 <= y <= side for x, y in points)

    def is_free(self, points: Sequence[Point]) -> bool:
        """Tell whether no object lies in the box around points."""
        left, top, right, bottom = self._bounds(points)
        if right <= left or bottom <= top:
            return True
        return self._ids.crop((left, top, right, bottom)).getbbox() is None

    def plant(self, centre: Point, radius_m: float) -> bool:
        """Draw a tree with its shadow, unless it would hide most of an object."""
        radius = max(2, round(radius_m * self._scale))
        x, y = round(centre[0] * self._scale), round(centre[1] * self._scale)
        corner = (x - radius, y - radius)
        sprites = crown_sprites()
        levels, outline = sprites[int(self.rng.integers(len(sprites)))]
        palette = self._leaves[int(self.rng.integers(len(self._leaves)))]
        side = (2 * radius, 2 * radius)
        mask = outline.resize(side, Image.Resampling.NEAREST)
        if not self._may_cover(corner, mask):
            return False
        shade_at = self.in_shadow([centre], 1.5 * radius_m)[0]
        sx, sy = (round(value * self._scale) - radius for value in shade_at)
        shade = mask.point([0] * 255 + [self._shadow_alpha])
        self._image.paste(SHADOW, (sx, sy), shade)
        crown = levels.resize(side, Image.Resampling.BILINEAR).convert("P")
        crown.putpalette(palette)
        self._image.paste(crown.convert("RGB"), corner, mask)
        self._ids.paste(0, corner, mask)
        return True

    # results

    def image(self) -> Image.Image:
        """Return the colours at the size of the image, averaged, with some dirt on everything."""
        image = self._image.reduce(OVERSAMPLING)
        offset = self.rng.integers(TILE_SIDE, size=2)
        levels = _part_of_tile(tile("clouds"), image.size, offset)
        return ImageChops.multiply(image, coloured(levels, ramp(DIRT, CLEAN)))

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
        covered = np.asarray(window)[np.asarray(mask) > 0]
        counts = np.bincount(covered)
        everywhere = np.asarray(self._ids)
        for number in np.flatnonzero(counts[1:]) + 1:
            left = int(np.count_nonzero(everywhere == number))
            stamp = self._stamps[number - 1]
            whole = stamp.pixels or left
            self._stamps[number - 1] = stamp._replace(pixels=whole)
            if left - counts[number] < MIN_VISIBLE * whole:
                return False
        return True

    def _leaf_palettes(self) -> list[bytes]:
        """Colours of the trees of this place."""
        palettes = []
        for _ in range(4):
            green = self.rng.uniform((52, 66, 32), (92, 106, 58)) * self._tint
            dark = _scaled((18, 28, 16), self._tint)
            palettes.append(ramp(dark, _scaled((1, 1, 1), 1.25 * green)))
        return palettes

    def _bounds(self, points: Sequence[Point]) -> tuple[int, int, int, int]:
        """Return the box around points, cut to the image, in drawn pixels."""
        width, height = self._image.size
        xs, ys = zip(*self._to_pixels(points), strict=True)
        left, top = max(0, math.floor(min(xs))), max(0, math.floor(min(ys)))
        return left, top, min(width, math.ceil(max(xs)) + 1), min(height, math.ceil(max(ys)) + 1)

    def _to_pixels(self, points: Sequence[Point]) -> list[Point]:
        """Turn metres into drawn pixels."""
        scale = self._scale
        return [(x * scale, y * scale) for x, y in points]


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


def _part_of_tile(levels: Levels, shape: tuple[int, int], offset: NDArray[np.int64]) -> Levels:
    """Return levels of any shape from a doubled tile, starting at an offset below its period."""
    rows, columns = int(offset[0]), int(offset[1])
    if max(shape) <= TILE_SIDE:
        return levels[rows : rows + shape[0], columns : columns + shape[1]]
    y, x = (np.arange(n) + start for n, start in zip(shape, (rows, columns), strict=True))
    return levels[np.ix_(y % TILE_SIDE, x % TILE_SIDE)]


def _scaled(colour: Colour, factors: NDArray[np.float64]) -> Colour:
    """Multiply each level by its factor."""
    red, green, blue = (
        min(255, max(0, round(float(level * factor))))
        for level, factor in zip(colour, factors, strict=True)
    )
    return (red, green, blue)
