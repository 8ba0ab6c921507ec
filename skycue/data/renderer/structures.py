"""Things that are built: tanks, bridges, piers with berths, jetties, houses and halls.

As in `traffic.py`: metres, radians, and each function returns the number of what it drew, or 0.
"""

import math
from collections.abc import Sequence

import numpy as np

from skycue.data.renderer.canvas import Colour, Point, moved, rectangle
from skycue.data.renderer.elements import shade
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import Pose, band, disc, drawn_in
from skycue.data.renderer.shapes import CONCRETES, FLAT_ROOFS, PLANKS, ROOFS, YELLOW
from skycue.data.renderer.traffic import draw_boat, heading, pick

LANE_M = 3.6
DASH_GSD_M = 0.5
"""Where pixels are larger, a dashed line looks like a faint one."""
BALLAST: Colour = (92, 80, 70)
TARMAC: tuple[Colour, ...] = ((98, 98, 100), (118, 116, 112), (134, 130, 124))


def draw_tank(canvas: InstanceCanvas, centre: Point, radius_m: float, colour: Colour) -> int:
    """Draw a storage tank: its roof with rim and stairs; the roof of some floats below the rim."""
    rng = canvas.rng
    outline = disc(centre, radius_m, 36)
    if not canvas.shows(outline):
        return 0
    canvas.shadow(outline, radius_m * rng.uniform(0.5, 1.0))
    number = canvas.stamp(outline, "storage tank", shade(colour, 0.82))
    gap = 0.12 * radius_m / math.hypot(*canvas.sun)
    dx, dy = gap * canvas.sun[0], gap * canvas.sun[1]
    if rng.random() < 0.35:  # the rim shades the floating roof
        canvas.paint_disc(centre, 0.94 * radius_m, shade(colour, 0.55))
        canvas.paint_disc((centre[0] + dx, centre[1] + dy), 0.8 * radius_m, shade(colour, 0.9))
    else:  # a cone, lighter towards the sun
        canvas.paint_disc(centre, 0.95 * radius_m, colour)
        canvas.paint_disc((centre[0] - dx, centre[1] - dy), 0.75 * radius_m, shade(colour, 1.06))
    stairs = moved(centre, rng.uniform(0, 2 * math.pi), 0.9 * radius_m)
    canvas.paint_line([centre, stairs], 0.05 * radius_m, shade(colour, 0.7), alpha=150)
    canvas.paint_disc(centre, 0.06 * radius_m, shade(colour, 0.7))
    return number


def draw_bridge(
    canvas: InstanceCanvas, start: Point, end: Point, width_m: float, *, rails: bool = False
) -> int:
    """Draw a bridge from bank to bank; with `rails` it carries a railway."""
    rng = canvas.rng
    outline = band([start, end], width_m)
    if not canvas.shows(outline):
        return 0
    canvas.floating_shadow(outline, rng.uniform(4, 9))
    for share in np.linspace(0.15, 0.85, 4):  # piers reach out from under the deck
        place = moved(start, heading(start, end), float(share) * math.dist(start, end))
        pier = rectangle(place, 2.5, width_m, heading(start, end))
        canvas.paint(canvas.in_shadow(pier, 1.5), (52, 54, 56), alpha=150)
    colour = pick(canvas, ((160, 156, 148), (140, 138, 134), (120, 106, 92), (178, 174, 166)))
    number = canvas.stamp(outline, "bridge", colour)
    if rails:
        draw_rails(canvas, start, end, 0.8 * width_m)
    else:
        canvas.paint(band([start, end], 0.84 * width_m), pick(canvas, TARMAC))
        draw_lanes(canvas, start, end, width_m * 0.84)
    return number


def draw_rails(canvas: InstanceCanvas, start: Point, end: Point, width_m: float) -> None:
    """Draw the tracks of a railway on their bed."""
    angle = heading(start, end)
    canvas.paint(band([start, end], width_m), BALLAST)
    for along in np.arange(2.0, min(math.dist(start, end), 1.5 * canvas.extent_m) - 1, 6.0):
        place = moved(start, angle, float(along))
        sleeper = [moved(place, angle, 0.0, side * width_m) for side in (-0.48, 0.48)]
        canvas.paint_line(sleeper, 0.6, shade(BALLAST, 0.75))
    for side in np.linspace(-0.32, 0.32, 4):
        track = [moved(point, angle, 0.0, float(side) * width_m) for point in (start, end)]
        canvas.paint_line(track, 0.25, (158, 150, 142))


