"""What does it cost to describe boxes on a raster, and does its window do as well as its image?

    python -m bench.raster_boxes

Images of 512 px that the renderer draws, by sensors that no training saw, lie side by side in one
raster; objects of theirs are the boxes. The same boxes are described on the raster, in windows, and
each on its own image: how often the class in the box is named right, and how much the prompted mask
overlaps the object (P-IoU). The loop over the raster is timed against the bare model on windows
that were read before. And a raster of 200,000 x 200,000 pixels, on which the same images lie
scattered, is described in a process of its own, whose memory is measured.
"""

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from shapely import MultiPolygon
from shapely.affinity import translate

from bench.peak_memory import run_alone
from bench.timing import GIGA, NO_TARGET, Options, Result, best_times, read_options, report
from skycue.answers import Answer
from skycue.box_windows import group_boxes
from skycue.boxes import Box, PlacedBox
from skycue.data.renderer.instance_scenes import RenderedImage, render
from skycue.data.renderer.sensors import TEST_SENSORS
from skycue.geo.outlines import outline_mask
from skycue.geo.raster import Raster
from skycue.metrics.grounding import named_class
from skycue.raster_describer import describe_boxes
from skycue.region_describer import RegionDescriber

SIDE = 512
"""Of an image."""
ROWS = 5
"""Images along each side of the raster: 2,560 pixels, more than is shown whole."""
MOST_TARGETS = 4
"""Objects of an image that are boxes, the first ones."""
FIRST_SEED = 100_000
"""Of the images; training draws from lower ones."""
SPARSE_SIDE = 200_000
BLOCK = 512
LEAST_SHARE = 0.9
"""Of the bare model's rate."""
MOST_BYTES = 2e9


class Target(NamedTuple):
    """An object that a box is drawn around.

    Attributes:
        box: In pixels of its image.
        outline: Likewise.
        class_name: What it is.
    """

    box: Box
    outline: MultiPolygon
    class_name: str


class Tile(NamedTuple):
    """An image and its objects, and where its corner lies in the raster.

    Attributes:
        pixels: RGB, [3, H, W].
        corner: (x, y).
        targets: Its objects.
    """

    pixels: NDArray[np.uint8]
    corner: tuple[int, int]
    targets: list[Target]


class Quality(NamedTuple):
    """How good answers are.

    Attributes:
        named: Share of boxes whose class is named right.
        overlap: P-IoU, the mean overlap of the prompted mask with the object.
    """

    named: float
    overlap: float


def draw_tiles(n_images: int, corners: Sequence[tuple[int, int]]) -> list[Tile]:
    """Draw images for the corners of a raster."""
    tiles = []
    for number in range(n_images):
        sensor = TEST_SENSORS[number % len(TEST_SENSORS)]
        drawn: RenderedImage = render(FIRST_SEED + number, size=SIDE, sensor=sensor)
        targets = [
            Target(each.box, outline_mask(each.crop, each.corner), each.class_name)
            for each in drawn.instances[:MOST_TARGETS]
        ]
        tiles.append(Tile(drawn.pixels, corners[number], targets))
    return tiles


def boxes_of(tiles: Sequence[Tile]) -> list[PlacedBox]:
    """Return the objects as boxes of the raster."""
    return [
        PlacedBox(f"{n}/{k}", (box[0] + x, box[1] + y, box[2] + x, box[3] + y))
        for n, (_, (x, y), targets) in enumerate(tiles)
        for k, (box, _, _) in enumerate(targets)
    ]


def write_tiles(path: Path, side: int, tiles: Sequence[Tile]) -> None:
    """Write a raster that holds the blocks of the images and nothing else."""
    import rasterio  # not the package's way: blocks that are not written stay absent
    from rasterio.windows import Window

    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=side,
        width=side,
        count=3,
        dtype="uint8",
        crs="EPSG:32631",
        transform=rasterio.Affine(0.5, 0.0, 300_000.0, 0.0, -0.5, 5_750_000.0),
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        compress="deflate",
        sparse_ok=True,
        bigtiff="yes",
        nodata=0,
        photometric="RGB",
    ) as dataset:
        for pixels, (x, y), _ in tiles:
            # 0 stands for nothing, so black is drawn one level brighter
            dataset.write(np.maximum(pixels, 1), window=Window(x, y, SIDE, SIDE))


def quality_of(
    found: Iterable[tuple[Answer, MultiPolygon | None]], tiles: Sequence[Tile]
) -> Quality:
    """Compare answers, with outlines of their prompted masks in the raster, with the objects."""
    named, overlaps = [], []
    places = ((tile, target) for tile in tiles for target in tile.targets)
    for (answer, outline), (tile, target) in zip(found, places, strict=True):
        words = "" if answer.prompted is None else answer.phrases[answer.prompted].text
        named.append(named_class(words) == target.class_name)
        true = translate(target.outline, *tile.corner)
        common = 0.0 if outline is None else outline.intersection(true).area
        union = true.area + (0.0 if outline is None else outline.area) - common
        overlaps.append(common / union)
    return Quality(float(np.mean(named)), float(np.mean(overlaps)))


