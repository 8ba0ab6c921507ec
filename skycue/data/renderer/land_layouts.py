"""Places of transport and industry: airfields, tank farms, and motorways with overpasses.

A layout covers the whole canvas. It draws from the ground up: what lies flat, then what stands,
then trees.
"""

import math

import numpy as np

from skycue.data.renderer.canvas import Point, moved, rectangle
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import band, disc
from skycue.data.renderer.placing import (
    CAR_GSD_M,
    TRAFFIC,
    choose,
    crossing_line,
    draw_backdrop,
    draw_car_park,
    draw_road,
    drive_along,
    grid,
    plant_trees,
    somewhere,
)
from skycue.data.renderer.shapes import AIRCRAFT, PALE, TANK_ROOFS, YELLOW
from skycue.data.renderer.structures import draw_bridge, draw_hall, draw_tank
from skycue.data.renderer.traffic import draw_airplane, draw_vehicle, pick

JOINT = (90, 88, 84)
"""Colour of the joints between slabs."""
RUBBER = (50, 50, 52)
"""Colour of tyre marks."""
PIPE = (152, 148, 142)
AIRCRAFT_PIXELS = (28.0, 130.0)
"""Shortest and longest aircraft that are drawn, in pixels."""


def draw_airfield(canvas: InstanceCanvas) -> None:
    """Draw an apron with aircraft in rows at a terminal, a taxiway and grass."""
    rng, side = canvas.rng, canvas.extent_m
    draw_backdrop(canvas, ("grass", "lawn", "dry grass", "soil", "grass"))
    angle, middle = rng.uniform(0, 2 * math.pi), somewhere(canvas, 0.35)
    depth = side * rng.uniform(0.5, 0.85)
    _draw_apron(canvas, middle, depth, angle)
    taxi = moved(middle, angle, 0, depth * 0.3)
    _draw_taxiway(canvas, taxi, angle)
    if rng.random() < 0.7:
        building = moved(middle, angle, 0, -depth / 2 - 14)
        for along in (np.arange(-1, 1, 0.45) * side).tolist():
            place = moved(building, angle, along, rng.uniform(-8, 0))
            draw_hall(canvas, place, 0.4 * side, rng.uniform(22, 34), angle)
    _park_aircraft(canvas, middle, depth, angle)
    for _ in range(int(rng.integers(0, 3))):
        place = moved(taxi, angle, rng.uniform(-0.5, 0.5) * side)
        kind, length_m = _choose_aircraft(canvas)
        if canvas.is_free(disc(place, 0.6 * length_m, 8)):
            draw_airplane(canvas, place, kind, length_m, angle + math.pi * int(rng.integers(2)))
    for _ in range(int(rng.integers(0, 30)) if canvas.gsd_m <= CAR_GSD_M else 0):
        place = somewhere(canvas, 0.0)
        if canvas.is_free(disc(place, 6, 8)):
            draw_vehicle(canvas, place, angle, kind=choose(canvas, TRAFFIC))


def _draw_apron(canvas: InstanceCanvas, middle: Point, depth: float, angle: float) -> None:
    """Draw slabs of concrete with their joints, a few of them new."""
    rng, side = canvas.rng, canvas.extent_m
    material = choose(canvas, ("concrete", "concrete", "gravel", "asphalt"))
    ground = rectangle(middle, 3 * side, depth, angle)
    canvas.cover(material, ground, shade=rng.uniform(0.82, 1.1))
    slab = max(rng.uniform(6, 9), 9 * canvas.gsd_m)
    for _ in range(int(rng.integers(2, 14))):
        place = moved(middle, angle, rng.uniform(-0.7, 0.7) * side, rng.uniform(-0.5, 0.5) * depth)
        size = slab * rng.integers(1, 5, 2)
        patch = rectangle(place, float(size[0]), float(size[1]), angle)
        grey = int(rng.integers(60, 230))
        canvas.paint(patch, (grey, grey, grey), alpha=int(rng.integers(15, 50)))
    for across in np.arange(-depth / 2, depth / 2, slab).tolist():
        joint = [moved(p, angle, 0, across) for p in crossing_line(canvas, middle, angle)]
        canvas.paint_line(joint, 0.2, JOINT, alpha=60)
    for along in np.arange(-side, side, slab).tolist():
        joint = [moved(middle, angle, along, way * depth / 2) for way in (-1, 1)]
        canvas.paint_line(joint, 0.2, JOINT, alpha=60)


