"""Places on land, each drawn as one meets it: airfields, tank farms, sports grounds, streets.

A layout covers the whole canvas. It draws from the ground up: what lies flat, then what stands,
then trees.
"""

import math
from collections.abc import Iterator

import numpy as np

from skycue.data.renderer.canvas import Point, moved, rectangle
from skycue.data.renderer.facilities import (
    COURT_COLOURS,
    draw_baseball_diamond,
    draw_basketball_court,
    draw_hall,
    draw_house,
    draw_tennis_court,
    draw_track_field,
)
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.objects import (
    AIRCRAFT,
    PALE,
    draw_airplane,
    draw_lanes,
    draw_tank,
    draw_vehicle,
    pick,
)
from skycue.data.renderer.outlines import arc, band, disc, placed

CAR_GSD_M = 0.42
"""Cars are drawn where pixels are at most this large; beyond, they are specks."""
GROUNDS = ("grass", "lawn", "dry grass", "soil", "grass")


def choose(canvas: InstanceCanvas, names: tuple[str, ...]) -> str:
    """Draw one of some names."""
    return names[int(canvas.rng.integers(len(names)))]


def somewhere(canvas: InstanceCanvas, margin: float = 0.1) -> Point:
    """Draw a point that is at least a share `margin` of the side from the border."""
    x, y = canvas.rng.uniform(margin, 1 - margin, 2) * canvas.extent_m
    return (float(x), float(y))


def draw_road(
    canvas: InstanceCanvas, points: list[Point], width_m: float, *, traffic: float = 0.25
) -> None:
    """Draw a road with its lanes, and cars on a share `traffic` of its places."""
    canvas.paint_line(points, width_m + 3.2, (168, 164, 156))
    canvas.cover("asphalt", band(points, width_m))
    for start, end in zip(points, points[1:], strict=False):
        draw_lanes(canvas, start, end, width_m)
        if canvas.gsd_m > CAR_GSD_M:
            continue
        angle, length_m = math.atan2(end[1] - start[1], end[0] - start[0]), math.dist(start, end)
        for along in np.arange(6, length_m - 6, 14.0):
            for side in (-1, 1):
                if canvas.rng.random() < traffic:
                    kind = ("car", "car", "car", "van", "truck", "bus")[int(canvas.rng.integers(6))]
                    place = moved(
                        start, angle, along + canvas.rng.uniform(-3, 3), side * width_m / 4
                    )
                    draw_vehicle(canvas, place, angle + (math.pi if side < 0 else 0), kind=kind)


def crossing_line(canvas: InstanceCanvas, middle: Point, angle: float) -> list[Point]:
    """Return the ends of a line through a point that crosses the whole canvas."""
    reach = 1.5 * canvas.extent_m
    return [moved(middle, angle, -reach), moved(middle, angle, reach)]


def draw_car_park(
    canvas: InstanceCanvas, centre: Point, length_m: float, width_m: float, angle: float
) -> None:
    """Draw a car park: marked bays in double rows, some of them taken."""
    canvas.cover(
        "asphalt", rectangle(centre, length_m, width_m, angle), shade=canvas.rng.uniform(0.85, 1.2)
    )
    taken, bay = canvas.rng.uniform(0.25, 0.85), 2.7
    for across in np.arange(-width_m / 2 + 3.5, width_m / 2 - 2, 8.5 if width_m > 20 else 17.0):
        for along in np.arange(-length_m / 2 + 2, length_m / 2 - 2, bay):
            place = moved(centre, angle, along, across)
            mark = [moved(place, angle, -bay / 2, side * 2.5) for side in (-1, 1)]
            canvas.paint_line(mark, 0.12, (224, 224, 220), alpha=170)
            if canvas.gsd_m <= CAR_GSD_M and canvas.rng.random() < taken:
                nose = angle + math.pi / 2 * (1 if canvas.rng.random() < 0.5 else -1)
                draw_vehicle(canvas, place, nose + canvas.rng.normal(0, 0.02))