def on_raster(describer: RegionDescriber, path: Path, tiles: Sequence[Tile]) -> Quality:
    """Describe the objects on the raster."""
    answers = describe_boxes(describer, Raster.open(path), boxes_of(tiles))
    found = []
    for each in answers:
        number = each.answer.prompted
        outline = None if number is None else each.to_features()[number].outline
        found.append((each.answer, outline))
    return quality_of(found, tiles)


def on_images(describer: RegionDescriber, tiles: Sequence[Tile]) -> Quality:
    """Describe the objects, each on its own image."""
    found = []
    for tile in tiles:
        if not tile.targets:
            continue
        boxes = [target.box for target in tile.targets]
        for answer in describer.encode(tile.pixels).describe_all(boxes):
            phrase = None if answer.prompted is None else answer.phrases[answer.prompted]
            outline = None
            if phrase is not None and phrase.mask is not None:
                own = outline_mask(phrase.mask.pixels, phrase.mask.corner)
                outline = translate(own, *tile.corner)
            found.append((answer, outline))
    return quality_of(found, tiles)


def time_loop(
    describer: RegionDescriber, path: Path, boxes: Sequence[PlacedBox], options: Options
) -> Result:
    """Time describing on the raster against the bare model on windows that were read before."""
    raster = Raster.open(path)
    groups = group_boxes(boxes, raster.size, describer.needs)
    windows = [raster.read(group.shown.window, group.shown.size).pixels for group in groups]

    def bare() -> None:
        pairs = [
            (encoded, group.shown.to_shown(placed.box))
            for group, encoded in zip(groups, map(describer.encode, windows), strict=True)
            for placed in group.boxes
        ]
        describer.describe_pairs(pairs)

    sides = {
        "bare": bare,
        "raster": lambda: describe_boxes(describer, Raster.open(path), boxes),
    }
    times = best_times(sides, options)
    share = times["bare"] / times["raster"]
    return Result(
        question=f"rate of {len(boxes)} boxes in {len(groups)} windows of a raster to the model's",
        answer=f"{share:.0%}",
        target=f"at least {LEAST_SHARE:.0%}",
        met=share >= LEAST_SHARE,
        detail=f"{len(boxes) / times['raster']:.1f} boxes a second to "
        f"{len(boxes) / times['bare']:.1f}, best of {options.rounds}; reading, encoding, captions "
        "and masks",
    )


def describe_sparse(path: Path, boxes: Sequence[PlacedBox]) -> tuple[float, int]:
    """Describe boxes on a raster; return the seconds that it took, and the windows."""
    describer = RegionDescriber.load("mini")
    started = time.perf_counter()
    answers = describe_boxes(describer, Raster.open(path), boxes)
    return time.perf_counter() - started, len({answer.shown for answer in answers})


def scattered(n_images: int, side: int) -> list[tuple[int, int]]:
    """Return corners of blocks drawn at random in a raster, no two the same."""
    rng = np.random.default_rng(1)
    columns = side // BLOCK
    chosen = rng.choice(columns * columns, n_images, replace=False)
    return [(int(n % columns) * BLOCK, int(n // columns) * BLOCK) for n in chosen]


def measure(options: Options, *, rows: int = ROWS, sparse_side: int = SPARSE_SIDE) -> list[Result]:
    """Describe the boxes of both rasters.

    Args:
        options: Of the run.
        rows: Images along each side of the dense raster.
        sparse_side: Of the sparse raster in pixels.
    """
    corners = [(x * SIDE, y * SIDE) for y in range(rows) for x in range(rows)]
    tiles = draw_tiles(rows * rows, corners)
    describer = RegionDescriber.load("mini")
    with tempfile.TemporaryDirectory() as folder:
        path, sparse = Path(folder) / "dense.tif", Path(folder) / "sparse.tif"
        write_tiles(path, rows * SIDE, tiles)
        boxes = boxes_of(tiles)
        window, whole = on_raster(describer, path, tiles), on_images(describer, tiles)
        timed = time_loop(describer, path, boxes, options)
        places = scattered(len(tiles), sparse_side)
        far = [tile._replace(corner=place) for tile, place in zip(tiles, places, strict=True)]
        write_tiles(sparse, sparse_side, far)
        (seconds, n_windows), peak = run_alone(
            describe_sparse, sparse, boxes_of(far), options=options
        )
    return [
        Result(
            question=f"{len(boxes)} boxes on a raster of {rows * SIDE} px, class named right",
            answer=f"{window.named:.1%}",
            target=NO_TARGET,
            met=True,
            detail=f"P-IoU {window.overlap:.3f}; each on its own image of {SIDE} px: "
            f"{whole.named:.1%}, P-IoU {whole.overlap:.3f}",
        ),
        timed,
        Result(
            question=f"peak memory of the process: {len(boxes)} boxes on a sparse raster of "
            f"{sparse_side} x {sparse_side} px",
            answer=f"{peak / GIGA:.2f} GB",
            target=f"under {MOST_BYTES / GIGA:g} GB",
            met=peak < MOST_BYTES,
            detail=f"{seconds:.0f} s, {n_windows} windows",
        ),
    ]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
