"""The ground that everything is drawn on: materials, flat paint, shadows; metres in, colours out.

Everything is in metres from the upper left corner, x to the right and y down. The ground knows
which of its pixels objects took, so that what is laid later lies beneath them.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from skycue.data.renderer.canvas import Colour, Point
from skycue.data.renderer.outlines import band, convex_hull
from skycue.data.renderer.surfaces import (
    CROWN_SIDE,
    MATERIALS,
    ROW_SIDE,
    coloured,
    part_of_tile,
    ramp,
    tile,
)

OVERSAMPLING = 2
"""Drawn pixels along each side of a pixel of the image."""
SHADOW = (8, 12, 24)
"""Colour of a shadow; the sky lights it."""
DIRT, CLEAN = (214, 212, 208), (255, 255, 255)
"""What the darkest and lightest dirt leaves of a colour, of 255."""


class GroundCanvas:
    """Ground of size * gsd_m metres a side, to become an image of `size` pixels."""

    def __init__(self, size: int, gsd_m: float, rng: np.random.Generator) -> None:
        self.rng = rng
        self.gsd_m = gsd_m
        self.extent_m = size * gsd_m
        direction, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 1.1)
        self.sun = (length * math.cos(direction), length * math.sin(direction))  # shadow of 1 m
        self._scale = OVERSAMPLING / gsd_m  # drawn pixels a metre
        side = size * OVERSAMPLING
        self._image = Image.new("RGB", (side, side))
        self._ids = Image.new("I", (side, side))  # numbers of objects, 0 for ground
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._shadow_alpha = int(rng.integers(105, 165))
        self._tint = rng.normal(1.0, 0.025, 3) * rng.normal(1.0, 0.05)

    def cover(
        self, material: str, points: Sequence[Point] | None = None, *, shade: float = 1.0
    ) -> None:
        """Cover a polygon, or all, with a material of `MATERIALS`; `shade` makes it lighter."""
        left, top, right, bottom = self._bounds(points) if points else (0, 0, *self._image.size)
        if right <= left or bottom <= top:
            return
        patch = self._patch(material, (right - left, bottom - top), shade)
        mask = self._ground_mask(points, (left, top, right, bottom)) if points else None
        self._image.paste(patch, (left, top), mask)

    def lay(self, points: Sequence[Point], colour: Colour, *, alpha: int = 255) -> None:
        """Fill a polygon of the ground with a colour, beneath all objects."""
        box = self._bounds(points)
        if box[2] > box[0] and box[3] > box[1]:
            mask = self._ground_mask(points, box)
            if alpha < 255:
                mask = mask.convert("L").point([alpha if level else 0 for level in range(256)])
            self._image.paste(colour, box, mask)

    def lay_line(
        self, points: Sequence[Point], width_m: float, colour: Colour, *, alpha: int = 255
    ) -> None:
        """Draw a line on the ground, beneath all objects."""
        drawn_m = max(width_m, 1 / self._scale)
        self.lay(band(points, drawn_m), colour, alpha=round(alpha * width_m / drawn_m))

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
        ((x, y),), r = self._to_pixels([centre]), radius_m * self._scale
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

    def meets(self, points: Sequence[Point]) -> bool:
        """Tell whether one of some points lies in the image."""
        side = self.extent_m
        return any(0 <= x <= side and 0 <= y <= side for x, y in points)

    def image(self) -> Image.Image:
        """Return the colours at the size of the image, averaged, with some dirt on everything."""
        image = self._image.reduce(OVERSAMPLING)
        levels = part_of_tile(tile("clouds"), image.size, self.rng)
        return ImageChops.multiply(image, coloured(levels, ramp(DIRT, CLEAN)))

    def _patch(self, material: str, size: tuple[int, int], shade: float) -> Image.Image:
        """Return a material as an image of (width, height) drawn pixels."""
        tile_name, dark, light, period_m = MATERIALS[material]
        zoom = 1.0
        if period_m:
            period = CROWN_SIDE if tile_name == "canopy" else ROW_SIDE
            zoom = max(0.5, period_m * self._scale / period)
        shape = (math.ceil(size[1] / zoom), math.ceil(size[0] / zoom))
        levels = part_of_tile(tile(tile_name), shape, self.rng)
        factors = self._tint * shade
        patch = coloured(levels, ramp(scaled(dark, factors), scaled(light, factors)))
        return patch if patch.size == size else patch.resize(size, Image.Resampling.BILINEAR)

    def _ground_mask(self, points: Sequence[Point], box: tuple[int, int, int, int]) -> Image.Image:
        """Return the inside of a polygon where no object lies, as a mask of a box of pixels."""
        left, top, right, bottom = box
        mask = Image.new("1", (right - left, bottom - top))
        moved = [(x - left, y - top) for x, y in self._to_pixels(points)]
        ImageDraw.Draw(mask).polygon(moved, fill=1)
        taken = self._ids.crop(box)
        if taken.getbbox() is not None:
            mask = Image.fromarray(np.asarray(mask) & (np.asarray(taken) == 0))
        return mask

    def _bounds(self, points: Sequence[Point]) -> tuple[int, int, int, int]:
        """Return the box around points, cut to the image, in drawn pixels."""
        width, height = self._image.size
        xs, ys = zip(*self._to_pixels(points), strict=True)
        left, top = max(0, math.floor(min(xs))), max(0, math.floor(min(ys)))
        return left, top, min(width, math.ceil(max(xs)) + 1), min(height, math.ceil(max(ys)) + 1)

    def _to_pixels(self, points: Sequence[Point]) -> list[Point]:
        """Turn metres into drawn pixels as Pillow counts them: 0 is the middle of the first."""
        scale = self._scale
        return [(x * scale - 0.5, y * scale - 0.5) for x, y in points]


def scaled(colour: Colour, factors: NDArray[np.float64]) -> Colour:
    """Multiply each level by its factor."""
    red, green, blue = (
        min(255, max(0, round(float(level * factor))))
        for level, factor in zip(colour, factors, strict=True)
    )
    return (red, green, blue)
