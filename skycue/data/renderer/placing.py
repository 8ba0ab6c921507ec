"""What every place on land is made of: where things go, roads, car parks, trees, a backdrop."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from skycue.data.renderer.canvas import Point, moved, rectangle
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import band, disc
from skycue.data.renderer.structures import draw_lanes
from skycue.data.renderer.traffic import draw_vehicle, heading

CAR_GSD_M = 0.36
"""Cars are drawn where pixels are at most this large; beyond, they are specks."""
TRAFFIC = ("car", "car", "car", "car", "van", "van", "truck", "bus")
BAY_M = 2.7
"""Width of a place in a car park."""
PAVEMENT = (168, 164, 156)
PATCHES = ("grass", "dry grass", "soil", "lawn", "light forest", "forest", "grass", "gravel")


def choose(canvas: InstanceCanvas, names: Sequence[str]) -> str:
    """Draw one of some names."""
    return names[int(canvas.rng.integers(len(names)))]


def somewhere(canvas: InstanceCanvas, margin: float = 0.1) -> Point:
    """Draw a point that is at least a share `margin` of the side from the border."""
    x, y = canvas.rng.uniform(margin, 1 - margin, 2).tolist()
    return (x * canvas.extent_m, y * canvas.extent_m)


def crossing_line(canvas: InstanceCanvas, middle: Point, angle: float) -> list[Point]:
    """Return the ends of a line through a point that crosses the whole canvas."""
    reach = 1.5 * canvas.extent_m
    return [moved(middle, angle, -reach), moved(middle, angle, reach)]


def grid(canvas: InstanceCanvas, angle: float, gap_m: float) -> Iterator[Point]:
    """Yield the points of a turned grid that covers the canvas."""
    reach = 0.75 * canvas.extent_m
    middle = (canvas.extent_m / 2, canvas.extent_m / 2)
    along, across = (
        (np.arange(-reach, reach, gap_m) + canvas.rng.uniform(0, gap_m)).tolist() for _ in range(2)
    )
    for x, y in itertools.product(along, across):
        yield moved(middle, angle, x, y)


def draw_backdrop(canvas: InstanceCanvas, materials: Sequence[str], *, patches: int = 5) -> None:
    """Cover all with one of some materials, and a few patches of it with others; wear paths."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, materials), shade=rng.uniform(0.88, 1.12))
    for _ in range(int(rng.integers(0, patches + 1))):
        middle, radius = somewhere(canvas, -0.05), side * rng.uniform(0.06, 0.28)
        if rng.random() < 0.4:
            long_m, wide_m = radius * 2 * rng.uniform(0.6, 1.4, 2)
            patch = rectangle(middle, float(long_m), float(wide_m), rng.uniform(0, math.pi))
        else:
            patch = blob(canvas, middle, radius)
        canvas.cover(choose(canvas, PATCHES), patch, shade=rng.uniform(0.85, 1.1))
    for _ in range(int(rng.integers(0, 3))):
        bends = [somewhere(canvas, -0.2), somewhere(canvas, 0.2), somewhere(canvas, -0.2)]
        path = canvas.curve(bends)
        canvas.lay_line(path, rng.uniform(1.5, 4), (176, 164, 144), alpha=190)


def blob(canvas: InstanceCanvas, middle: Point, radius_m: float) -> list[Point]:
    """Return a round outline with bays."""
    phases, sizes = canvas.rng.uniform(0, 2 * math.pi, 4), canvas.rng.uniform(0.03, 0.16, 4)
    angles = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    waves = sum(
        size * np.cos((order + 2) * angles + phase)
        for order, (phase, size) in enumerate(zip(phases, sizes, strict=True))
    )
    radii = radius_m * (1 + waves)
    return [moved(middle, a, r) for a, r in zip(angles.tolist(), radii.tolist(), strict=True)]


