"""Places at the water: the open sea, marinas, ports, and rivers with their bridges."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from skycue.data.renderer.canvas import Point, moved, rectangle
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import Pose, band, disc
from skycue.data.renderer.placing import (
    choose,
    crossing_line,
    draw_backdrop,
    draw_car_park,
    draw_road,
    drive_along,
    somewhere,
)
from skycue.data.renderer.shapes import PALE
from skycue.data.renderer.structures import (
    draw_bridge,
    draw_hall,
    draw_house,
    draw_jetty,
    draw_pier,
    draw_rails,
    draw_tank,
)
from skycue.data.renderer.traffic import draw_boat, draw_ship, pick

WATERS = ("deep water", "green water", "blue water", "river water")
MIN_SPACING = 0.22
"""Least distance of two bridges, as a share of the side."""
LANDS = ("grass", "dry grass", "gravel", "concrete", "forest")


def draw_sea(canvas: InstanceCanvas) -> None:
    """Draw ships on open water, under way or at anchor, and sometimes a coast."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, WATERS[:3]), shade=rng.uniform(0.8, 1.3))
    coast = rng.uniform(0, 2 * math.pi)
    shore_m = side * rng.uniform(0.2, 0.45) if rng.random() < 0.35 else side
    if shore_m < side:
        _draw_coast(canvas, coast, shore_m)
    way = rng.uniform(0, 6.3)
    for _ in range(int(rng.integers(2, 10))):
        length_m = rng.uniform(26, 110) * canvas.gsd_m
        place = somewhere(canvas, 0.02)
        x, y = place[0] - side / 2, place[1] - side / 2
        to_coast = shore_m - x * math.cos(coast) - y * math.sin(coast)
        room = disc(place, 0.7 * length_m, 8)
        if to_coast < 0.15 * side + length_m / 2 or not canvas.has_room(room):
            continue
        angle = way + rng.normal(0, 0.4) if rng.random() < 0.6 else rng.uniform(0, 6.3)
        if length_m < 25:
            draw_boat(canvas, place, length_m, angle)
        else:
            draw_ship(canvas, place, length_m, angle, wake=rng.random() < 0.4)


def _draw_coast(canvas: InstanceCanvas, angle: float, distance_m: float) -> None:
    """Cover the far side of a winding line with a beach and land."""
    rng, side = canvas.rng, canvas.extent_m
    middle = (side / 2, side / 2)
    bends = rng.normal(0, 0.05 * side, 14)
    for back, material in ((0.0, "sand"), (0.03, choose(canvas, ("grass", "forest", "dry grass")))):
        shore = [
            moved(middle, angle, distance_m + back * side + float(bend), across)
            for bend, across in zip(bends, np.linspace(-1.5, 1.5, 14) * side, strict=True)
        ]
        land = [*shore, moved(shore[-1], angle, 2 * side), moved(shore[0], angle, 2 * side)]
        canvas.cover(material, land)


