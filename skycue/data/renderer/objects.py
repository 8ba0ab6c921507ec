"""Things that move or stand: aircraft, ships, vehicles, tanks, bridges and buildings.

Each function draws one object with its shadow and returns its number on the canvas, 0 where it was
not drawn. Places and lengths are metres, angles radians; the generator of the canvas chooses
colours and small variations. All details lie inside the object's outline.
"""

import math
from collections.abc import Sequence

import numpy as np

from skycue.data.renderer.canvas import Colour, Point, moved, rectangle
from skycue.data.renderer.elements import shade
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import band, disc, mirrored, placed

PALE: tuple[Colour, ...] = ((238, 238, 236), (226, 228, 230), (214, 214, 210), (200, 204, 208))
LIVERIES: tuple[Colour, ...] = ((40, 60, 120), (170, 40, 40), (30, 100, 110), (210, 120, 40))
HULLS: tuple[Colour, ...] = (
    (128, 56, 46), (92, 44, 40), (58, 64, 72), (96, 104, 108), (44, 58, 84), (150, 96, 62),
    (118, 124, 118), (176, 178, 174),
)  # fmt: skip
CARS: tuple[Colour, ...] = (
    (236, 236, 234), (222, 222, 220), (36, 38, 42), (24, 26, 30), (150, 152, 156), (178, 180, 182),
    (96, 98, 104), (150, 36, 34), (44, 70, 128), (188, 176, 150), (70, 82, 70), (206, 170, 60),
)  # fmt: skip
LOADS: tuple[Colour, ...] = ((232, 232, 230), (200, 196, 186), (150, 60, 50), (60, 90, 140))
ROOFS: tuple[Colour, ...] = (
    (134, 84, 66), (156, 104, 80), (116, 76, 62), (112, 108, 104), (92, 88, 86), (146, 138, 126),
    (78, 74, 74),
)  # fmt: skip
FLAT_ROOFS: tuple[Colour, ...] = (
    (214, 214, 210), (232, 232, 230), (176, 172, 164), (146, 142, 136), (118, 116, 114),
    (160, 148, 132), (92, 96, 102), (188, 194, 200),
)  # fmt: skip
GLASS: Colour = (38, 46, 56)
DECK: Colour = (150, 146, 140)

AIRLINER = mirrored(
    [
        (0.5, 0.0), (0.485, 0.026), (0.45, 0.045), (0.4, 0.052), (0.14, 0.054), (0.085, 0.12),
        (0.1, 0.125), (0.1, 0.165), (0.035, 0.168), (-0.1, 0.44), (-0.135, 0.475), (-0.155, 0.472),
        (-0.14, 0.42), (-0.05, 0.18), (-0.07, 0.054), (-0.3, 0.05), (-0.41, 0.028),
        (-0.47, 0.17), (-0.505, 0.172), (-0.485, 0.03), (-0.5, 0.0),
    ]
)  # fmt: skip
JUMBO = mirrored(
    [
        (0.5, 0.0), (0.48, 0.03), (0.43, 0.05), (0.2, 0.053), (0.11, 0.13), (0.13, 0.135),
        (0.13, 0.17), (0.06, 0.175), (0.0, 0.26), (0.02, 0.265), (0.02, 0.295), (-0.04, 0.3),
        (-0.15, 0.445), (-0.18, 0.45), (-0.17, 0.41), (-0.07, 0.17), (-0.1, 0.053), (-0.32, 0.045),
        (-0.42, 0.16), (-0.47, 0.17), (-0.45, 0.03), (-0.5, 0.0),
    ]
)  # fmt: skip
REGIONAL = mirrored(
    [
        (0.5, 0.0), (0.47, 0.028), (0.4, 0.042), (0.08, 0.044), (-0.08, 0.39), (-0.13, 0.395),
        (-0.1, 0.2), (-0.12, 0.044), (-0.2, 0.044), (-0.21, 0.1), (-0.32, 0.1), (-0.33, 0.035),
        (-0.4, 0.03), (-0.46, 0.16), (-0.505, 0.165), (-0.49, 0.0),
    ]
)  # fmt: skip
PROPELLER = mirrored(
    [
        (0.5, 0.0), (0.47, 0.03), (0.4, 0.05), (0.2, 0.06), (0.19, 0.13), (0.25, 0.14),
        (0.25, 0.2), (0.18, 0.21), (0.15, 0.52), (0.05, 0.53), (0.0, 0.06), (-0.2, 0.045),
        (-0.38, 0.03), (-0.4, 0.2), (-0.48, 0.2), (-0.5, 0.0),
    ]
)  # fmt: skip
FIGHTER = mirrored(
    [
        (0.5, 0.0), (0.36, 0.03), (0.22, 0.05), (0.1, 0.09), (-0.22, 0.33), (-0.3, 0.33),
        (-0.28, 0.1), (-0.36, 0.1), (-0.44, 0.19), (-0.5, 0.19), (-0.49, 0.05), (-0.47, 0.0),
    ]
)  # fmt: skip
AIRCRAFT = {
    "airliner": (AIRLINER, (32.0, 48.0)),
    "jumbo": (JUMBO, (56.0, 72.0)),
    "regional": (REGIONAL, (20.0, 32.0)),
    "propeller": (PROPELLER, (9.0, 24.0)),
    "fighter": (FIGHTER, (14.0, 21.0)),
}
"""Outline in lengths of the aircraft, nose along x, and the lengths that occur, in metres."""

