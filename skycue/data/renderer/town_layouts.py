"""Places where people live and play: streets, suburbs, parks and schools.

As in `land_layouts.py`, a layout covers the whole canvas.
"""

import math

import numpy as np

from skycue.data.renderer.canvas import Point, moved, rectangle
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import Pose, arc, band
from skycue.data.renderer.placing import (
    crossing_line,
    draw_backdrop,
    draw_car_park,
    draw_road,
    drive_along,
    grid,
    plant_row,
    plant_trees,
    somewhere,
)
from skycue.data.renderer.shapes import COURT_COLOURS
from skycue.data.renderer.sports import (
    draw_baseball_diamond,
    draw_basketball_court,
    draw_tennis_court,
    draw_track_field,
)
from skycue.data.renderer.structures import draw_hall, draw_house
from skycue.data.renderer.traffic import draw_vehicle, pick

COURT_PITCH = {"tennis": (36.0, 17.5), "basketball": (33.0, 19.0)}
"""Metres from court to court, along and across."""
SEATS = ((178, 178, 180), (140, 142, 146))
"""Colour of a stand and of the lines of its seats."""
DRIVE = (168, 162, 152)


def draw_courts(canvas: InstanceCanvas, corner: Point, angle: float, *, kind: str) -> None:
    """Draw a fenced group of courts of one kind, "tennis" or "basketball", if there is room."""
    rng = canvas.rng
    court, ground = pick(canvas, COURT_COLOURS), pick(canvas, COURT_COLOURS)
    if rng.random() < 0.3:
        ground = court
    long_m, wide_m = COURT_PITCH[kind]
    rows, count = 1 if rng.random() < 0.7 else 2, int(rng.integers(1, 6))
    middle = moved(corner, angle, rows * long_m / 2, count * wide_m / 2)
    fence = rectangle(middle, rows * long_m, count * wide_m, angle)
    if not canvas.has_room(fence):
        return
    canvas.lay(fence, ground)
    canvas.paint_line([*fence, fence[0]], 0.3, (70, 76, 70), alpha=200)
    draw = draw_tennis_court if kind == "tennis" else draw_basketball_court
    for row in range(rows):
        for index in range(count):
            place = moved(corner, angle, (row + 0.5) * long_m, (index + 0.5) * wide_m)
            draw(canvas, place, angle, court)


def _draw_diamond(canvas: InstanceCanvas, home: Point, angle: float) -> None:
    """Draw a baseball diamond of a usual size, if there is room for its infield."""
    scale = float(canvas.rng.choice([1.0, 0.67, 0.67]))
    room = Pose(home, angle, scale, scale).place([(-5, 0), *arc((0.0, 0.0), 50, -0.8, 0.8, 6)])
    if canvas.has_room(room):
        draw_baseball_diamond(canvas, home, angle, scale)


def draw_park(canvas: InstanceCanvas) -> None:
    """Draw a park: courts, baseball diamonds, paths, buildings, a car park and many trees."""
    rng, side = canvas.rng, canvas.extent_m
    draw_backdrop(canvas, ("grass", "lawn", "grass", "dry grass"), patches=8)
    angle = rng.uniform(0, math.pi)
    road, width = crossing_line(canvas, somewhere(canvas, 0.0), angle), rng.uniform(7, 14)
    draw_road(canvas, road, width)
    drive_along(canvas, road, width)
    for _ in range(int(rng.integers(1, 4))):
        home = somewhere(canvas, 0.05)
        inwards = math.atan2(side / 2 - home[1], side / 2 - home[0])
        _draw_diamond(canvas, home, inwards + rng.normal(0, 0.5))
    for kind in ("tennis", "basketball", "tennis", "basketball")[: int(rng.integers(1, 5))]:
        turn = angle + math.pi / 2 * int(rng.integers(2))
        draw_courts(canvas, somewhere(canvas, 0.0), turn, kind=kind)
    for _ in range(int(rng.integers(0, 5))):
        place = somewhere(canvas, 0.0)
        if canvas.has_room(rectangle(place, 50, 30, angle)):
            draw_hall(canvas, place, rng.uniform(15, 45), rng.uniform(12, 25), angle)
    place = somewhere(canvas, 0.0)
    if canvas.has_room(rectangle(place, 56, 38, angle)):
        draw_car_park(canvas, place, rng.uniform(30, 56), 36, angle)
    plant_row(canvas, somewhere(canvas, -0.1), somewhere(canvas, -0.1), rng.uniform(7, 12))
    plant_trees(canvas, int(rng.integers(40, 200)))


