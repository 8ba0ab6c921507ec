"""Things that move: aircraft, ships, boats and vehicles.

Each function draws one object with its shadow and returns its number on the canvas, 0 where it was
not drawn. Places and lengths are metres, angles radians; the generator of the canvas chooses
colours and small variations. All details lie inside the object's outline.
"""

import math
from collections.abc import Sequence

from skycue.data.renderer.canvas import Colour, Point
from skycue.data.renderer.elements import shade
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import Pose
from skycue.data.renderer.shapes import (
    AIRCRAFT,
    BOAT_HULL,
    BODY,
    CABINS,
    CARS,
    CONTAINERS,
    GLASS,
    HULLS,
    LIVERIES,
    LOADS,
    MILITARY,
    PALE,
    SHIP_HULL,
    VEHICLES,
)

FOAM: Colour = (196, 208, 212)


def pick(canvas: InstanceCanvas, colours: Sequence[Colour], spread: float = 0.06) -> Colour:
    """Choose a colour and make it a little darker or lighter."""
    colour = colours[int(canvas.rng.integers(len(colours)))]
    return shade(colour, canvas.rng.normal(1.0, spread))


def draw_airplane(
    canvas: InstanceCanvas, centre: Point, kind: str, length_m: float, angle: float
) -> int:
    """Draw an aircraft of a kind of `AIRCRAFT`, nose along `angle`."""
    pose = Pose(centre, angle, length_m, length_m)
    outline = pose.place(AIRCRAFT[kind][0])
    if not canvas.shows(outline):
        return 0
    military = kind == "fighter"
    paint = pick(canvas, MILITARY if military else PALE)
    canvas.floating_shadow(outline, 0.08 * length_m)
    number = canvas.stamp(outline, "airplane", shade(paint, 0.92))
    lit = canvas.lit_side(angle)
    bright = [(0.44, 0.0), (0.3, 0.045 * lit), (-0.36, 0.034 * lit), (-0.48, 0.0)]
    dark = [(0.44, 0.0), (0.3, -0.045 * lit), (-0.36, -0.034 * lit), (-0.48, 0.0)]
    canvas.paint(pose.place(bright), shade(paint, 1.08))
    canvas.paint(pose.place(dark), shade(paint, 0.8))
    cockpit = 0.3 if military else 0.455
    canvas.paint(pose.quad(cockpit - 0.04 * military, cockpit + 0.02, 0.02), GLASS)
    fin = pick(canvas, LIVERIES if canvas.rng.random() < 0.6 and not military else (paint,))
    tail = [(-0.34, 0.0), (-0.42, 0.012), (-0.5, 0.009), (-0.5, -0.009), (-0.42, -0.012)]
    canvas.paint(pose.place(tail), fin)
    for side in (-1, 1) if not military else ():
        flap = pose.place([(-0.06, 0.07 * side), (-0.13, 0.38 * side)])
        canvas.paint_line(flap, 0.012 * length_m, shade(paint, 0.74))
    return number


def draw_ship(
    canvas: InstanceCanvas, centre: Point, length_m: float, angle: float, *, wake: bool = False
) -> int:
    """Draw a seagoing ship: hull, deck with hatches or containers, and its bridge at the stern."""
    rng = canvas.rng
    pose = Pose(centre, angle, length_m, length_m * rng.uniform(0.14, 0.2))
    outline = pose.place(SHIP_HULL)
    if not canvas.shows(outline):
        return 0
    if wake:
        draw_wake(canvas, pose)
    canvas.shadow(outline, 0.06 * length_m)
    hull = pick(canvas, HULLS, 0.12)
    number = canvas.stamp(outline, "ship", hull)
    deck_share = rng.uniform(0.76, 0.9)
    deck = [(0.96 * x, deck_share * y) for x, y in SHIP_HULL]
    canvas.paint(pose.place(deck), shade(hull, rng.uniform(1.05, 1.5)))
    _load(canvas, pose, hull)
    house = pick(canvas, PALE)
    stern = -0.42 if rng.random() < 0.8 else 0.1
    canvas.paint(pose.quad(stern, stern + 0.1, 0.4), house)
    canvas.paint(pose.quad(stern + 0.02, stern + 0.06, 0.15), shade(house, 0.7))
    bow = [(0.37, -0.2), (0.44, 0.0), (0.37, 0.2)]
    canvas.paint(pose.place(bow), shade(hull, 1.5))
    return number


