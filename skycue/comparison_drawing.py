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
MARKERS = "os^Dv"
"""Shapes of points; with the ten colours of matplotlib's cycle they tell fifty methods apart."""
POINTS_PER_INCH = 72
LABEL_POINTS = 8.5
"""Least distance of two names one above the other, in points; letters are 7 high."""
WORD_POINTS = 65
"""Names nearer than this from left to right may lie on each other."""


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
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(6.5 * len(panels), 5), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    names = sorted({point.name for points in panels.values() for point in points})
    for axes, (words, points) in zip(grid, panels.items(), strict=True):
        for point in points:
            _draw_point(axes, point, names.index(point.name))
        axes.set_xscale("log")
        axes.margins(x=0.15, y=0.08)  # room for names
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(labelsize=7)
        axes.set_xlabel(words, fontsize=8)
        axes.set_ylabel(score, fontsize=8)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    figure.draw_without_rendering()  # settles the layout, and with it where points lie
    for axes, points in zip(grid, panels.values(), strict=True):
        _name_points(axes, points, names, dots_per_inch=figure.dpi)
    return png_bytes(figure)


def label_heights(places: Sequence[tuple[float, float]]) -> list[float]:
    """Return how high the name of each point stands, so that no name lies on another.

    From the lowest point up a name moves just over those that it would lie on.

    Args:
        places: Right and up, in points of a printer.

    Returns:
        Heights in the same unit, none below its point.
    """
    heights: dict[int, float] = {}
    for number in sorted(range(len(places)), key=lambda number: places[number][1]):
        right, height = places[number]
        near = [heights[other] for other in heights if abs(places[other][0] - right) < WORD_POINTS]
        for below in sorted(near):
            if abs(below - height) < LABEL_POINTS:
                height = below + LABEL_POINTS
        heights[number] = height
    return [heights[number] for number in range(len(places))]


def _draw_point(axes: Axes, point: CostPoint, number: int) -> None:
    """Draw a method as a point with a bar of one deviation."""
    bar = None if point.std != point.std else point.std
    axes.errorbar(
        point.cost,
        point.score,
        yerr=bar,
        fmt=MARKERS[number // 10 % len(MARKERS)],
        color=f"C{number % 10}",
        markersize=5,
        elinewidth=0.7,
    )


def _name_points(
    axes: Axes, points: Sequence[CostPoint], names: Sequence[str], *, dots_per_inch: float
) -> None:
    """Write the name of each method to the right of its point, higher where it would lie on one."""
    pixels = axes.transData.transform([(point.cost, point.score) for point in points])  # [N, 2]
    places = [(x, y) for x, y in (pixels * POINTS_PER_INCH / dots_per_inch).tolist()]
    for point, (_, at), height in zip(points, places, label_heights(places), strict=True):
        is_moved = height > at
        axes.annotate(
            point.name,
            (point.cost, point.score),
            xytext=(8 if is_moved else 5, height - at),
            textcoords="offset points",
            fontsize=7,
            va="center",
            color=f"C{names.index(point.name) % 10}",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "grey"} if is_moved else None,
        )