def draw_marina(canvas: InstanceCanvas) -> None:
    """Draw a quay with parallel piers of boats."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, WATERS), shade=rng.uniform(0.7, 1.2))
    angle = rng.uniform(0, 2 * math.pi)
    quay = moved((side / 2, side / 2), angle, -side * rng.uniform(0.1, 0.4))
    _draw_quay(canvas, quay, angle)
    boat_m = rng.uniform(9, 17)
    length_m = side * rng.uniform(0.18, 0.5)
    gap = 2 * boat_m + rng.uniform(0.9, 2.2) * boat_m + 4
    full = rng.uniform(0.5, 1.0)
    for across in np.arange(-side, side, gap):
        if rng.random() < 0.85:
            shore = moved(quay, angle, 0, float(across))
            pier = Pose(shore, angle, length_m * rng.uniform(0.8, 1.1), boat_m)
            draw_pier(canvas, pier, share=full)
    for _ in range(int(rng.integers(0, 5))):
        place = somewhere(canvas, 0.05)
        ahead = (place[0] - quay[0]) * math.cos(angle) + (place[1] - quay[1]) * math.sin(angle)
        own = rng.uniform(0.8, 1.5) * boat_m
        if ahead > 2 * own and canvas.is_free(disc(place, own, 8)):
            draw_boat(canvas, place, own, rng.uniform(0, 6.3))


def _draw_quay(canvas: InstanceCanvas, quay: Point, angle: float) -> None:
    """Cover the land behind a straight quay; put a road, buildings, cars and trees on it."""
    rng, side = canvas.rng, canvas.extent_m
    land = rectangle(moved(quay, angle, -side), 2 * side, 4 * side, angle)
    canvas.cover(choose(canvas, LANDS[:4]), land)
    edge = [moved(quay, angle, 0, w * side) for w in (-2, 2)]
    canvas.paint_line(edge, 3.0, (186, 180, 170))
    road = moved(quay, angle, -rng.uniform(14, 30))
    line, width = crossing_line(canvas, road, angle + math.pi / 2), rng.uniform(7, 12)
    draw_road(canvas, line, width)
    drive_along(canvas, line, width)
    for along in np.arange(-side, side, 48.0):
        place = moved(road, angle, -rng.uniform(22, 40), float(along))
        if rng.random() < 0.3:
            draw_car_park(canvas, place, 30, 40, angle)
        elif rng.random() < 0.6 and canvas.has_room(rectangle(place, 36, 44, angle)):
            draw_hall(canvas, place, rng.uniform(16, 30), rng.uniform(18, 40), angle)
    for _ in range(int(rng.integers(0, 40))):
        tree = moved(road, angle, -rng.uniform(8, 0.6 * side), rng.uniform(-1, 1) * side)
        if canvas.has_room(disc(tree, 4, 8)):
            canvas.plant(tree, rng.uniform(1.5, 4.0))


def draw_port(canvas: InstanceCanvas) -> None:
    """Draw jetties with ships alongside, a quay with halls and tanks, and ships in the roads."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(choose(canvas, WATERS), shade=rng.uniform(0.7, 1.2))
    angle = rng.uniform(0, 2 * math.pi)
    quay = moved((side / 2, side / 2), angle, -side * rng.uniform(0.05, 0.35))
    _draw_quay(canvas, quay, angle)
    width_m = rng.uniform(14, 34) * canvas.gsd_m
    gap = side * rng.uniform(0.3, 0.5)
    for across in np.arange(-side, side, gap) + rng.uniform(0, gap):
        length_m = side * rng.uniform(0.22, 0.5)
        shore = moved(quay, angle, 0, float(across))
        if not draw_jetty(canvas, shore, angle, length_m, width_m):
            continue
        for way in (-1, 1):
            ship_m = length_m * rng.uniform(0.35, 0.85)
            breadth = ship_m * 0.19
            place = moved(
                shore,
                angle,
                length_m * 0.95 - ship_m / 2,
                way * (width_m / 2 + breadth * 0.56 + 1.5),
            )
            if rng.random() < 0.7:
                draw_ship(canvas, place, ship_m, angle + (math.pi if rng.random() < 0.5 else 0))
    radius = rng.uniform(11, 22) * canvas.gsd_m
    colour = pick(canvas, PALE)
    for _ in range(int(rng.integers(0, 12))):
        place = moved(quay, angle, -rng.uniform(60, 0.8 * side + 60), rng.uniform(-0.6, 0.6) * side)
        if canvas.has_room(disc(place, 1.2 * radius, 8)):
            draw_tank(canvas, place, radius, colour)


