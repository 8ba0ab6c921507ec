"""Surfaces of the ground for quick drawing: a few noise tiles, coloured by a ramp of two colours.

A tile is computed once a process and is periodic, so that any part of it, at any offset, covers
ground of any size without a seam. `textures.py` draws fresh noise instead, at a higher price.
"""

import functools
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skycue.data.renderer.canvas import Colour

TileName = Literal["clouds", "ripples", "canopy", "rows", "grain"]
Levels = NDArray[np.uint8]

TILE_SIDE = 1024
"""Pixels along a period of a tile."""
TILE_SEED = 20
"""Fixes the tiles: they are the same in every process."""
CROWN_COUNT = 12
"""Crowns of single trees that differ in shape."""
CROWN_SIDE = 18
"""Pixels from crown to crown in the tile "canopy"."""
ROW_SIDE = 8
"""Pixels from row to row in the tile "rows"."""


class Material(NamedTuple):
    """What covers a piece of ground: a tile, and the colours of its darkest and lightest level.

    Attributes:
        tile: Which noise.
        dark: Colour where the tile is lowest.
        light: Colour where it is highest.
        period_m: Metres from crown to crown or row to row; 0 for noise without a scale.
    """

    tile: TileName
    dark: Colour
    light: Colour
    period_m: float = 0.0


MATERIALS = {
    "grass": Material("clouds", (52, 68, 36), (110, 118, 70)),
    "lawn": Material("clouds", (58, 88, 42), (96, 122, 66)),
    "dry grass": Material("clouds", (98, 92, 62), (158, 144, 104)),
    "soil": Material("clouds", (104, 84, 62), (160, 136, 106)),
    "sand": Material("clouds", (156, 136, 104), (202, 184, 148)),
    "gravel": Material("clouds", (128, 122, 110), (176, 168, 152)),
    "concrete": Material("clouds", (146, 142, 134), (188, 184, 174)),
    "asphalt": Material("clouds", (76, 76, 79), (112, 110, 108)),
    "deep water": Material("ripples", (16, 32, 44), (38, 58, 70)),
    "green water": Material("ripples", (32, 54, 50), (64, 86, 74)),
    "blue water": Material("ripples", (28, 62, 84), (62, 98, 116)),
    "river water": Material("ripples", (34, 40, 36), (66, 72, 60)),
    "forest": Material("canopy", (16, 26, 15), (96, 112, 64), 7.0),
    "light forest": Material("canopy", (28, 36, 20), (122, 130, 78), 8.0),
    "crop": Material("rows", (70, 92, 44), (118, 136, 72), 2.4),
    "ripe crop": Material("rows", (134, 120, 72), (182, 166, 110), 2.4),
    "ploughed soil": Material("rows", (104, 84, 64), (148, 122, 94), 3.0),
}
"""The ground by name; colours are those of a clear day, before a sensor changes them."""


@functools.cache
def tile(name: TileName) -> Levels:
    """Return a tile of noise twice in each direction, [2 * TILE_SIDE, 2 * TILE_SIDE]."""
    rng = np.random.default_rng([TILE_SEED, len(name), ord(name[0])])
    makers = {
        "clouds": lambda: _fractal(rng, 1.25) + 0.35 * _fractal(rng, 0.4),
        "ripples": lambda: 0.6 * _fractal(rng, 1.5) + 0.7 * _ripples(rng),
        "canopy": lambda: _canopy(rng),
        "rows": lambda: _rows(rng),
        "grain": lambda: rng.standard_normal((TILE_SIDE, TILE_SIDE)),
    }
    return np.tile(_to_levels(makers[name]()), (2, 2))


@functools.cache
def noise_tile() -> NDArray[np.float32]:
    """Return unit normal noise, twice in each direction, [2 * TILE_SIDE, 2 * TILE_SIDE]."""
    rng = np.random.default_rng(TILE_SEED)
    return np.tile(rng.standard_normal((TILE_SIDE, TILE_SIDE), dtype=np.float32), (2, 2))


@functools.lru_cache(maxsize=1024)
def crown(index: int, radius: int) -> tuple[Levels, Image.Image]:
    """Return a tree's crown, `index` below `CROWN_COUNT`: its levels and outline, of 2 * radius."""
    levels, outline = _crowns()[index]
    side = (2 * radius, 2 * radius)
    sized = levels.resize(side, Image.Resampling.BILINEAR)
    return np.asarray(sized), outline.resize(side, Image.Resampling.NEAREST)