def plant_trees(
    canvas: InstanceCanvas,
    count: int,
    *,
    keep_off: bool = True,
    radius_m: tuple[float, float] = (2.0, 5.5),
) -> None:
    """Scatter trees, in loose groups; with `keep_off` none hides a part of an object."""
    rng = canvas.rng
    group = somewhere(canvas, 0.0)
    for index in range(count):
        if index % 6 == 0:
            group = somewhere(canvas, 0.0)
        radius = rng.uniform(*radius_m)
        spread = rng.normal(0, 0.06 * canvas.extent_m, 2)
        place = (group[0] + float(spread[0]), group[1] + float(spread[1]))
        if not keep_off or canvas.is_free(disc(place, 1.1 * radius, 8)):
            canvas.plant(place, radius)


def blocks(canvas: InstanceCanvas, angle: float, gap_m: float) -> Iterator[tuple[Point, float]]:
    """Yield the middles of a grid of places that covers the canvas, and the grid's angle."""
    reach = 0.75 * canvas.extent_m
    middle = (canvas.extent_m / 2, canvas.extent_m / 2)
    offset = canvas.rng.uniform(0, gap_m, 2)
    for along in np.arange(-reach, reach, gap_m) + offset[0]:
        for across in np.arange(-reach, reach, gap_m) + offset[1]:
            yield moved(middle, angle, float(along), float(across)), angle


