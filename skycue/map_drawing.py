"""A quick look at a map of classes: its cells in colours over the raster, with a legend."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.drawing import DOTS_PER_INCH

MAX_SIDE = 1024
"""Cells and pixels along the longer side that a picture shows; of larger maps every second, third
and so on is drawn."""
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
    backdrop: NDArray[np.uint8] | None = None,
) -> bytes:
    """Draw a map of classes, with a legend of those that are on it.

    Args:
        labels: Index of each cell's class, [h, w]; negative where there is none.
        class_names: C names.
        backdrop: The raster under the cells, of any size, RGB [3, H, W].

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    height, width = labels.shape
    step = -(-max(height, width) // MAX_SIDE)
    shown = labels[::step, ::step]
    colours = class_colours(len(class_names))
    image = np.zeros((*shown.shape, 4))  # [h, w, RGBA]
    for label, colour in enumerate(colours):
        image[shown == label, :3] = np.array(colour) / 255
    image[..., 3] = (shown >= 0) * (1.0 if backdrop is None else OPACITY)
    scale = LONGER_SIDE_INCHES / max(height, width)
    sides = [max(length * scale, SHORTEST_SIDE_INCHES) for length in (width, height)]
    figure = Figure(figsize=(sides[0] + LEGEND_INCHES, sides[1]), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    extent = (0, width, height, 0)
    if backdrop is not None:
        axes.imshow(backdrop.transpose(1, 2, 0), extent=extent)  # [H, W, 3]
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


def _entry(name: str, share: float) -> str:
    """Return a line of the legend; a dollar sign would begin a formula."""
    return f"{name.replace('$', chr(92) + '$')}  {share:.1%}"


def _shares(colour: ClassColour) -> tuple[float, float, float]:
    """Return a colour in [0, 1], as Matplotlib takes it."""
    return colour.red / 255, colour.green / 255, colour.blue / 255
