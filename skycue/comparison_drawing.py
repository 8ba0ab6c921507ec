"""Pictures of a comparison as PNG bytes: critical differences of ranks, accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from skycue.drawing import png_bytes
from skycue.metrics.paired import groups_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_INCHES = 0.22
"""Height of a name beside the scale of ranks."""
GROUP_STEP = 0.5
"""Distance of the bars that join methods, in heights of a name."""


class CostPoint(NamedTuple):
    """What one method takes and gives."""

    name: str
    cost: float
    """Above 0, in the unit of the axis."""
    score: float
    """In percent."""
    std: float
    """Standard deviation over seeds, in percent; NaN draws no bar."""


def draw_critical_difference(
    ranks: Mapping[str, float], difference: float, title: str = ""
) -> bytes:
    """Draw mean ranks on a line, the best to the left; bars join what cannot be told apart.

    The picture of Demsar, JMLR 2006, section 3.2.4: a bar joins neighbours whose mean ranks differ
    by no more than the critical difference, which stands above the scale.

    Args:
        ranks: Mean rank of each method, 1 the best.
        difference: The critical difference.
        title: Text above the picture.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    order = sorted(ranks, key=ranks.__getitem__)
    values = [ranks[name] for name in order]
    groups = groups_within(values, difference)
    n_left = (len(order) + 1) // 2
    below = GROUP_STEP * (len(groups) + 1)
    height = n_left + below + 3
    figure = Figure(figsize=(7, 0.4 + LINE_INCHES * height), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(0, len(order) + 1)
    axes.set_ylim(-n_left - below, 3)
    axes.set_title(title, fontsize=9)
    axes.plot([1, len(order)], [0, 0], color="black", linewidth=1)
    for tick in range(1, len(order) + 1):
        axes.plot([tick, tick], [0, 0.25], color="black", linewidth=1)
        axes.text(tick, 0.4, str(tick), ha="center", fontsize=7)
    axes.plot([1, 1 + difference], [1.8, 1.8], color="black", linewidth=2)
    axes.text(1, 2.0, f"critical difference {difference:.2f}", fontsize=7)
    for number, (first, last) in enumerate(groups):
        depth = -GROUP_STEP * (number + 1)
        axes.plot([values[first], values[last]], [depth, depth], color="C3", linewidth=3)
    for place, (name, rank) in enumerate(zip(order, values, strict=True)):
        is_left = place < n_left
        level = -below - (place if is_left else len(order) - 1 - place)
        side = 0.7 if is_left else len(order) + 0.3
        axes.plot([rank, rank, side], [0, level, level], color="grey", linewidth=0.7)
        text = f"{name} ({rank:.2f})"
        axes.text(
            side - 0.05 if is_left else side + 0.05,
            level,
            text,
            ha="right" if is_left else "left",
            va="center",
            fontsize=7,
        )
    return png_bytes(figure)


def draw_score_against_cost(
    panels: Mapping[str, Sequence[CostPoint]], score: str, title: str = ""
) -> bytes:
    """Draw the score of each method against what it costs, a panel for each kind of cost.

    Args:
        panels: Points by the words below the horizontal axis, which is logarithmic.
        score: Words beside the vertical axis.
        title: Text above the picture.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    names = sorted({point.name for points in panels.values() for point in points})
    colour_of = {name: f"C{number % 10}" for number, name in enumerate(names)}
    for axes, (words, points) in zip(grid, panels.items(), strict=True):
        _draw_points(axes, points, colour_of)
        axes.set_xscale("log")
        axes.margins(x=0.15)  # room for names
        axes.set_xlabel(words, fontsize=8)
        axes.set_ylabel(score, fontsize=8)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    return png_bytes(figure)


def _draw_points(axes: Axes, points: Sequence[CostPoint], colour_of: Mapping[str, str]) -> None:
    """Draw methods as points with their names and a bar of one deviation."""
    for point in points:
        bar = None if point.std != point.std else point.std
        colour = colour_of[point.name]
        axes.errorbar(point.cost, point.score, yerr=bar, fmt="o", color=colour, markersize=4)
        axes.annotate(
            point.name,
            (point.cost, point.score),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=7,
            color=colour,
        )
