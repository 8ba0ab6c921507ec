"""A square of ground to draw on: metres in, anti-aliased pixels out.

Everything is drawn in metres from the upper left corner, x to the right and y down, so that a car
has the size of a car in every scene. A `Canvas` draws several times finer than the image it
gives, and averages at the end.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from skycue.data.renderer.textures import smooth_noise

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Point = tuple[float, float]
"""x, y in metres."""

OVERSAMPLING = 3
"""Drawn pixels along each side of a pixel of the image."""
SHADOW_ALPHA = 110
"""How dark a shadow is, 0 to 255."""
SENSOR_NOISE = 3.0
"""Standard deviation of the noise of a pixel, in levels of 255."""
HAZE = 0.05
"""Largest change of brightness across the image, as a fraction."""


class Canvas:
    """Ground seen from above, `extent_m` metres wide, to become an image of `size` pixels."""

    def __init__(self, size: int, extent_m: float, rng: np.random.Generator) -> None:
        self.size = size
        self.extent_m = extent_m
        self.rng = rng
        self.resolution = size * OVERSAMPLING  # drawn pixels along a side
        self._scale = self.resolution / extent_m  # drawn pixels a metre
        self._image = Image.new("RGB", (self.resolution, self.resolution))
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        direction = rng.uniform(0, 2 * math.pi)
        self._sun = (0.7 * math.cos(direction), 0.7 * math.sin(direction))  # shadow of 1 m height

    def cover(self, texture: NDArray[np.float64]) -> None:
        """Cover all of the ground with a texture of levels, [resolution, resolution, 3]."""
        levels = np.clip(texture, 0, 255).astype(np.uint8)
        self._image.paste(Image.fromarray(levels))

    def cover_inside(self, points: Sequence[Point], texture: NDArray[np.float64]) -> None:
        """Cover the inside of a polygon with a texture, [resolution, resolution, 3]."""
        mask = Image.new("L", self._image.size)
        ImageDraw.Draw(mask).polygon(self._to_pixels(points), fill=255)
        levels = np.clip(texture, 0, 255).astype(np.uint8)
        self._image.paste(Image.fromarray(levels), mask=mask)

    def polygon(self, points: Sequence[Point], colour: Colour, *, height_m: float = 0.0) -> None:
        """Fill a polygon; one that stands `height_m` tall throws a shadow first."""
        if height_m:
            moved = [self._in_shadow(point, height_m) for point in points]
            self._draw.polygon(self._to_pixels(moved), fill=(0, 0, 0, SHADOW_ALPHA))
        self._draw.polygon(self._to_pixels(points), fill=colour)

    def disc(
        self, centre: Point, radius_m: float, colour: Colour, *, height_m: float = 0.0
    ) -> None:
        """Fill a disc; one that stands `height_m` tall throws a shadow first."""
        if height_m:
            shadow = self._in_shadow(centre, height_m)
            self._draw.ellipse(self._around(shadow, radius_m), fill=(0, 0, 0, SHADOW_ALPHA))
        self._draw.ellipse(self._around(centre, radius_m), fill=colour)

    def ring(self, centre: Point, radius_m: float, width_m: float, colour: Colour) -> None:
        """Draw a circle of a given line width."""
        width = max(1, round(width_m * self._scale))
        self._draw.ellipse(self._around(centre, radius_m), outline=colour, width=width)

    def line(self, points: Sequence[Point], width_m: float, colour: Colour) -> None:
        """Draw a line of a given width through points, with rounded joints."""
        width = max(1, round(width_m * self._scale))
        self._draw.line(self._to_pixels(points), fill=colour, width=width, joint="curve")

    def finish(self) -> NDArray[np.uint8]:
        """Average to the size of the image, add haze and sensor noise.

        Returns:
            RGB levels, [3, H, W].
        """
        image = self._image.resize((self.size, self.size), Image.Resampling.BOX)
        levels = np.asarray(image, dtype=np.float64)  # [H, W, 3]
        levels *= 1 + HAZE * smooth_noise(self.rng, self.size, cells=3)[..., None]
        levels += self.rng.normal(0, SENSOR_NOISE, levels.shape)
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8).transpose(2, 0, 1)  # [3, H, W]

    def _in_shadow(self, point: Point, height_m: float) -> Point:
        """Where the shadow of something `height_m` above `point` falls."""
        return (point[0] + height_m * self._sun[0], point[1] + height_m * self._sun[1])

    def _to_pixels(self, points: Sequence[Point]) -> list[Point]:
        """Turn metres into drawn pixels."""
        return [(x * self._scale, y * self._scale) for x, y in points]

    def _around(self, centre: Point, radius_m: float) -> tuple[float, float, float, float]:
        """The box around a circle, in drawn pixels."""
        (x, y), r = self._to_pixels([centre])[0], radius_m * self._scale
        return (x - r, y - r, x + r, y + r)


def rectangle(centre: Point, length_m: float, width_m: float, angle: float) -> list[Point]:
    """The corners of a rectangle whose length points along `angle`, in radians."""
    along = (math.cos(angle) * length_m / 2, math.sin(angle) * length_m / 2)
    across = (-math.sin(angle) * width_m / 2, math.cos(angle) * width_m / 2)
    return [
        (centre[0] + a * along[0] + b * across[0], centre[1] + a * along[1] + b * across[1])
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]


def moved(point: Point, angle: float, along_m: float, across_m: float = 0.0) -> Point:
    """Go from a point `along_m` in the direction `angle` and `across_m` to its right."""
    x = point[0] + along_m * math.cos(angle) - across_m * math.sin(angle)
    y = point[1] + along_m * math.sin(angle) + across_m * math.cos(angle)
    return (x, y)