SHIP_HULL = mirrored(
    [(0.5, 0.0), (0.47, 0.18), (0.41, 0.36), (0.32, 0.5), (-0.42, 0.5), (-0.49, 0.4), (-0.5, 0.0)]
)
"""A cargo ship in lengths along x and breadths across it, bow first."""
BOAT_HULL = mirrored(
    [(0.5, 0.0), (0.38, 0.24), (0.2, 0.42), (0.0, 0.5), (-0.48, 0.44), (-0.5, 0.0)]
)
BODY = mirrored(
    [(0.5, 0.0), (0.49, 0.32), (0.44, 0.47), (0.38, 0.5), (-0.44, 0.5), (-0.5, 0.36), (-0.5, 0.0)]
)
"""A car in lengths and breadths."""


def pick(canvas: InstanceCanvas, colours: Sequence[Colour], spread: float = 0.06) -> Colour:
    """Choose a colour and make it a little darker or lighter."""
    colour = colours[int(canvas.rng.integers(len(colours)))]
    return shade(colour, canvas.rng.normal(1.0, spread))


def stretched(
    outline: Sequence[Point], centre: Point, length_m: float, width_m: float, angle: float
) -> list[Point]:
    """Place an outline that is given in lengths and breadths."""
    return placed([(x * length_m, y * width_m) for x, y in outline], centre, angle)


def draw_airplane(
    canvas: InstanceCanvas, centre: Point, kind: str, length_m: float, angle: float
) -> int:
    """Draw an aircraft of a kind of `AIRCRAFT`, nose along `angle`."""
    outline = placed(AIRCRAFT[kind][0], centre, angle, length_m)
    if not canvas.shows(outline):
        return 0
    military = kind == "fighter"
    paint = pick(canvas, ((126, 130, 132), (98, 104, 100)) if military else PALE)
    canvas.floating_shadow(outline, 0.07 * length_m)
    number = canvas.stamp(outline, "airplane", shade(paint, 0.93))
    part = lambda points: placed(points, centre, angle, length_m)  # noqa: E731
    lit = 1 if canvas.sun[0] * -math.sin(angle) + canvas.sun[1] * math.cos(angle) < 0 else -1
    canvas.paint(
        part([(0.44, 0.0), (0.3, 0.045 * lit), (-0.4, 0.03 * lit), (-0.48, 0.0)]),
        shade(paint, 1.08),
    )
    canvas.paint(
        part([(0.4, 0.0), (0.3, -0.045 * lit), (-0.36, -0.035 * lit), (-0.4, 0.0)]),
        shade(paint, 0.82),
    )
    canvas.paint(part([(0.46, 0.024), (0.48, 0.0), (0.46, -0.024), (0.445, 0.0)]), GLASS)
    if military:
        canvas.paint(part([(0.3, 0.02), (0.34, 0.0), (0.3, -0.02), (0.2, 0.0)]), GLASS)
        return number
    fin = LIVERIES if canvas.rng.random() < 0.6 else PALE
    canvas.paint(
        part([(-0.34, 0.0), (-0.42, 0.011), (-0.5, 0.008), (-0.5, -0.008), (-0.42, -0.011)]),
        pick(canvas, fin),
    )
    for side in (-1, 1):
        canvas.paint_line(
            part([(-0.1, 0.06 * side), (-0.13, 0.38 * side)]), 0.012 * length_m, shade(paint, 0.75)
        )
    return number


