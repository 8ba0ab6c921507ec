"""How one axis of a window that is read at another size falls into pieces."""

import math
from itertools import pairwise
from typing import NamedTuple

SLIVER = 1e-3
"""Share of a cell; a smaller part inside the raster is rounding, not data."""


class Span(NamedTuple):
    """Cells of the result and the pixels of the raster that they show.

    Attributes:
        first: First cell.
        number: Cells.
        start: Where they start, in pixels of the raster.
        stop: Where they end; inside the raster.
    """

    first: int
    number: int
    start: float
    stop: float

    @property
    def cells(self) -> slice:
        """The cells as an index."""
        return slice(self.first, self.first + self.number)


def spans_of(start: int, length: int, cells: int, limit: int, longest: int) -> list[Span]:
    """Cut one axis of a window into spans inside the raster.

    Cells that lie inside as a whole keep their exact places; a cell that the raster's edge cuts is
    a span of its own, which shows its part inside.

    Args:
        start: First pixel of the window.
        length: Its pixels.
        cells: Cells that it is read at.
        limit: Pixels of the raster.
        longest: Pixels of a span, at most, unless one cell shows more.
    """
    step = length / cells
    low, high = max(0, -start) / step, min(length, limit - start) / step  # in cells
    if high - low < SLIVER:
        return []
    first, last = math.floor(low + SLIVER), math.ceil(high - SLIVER)  # cells with a part inside
    whole_first, whole_last = math.ceil(low - SLIVER), math.floor(high + SLIVER)
    cuts = {first, last, *range(whole_first, whole_last, max(1, int(longest / step)))}
    cuts.update(cut for cut in (whole_first, whole_last) if first < cut < last)
    edges = sorted(cuts)
    return [
        Span(
            a,
            b - a,
            min(max(start + a * step, 0.0), float(limit)),
            min(max(start + b * step, 0.0), float(limit)),
        )
        for a, b in pairwise(edges)
    ]
