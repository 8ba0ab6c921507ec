"""Things seen from above, one function each: they stand where and as large as they are told.

Lengths are metres, angles radians. The random generator of the canvas chooses colours and small
variations only.
"""

import itertools
import math
from collections.abc import Sequence

from skycue.data.renderer.canvas import Canvas, Colour, Point, moved, rectangle

ASPHALT: Colour = (96, 96, 100)
CONCRETE: Colour = (172, 170, 164)
WHITE: Colour = (232, 232, 228)
ROOFS: Sequence[Colour] = ((140, 88, 72), (122, 78, 66), (134, 128, 122), (104, 98, 96))
CARS: Sequence[Colour] = (
    (225, 225, 225),
    (40, 42, 48),
    (150, 152, 156),
    (150, 40, 38),
    (46, 74, 130),
)


def shade(colour: Colour, factor: float) -> Colour:
    """Make a colour darker (below 1) or lighter."""
    red, green, blue = (min(255, max(0, round(level * factor))) for level in colour)
    return (red, green, blue)


def draw_tree(canvas: Canvas, centre: Point, radius_m: float) -> None:
    """Draw a crown: a dark disc with lighter lumps of leaves on it."""
    rng = canvas.rng
    green: Colour = (
        int(rng.integers(36, 66)),
        int(rng.integers(76, 108)),
        int(rng.integers(34, 54)),
    )
    canvas.disc(centre, radius_m, shade(green, 0.8), height_m=1.3 * radius_m)
    for _ in range(5):
        lump = moved(centre, rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.55) * radius_m)
        canvas.disc(lump, radius_m * rng.uniform(0.25, 0.45), shade(green, rng.uniform(0.9, 1.25)))


def draw_house(
    canvas: Canvas, centre: Point, length_m: float, width_m: float, angle: float
) -> None:
    """Draw a gabled roof: two slopes of different brightness along the ridge."""
    rng = canvas.rng
    colour = ROOFS[int(rng.integers(len(ROOFS)))]
    canvas.polygon(rectangle(centre, length_m, width_m, angle), colour, height_m=5.0)
    slope = moved(centre, angle, 0.0, width_m / 4)
    canvas.polygon(rectangle(slope, length_m, width_m / 2, angle), shade(colour, 1.25))
    if rng.random() < 0.5:
        chimney = moved(centre, angle, length_m * rng.uniform(-0.3, 0.3), -width_m / 5)
        canvas.polygon(rectangle(chimney, 0.9, 0.9, angle), shade(colour, 0.6), height_m=1.5)


def draw_road(canvas: Canvas, points: Sequence[Point], width_m: float) -> None:
    """Draw an asphalt road with kerbs and a dashed line in the middle."""
    canvas.line(points, width_m + 1.2, CONCRETE)
    canvas.line(points, width_m, ASPHALT)
    for start, end in itertools.pairwise(points):
        draw_dashes(canvas, start, end, dash_m=3.0, gap_m=4.0, width_m=0.25)


def draw_dashes(
    canvas: Canvas, start: Point, end: Point, *, dash_m: float, gap_m: float, width_m: float
) -> None:
    """Draw a dashed white line from one point to another."""
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    length_m = math.dist(start, end)
    position = 0.0
    while position + dash_m <= length_m:
        dash = [moved(start, angle, position), moved(start, angle, position + dash_m)]
        canvas.line(dash, width_m, WHITE)
        position += dash_m + gap_m


def draw_car(canvas: Canvas, centre: Point, angle: float) -> None:
    """Draw a car of 4.4 m by 1.8 m with its dark windows."""
    rng = canvas.rng
    colour = CARS[int(rng.integers(len(CARS)))]
    canvas.polygon(rectangle(centre, 4.4, 1.8, angle), colour, height_m=1.2)
    for along in (0.7, -1.4):
        window = rectangle(moved(centre, angle, along), 0.7, 1.5, angle)
        canvas.polygon(window, (48, 54, 62))


def draw_tank(canvas: Canvas, centre: Point, radius_m: float) -> None:
    """Draw a storage tank: a pale roof with its rim, a railing across and a long shadow."""
    rng = canvas.rng
    roof = shade(WHITE, rng.uniform(0.82, 1.0))
    canvas.disc(centre, radius_m, shade(roof, 0.8), height_m=0.7 * radius_m)
    canvas.disc(centre, 0.94 * radius_m, roof)
    canvas.ring(centre, 0.6 * radius_m, 0.3, shade(roof, 0.88))
    angle = rng.uniform(0, 2 * math.pi)
    canvas.line([centre, moved(centre, angle, 0.94 * radius_m)], 0.6, shade(roof, 0.6))


def draw_boat(canvas: Canvas, centre: Point, length_m: float, angle: float) -> None:
    """Draw a moored boat: a pointed white hull with a cabin."""
    width_m = 0.3 * length_m
    stern = rectangle(moved(centre, angle, -0.1 * length_m), 0.8 * length_m, width_m, angle)
    bow = moved(centre, angle, 0.5 * length_m)
    hull = [stern[0], stern[1], bow, stern[2], stern[3]]
    canvas.polygon(hull, shade(WHITE, canvas.rng.uniform(0.85, 1.05)), height_m=0.8)
    cabin = rectangle(
        moved(centre, angle, -0.12 * length_m), 0.35 * length_m, 0.55 * width_m, angle
    )
    canvas.polygon(cabin, (112, 124, 140))


def draw_plane(canvas: Canvas, centre: Point, length_m: float, angle: float) -> None:
    """Draw an airliner: fuselage, swept wings and tail, in white."""
    wing = 0.48 * length_m
    for side in (-1, 1):
        root = moved(centre, angle, 0.08 * length_m)
        trailing = moved(centre, angle, -0.1 * length_m)
        tip = moved(centre, angle, -0.16 * length_m, side * wing)
        tip_front = moved(centre, angle, -0.1 * length_m, side * wing)
        canvas.polygon([root, tip_front, tip, trailing], shade(WHITE, 0.92), height_m=3.0)
        tail = moved(centre, angle, -0.4 * length_m)
        tail_tip = moved(centre, angle, -0.5 * length_m, side * 0.18 * length_m)
        tail_end = moved(centre, angle, -0.48 * length_m)
        canvas.polygon([tail, tail_tip, tail_end], shade(WHITE, 0.9), height_m=3.0)
    nose, end = moved(centre, angle, 0.5 * length_m), moved(centre, angle, -0.5 * length_m)
    canvas.line([end, nose], 0.1 * length_m, WHITE)
    canvas.disc(nose, 0.05 * length_m, shade(WHITE, 0.7))