def draw_school(canvas: InstanceCanvas) -> None:
    """Draw a running track with a stand, halls, courts and a car park around it."""
    rng = canvas.rng
    draw_backdrop(canvas, ("grass", "lawn", "dry grass"), patches=7)
    angle, centre = rng.uniform(0, math.pi), somewhere(canvas, 0.3)
    draw_track_field(canvas, centre, angle, float(rng.choice([1.0, 1.0, 0.8])))
    if rng.random() < 0.6:
        stand = Pose(centre, angle)
        canvas.shadow(stand.quad(-30, 30, 64, 52), 5)
        canvas.paint(stand.quad(-30, 30, 64, 52), SEATS[0])
        for row in np.arange(53, 63, 1.5).tolist():
            canvas.paint_line(stand.place([(-30, row), (30, row)]), 0.4, SEATS[1])
    road = crossing_line(canvas, moved(centre, angle, 0, rng.uniform(80, 130)), angle)
    width = rng.uniform(7, 13)
    draw_road(canvas, road, width)
    drive_along(canvas, road, width)
    for kind in ("tennis", "basketball"):
        draw_courts(canvas, somewhere(canvas, 0.0), angle, kind=kind)
    _draw_diamond(canvas, somewhere(canvas, 0.05), rng.uniform(0, 2 * math.pi))
    place = somewhere(canvas, 0.1)
    if canvas.has_room(rectangle(place, 70, 45, angle)):
        draw_car_park(canvas, place, 60, 38, angle)
    for _ in range(int(rng.integers(3, 16))):
        place, turn = somewhere(canvas, -0.05), angle + math.pi / 2 * int(rng.integers(2))
        length_m, width_m = rng.uniform(18, 75), rng.uniform(12, 40)
        if canvas.has_room(rectangle(place, length_m + 10, width_m + 10, turn)):
            draw_hall(canvas, place, length_m, width_m, turn)
    plant_row(canvas, somewhere(canvas, -0.1), somewhere(canvas, -0.1), rng.uniform(7, 12))
    plant_trees(canvas, int(rng.integers(40, 220)), over=0.05)


def draw_street(canvas: InstanceCanvas) -> None:
    """Draw houses and car parks along streets, near enough that cars are large."""
    rng = canvas.rng
    draw_backdrop(canvas, ("lawn", "grass", "dry grass", "gravel"), patches=6)
    angle, gap = rng.uniform(0, math.pi), rng.uniform(36, 52)
    middle, width = somewhere(canvas, 0.2), rng.uniform(6, 11)
    streets = [moved(middle, angle, 0, gap * number) for number in range(-2, 3)]
    for street in streets:
        line = crossing_line(canvas, street, angle)
        draw_road(canvas, line, width)
        drive_along(canvas, line, width, traffic=rng.uniform(0.1, 0.6))
    for street in streets:
        _line_street(canvas, street, angle, width, gap)
        row = [moved(p, angle, 0, width / 2 + 2.5) for p in crossing_line(canvas, street, angle)]
        if rng.random() < 0.4:
            plant_row(canvas, row[0], row[1], rng.uniform(8, 14))
    plant_trees(canvas, int(rng.integers(8, 50)), radius_m=(0.8, 3.6))


def _line_street(
    canvas: InstanceCanvas, middle: Point, angle: float, width: float, gap: float
) -> None:
    """Put houses or car parks at both sides of a street, with drives and parked cars."""
    rng, side = canvas.rng, canvas.extent_m
    halls = rng.random() < 0.3
    step, depth = rng.uniform(30, 45) if halls else rng.uniform(15, 22), gap - width - 12
    for along in np.arange(-side, side, step).tolist():
        for way in (-1, 1):
            place = moved(middle, angle, along + rng.uniform(-1, 1), way * gap / 2)
            if way > 0 and rng.random() < 0.3:
                if canvas.has_room(rectangle(place, step * 0.9, gap * 0.5, angle)):
                    draw_car_park(canvas, place, step * 0.9, gap * 0.5, angle)
            elif canvas.has_room(rectangle(place, step * 0.7, depth * 0.8, angle)):
                drive = moved(middle, angle, along + step * 0.42, way * (width / 2 + 5))
                canvas.lay(rectangle(drive, 3.2, 10, angle), DRIVE)
                long_m = step * rng.uniform(0.55, 0.8)
                if halls:
                    draw_hall(canvas, place, long_m, depth * rng.uniform(0.6, 0.9), angle)
                else:
                    draw_house(canvas, place, long_m, rng.uniform(7.5, 11), angle)
                if rng.random() < 0.5:
                    draw_vehicle(canvas, drive, angle + way * math.pi / 2)
                if rng.random() < 0.5:
                    kerb = moved(middle, angle, along, way * (width / 2 - 1.1))
                    draw_vehicle(canvas, kerb, angle)


def draw_suburb(canvas: InstanceCanvas) -> None:
    """Draw houses along streets from farther away, with woods and perhaps a group of courts."""
    rng = canvas.rng
    draw_backdrop(canvas, ("grass", "lawn", "forest", "dry grass"), patches=6)
    angle, gap = rng.uniform(0, math.pi), rng.uniform(55, 75)
    for kind in ("tennis", "basketball")[: int(rng.integers(0, 3))]:
        draw_courts(canvas, somewhere(canvas, 0.1), angle, kind=kind)
    middle = somewhere(canvas, 0.2)
    for number in range(-6, 7):
        line = crossing_line(canvas, moved(middle, angle, 0, gap * number), angle)
        canvas.cover("asphalt", band(line, 7), shade=rng.uniform(0.9, 1.4))
        canvas.keep_clear(line[0], line[1], 7)
    sine, cosine = math.sin(angle), math.cos(angle)
    for place in grid(canvas, angle, rng.uniform(20, 26)):
        across = -(place[0] - middle[0]) * sine + (place[1] - middle[1]) * cosine
        to_street = abs((across + gap / 2) % gap - gap / 2)
        room = rectangle(place, 16, 14, angle)
        if to_street > 13 and rng.random() < 0.8 and canvas.has_room(room):
            draw_house(canvas, place, rng.uniform(11, 17), rng.uniform(8, 12), angle)
    plant_trees(canvas, int(rng.integers(60, 250)), over=0.08)