def draw_airfield(canvas: InstanceCanvas) -> None:
    """Draw an apron with aircraft in a row at a terminal, a taxiway and grass."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, GROUNDS))
    angle = rng.uniform(0, 2 * math.pi)
    middle = somewhere(canvas, 0.35)
    depth = side * rng.uniform(0.5, 0.85)
    canvas.cover(
        choose(canvas, ("concrete", "concrete", "gravel", "asphalt")),
        rectangle(middle, 3 * side, depth, angle),
        shade=rng.uniform(0.85, 1.1),
    )
    slab = rng.uniform(6, 9)
    for across in np.arange(-depth / 2, depth / 2, slab):
        canvas.paint_line(
            [moved(p, angle, 0, across) for p in crossing_line(canvas, middle, angle)],
            0.2,
            (90, 88, 84),
            alpha=60,
        )
    for along in np.arange(-side, side, slab):
        canvas.paint_line(
            [moved(middle, angle, along, w * depth / 2) for w in (-1, 1)],
            0.2,
            (90, 88, 84),
            alpha=60,
        )
    taxi = moved(middle, angle, 0, depth * 0.3)
    canvas.cover("asphalt", rectangle(taxi, 3 * side, 23, angle), shade=rng.uniform(0.8, 1.3))
    canvas.paint_line(crossing_line(canvas, taxi, angle), 0.5, (214, 178, 60), alpha=220)
    stain = crossing_line(canvas, moved(taxi, angle, 0, 1.5), angle)
    canvas.paint_line(stain, 6.0, (50, 50, 52), alpha=50)
    if rng.random() < 0.6:
        _draw_terminal(canvas, moved(middle, angle, 0, -depth / 2 - 14), angle)
    _park_aircraft(canvas, middle, depth, angle)
    for _ in range(int(rng.integers(0, 3))):
        taxiing = moved(taxi, angle, rng.uniform(-0.5, 0.5) * side)
        kind, length_m = _aircraft_of(canvas)
        if canvas.is_free(disc(taxiing, 0.6 * length_m, 8)):
            draw_airplane(
                canvas, taxiing, kind, length_m, angle + (math.pi if rng.random() < 0.5 else 0)
            )


def _draw_terminal(canvas: InstanceCanvas, centre: Point, angle: float) -> None:
    for along in np.arange(-1, 1, 0.45) * canvas.extent_m:
        place = moved(centre, angle, along, canvas.rng.uniform(-8, 0))
        draw_hall(canvas, place, 0.4 * canvas.extent_m, canvas.rng.uniform(22, 34), angle)


def _aircraft_of(canvas: InstanceCanvas, kind: str | None = None) -> tuple[str, float]:
    """Draw a kind and a length; a kind that would be large in the image is left out."""
    names = [
        name
        for name, (_, (short, _)) in AIRCRAFT.items()
        if short < 0.22 * canvas.extent_m and short > 22 * canvas.gsd_m
    ]
    name = kind or names[int(canvas.rng.integers(len(names)))]
    return name, float(canvas.rng.uniform(*AIRCRAFT[name][1]))


def _park_aircraft(canvas: InstanceCanvas, middle: Point, depth: float, angle: float) -> None:
    """Park aircraft of mostly one kind in rows, noses the same way."""
    rng, side = canvas.rng, canvas.extent_m
    kind, _ = _aircraft_of(canvas)
    longest = AIRCRAFT[kind][1][1]
    turn = (
        angle + (-1 if rng.random() < 0.7 else 1) * math.pi / 2 + rng.choice([0.0, 0.0, 0.5, -0.5])
    )
    rows = max(1, int(0.75 * depth / (1.3 * longest)))
    full = rng.uniform(0.4, 0.95)
    for row in range(min(rows, 3)):
        across = -depth / 2 + (0.75 + 1.3 * row) * longest
        for along in np.arange(-0.9 * side, 0.9 * side, rng.uniform(1.1, 1.5) * longest):
            place = moved(middle, angle, along + rng.uniform(-2, 2), across)
            stand = [place, moved(place, turn, 0.8 * longest)]
            canvas.paint_line(stand, 0.4, (214, 178, 60), alpha=190)
            own, length_m = _aircraft_of(canvas, kind if rng.random() < 0.8 else None)
            if rng.random() < full and canvas.is_free(disc(place, 0.55 * length_m, 8)):
                draw_airplane(canvas, place, own, length_m, turn + rng.normal(0, 0.04))
                cart = moved(place, turn, 0.3 * length_m, 0.3 * length_m)
                if canvas.gsd_m <= CAR_GSD_M and canvas.is_free(disc(cart, 5, 8)):
                    draw_vehicle(canvas, cart, rng.uniform(0, 6.3), kind="van")


def draw_tank_farm(canvas: InstanceCanvas) -> None:
    """Draw tanks of a few sizes in rows, each row in its bund, with pipes and service roads."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, ("gravel", "grass", "dry grass", "soil", "concrete")))
    angle = rng.uniform(0, math.pi / 2)
    middle = somewhere(canvas, 0.3)
    draw_road(
        canvas,
        crossing_line(canvas, moved(middle, angle, 0, rng.uniform(-0.5, 0.5) * side), angle),
        rng.uniform(7, 12),
    )
    across = -0.7 * side
    colours = [
        pick(canvas, PALE),
        pick(canvas, PALE),
        pick(canvas, ((176, 168, 150), (132, 138, 140), (150, 110, 92))),
    ]
    while across < 0.7 * side:
        radius = rng.uniform(12, 30) * canvas.gsd_m
        gap = radius * rng.uniform(2.3, 3.3)
        bund = moved(middle, angle, 0, across + gap / 2)
        start, end = sorted(rng.uniform(-0.6, 0.6, 2) * side)
        if end - start > 2 * gap:
            ground = rectangle(
                moved(bund, angle, (start + end) / 2), end - start + gap, gap * 0.96, angle
            )
            canvas.cover(choose(canvas, ("gravel", "soil", "concrete", "dry grass")), ground)
            canvas.paint_line([*ground, ground[0]], 1.2, (178, 172, 160), alpha=160)
            pipe = [moved(bund, angle, a, -0.45 * gap) for a in (start, end)]
            canvas.paint_line(pipe, 1.0, (150, 146, 140))
            colour = colours[int(rng.integers(3)) if rng.random() < 0.4 else 0]
            for along in np.arange(start + gap / 2, end, gap):
                place = moved(bund, angle, along)
                if rng.random() < 0.92 and canvas.is_free(disc(place, radius, 8)):
                    canvas.paint_line(
                        [place, moved(place, angle, 0, -0.45 * gap)], 0.8, (150, 146, 140)
                    )
                    draw_tank(canvas, place, radius, colour)
        elif rng.random() < 0.7:
            hall = moved(bund, angle, rng.uniform(-0.4, 0.4) * side)
            draw_hall(canvas, hall, rng.uniform(20, 45), min(gap * 0.7, 25), angle)
        across += gap * rng.uniform(1.0, 1.4)
    plant_trees(canvas, int(rng.integers(0, 40)))