def draw_road(canvas: InstanceCanvas, points: Sequence[Point], width_m: float) -> None:
    """Draw a road with its pavements and lanes."""
    rng = canvas.rng
    if rng.random() < 0.8:
        canvas.lay(band(points, width_m + rng.uniform(1.5, 4.5)), PAVEMENT)
    canvas.cover("asphalt", band(points, width_m), shade=rng.uniform(0.85, 1.35))
    for start, end in itertools.pairwise(points):
        canvas.keep_clear(start, end, width_m)
        draw_lanes(canvas, start, end, width_m)


def drive_along(
    canvas: InstanceCanvas,
    points: Sequence[Point],
    width_m: float,
    *,
    traffic: float = 0.25,
    on: int = 0,
) -> None:
    """Put vehicles on a share `traffic` of a road's places, where pixels are small enough.

    With `on`, the road is that of the bridge with this number.
    """
    rng = canvas.rng
    for start, end in itertools.pairwise(points) if canvas.gsd_m <= CAR_GSD_M else ():
        angle = heading(start, end)
        for along in np.arange(6, math.dist(start, end) - 6, 14.0).tolist():
            for side in (-1, 1):
                place = moved(start, angle, along + rng.uniform(-3, 3), side * width_m / 4)
                if rng.random() < traffic and canvas.meets([place]):
                    way = angle + (math.pi if side < 0 else 0) + rng.normal(0, 0.02)
                    draw_vehicle(canvas, place, way, kind=choose(canvas, TRAFFIC), on=on)


def draw_car_park(
    canvas: InstanceCanvas, centre: Point, length_m: float, width_m: float, angle: float
) -> None:
    """Draw a car park: marked bays in double rows, some of them taken."""
    rng = canvas.rng
    ground = rectangle(centre, length_m, width_m, angle)
    canvas.cover("asphalt", ground, shade=rng.uniform(0.85, 1.25))
    taken = rng.uniform(0.25, 0.9)
    for across in np.arange(-width_m / 2 + 3.2, width_m / 2 - 2, 8.2).tolist():
        for along in np.arange(-length_m / 2 + 2, length_m / 2 - 2, BAY_M).tolist():
            place = moved(centre, angle, along, across)
            if not canvas.meets([place]):
                continue
            mark = [moved(place, angle, -BAY_M / 2, side * 2.5) for side in (-1, 1)]
            canvas.paint_line(mark, 0.12, (224, 224, 220), alpha=170)
            if canvas.gsd_m <= CAR_GSD_M and rng.random() < taken:
                nose = angle + math.pi / 2 * (1 if rng.random() < 0.5 else -1)
                draw_vehicle(canvas, place, nose + rng.normal(0, 0.025))


def plant_trees(
    canvas: InstanceCanvas,
    count: int,
    *,
    over: float = 0.08,
    radius_m: tuple[float, float] = (2.0, 5.5),
) -> None:
    """Plant trees in loose groups; a share `over` of them may hide parts of objects."""
    rng, group = canvas.rng, somewhere(canvas, 0.0)
    spread = 0.0
    for index in range(count):
        if index % 7 == 0:
            group, spread = somewhere(canvas, 0.0), canvas.extent_m * rng.uniform(0.015, 0.1)
        radius = rng.uniform(*radius_m)
        dx, dy = rng.normal(0, spread, 2).tolist()
        place = (group[0] + dx, group[1] + dy)
        trunk = disc(place, 0.35 * radius, 6)
        is_free = rng.random() < over or canvas.is_free(disc(place, 1.1 * radius, 8))
        if is_free and canvas.is_off_roads(trunk):
            canvas.plant(place, radius)


def plant_row(canvas: InstanceCanvas, start: Point, end: Point, gap_m: float) -> None:
    """Plant trees of one age along a line, where no object lies."""
    angle, radius = heading(start, end), canvas.rng.uniform(2.0, 4.0)
    for along in np.arange(0, math.dist(start, end), gap_m).tolist():
        place = moved(start, angle, along + canvas.rng.uniform(-1, 1))
        if canvas.meets([place]) and canvas.is_free(disc(place, radius, 8)):
            canvas.plant(place, radius * canvas.rng.uniform(0.85, 1.15))