def draw_lanes(canvas: InstanceCanvas, start: Point, end: Point, width_m: float) -> None:
    """Paint the lines of a road."""
    angle, length_m = heading(start, end), math.dist(start, end)
    lanes = max(2, round(width_m / LANE_M))
    for lane in range(1, lanes):
        across = width_m * (lane / lanes - 0.5)
        a, b = (moved(point, angle, 0.0, across) for point in (start, end))
        if lane * 2 == lanes and lanes > 2:
            canvas.paint_line([a, b], 0.3, YELLOW, alpha=170)
        elif canvas.gsd_m > DASH_GSD_M:
            canvas.paint_line([a, b], 0.15, (220, 220, 216), alpha=110)
        else:
            for along in np.arange(0, length_m - 3, 9.0):
                dash = [moved(a, angle, float(along)), moved(a, angle, float(along) + 3)]
                if canvas.meets(dash):
                    canvas.paint_line(dash, 0.16, (226, 226, 222), alpha=200)


def draw_pier(canvas: InstanceCanvas, pier: Pose, *, share: float) -> int:
    """Draw a pier with boats at both sides; the object is the pier with all of its berths.

    Args:
        canvas: Where to draw.
        pier: From the shore (its centre) `length_m` along its angle; `width_m` is that of the
            berths at one side.
        share: Part of the berths that are taken, 0 to 1.
    """
    rng = canvas.rng
    shore, angle, length_m, boat_m = pier
    end, walk_m = moved(shore, angle, length_m), rng.uniform(2.0, 3.5)
    outline = band([moved(shore, angle, 0.04 * length_m), end], walk_m + 2.12 * boat_m)
    if not canvas.shows(outline):
        return 0
    deck = pick(canvas, PLANKS)
    canvas.paint_line([shore, end], walk_m, deck)
    pitch = boat_m * rng.uniform(0.38, 0.5)
    places = np.arange(0.06 * length_m + pitch / 2, length_m - pitch / 2, pitch)
    for index, along in enumerate(places.tolist()):
        for side in (-1, 1):
            if index % 2 == 0:
                reach = side * (walk_m / 2 + 0.9 * boat_m)
                finger = [moved(shore, angle, along - pitch / 2, a) for a in (0.0, reach)]
                canvas.paint_line(finger, 0.8, deck)
            if rng.random() < share:
                own = boat_m * rng.uniform(0.7, 1.0)
                berth = moved(shore, angle, along, side * (walk_m / 2 + own / 2 + 0.4))
                way = angle + side * math.pi / 2 + (math.pi if rng.random() < 0.3 else 0)
                draw_boat(canvas, berth, own, way, listed=False)
    return canvas.claim(outline, "harbor")


def draw_jetty(
    canvas: InstanceCanvas, shore: Point, angle: float, length_m: float, width_m: float
) -> int:
    """Draw a jetty of concrete for large ships; its deck is the object."""
    outline = band([shore, moved(shore, angle, length_m)], width_m)
    if not canvas.shows(outline):
        return 0
    canvas.shadow(outline, 4.0)
    colour = pick(canvas, CONCRETES)
    number = canvas.stamp(outline, "harbor", colour)
    canvas.paint(drawn_in(outline, 0.97), shade(colour, 0.94))
    road = [shore, moved(shore, angle, 0.97 * length_m)]
    canvas.paint_line(road, 0.3 * width_m, shade(colour, 0.75))
    for along in np.arange(0.08, 0.95, 0.09).tolist():
        side = 0.3 if canvas.rng.random() < 0.5 else -0.3
        place = moved(shore, angle, along * length_m, side * width_m)
        size = width_m * canvas.rng.uniform(0.12, 0.3)
        load = rectangle(place, 1.6 * size, size, angle)
        canvas.paint(load, shade(colour, canvas.rng.uniform(0.45, 1.25)))
    return number


