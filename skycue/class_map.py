"""Which class each cell of a raster has: found by a classifier, told as polygons and a picture."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from skycue.geo.areas import area_m2
from skycue.geo.cells import CellGrid
from skycue.geo.cog import Block
from skycue.geo.feature_files import Feature
from skycue.geo.outlines import class_polygons
from skycue.geo.raster import MAX_PIXELS, Raster, RasterWindow
from skycue.geo.tiles import PixelWindow
from skycue.geo.valid_cells import cell_pixels, valid_shares
from skycue.map_drawing import MAX_SIDE, ClassColour, draw_class_map
from skycue.progress import progress_bar
from skycue.scene_windows import WindowClassifier, classify_windows

CELLS_AT_ONCE = 50_000
"""Cells, about, whose probabilities are in memory at a time."""
NO_CLASS = -1
"""Label of cells without a valid pixel."""


class ClassMap:
    """Which class each cell of a raster has, as it becomes known.

    A cell is classified by its window if one of its own pixels holds a value.

    Attributes:
        raster: What is classified.
        grid: The cells.
        class_names: C names.
        labels: Index of each cell's most probable class, `NO_CLASS` where there is none, int16
            [h, w].
        scores: Its probability, float32 [h, w].
        valid_shares: Share of each cell's pixels that hold a value, float64 [h, w].
    """

    def __init__(self, raster: Raster, grid: CellGrid, class_names: Sequence[str]) -> None:
        self.raster, self.grid, self.class_names = raster, grid, tuple(class_names)
        shape = (grid.rows, grid.columns)
        self.labels: NDArray[np.int16] = np.full(shape, NO_CLASS, dtype=np.int16)
        self.scores: NDArray[np.float32] = np.zeros(shape, dtype=np.float32)
        self.valid_shares: NDArray[np.float64] = np.zeros(shape)

    def fill(
        self, classifier: WindowClassifier, advance: Callable[[int], None] | None = None
    ) -> Iterator[Block]:
        """Classify all cells, and yield their probabilities in blocks of whole rows.

        Args:
            classifier: A fitted scene classifier.
            advance: Is told how many more cells are done; a progress bar if not given.
        """
        if advance is None:
            with progress_bar("classifying windows", len(self.grid)) as move:
                yield from self.fill(classifier, move)
            return
        columns = self.grid.columns
        n_rows = max(1, CELLS_AT_ONCE // columns)
        for top in range(0, self.grid.rows, n_rows):
            rows = range(top, min(top + n_rows, self.grid.rows))
            shares = valid_shares(self.raster, self.grid, rows)
            holding = np.flatnonzero(shares)
            windows = [self.grid[top * columns + cell] for cell in holding.tolist()]
            of_cells = np.full((shares.size, len(self.class_names)), np.nan, dtype=np.float32)
            of_cells[holding] = classify_windows(
                classifier, self.raster, windows, self.class_names, advance=advance
            )
            advance(shares.size - len(windows))
            found = of_cells.reshape(len(rows), columns, -1)  # [h, w, C]
            is_known = np.isfinite(found[..., 0])
            part = slice(rows.start, rows.stop)
            self.labels[part] = np.where(is_known, found.argmax(axis=-1), NO_CLASS)
            self.scores[part] = np.where(is_known, found.max(axis=-1), 0)
            self.valid_shares[part] = shares
            yield Block(0, top, found.transpose(2, 0, 1))

    def counts(self) -> dict[str, int]:
        """Return how many cells are of each class."""
        found = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return dict(zip(self.class_names, found.tolist(), strict=True))

    def features(self) -> Iterator[Feature]:
        """Yield the regions of cells of one class that share edges, in pixels of the raster.

        Outlines end where the raster ends. A cell that holds pixels without a value beside valid
        ones counts whole, in outline and area; `valid_share` tells how much of a region is valid.

        Raises:
            GeoError: If the raster has no place that areas could be told of.
        """
        from shapely import transform

        place = self.raster.georeference
        assert place is not None, "who calls has looked"
        height, width = self.raster.size
        ends, stride = np.array([width, height], dtype=np.float64), self.grid.stride
        regions, class_of = _regions_of(self.labels, len(self.class_names))
        inside, pixels = regions >= 0, cell_pixels(self.grid)
        numbers, n_regions = regions[inside], len(class_of)

        def sums(values: NDArray[np.floating | np.integer]) -> NDArray[np.number]:
            weights = values[inside].astype(np.float64)
            return np.bincount(numbers, weights, minlength=n_regions)

        n_cells = np.bincount(numbers, minlength=n_regions)
        scores = sums(self.scores) / np.maximum(n_cells, 1)
        shares = sums(self.valid_shares * pixels) / np.maximum(sums(pixels), 1)
        for number, in_cells in class_polygons(regions):
            outline = transform(in_cells, lambda corners: np.minimum(corners * stride, ends))
            properties: dict[str, JsonValue] = {
                "class": self.class_names[class_of[number]],
                "score": float(scores[number]),
                "cells": int(n_cells[number]),
                "area_m2": area_m2(outline, place),
                "valid_share": float(shares[number]),
            }
            yield Feature(outline, properties)

    def draw(self, colours: Sequence[ClassColour] | None = None) -> bytes:
        """Return a PNG of the cells over the raster, with a legend.

        Args:
            colours: Of the classes; the usual ones if not given.
        """
        return draw_class_map(
            self.labels,
            self.class_names,
            self.raster.size,
            self.grid.stride,
            backdrop=self._backdrop(),
            colours=colours,
        )

    def _backdrop(self) -> RasterWindow | None:
        """Return the raster, small; None where it would take long.

        That is where a large raster has no small overview.
        """
        height, width = self.raster.size
        small = [size for size in self.raster.overview_sizes if max(size) <= 4 * MAX_SIDE]
        if height * width > MAX_PIXELS and not small:
            return None
        factor = max(1.0, max(height, width) / MAX_SIDE)
        size = (max(1, round(height / factor)), max(1, round(width / factor)))
        return self.raster.read(PixelWindow.whole(self.raster.size), size)


def _regions_of(
    labels: NDArray[np.int16], n_classes: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number the regions of cells of one class that share edges.

    Returns:
        The number of each cell's region, negative where it has no class, [h, w]; and the class of
        each region, [R].
    """
    from scipy.ndimage import label  # heavy: imported when used

    regions = np.full(labels.shape, -1, dtype=np.int32)
    class_of: list[int] = []
    for number in range(n_classes):
        found, n_found = label(labels == number)
        inside = found > 0
        regions[inside] = found[inside] - 1 + len(class_of)
        class_of += [number] * n_found
    return regions, np.array(class_of, dtype=np.int64)
