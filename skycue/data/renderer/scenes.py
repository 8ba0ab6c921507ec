"""Whole scenes, one function a class, and `draw_scene`, which draws an image of one of them."""

import hashlib
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from skycue.data.renderer.canvas import Canvas, Colour, Point, moved, rectangle
from skycue.data.renderer.elements import (
    ASPHALT,
    CONCRETE,
    WHITE,
    draw_boat,
    draw_car,
    draw_dashes,
    draw_house,
    draw_plane,
    draw_road,
    draw_tank,
    draw_tree,
    shade,
)
from skycue.data.renderer.textures import mottled, ploughed
from skycue.errors import DatasetError

GRASS: Colour = (104, 124, 74)
SOIL: Colour = (150, 128, 98)
WATER: Colour = (52, 82, 100)
CROPS: tuple[Colour, ...] = ((96, 132, 62), (150, 152, 82), (172, 146, 104), (68, 108, 56))


def draw_scene(class_name: str, seed: int, size: int = 128) -> NDArray[np.uint8]:
    """Draw an aerial-looking image of a class; the same arguments give the same image.

    Args:
        class_name: A key of `SCENES`.
        seed: Which image of the class.
        size: Pixels along each side.

    Returns:
        RGB levels, [3, H, W].

    Raises:
        DatasetError: If no scene of that name can be drawn.
    """
    if class_name not in SCENES:
        raise DatasetError(f"no scene '{class_name}' can be drawn; use one of: {', '.join(SCENES)}")
    extent_m, draw = SCENES[class_name]
    digest = hashlib.sha256(f"{class_name}/{seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    canvas = Canvas(size, extent_m * rng.uniform(0.85, 1.15), rng)
    draw(canvas)
    return canvas.finish()


def draw_farmland(canvas: Canvas) -> None:
    """Draw a quilt of ploughed and sown fields with a track between them."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, SOIL))
    angle = rng.uniform(-0.3, 0.3)
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    width, height = 1.5 * side / columns, 1.5 * side / rows
    for column in range(columns + 1):
        for row in range(rows + 1):
            corner = (-0.2 * side + column * width, -0.2 * side + row * height)
            middle = moved((side / 2, side / 2), angle, corner[0] - side / 2, corner[1] - side / 2)
            crop = shade(CROPS[int(rng.integers(len(CROPS)))], rng.uniform(0.9, 1.1))
            direction = angle + math.pi / 2 * int(rng.integers(2))
            field = ploughed(
                rng, canvas.resolution, crop, rows=rng.uniform(20, 45), angle=direction
            )
            canvas.cover_inside(rectangle(middle, width - 6, height - 6, angle), field)


def draw_forest(canvas: Canvas) -> None:
    """Draw crowns of different sizes that touch each other."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, (34, 54, 30)))
    step = 5.0
    cells = int(side / step) + 2
    places = [(x, y) for x in range(cells) for y in range(cells)]
    for index in rng.permutation(len(places)):
        x, y = places[index]
        centre = (x * step + rng.uniform(-2, 2), y * step + rng.uniform(-2, 2))
        draw_tree(canvas, centre, rng.uniform(2.2, 4.4))


def draw_dense_residential(canvas: Canvas) -> None:
    """Draw rows of houses along parallel streets, with gardens, trees and parked cars."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, GRASS))
    angle = rng.uniform(0, math.pi)
    middle = (side / 2, side / 2)
    street_gap = rng.uniform(38, 46)
    offset = rng.uniform(0, street_gap)
    for street in np.arange(-side, side, street_gap) + offset:
        ends = [moved(middle, angle, along, street) for along in (-side, side)]
        draw_road(canvas, ends, 7.0)
        for along in np.arange(-side, side, 15.0):
            for across in (-13.0, 13.0):
                place = moved(middle, angle, along + rng.uniform(-1, 1), street + across)
                if rng.random() < 0.93:
                    draw_house(canvas, place, rng.uniform(11, 13), rng.uniform(8, 10), angle)
                if rng.random() < 0.5:
                    garden = moved(place, angle, 7.5, math.copysign(rng.uniform(3, 7), across))
                    draw_tree(canvas, garden, rng.uniform(1.5, 2.6))
            if rng.random() < 0.5:
                draw_car(canvas, moved(middle, angle, along, street + 2.4), angle)


def draw_storage_tanks(canvas: Canvas) -> None:
    """Draw a grid of round tanks on gravel, with pipes between them."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, (158, 148, 132)))
    angle, radius = rng.uniform(0, math.pi / 2), rng.uniform(9, 17)
    gap = 2.7 * radius
    middle = (side / 2, side / 2)
    steps = np.arange(-side, side, gap) + rng.uniform(0, gap)
    for across in steps:
        pipe = [moved(middle, angle, along, across + gap / 2) for along in (-side, side)]
        canvas.line(pipe, 1.6, (120, 116, 112))
        canvas.line(pipe, 0.6, WHITE)
    for along in steps:
        for across in steps:
            if rng.random() < 0.9:
                place = moved(middle, angle, along, across)
                draw_tank(canvas, place, radius * rng.uniform(0.8, 1.05))


def draw_airport(canvas: Canvas) -> None:
    """Draw a runway with its markings, a taxiway beside it, and airliners on an apron."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, GRASS))
    angle = rng.uniform(0, math.pi)
    middle = moved((side / 2, side / 2), angle, 0, rng.uniform(-0.1, 0.1) * side)
    runway = [moved(middle, angle, along, -80) for along in (-side, side)]
    taxiway = [moved(middle, angle, along, 0) for along in (-side, side)]
    canvas.line(runway, 52, shade(ASPHALT, 0.9))
    canvas.line(taxiway, 24, ASPHALT)
    draw_dashes(canvas, runway[0], runway[1], dash_m=30, gap_m=20, width_m=3)
    for edge in (-23, 23):
        line = [moved(middle, angle, along, -80 + edge) for along in (-side, side)]
        canvas.line(line, 1.5, WHITE)
    canvas.line(taxiway, 1.2, (214, 180, 60))
    apron = moved(middle, angle, rng.uniform(-60, 60), 95)
    canvas.polygon(rectangle(apron, 0.8 * side, 150, angle), CONCRETE)
    for along in np.arange(-0.32, 0.33, 0.16) * side:
        if rng.random() < 0.8:
            place = moved(apron, angle, along, rng.uniform(-8, 8))
            draw_plane(canvas, place, rng.uniform(38, 52), angle - math.pi / 2)


def draw_harbor(canvas: Canvas) -> None:
    """Draw piers in the water with boats moored on both sides, and the quay on land."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, WATER, contrast=5))
    angle = rng.uniform(0, 2 * math.pi)
    middle = (side / 2, side / 2)
    quay = moved(middle, angle, -0.48 * side - 0.5 * side)
    canvas.polygon(rectangle(quay, side, 3 * side, angle), CONCRETE, height_m=2)
    for across in np.arange(-side, side, 34.0) + rng.uniform(0, 34):
        foot, head = (moved(middle, angle, along, across) for along in (-0.5 * side, 0.42 * side))
        canvas.line([foot, head], 3.0, (186, 176, 156))
        for along in np.arange(-0.4 * side, 0.42 * side, 6.0):
            for direction in (-1, 1):
                if rng.random() < 0.8:
                    length = rng.uniform(8, 13)
                    place = moved(middle, angle, along, across + direction * (2.5 + length / 2))
                    draw_boat(canvas, place, length, angle + direction * math.pi / 2)
        draw_car(canvas, moved(middle, angle, -0.52 * side, across + 8), angle + math.pi / 2)


def draw_parking_lot(canvas: Canvas) -> None:
    """Draw double rows of marked bays, most of them taken."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, ASPHALT, contrast=6))
    angle = rng.uniform(0, math.pi)
    middle = (side / 2, side / 2)
    taken = rng.uniform(0.6, 0.95)
    for row in np.arange(-side, side, 17.0) + rng.uniform(0, 17):
        canvas.line([moved(middle, angle, along, row) for along in (-side, side)], 0.2, WHITE)
        for along in np.arange(-side, side, 2.7):
            bay = [moved(middle, angle, along, row + across) for across in (-5.2, 5.2)]
            canvas.line(bay, 0.2, WHITE)
            for across in (-2.7, 2.7):
                if rng.random() < taken:
                    place = moved(middle, angle, along + 1.35, row + across)
                    draw_car(canvas, place, angle + math.copysign(math.pi / 2, across))


def draw_river(canvas: Canvas) -> None:
    """Draw a bending river with sandy banks through grass and trees."""
    rng, side = canvas.rng, canvas.extent_m
    canvas.cover(mottled(rng, canvas.resolution, GRASS, contrast=16))
    angle, width = rng.uniform(0, math.pi), side * rng.uniform(0.14, 0.24)
    bend, phase, waves = rng.uniform(0.08, 0.16) * side, rng.uniform(0, 6), rng.uniform(0.7, 1.4)
    course: list[Point] = []
    for along in np.linspace(-side, side, 81):
        across = bend * math.sin(2 * math.pi * waves * along / side + phase)
        course.append(moved((side / 2, side / 2), angle, float(along), across))
    for _ in range(int(rng.integers(40, 90))):
        centre = (rng.uniform(0, side), rng.uniform(0, side))
        draw_tree(canvas, centre, rng.uniform(4, 8))
    canvas.line(course, 1.25 * width, (176, 160, 124))
    canvas.line(course, width, WATER)
    canvas.line(course, 0.55 * width, shade(WATER, 0.88))


SCENES: Mapping[str, tuple[float, Callable[[Canvas], None]]] = {
    "airport": (420.0, draw_airport),
    "dense residential": (130.0, draw_dense_residential),
    "farmland": (600.0, draw_farmland),
    "forest": (90.0, draw_forest),
    "harbor": (120.0, draw_harbor),
    "parking lot": (70.0, draw_parking_lot),
    "river": (260.0, draw_river),
    "storage tanks": (170.0, draw_storage_tanks),
}
"""What can be drawn: for each class, metres along a side and the function that draws it."""