def draw_ship(
    canvas: InstanceCanvas, centre: Point, length_m: float, angle: float, *, wake: bool = False
) -> int:
    """Draw a seagoing ship: hull, deck with hatches or containers, and its bridge at the stern."""
    rng = canvas.rng
    width_m = length_m * rng.uniform(0.14, 0.19)
    outline = stretched(SHIP_HULL, centre, length_m, width_m, angle)
    if not canvas.shows(outline):
        return 0
    if wake:
        draw_wake(canvas, centre, length_m, width_m, angle)
    canvas.shadow(outline, 0.06 * length_m)
    hull = pick(canvas, HULLS, 0.12)
    number = canvas.stamp(outline, "ship", hull)
    part = lambda x, y, u, v: stretched(  # noqa: E731
        [(x, y), (u, y), (u, v), (x, v)], centre, length_m, width_m, angle
    )
    deck = stretched(
        SHIP_HULL, moved(centre, angle, -0.004 * length_m), 0.93 * length_m, 0.78 * width_m, angle
    )
    canvas.paint(deck, shade(hull, rng.uniform(1.1, 1.5)))
    holds = int(rng.integers(3, 8))
    cargo = ((190, 70, 50), (60, 90, 150), (200, 190, 170), (70, 120, 90), (130, 126, 122))
    loaded, steel = rng.random() < 0.5, shade(hull, rng.uniform(0.6, 1.9))
    for hold in range(holds):
        start = -0.26 + 0.64 * hold / holds
        colour = pick(canvas, cargo, 0.15) if loaded else steel
        canvas.paint(part(start, -0.32, start + 0.52 / holds, 0.32), colour)
    if not loaded and rng.random() < 0.5:
        canvas.paint_line(
            placed([(-0.26, 0), (0.4, 0)], centre, angle, length_m), 0.1 * width_m, shade(hull, 1.7)
        )
    house = pick(canvas, PALE)
    canvas.paint(part(-0.42, -0.4, -0.32, 0.4), house)
    canvas.paint(part(-0.4, -0.15, -0.36, 0.15), shade(house, 0.7))
    return number


def draw_wake(
    canvas: InstanceCanvas, centre: Point, length_m: float, width_m: float, angle: float
) -> None:
    """Draw the foam behind a ship under way."""
    stern = moved(centre, angle, -0.46 * length_m)
    for share, alpha in ((2.4, 26), (1.5, 34), (0.7, 46)):
        spread = width_m * (0.4 + 0.25 * share)
        tail = placed(
            [(0, -0.3 * width_m), (-share * length_m, -spread), (-share * length_m, spread), (0, 0.3 * width_m)],
            stern,
            angle,
        )  # fmt: skip
        canvas.paint(tail, (196, 208, 212), alpha=alpha)


def draw_boat(
    canvas: InstanceCanvas, centre: Point, length_m: float, angle: float, *, listed: bool = True
) -> int:
    """Draw a small boat; one that is not `listed` belongs to what claims its place later."""
    width_m = length_m * canvas.rng.uniform(0.26, 0.34)
    outline = stretched(BOAT_HULL, centre, length_m, width_m, angle)
    colour = pick(canvas, PALE)
    if listed:
        if not canvas.shows(outline):
            return 0
        canvas.shadow(outline, 0.1 * length_m)
        number = canvas.stamp(outline, "ship", colour)
    else:
        number = 0
        canvas.paint(outline, colour)
    cabin = stretched(
        BOAT_HULL, moved(centre, angle, -0.06 * length_m), 0.5 * length_m, 0.62 * width_m, angle
    )
    canvas.paint(
        cabin, pick(canvas, ((120, 132, 146), (178, 176, 170), (70, 84, 110), (206, 208, 208)))
    )
    return number


def draw_vehicle(canvas: InstanceCanvas, centre: Point, angle: float, *, kind: str = "car") -> int:
    """Draw a "car", "van", "truck" or "bus", driving along `angle`."""
    rng = canvas.rng
    sizes = {"car": (4.5, 1.85), "van": (5.4, 2.05), "truck": (9.5, 2.5), "bus": (12.0, 2.55)}
    length_m, width_m = (value * rng.uniform(0.93, 1.07) for value in sizes[kind])
    outline = stretched(BODY, centre, length_m, width_m, angle)
    if not canvas.shows(outline) or not canvas.is_free(outline):
        return 0
    colour = pick(canvas, CARS if kind in ("car", "van") else LOADS)
    canvas.shadow(outline, 1.3 if kind == "car" else 2.4)
    number = canvas.stamp(outline, "vehicle", shade(colour, 0.88))
    part = lambda x, y, u, v: stretched(  # noqa: E731
        [(x, -y), (u, -v), (u, v), (x, y)], centre, length_m, width_m, angle
    )
    if kind == "truck":
        canvas.paint(part(-0.48, 0.46, 0.24, 0.46), shade(colour, 1.05))
        canvas.paint(part(0.27, 0.4, 0.3, 0.4), GLASS)
        canvas.paint(part(0.38, 0.42, 0.43, 0.38), GLASS)
        return number
    canvas.paint(part(-0.46, 0.4, 0.47, 0.38), shade(colour, 1.02))
    canvas.paint(
        part(0.1, 0.38, 0.24, 0.43) if kind == "car" else part(0.32, 0.4, 0.42, 0.43), GLASS
    )
    canvas.paint(
        part(-0.38, 0.4, -0.28, 0.36) if kind == "car" else part(-0.46, 0.38, -0.43, 0.38), GLASS
    )
    canvas.paint(
        part(-0.28, 0.36, 0.1, 0.38) if kind == "car" else part(-0.4, 0.4, 0.3, 0.4),
        shade(colour, 1.12),
    )
    return number