def draw_house(
    canvas: InstanceCanvas, centre: Point, length_m: float, width_m: float, angle: float
) -> int:
    """Draw a house with a hipped or gabled roof, whose slopes the sun lights differently."""
    rng = canvas.rng
    house = Pose(centre, angle)
    half, side = length_m / 2, width_m / 2
    corners = [(-half, -side), (half, -side), (half, side), (-half, side)]
    outline = house.place(corners)
    if not canvas.shows(outline):
        return 0
    canvas.shadow(outline, rng.uniform(4.5, 7.5))
    colour = pick(canvas, ROOFS, 0.1)
    number = canvas.stamp(outline, "building", colour)
    ridge = half - side * (0.9 if rng.random() < 0.5 else 0.0)
    slopes = [
        ([corners[0], corners[1], (ridge, 0.0), (-ridge, 0.0)], -math.pi / 2),
        ([corners[1], corners[2], (ridge, 0.0)], 0.0),
        ([corners[2], corners[3], (-ridge, 0.0), (ridge, 0.0)], math.pi / 2),
        ([corners[3], corners[0], (-ridge, 0.0)], math.pi),
    ]
    for slope, facing in slopes:
        light = canvas.light_from(angle + facing)
        canvas.paint(house.place(slope), shade(colour, 1 + 0.2 * light))
    for _ in range(int(rng.integers(0, 3))):
        place = moved(centre, angle, rng.uniform(-0.7, 0.7) * half, rng.uniform(-0.6, 0.6) * side)
        canvas.paint(rectangle(place, 1.0, 1.0, angle), shade(colour, rng.choice([0.5, 1.5])))
    return number


def draw_hall(
    canvas: InstanceCanvas, centre: Point, length_m: float, width_m: float, angle: float
) -> int:
    """Draw a large building with a flat or ribbed roof, plant on it, and sometimes a wing."""
    rng = canvas.rng
    half, side = length_m / 2, width_m / 2
    corners = [(-half, -side), (half, -side), (half, side), (-half, side)]
    if rng.random() < 0.4:
        x, y = length_m * rng.uniform(-0.2, 0.2), width_m * rng.uniform(-0.2, 0.15)
        corners = [*corners[:2], (half, y), (x, y), (x, side), corners[3]]
    outline = Pose(centre, angle).place(corners)
    if not canvas.shows(outline):
        return 0
    height_m = rng.uniform(5, 16)
    canvas.shadow(outline[:4], height_m)
    if len(outline) > 4:
        canvas.floating_shadow(outline, height_m)
    colour = pick(canvas, FLAT_ROOFS, 0.08)
    number = canvas.stamp(outline, "building", shade(colour, 0.84))
    canvas.paint(drawn_in(outline, 0.96), colour)
    _furnish_roof(canvas, outline, colour, ribbed=rng.random() < 0.35)
    return number


def _furnish_roof(
    canvas: InstanceCanvas, outline: Sequence[Point], colour: Colour, *, ribbed: bool
) -> None:
    """Draw ribs, or plant and skylights, on the part of a roof that lies at its first corner."""
    rng = canvas.rng
    corner, angle = outline[0], heading(outline[0], outline[1])
    length_m, width_m = math.dist(outline[0], outline[1]), math.dist(outline[-1], outline[0])
    if ribbed and len(outline) == 4:
        for across in np.arange(0.05, 0.96, 0.09).tolist():
            rib = [moved(corner, angle, a * length_m, across * width_m) for a in (0.03, 0.97)]
            canvas.paint_line(rib, 0.25, shade(colour, 0.82), alpha=150)
        return
    for _ in range(int(rng.integers(2, 10))):
        along, across = rng.uniform(0.06, 0.3) * length_m, rng.uniform(0.08, 0.9) * width_m
        if len(outline) == 4:
            along = rng.uniform(0.06, 0.92) * length_m
        size = min(length_m, width_m) * rng.uniform(0.04, 0.12)
        unit = rectangle(moved(corner, angle, along, across), 1.5 * size, size, angle)
        canvas.paint(canvas.in_shadow(unit, 0.3 * size), shade(colour, 0.6))
        canvas.paint(unit, shade(colour, rng.uniform(0.7, 1.25)))