def _draw_taxiway(canvas: InstanceCanvas, middle: Point, angle: float) -> None:
    """Draw a taxiway with its yellow line and tyre marks."""
    canvas.cover(
        "asphalt",
        rectangle(middle, 3 * canvas.extent_m, 23, angle),
        shade=canvas.rng.uniform(0.8, 1.4),
    )
    for across, width_m, alpha in ((0.0, 9.0, 35), (3.5, 1.2, 60), (-3.5, 1.2, 60)):
        line = crossing_line(canvas, moved(middle, angle, 0, across), angle)
        canvas.paint_line(line, width_m, RUBBER, alpha=alpha)
    canvas.paint_line(crossing_line(canvas, middle, angle), 0.5, YELLOW, alpha=220)
    turn = moved(middle, angle, canvas.rng.uniform(-0.4, 0.4) * canvas.extent_m)
    exits = [moved(turn, angle, -40), turn, moved(turn, angle, 40, -50)]
    canvas.paint_line(canvas.curve(exits), 0.5, YELLOW, alpha=200)


def _choose_aircraft(canvas: InstanceCanvas, kind: str | None = None) -> tuple[str, float]:
    """Draw a kind and a length; kinds that would be too small or large in pixels are left out."""
    shortest, longest = (pixels * canvas.gsd_m for pixels in AIRCRAFT_PIXELS)
    names = [name for name, (_, (a, b)) in AIRCRAFT.items() if a >= shortest and b <= longest]
    name = kind or choose(canvas, names or ["airliner"])
    return name, float(canvas.rng.uniform(*AIRCRAFT[name][1]))


def _park_aircraft(canvas: InstanceCanvas, middle: Point, depth: float, angle: float) -> None:
    """Park aircraft of mostly one kind in rows, noses the same way."""
    rng, side = canvas.rng, canvas.extent_m
    kind, _ = _choose_aircraft(canvas)
    longest = AIRCRAFT[kind][1][1]
    quarter = -math.pi / 2 if rng.random() < 0.7 else math.pi / 2
    turn = angle + quarter + float(rng.choice([0.0, 0.0, 0.5, -0.5]))
    rows, full = max(1, min(3, int(0.75 * depth / (1.3 * longest)))), rng.uniform(0.4, 0.95)
    step = rng.uniform(1.1, 1.6) * longest
    stands = [
        moved(middle, angle, along + rng.uniform(-2, 2), -depth / 2 + (0.75 + 1.3 * row) * longest)
        for row in range(rows)
        for along in np.arange(-0.9 * side, 0.9 * side, step).tolist()
    ]
    for place in stands:
        canvas.lay_line([place, moved(place, turn, 0.8 * longest)], 0.4, YELLOW, alpha=190)
    for place in stands:
        own, length_m = _choose_aircraft(canvas, kind if rng.random() < 0.8 else None)
        if rng.random() < full and canvas.is_free(disc(place, 0.55 * length_m, 8)):
            draw_airplane(canvas, place, own, length_m, turn + rng.normal(0, 0.05))


def draw_tank_farm(canvas: InstanceCanvas) -> None:
    """Draw rows of tanks, each row in its bund, with pipes, halls and service roads."""
    rng, side = canvas.rng, canvas.extent_m
    draw_backdrop(canvas, ("gravel", "grass", "dry grass", "soil", "concrete"))
    angle, middle = rng.uniform(0, math.pi / 2), somewhere(canvas, 0.3)
    edge = moved(middle, angle, 0, rng.uniform(-0.5, 0.5) * side)
    road, width = crossing_line(canvas, edge, angle), rng.uniform(7, 12)
    draw_road(canvas, road, width)
    colours = [pick(canvas, PALE), pick(canvas, PALE), pick(canvas, TANK_ROOFS)]
    across = -0.7 * side
    while across < 0.7 * side:
        radius = rng.uniform(12, 30) * canvas.gsd_m
        gap = radius * rng.uniform(2.3, 3.3)
        row = moved(middle, angle, 0, across + gap / 2)
        start, end = np.sort(rng.uniform(-0.6, 0.6, 2) * side).tolist()
        if end - start > 2 * gap:
            colour = colours[int(rng.integers(3)) if rng.random() < 0.5 else 0]
            places = [moved(row, angle, a) for a in np.arange(start, end, gap).tolist()]
            _draw_bund(canvas, places, gap, angle)
            for place in places:
                if rng.random() < 0.92 and canvas.has_room(disc(place, radius, 8)):
                    draw_tank(canvas, place, radius, colour)
        elif rng.random() < 0.7:
            place = moved(row, angle, rng.uniform(-0.4, 0.4) * side)
            draw_hall(canvas, place, rng.uniform(20, 45), min(gap * 0.7, 25), angle)
        across += gap * rng.uniform(1.0, 1.4)
    drive_along(canvas, road, width)
    plant_trees(canvas, int(rng.integers(0, 60)), over=0.05)