def _load(canvas: InstanceCanvas, pose: Pose, hull: Colour) -> None:
    """Draw what is on the deck: stacks of containers, hatches, or the pipes of a tanker."""
    rng = canvas.rng
    kind, holds = ("containers", "hatches", "pipes")[int(rng.integers(3))], int(rng.integers(3, 8))
    steel = shade(hull, rng.uniform(0.6, 1.8))
    for hold in range(holds):
        start = -0.27 + 0.64 * hold / holds
        end = start + 0.54 / holds
        if kind == "containers":
            for row in range(3):
                low = -0.36 + 0.24 * row
                canvas.paint(pose.quad(start, end, low + 0.22, low), pick(canvas, CONTAINERS, 0.15))
        elif kind == "hatches":
            canvas.paint(pose.quad(start, end, 0.28), steel)
    if kind == "pipes":
        canvas.paint_line(pose.place([(-0.3, 0.0), (0.38, 0.0)]), 0.1 * pose.width_m, steel)
        canvas.paint_line(pose.place([(0.05, -0.4), (0.05, 0.4)]), 0.1 * pose.width_m, steel)


def draw_wake(canvas: InstanceCanvas, pose: Pose) -> None:
    """Draw the foam behind a ship under way."""
    for lengths, alpha in ((2.0, 14), (1.4, 20), (0.9, 28), (0.5, 36)):
        spread = 0.35 + 0.3 * lengths
        tail = [(-0.46, -0.3), (-0.46 - lengths, -spread), (-0.46 - lengths, spread), (-0.46, 0.3)]
        canvas.lay(pose.place(tail), FOAM, alpha=alpha)
    for side in (-1, 1):
        wave = [(0.42, 0.3 * side), (-0.5, 0.85 * side), (-1.1, 1.5 * side)]
        canvas.lay_line(pose.place(wave), 0.12 * pose.width_m, FOAM, alpha=60)


def draw_boat(
    canvas: InstanceCanvas, centre: Point, length_m: float, angle: float, *, listed: bool = True
) -> int:
    """Draw a small boat; one that is not `listed` belongs to what claims its place later."""
    pose = Pose(centre, angle, length_m, length_m * canvas.rng.uniform(0.26, 0.34))
    outline = pose.place(BOAT_HULL)
    colour, number = pick(canvas, PALE), 0
    if listed:
        if not canvas.shows(outline):
            return 0
        canvas.shadow(outline, 0.1 * length_m)
        number = canvas.stamp(outline, "ship", colour)
    else:
        canvas.paint(outline, colour)
    cabin = [(0.5 * x - 0.06, 0.62 * y) for x, y in BOAT_HULL]
    canvas.paint(pose.place(cabin), pick(canvas, CABINS))
    return number


def draw_vehicle(
    canvas: InstanceCanvas, centre: Point, angle: float, *, kind: str = "car", on: int = 0
) -> int:
    """Draw a vehicle of a kind of `VEHICLES`, driving along `angle`, unless the place is taken.

    With `on`, it stands on the object with this number.
    """
    length_m, width_m, height_m = VEHICLES[kind]
    size = canvas.rng.uniform(0.92, 1.08)
    pose = Pose(centre, angle, length_m * size, width_m * size)
    outline = pose.place(BODY)
    if not canvas.shows(outline) or not canvas.is_free(outline, on=on):
        return 0
    colour = pick(canvas, CARS if kind in ("car", "van") else LOADS)
    canvas.shadow(outline, height_m)
    number = canvas.stamp(outline, "vehicle", shade(colour, 0.86))
    canvas.paint(pose.quad(-0.45, 0.46, 0.39), colour)
    if canvas.lit_side(angle) > 0:
        canvas.paint(pose.quad(-0.42, 0.42, 0.46, 0.38), shade(colour, 1.12))
    else:
        canvas.paint(pose.quad(-0.42, 0.42, -0.38, -0.46), shade(colour, 1.12))
    if kind == "car":
        roof = shade(colour, 1.14 if canvas.rng.random() < 0.85 else 0.4)
        windows, top = [(0.08, 0.25), (-0.4, -0.29)], (-0.29, 0.08)
    elif kind == "van":
        roof, windows, top = shade(colour, 1.1), [(0.26, 0.38), (-0.47, -0.44)], (-0.42, 0.26)
    else:
        roof, windows, top = shade(colour, 1.1), [(0.44, 0.48)], (-0.46, 0.3)
    for back, front in windows:
        canvas.paint(pose.quad(back, front, 0.4), GLASS)
    canvas.paint(pose.quad(*top, 0.37), roof)
    if kind == "truck":
        canvas.paint(pose.quad(0.27, 0.31, 0.42), GLASS)
    if kind == "bus":
        for place in (-0.3, 0.05):
            canvas.paint(pose.quad(place, place + 0.1, 0.18), shade(colour, 0.8))
    return number


def heading(start: Point, end: Point) -> float:
    """Return the direction from one point to another, in radians."""
    return math.atan2(end[1] - start[1], end[0] - start[0])