@functools.cache
def _crowns(side: int = 64) -> tuple[tuple[Image.Image, Image.Image], ...]:
    """Return `CROWN_COUNT` crowns: grey levels and outline, each an image of `side` pixels."""
    rng = np.random.default_rng(TILE_SEED + 1)
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side * 2 - 1
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    sprites = []
    for _ in range(CROWN_COUNT):
        waves = rng.uniform(0.02, 0.07, 4), rng.uniform(0, 2 * np.pi, 4)
        edge = 0.84 + sum(
            a * np.cos((k + 3) * angle + p) for k, (a, p) in enumerate(zip(*waves, strict=True))
        )
        levels = np.zeros((side, side))
        for _ in range(26):
            place, width = rng.normal(0, 0.42, 2), rng.uniform(0.12, 0.26)
            lump = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / width**2)
            levels = np.maximum(levels, lump * rng.uniform(0.55, 1.0))
        levels = 0.75 * levels + 0.25 * rng.random((side, side)) - 0.25 * radius
        outline = Image.fromarray(((radius < edge) * 255).astype(np.uint8))
        sprites.append((Image.fromarray(_to_levels(levels)), outline))
    return tuple(sprites)


def ramp(dark: Colour, light: Colour) -> bytes:
    """Return the 256 colours from dark to light, as a palette of 768 bytes."""
    steps = np.linspace(np.array(dark), np.array(light), 256)
    return np.clip(np.rint(steps), 0, 255).astype(np.uint8).tobytes()


def part_of_tile(levels: Levels, shape: tuple[int, int], rng: np.random.Generator) -> Levels:
    """Return levels of any shape (height, width) from a doubled tile, from where chance says."""
    rows, columns = rng.integers(TILE_SIDE, size=2).tolist()
    if max(shape) <= TILE_SIDE:
        return levels[rows : rows + shape[0], columns : columns + shape[1]]
    y, x = (np.arange(n) + start for n, start in zip(shape, (rows, columns), strict=True))
    return levels[np.ix_(y % TILE_SIDE, x % TILE_SIDE)]


def coloured(levels: Levels, palette: bytes) -> Image.Image:
    """Colour levels [H, W] by a palette of 768 bytes."""
    image = Image.fromarray(np.ascontiguousarray(levels)).convert("P")
    image.putpalette(palette)
    return image.convert("RGB")


def _fractal(rng: np.random.Generator, power: float) -> NDArray[np.float64]:
    """Draw periodic noise whose amplitude falls with frequency to `power`, unit deviation."""
    frequency = np.hypot(np.fft.fftfreq(TILE_SIDE)[:, None], np.fft.rfftfreq(TILE_SIDE)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((TILE_SIDE, TILE_SIDE))) / frequency**power
    field: NDArray[np.float64] = np.fft.irfft2(spectrum, s=(TILE_SIDE, TILE_SIDE))
    field /= field.std()
    return field


def _ripples(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw short waves that run mostly one way, unit deviation."""
    rows, columns = np.fft.fftfreq(TILE_SIDE)[:, None], np.fft.rfftfreq(TILE_SIDE)[None, :]
    band = np.exp(-(((np.hypot(rows, columns) - 0.11) / 0.06) ** 2))
    band *= 0.25 + np.exp(-((np.arctan2(rows, columns + 1e-9) - 0.5) ** 2) / 0.5)
    spectrum = np.fft.rfft2(rng.standard_normal((TILE_SIDE, TILE_SIDE))) * band
    field: NDArray[np.float64] = np.fft.irfft2(spectrum, s=(TILE_SIDE, TILE_SIDE))
    field /= field.std()
    return field


def _canopy(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw crowns that touch each other, lit from one side."""
    levels = np.zeros((TILE_SIDE, TILE_SIDE))
    reach = CROWN_SIDE
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    cells = TILE_SIDE // CROWN_SIDE
    for row in range(cells):
        for column in range(cells):
            place = (np.array([row, column]) + rng.uniform(-0.4, 0.4, 2)) * TILE_SIDE / cells
            radius = CROWN_SIDE * rng.uniform(0.45, 0.8)
            crown = rng.uniform(0.55, 1) * (1 - (x**2 + y**2) / radius**2)
            crown += 0.03 * (x + y) * (crown > 0)
            rows = (np.arange(-reach, reach + 1) + int(place[0])) % TILE_SIDE
            columns = (np.arange(-reach, reach + 1) + int(place[1])) % TILE_SIDE
            window = np.ix_(rows, columns)
            levels[window] = np.maximum(levels[window], crown)
    return levels + 0.12 * _fractal(rng, 0.5) + 0.1 * _fractal(rng, 1.4)


def _rows(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the rows of a field, along x, in patches that grow better or worse."""
    phase = np.arange(TILE_SIDE)[:, None] * 2 * np.pi / ROW_SIDE
    return np.sin(phase) + 0.9 * _fractal(rng, 1.4) + 0.5 * _fractal(rng, 0.3)


def _to_levels(field: NDArray[np.float64]) -> Levels:
    """Stretch a field to 0..255, three deviations from its mean."""
    scaled = (field - field.mean()) / field.std() * 255 / 6 + 127.5
    levels: Levels = np.clip(scaled, 0, 255).astype(np.uint8)
    return levels
