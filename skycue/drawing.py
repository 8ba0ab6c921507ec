"""Pictures of results as PNG bytes: confusion matrix, accuracy against shots, classified tiles.

Each function returns the bytes of a PNG file and writes nothing. Figures are drawn on Agg without
pyplot, so there is no display, no global state, and equal input gives equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import ceil, isnan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120
CELL_INCHES = 0.32
TILE_INCHES = 1.6
MAX_NUMBERED_CLASSES = 24
"""A larger confusion matrix shows colours only: its counts would be too small to read."""
RIGHT_COLOUR = "#1b7837"
WRONG_COLOUR = "#b2182b"


class ShotPoint(NamedTuple):
    """Accuracy of one method at one number of shots."""

    shots: int
    mean: float
    """Mean accuracy over seeds, in percent."""
    std: float
    """Standard deviation over seeds, in percent; NaN draws no bar."""


class Tile(NamedTuple):
    """An image with the answer of a classifier."""

    pixels: NDArray[np.uint8]
    """RGB, [3, H, W]."""
    class_name: str
    """The most probable class."""
    probability: float
    """Its probability, in [0, 1]."""
    true_class: str | None = None
    """What the tile shows, where it is known: its title turns green or red."""


def draw_confusion(
    confusion: NDArray[np.int64], class_names: Sequence[str], title: str = ""
) -> bytes:
    """Draw a confusion matrix: a row for each true class, a column for each predicted one.

    Args:
        confusion: Counts, [C, C]. Colours show the share of a row.
        class_names: C names.
        title: Text above the matrix.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    n_classes = len(class_names)
    side = 2.6 + CELL_INCHES * n_classes
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(n_classes), class_names, rotation=90, fontsize=7)
    axes.set_yticks(range(n_classes), class_names, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=9)
    if n_classes <= MAX_NUMBERED_CLASSES:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", fontsize=6, color=colour
                )
    return png_bytes(figure)


def draw_accuracy_against_shots(curves: Mapping[str, Sequence[ShotPoint]], title: str) -> bytes:
    """Draw accuracy over the number of shots, a line for each method, bars of one deviation.

    Args:
        curves: Points of each method, by its name. A method that learns nothing has one point
            with `shots` 0: it is drawn as a level.
        title: Text above the picture.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        colour = f"C{number}"
        if [point.shots for point in points] == [0]:
            axes.axhline(points[0].mean, label=name, color=colour, linestyle="--")
        else:
            _draw_curve(axes, name, sorted(points), colour)
    axes.set_xscale("symlog", base=2, linthresh=1)
    ticks = sorted({point.shots for points in curves.values() for point in points} - {0})
    axes.set_xticks(ticks, [str(shots) for shots in ticks])
    axes.minorticks_off()
    axes.set_xlabel("shots (training images of each class)")
    axes.set_ylabel("top-1 accuracy, %")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png_bytes(figure)


def _draw_curve(axes: Axes, name: str, points: Sequence[ShotPoint], colour: str) -> None:
    """Draw one method's line with its bars."""
    bars = [0.0 if isnan(point.std) else point.std for point in points]
    axes.errorbar(
        [point.shots for point in points],
        [point.mean for point in points],
        yerr=bars,
        label=name,
        color=colour,
        marker="o",
        markersize=4,
        capsize=3,
    )


def draw_contact_sheet(tiles: Sequence[Tile], *, columns: int = 6, max_tiles: int = 60) -> bytes:
    """Draw tiles in a grid, each under its most probable class and that class's probability.

    Args:
        tiles: What to show, at least one.
        columns: Tiles in a row.
        max_tiles: Later tiles are left out, and the picture says so.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    shown = tiles[:max_tiles]
    columns = min(columns, len(shown))
    rows = ceil(len(shown) / columns)
    size = (columns * TILE_INCHES, rows * (TILE_INCHES + 0.35) + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, tile in zip(grid, shown, strict=False):
        axes.imshow(tile.pixels.transpose(1, 2, 0))  # [H, W, 3]
        heading = f"{tile.class_name}\n{tile.probability:.0%}"
        axes.set_title(heading, fontsize=7, color=_heading_colour(tile))
    if len(shown) < len(tiles):
        figure.supxlabel(f"the first {len(shown)} of {len(tiles)} tiles", fontsize=7)
    return png_bytes(figure)


def _heading_colour(tile: Tile) -> str:
    """Return black where the truth is unknown, else green for right and red for wrong."""
    if tile.true_class is None:
        return "black"
    return RIGHT_COLOUR if tile.true_class == tile.class_name else WRONG_COLOUR


def png_bytes(figure: Figure) -> bytes:
    """Render a figure; no date and no version is written, so equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