def draw_tank(canvas: InstanceCanvas, centre: Point, radius_m: float, colour: Colour) -> int:
    """Draw a storage tank: its roof with rim and stairs; the roof of some floats below the rim."""
    rng = canvas.rng
    outline = disc(centre, radius_m, 36)
    if not canvas.shows(outline):
        return 0
    height_m = radius_m * rng.uniform(0.5, 1.0)
    canvas.shadow(outline, height_m)
    number = canvas.stamp(outline, "storage tank", shade(colour, 0.82))
    if rng.random() < 0.35:
        canvas.paint_disc(centre, 0.94 * radius_m, shade(colour, 0.55))
        (x, y), (dx, dy) = centre, canvas.sun
        gap = 0.1 * radius_m / math.hypot(dx, dy)
        canvas.paint_disc((x + gap * dx, y + gap * dy), 0.82 * radius_m, shade(colour, 0.9))
    else:
        canvas.paint_disc(centre, 0.94 * radius_m, colour)
        (x, y), (dx, dy) = centre, canvas.sun
        gap = 0.14 * radius_m / math.hypot(dx, dy)
        canvas.paint_disc((x - gap * dx, y - gap * dy), 0.72 * radius_m, shade(colour, 1.05))
    turn = rng.uniform(0, 2 * math.pi)
    canvas.paint_line(
        [centre, moved(centre, turn, 0.9 * radius_m)], 0.05 * radius_m, shade(colour, 0.7)
    )
    canvas.paint_disc(centre, 0.06 * radius_m, shade(colour, 0.7))
    return number


def draw_bridge(
    canvas: InstanceCanvas, start: Point, end: Point, width_m: float, *, rails: bool = False
) -> int:
    """Draw a bridge from bank to bank; with `rails` it carries a railway."""
    rng = canvas.rng
    angle, length_m = math.atan2(end[1] - start[1], end[0] - start[0]), math.dist(start, end)
    outline = band([start, end], width_m)
    if not canvas.shows(outline):
        return 0
    canvas.floating_shadow(outline, rng.uniform(4, 9))
    colour = pick(canvas, ((160, 156, 148), (140, 138, 134), (120, 106, 92), (178, 174, 166)))
    number = canvas.stamp(outline, "bridge", colour)
    if rails:
        canvas.paint(band([start, end], 0.72 * width_m), (92, 80, 70))
        for side in np.linspace(-0.2, 0.2, 4 if width_m > 8 else 2):
            track = [moved(p, angle, 0.0, side * width_m) for p in (start, end)]
            canvas.paint_line(track, 0.25, (150, 140, 132))
        for along in np.arange(2.0, length_m - 1, 6.0):
            place = moved(start, angle, along)
            sleeper = [moved(place, angle, 0.0, side * width_m) for side in (-0.45, 0.45)]
            canvas.paint_line(sleeper, 0.5, shade(colour, 0.75))
        return number
    canvas.paint(band([start, end], 0.84 * width_m), pick(canvas, ((98, 98, 100), (118, 116, 112))))
    draw_lanes(canvas, start, end, width_m * 0.84)
    return number


def draw_lanes(canvas: InstanceCanvas, start: Point, end: Point, width_m: float) -> None:
    """Paint the lines of a road."""
    angle, length_m = math.atan2(end[1] - start[1], end[0] - start[0]), math.dist(start, end)
    lanes = max(2, round(width_m / 3.6))
    for lane in range(1, lanes):
        across = width_m * (lane / lanes - 0.5)
        a, b = (moved(p, angle, 0.0, across) for p in (start, end))
        if lane * 2 == lanes and lanes > 2:
            canvas.paint_line([a, b], 0.3, (206, 180, 90), alpha=170)
            continue
        if canvas.gsd_m > 0.5:  # dashes are finer than a pixel
            canvas.paint_line([a, b], 0.15, (220, 220, 216), alpha=110)
            continue
        for along in np.arange(0, length_m - 3, 9.0):
            dash = [moved(a, angle, along), moved(a, angle, along + 3)]
            canvas.paint_line(dash, 0.16, (226, 226, 222), alpha=200)