def draw_river(canvas: InstanceCanvas) -> None:
    """Draw a river between built-up or wooded banks, with one to three bridges."""
    rng, side = canvas.rng, canvas.extent_m
    draw_backdrop(canvas, LANDS, patches=7)
    angle, width = rng.uniform(0, math.pi), rng.uniform(70, 210) * canvas.gsd_m
    middle = somewhere(canvas, 0.38)
    bend = rng.normal(0, 0.15)
    course = [
        moved(middle, angle + bend * along, along * side) for along in np.linspace(-1.2, 1.2, 13)
    ]
    canvas.cover(
        choose(canvas, ("grass", "dry grass", "sand", "concrete")),
        band(course, width + rng.uniform(4, 20)),
    )
    canvas.cover(choose(canvas, WATERS), band(course, width), shade=rng.uniform(0.7, 1.1))
    crossings: list[_Crossing] = []
    last = -1.0
    for along in np.sort(rng.uniform(-0.45, 0.45, int(rng.integers(1, 4)))).tolist():
        if along - last > MIN_SPACING:
            place, way = moved(middle, angle + bend * along, along * side), angle + 2 * bend * along
            crossings.append(_cross_river(canvas, place, way + math.pi / 2, width))
            last = along
    for crossing in crossings:
        for road in (crossing.deck, *crossing.ramps) if not crossing.rails else ():
            drive_along(canvas, road, crossing.width_m, on=crossing.number)
    _settle_banks(canvas, course, width, angle)
    for _ in range(int(rng.integers(0, 3))):
        along = rng.uniform(-0.45, 0.45)
        place = moved(middle, angle + bend * along, along * side, rng.uniform(-0.25, 0.25) * width)
        length_m = min(rng.uniform(30, 90) * canvas.gsd_m, 0.7 * width)
        if canvas.is_free(disc(place, 0.6 * length_m, 8)):
            draw_ship(canvas, place, length_m, angle + bend * along * 2, wake=rng.random() < 0.4)


class _Crossing(NamedTuple):
    number: int  # of the bridge
    deck: list[Point]
    ramps: list[list[Point]]
    width_m: float
    rails: bool


def _cross_river(canvas: InstanceCanvas, place: Point, across: float, width: float) -> _Crossing:
    """Draw a bridge over a river, and the road or railway that it carries."""
    rng, far = canvas.rng, 2 * canvas.extent_m
    skew = rng.normal(0, 0.2)
    way, half = across + skew, width / 2 / math.cos(skew) + rng.uniform(2, 6)
    road_m = rng.uniform(9, 30) * min(1.0, max(canvas.gsd_m, 0.5))
    rails = rng.random() < 0.25
    ramps = [[moved(place, way + t, half - 1), moved(place, way + t, far)] for t in (0, math.pi)]
    for ramp in ramps:
        if rails:
            draw_rails(canvas, ramp[0], ramp[1], 0.8 * road_m)
        else:
            draw_road(canvas, ramp, 0.84 * road_m)
    deck = [moved(place, way, -half), moved(place, way, half)]
    number = draw_bridge(canvas, deck[0], deck[1], road_m, rails=rails)
    return _Crossing(number, deck, ramps, road_m, rails)


def _settle_banks(canvas: InstanceCanvas, course: list[Point], width: float, angle: float) -> None:
    """Put buildings and trees on the land at both sides of a river."""
    rng = canvas.rng
    built = rng.random() < 0.6
    for _ in range(int(rng.integers(40, 150))):
        place = somewhere(canvas, -0.02)
        clear = min(math.dist(place, point) for point in _dense(course)) - width / 2
        if clear > 18 and built and rng.random() < 0.35:
            size = rng.uniform(12, 40), rng.uniform(10, 24)
            if canvas.has_room(rectangle(place, size[0] * 1.5, size[1] * 1.6, angle)):
                draw = draw_house if size[0] < 20 else draw_hall
                draw(canvas, place, size[0], size[1], angle)
        elif clear > 6 and canvas.has_room(disc(place, 5, 8)):
            canvas.plant(place, rng.uniform(2, 5))


def _dense(course: list[Point]) -> list[Point]:
    """Put three more points between each two."""
    return [
        (a[0] + (b[0] - a[0]) * t / 4, a[1] + (b[1] - a[1]) * t / 4)
        for a, b in itertools.pairwise(course)
        for t in range(4)
    ]