def _draw_bund(canvas: InstanceCanvas, places: list[Point], gap: float, angle: float) -> None:
    """Draw the walled ground around a row of places, and the pipes along it."""
    first, last = places[0], places[-1]
    middle = ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2)
    ground = rectangle(middle, math.dist(first, last) + gap, 0.96 * gap, angle)
    material = choose(canvas, ("gravel", "soil", "concrete", "dry grass", "grass"))
    canvas.cover(material, ground, shade=canvas.rng.uniform(0.85, 1.1))
    canvas.paint_line([*ground, ground[0]], 1.2, (178, 172, 160), alpha=160)
    for across in (-0.45, -0.42):
        pipe = [moved(p, angle, 0.0, across * gap) for p in (first, last)]
        canvas.paint_line(pipe, 0.8, PIPE)
    for place in places:
        canvas.paint_line([place, moved(place, angle, 0, -0.45 * gap)], 0.8, PIPE)


def draw_motorway(canvas: InstanceCanvas) -> None:
    """Draw a motorway of two carriageways that bridges cross, with halls and trees beside it."""
    rng, side = canvas.rng, canvas.extent_m
    draw_backdrop(canvas, ("grass", "dry grass", "lawn", "forest", "gravel"), patches=8)
    angle, middle, lanes_m = rng.uniform(0, math.pi), somewhere(canvas, 0.35), rng.uniform(9, 16)
    width = 2 * lanes_m + rng.uniform(4, 14)
    verge = band(crossing_line(canvas, middle, angle), width + 30)
    canvas.cover(choose(canvas, ("grass", "dry grass")), verge)
    carriageways = [
        crossing_line(canvas, moved(middle, angle, 0, way * (width - lanes_m) / 2), angle)
        for way in (-1, 1)
    ]
    for road in carriageways:
        draw_road(canvas, road, lanes_m)
    overpasses, along = [], float(rng.uniform(-0.4, -0.1)) * side
    while along < 0.45 * side:
        overpasses.append(_draw_overpass(canvas, moved(middle, angle, along), angle, width))
        along += rng.uniform(0.3, 1.0) * side
    for road in carriageways:
        drive_along(canvas, road, lanes_m, traffic=rng.uniform(0.1, 0.4))
    for number, road, road_m in overpasses:
        drive_along(canvas, road, road_m, on=number)
    for place in grid(canvas, angle, rng.uniform(45, 90)):
        dx, dy = place[0] - middle[0], place[1] - middle[1]
        to_road = abs(dy * math.cos(angle) - dx * math.sin(angle)) - width / 2
        if to_road > 50 and rng.random() < 0.7 and canvas.has_room(rectangle(place, 60, 50, angle)):
            if rng.random() < 0.25:
                draw_car_park(canvas, place, 50, 36, angle)
            else:
                draw_hall(canvas, place, rng.uniform(15, 50), rng.uniform(12, 36), angle)
    plant_trees(canvas, int(rng.integers(40, 180)), over=0.03)


def _draw_overpass(
    canvas: InstanceCanvas, place: Point, angle: float, width: float
) -> tuple[int, list[Point], float]:
    """Draw a road that crosses a motorway on a bridge; return its number, the road, its width."""
    rng, far = canvas.rng, 2 * canvas.extent_m
    skew, road_m = rng.normal(0, 0.25), rng.uniform(10, 24)
    way, half = angle + math.pi / 2 + skew, (width / 2 + rng.uniform(4, 12)) / math.cos(skew)
    for turn in (0.0, math.pi):
        ends = [moved(place, way + turn, half - 1), moved(place, way + turn, far)]
        draw_road(canvas, ends, 0.84 * road_m)
    deck = [moved(place, way, -half), moved(place, way, half)]
    number = draw_bridge(canvas, deck[0], deck[1], road_m)
    return number, [moved(place, way, -far), moved(place, way, far)], road_m