def draw_courts(canvas: InstanceCanvas, corner: Point, angle: float, *, kind: str) -> None:
    """Draw a fenced group of courts of one kind, "tennis" or "basketball", side by side."""
    rng = canvas.rng
    court, ground = pick(canvas, COURT_COLOURS), pick(canvas, COURT_COLOURS)
    if rng.random() < 0.3:
        ground = court
    long_m, wide_m = (36.0, 17.5) if kind == "tennis" else (33.0, 19.0)
    count, rows = int(rng.integers(1, 6)), 1 if rng.random() < 0.7 else 2
    area = rectangle(
        moved(corner, angle, rows * long_m / 2, count * wide_m / 2),
        rows * long_m,
        count * wide_m,
        angle,
    )
    if not canvas.is_free(area):
        return
    canvas.paint(area, ground)
    canvas.paint_line([*area, area[0]], 0.3, (70, 76, 70), alpha=200)
    draw = draw_tennis_court if kind == "tennis" else draw_basketball_court
    for row in range(rows):
        for index in range(count):
            place = moved(corner, angle, (row + 0.5) * long_m, (index + 0.5) * wide_m)
            draw(canvas, place, angle, court)


def draw_park(canvas: InstanceCanvas) -> None:
    """Draw a park: courts, baseball diamonds, paths, a car park and many trees."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, ("grass", "lawn", "grass", "dry grass")))
    angle = rng.uniform(0, math.pi)
    if rng.random() < 0.6:
        edge = moved(somewhere(canvas, 0.0), angle, 0.0)
        draw_road(canvas, crossing_line(canvas, edge, angle), rng.uniform(7, 14))
    for _ in range(int(rng.integers(0, 3))):
        start, end = somewhere(canvas, -0.2), somewhere(canvas, -0.2)
        path = [start, moved(somewhere(canvas, 0.3), 0.0, 0.0), end]
        canvas.paint_line(path, 2.2, (178, 168, 150))
    for _ in range(int(rng.integers(1, 4))):
        scale = rng.choice([1.0, 0.67, 0.67])
        home = somewhere(canvas, 0.05)
        turn = math.atan2(side / 2 - home[1], side / 2 - home[0]) + rng.normal(0, 0.5)
        ground = placed([(-5, 0), *arc((0.0, 0.0), 50, -0.8, 0.8, 6)], home, turn, scale)
        if canvas.is_free(ground):
            draw_baseball_diamond(canvas, home, turn, scale)
    for kind in ("tennis", "basketball", "tennis", "basketball")[: int(rng.integers(1, 5))]:
        draw_courts(canvas, somewhere(canvas, 0.0), angle + rng.choice([0, math.pi / 2]), kind=kind)
    for _ in range(int(rng.integers(0, 3))):
        place = somewhere(canvas, 0.0)
        if canvas.is_free(rectangle(place, 50, 30, angle)):
            draw_hall(canvas, place, rng.uniform(15, 45), rng.uniform(12, 25), angle)
    plant_trees(canvas, int(rng.integers(20, 160)))


def draw_school(canvas: InstanceCanvas) -> None:
    """Draw a running track with stands, halls, courts and a car park beside it."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, ("grass", "lawn", "dry grass")))
    angle = rng.uniform(0, math.pi)
    centre = somewhere(canvas, 0.3)
    draw_track_field(canvas, centre, angle, rng.choice([1.0, 1.0, 0.8]))
    if rng.random() < 0.6:
        stand = rectangle(moved(centre, angle, 0, 58), 60, 12, angle)
        canvas.shadow(stand, 5)
        canvas.paint(stand, (178, 178, 180))
        for step in np.arange(-5, 5, 1.5):
            canvas.paint_line(
                [moved(centre, angle, x, 58 + step) for x in (-30, 30)], 0.4, (140, 142, 146)
            )
    for _ in range(int(rng.integers(2, 6))):
        place = somewhere(canvas, 0.0)
        if canvas.is_free(rectangle(place, 90, 70, angle)):
            draw_hall(
                canvas,
                place,
                rng.uniform(30, 80),
                rng.uniform(18, 40),
                angle + rng.choice([0, math.pi / 2]),
            )
    for kind in ("tennis", "basketball"):
        draw_courts(canvas, somewhere(canvas, 0.0), angle, kind=kind)
    home = somewhere(canvas, 0.05)
    turn = rng.uniform(0, 6.3)
    if canvas.is_free(placed([(-5, 0), *arc((0.0, 0.0), 60, -0.8, 0.8, 6)], home, turn)):
        draw_baseball_diamond(canvas, home, turn, 1.0)
    place = somewhere(canvas, 0.1)
    if canvas.is_free(rectangle(place, 70, 45, angle)):
        draw_car_park(canvas, place, 60, 38, angle)
    plant_trees(canvas, int(rng.integers(20, 150)))


