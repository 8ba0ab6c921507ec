"""A quick look at a map of classes: its cells in colours over the raster, with a legend."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.drawing import DOTS_PER_INCH
from skycue.geo.raster import RasterWindow

MAX_SIDE = 1024
"""Pixels along the longer side that a picture is drawn at; of larger rasters each shows the cell in
its middle."""
OPACITY = 0.55
"""Of the colours over the raster."""
LONGER_SIDE_INCHES = 8.0
SHORTEST_SIDE_INCHES = 2.0
LEGEND_INCHES = 2.2
NAMED_COLOURS = 20
"""Classes that have colours chosen to be told apart; more are spread over the hues."""


class ClassColour(NamedTuple):
    """The colour of a class, in levels of RGB."""

    red: int
    green: int
    blue: int


def class_colours(number: int) -> list[ClassColour]:
    """Return a colour for each of so many classes: always the same."""
    from matplotlib import colormaps

    name = "tab20" if number <= NAMED_COLOURS else "hsv"
    steps = np.arange(number) if name == "tab20" else np.arange(number) / number
    levels = np.rint(colormaps[name](steps)[:, :3] * 255).astype(int)  # [C, 3]
    return [ClassColour(*row) for row in levels.tolist()]


def draw_class_map(
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    size: tuple[int, int],
    stride: int,
    *,
    backdrop: RasterWindow | None = None,
    colours: Sequence[ClassColour] | None = None,
) -> bytes:
    """Draw a map of classes as far as its raster goes, with a legend of those that are on it.

    Args:
        labels: Index of each cell's class, [h, w]; negative where there is none.
        class_names: C names.
        size: (height, width) of the raster in pixels; the last cells may reach beyond.
        stride: Side of a cell in pixels.
        backdrop: The whole raster, read at any size: the cells are drawn over its valid pixels.
        colours: Of the classes; `class_colours` if not given.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = class_colours(len(class_names)) if colours is None else colours
    factor = max(1.0, max(size) / MAX_SIDE)
    shape = tuple(max(1, round(length / factor)) for length in size)
    if backdrop is not None:
        shape = backdrop.valid.shape
    shown = labels[np.ix_(*map(_cells_at, shape, size, (stride, stride)))]
    image = np.zeros((*shape, 4))  # [H, W, RGBA]
    for label, colour in enumerate(colours):
        image[shown == label, :3] = np.array(colour) / 255
    image[..., 3] = (shown >= 0) * (1.0 if backdrop is None else OPACITY * backdrop.valid)
    scale = LONGER_SIDE_INCHES / max(size)
    height, width = (max(length * scale, SHORTEST_SIDE_INCHES) for length in size)
    figure = Figure(figsize=(width + LEGEND_INCHES, height), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    extent = (0, size[1], size[0], 0)
    if backdrop is not None:
        pixels = np.where(backdrop.valid, backdrop.pixels, np.uint8(255)).transpose(1, 2, 0)
        axes.imshow(pixels, extent=extent)  # [H, W, 3]
    axes.imshow(image, extent=extent, interpolation="nearest")
    counts = np.bincount(labels[labels >= 0].ravel(), minlength=len(class_names))
    total = max(int(counts.sum()), 1)
    patches = [
        Patch(color=_shares(colours[label]), label=_entry(class_names[label], share))
        for label in np.argsort(-counts, kind="stable").tolist()
        if (share := counts[label] / total) > 0
    ]
    figure.legend(handles=patches, loc="outside right upper", fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _cells_at(number: int, length: int, stride: int) -> NDArray[np.int64]:
    """Return the cell in which the middle of each of so many pixels over a side lies."""
    middles = (np.arange(number) + 0.5) * length / number
    return (middles // stride).astype(np.int64)


def _entry(name: str, share: float) -> str:
    """Return a line of the legend; a dollar sign would begin a formula."""
    return f"{name.replace('$', chr(92) + '$')}  {share:.1%}"


def _shares(colour: ClassColour) -> tuple[float, float, float]:
    """Return a colour in [0, 1], as Matplotlib takes it."""
    return colour.red / 255, colour.green / 255, colour.blue / 255