def draw_street(canvas: InstanceCanvas) -> None:
    """Draw houses and a car park along streets, near enough that cars are objects."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, ("lawn", "grass", "dry grass", "gravel")))
    angle, gap = rng.uniform(0, math.pi), rng.uniform(38, 52)
    middle, width = somewhere(canvas, 0.2), rng.uniform(6, 11)
    for street in np.arange(-2, 3) * gap:
        draw_road(
            canvas,
            crossing_line(canvas, moved(middle, angle, 0, street), angle),
            width,
            traffic=rng.uniform(0.1, 0.5),
        )
    for street in np.arange(-2, 3) * gap:
        _line_street(canvas, moved(middle, angle, 0, street), angle, width, gap)
    plant_trees(canvas, int(rng.integers(5, 40)), radius_m=(1.5, 4.0))


def _line_street(
    canvas: InstanceCanvas, middle: Point, angle: float, width: float, gap: float
) -> None:
    """Put houses at both sides of a street, with drives and parked cars."""
    rng, side = canvas.rng, canvas.extent_m
    halls = rng.random() < 0.3
    step = rng.uniform(30, 45) if halls else rng.uniform(15, 22)
    for along in np.arange(-side, side, step):
        for way in (-1, 1):
            place = moved(
                middle, angle, along + rng.uniform(-1, 1), way * (gap / 2 + width / 4 - 1)
            )
            if way > 0 and rng.random() < 0.3:
                lot = moved(middle, angle, along, way * gap / 2)
                if canvas.is_free(rectangle(lot, step * 0.9, gap * 0.5, angle)):
                    draw_car_park(canvas, lot, step * 0.9, gap * 0.5, angle)
                continue
            depth = gap - width - 12
            if not canvas.is_free(rectangle(place, step * 0.7, depth * 0.8, angle)):
                continue
            drive = moved(middle, angle, along + step * 0.42, way * (width / 2 + 5))
            canvas.paint(rectangle(drive, 3.2, 10, angle), (168, 162, 152))
            if halls:
                draw_hall(
                    canvas,
                    place,
                    step * rng.uniform(0.6, 0.85),
                    depth * rng.uniform(0.6, 0.9),
                    angle,
                )
            else:
                draw_house(
                    canvas, place, step * rng.uniform(0.55, 0.75), rng.uniform(7.5, 11), angle
                )
            if rng.random() < 0.5:
                draw_vehicle(canvas, drive, angle + way * math.pi / 2)
            if rng.random() < 0.4:
                curb = moved(middle, angle, along, way * (width / 2 - 1.1))
                draw_vehicle(canvas, curb, angle)


def draw_suburb(canvas: InstanceCanvas) -> None:
    """Draw houses along streets from farther away, with woods and perhaps a group of courts."""
    rng = canvas.rng
    canvas.cover(choose(canvas, ("grass", "lawn", "forest", "dry grass")))
    angle, gap = rng.uniform(0, math.pi), rng.uniform(55, 75)
    for kind in ("tennis", "basketball")[: int(rng.integers(0, 3))]:
        draw_courts(canvas, somewhere(canvas, 0.1), angle, kind=kind)
    middle = somewhere(canvas, 0.2)
    for street in np.arange(-6, 7) * gap:
        line = crossing_line(canvas, moved(middle, angle, 0, street), angle)
        canvas.cover("asphalt", band(line, 7))
    for place, turn in blocks(canvas, angle, rng.uniform(20, 26)):
        house = rectangle(place, 16, 14, turn)
        across = -(place[0] - middle[0]) * math.sin(angle) + (place[1] - middle[1]) * math.cos(
            angle
        )
        if (
            abs((across + gap / 2) % gap - gap / 2) > 13
            and rng.random() < 0.8
            and canvas.is_free(house)
        ):
            draw_house(canvas, place, rng.uniform(11, 17), rng.uniform(8, 12), turn)
    plant_trees(canvas, int(rng.integers(40, 200)))
