"""Places that are objects themselves: sports grounds, piers with berths, and buildings.

As in `objects.py`: metres, radians, and each function returns the number of what it drew, or 0.
"""

import math

import numpy as np

from skycue.data.renderer.canvas import Colour, Point, moved, rectangle
from skycue.data.renderer.elements import shade
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.objects import FLAT_ROOFS, ROOFS, draw_boat, pick
from skycue.data.renderer.outlines import arc, band, placed

LINE: Colour = (236, 236, 232)
COURT_COLOURS: tuple[Colour, ...] = (
    (62, 84, 134), (74, 108, 84), (88, 122, 96), (158, 92, 72), (122, 120, 116), (96, 102, 108),
    (72, 92, 140), (136, 132, 112),
)  # fmt: skip
TRACK_COLOURS: tuple[Colour, ...] = (
    (176, 92, 70), (190, 110, 82), (160, 78, 66), (112, 104, 116), (172, 150, 128), (94, 88, 90),
)  # fmt: skip
DIRT: tuple[Colour, ...] = ((190, 158, 118), (176, 138, 100), (204, 178, 140), (166, 120, 88))
GREENS: tuple[Colour, ...] = ((76, 104, 56), (92, 112, 66), (66, 92, 50), (84, 116, 72))

TENNIS = (23.77, 10.97)
"""Length and width of a doubles court, metres."""
BASKETBALL = (28.0, 15.0)
TRACK_STRAIGHT_M = 84.4
TRACK_RADIUS_M = 36.5
LANE_M = 1.22
BASE_M = 27.4
"""Side of the square of a baseball infield."""


def draw_tennis_court(canvas: InstanceCanvas, centre: Point, angle: float, colour: Colour) -> int:
    """Draw a tennis court; the object is the court, not the run-off around it."""
    length_m, width_m = TENNIS
    number = canvas.stamp(
        rectangle(centre, length_m + 0.4, width_m + 0.4, angle), "tennis court", colour
    )
    if not number:
        return 0
    half, side, service, single = length_m / 2, width_m / 2, 6.4, 4.115
    lines = [
        [(-half, -side), (half, -side), (half, side), (-half, side), (-half, -side)],
        [(-half, -single), (half, -single)],
        [(-half, single), (half, single)],
        [(-service, -single), (-service, single)],
        [(service, -single), (service, single)],
        [(-service, 0.0), (service, 0.0)],
    ]
    for line in lines:
        canvas.paint_line(placed(line, centre, angle), 0.16, LINE, alpha=230)
    net = placed([(0.0, -side - 0.2), (0.0, side + 0.2)], centre, angle)
    canvas.paint_line(net, 0.3, shade(colour, 0.5), alpha=200)
    return number


def draw_basketball_court(
    canvas: InstanceCanvas, centre: Point, angle: float, colour: Colour
) -> int:
    """Draw a basketball court with its circles, keys and three-point lines."""
    length_m, width_m = BASKETBALL
    number = canvas.stamp(
        rectangle(centre, length_m + 0.4, width_m + 0.4, angle), "basketball court", colour
    )
    if not number:
        return 0
    if canvas.rng.random() < 0.4:
        key = pick(canvas, COURT_COLOURS)
        for side in (-1, 1):
            canvas.paint(rectangle(moved(centre, angle, side * 11.1), 5.8, 4.9, angle), key)
    half, side_m = length_m / 2, width_m / 2
    lines = [
        [(-half, -side_m), (half, -side_m), (half, side_m), (-half, side_m), (-half, -side_m)],
        [(0.0, -side_m), (0.0, side_m)],
        arc((0.0, 0.0), 1.8, 0, 2 * math.pi),
    ]
    for way in (-1, 1):
        ends = [(way * half, -2.45), (way * (half - 5.8), -2.45)]
        lines.append([*ends, *[(x, -y) for x, y in reversed(ends)]])
        hoop = arc((0.0, 0.0), 6.75, -1.35, 1.35)
        lines.append([(way * (half - 1.6 - x), y) for x, y in hoop])
        circle = arc((0.0, 0.0), 1.8, -math.pi / 2, math.pi / 2, 8)
        lines.append([(way * (half - 5.8 - x), y) for x, y in circle])
    for line in lines:
        canvas.paint_line(placed(line, centre, angle), 0.16, LINE, alpha=230)
    return number


def draw_baseball_diamond(canvas: InstanceCanvas, home: Point, angle: float, scale: float) -> int:
    """Draw a baseball diamond: the fan of dirt with its grass square is the object.

    Args:
        canvas: Where to draw.
        home: The home plate.
        angle: From home plate to second base.
        scale: 1 for the full size, about 0.67 for softball and little league.
    """
    rng = canvas.rng
    arc_m = rng.uniform(27.0, 30.0)
    mound = (18.4, 0.0)
    skin = arc(mound, arc_m, -2.0, 2.0, 20)
    skin = [p for p in skin if abs(p[1]) <= p[0] + 3.5]
    apron = arc((0.0, 0.0), 4.2, math.pi / 2 + 0.3, 1.5 * math.pi - 0.3, 8)
    outline = placed([*skin, *apron], home, angle, scale)
    if not canvas.shows(outline):
        return 0
    field_m = rng.uniform(2.3, 3.3) * BASE_M
    outfield = placed([(0.0, 0.0), *arc((0.0, 0.0), field_m, -0.8, 0.8)], home, angle, scale)
    if rng.random() < 0.8:
        canvas.cover(
            "lawn" if rng.random() < 0.7 else "grass", outfield, shade=rng.uniform(0.9, 1.15)
        )
    dirt = pick(canvas, DIRT)
    number = canvas.stamp(outline, "baseball diamond", dirt)
    worn = placed(arc(mound, 0.8 * arc_m, -1.3, 1.3), home, angle, scale)
    canvas.paint_line(worn, 3.0 * scale, shade(dirt, 1.06), alpha=90)
    if scale > 0.8 or rng.random() < 0.4:
        corner, inset = BASE_M / math.sqrt(2), 2.2
        square = [
            (inset, 0.0),
            (corner, inset - corner),
            (2 * corner - inset, 0.0),
            (corner, corner - inset),
        ]
        canvas.paint(placed(square, home, angle, scale), pick(canvas, GREENS))
        canvas.paint_disc(moved(home, angle, 18.4 * scale), 2.7 * scale, dirt)
        canvas.paint_disc(moved(home, angle, 1.5 * scale), 3.2 * scale, dirt)
    canvas.paint_disc(moved(home, angle, 0.6 * scale), 0.8 * scale, shade(dirt, 1.25))
    for side in (-1, 1):
        foul = [home, moved(home, angle, 0.7 * field_m * scale, side * 0.7 * field_m * scale)]
        canvas.paint_line(foul, 0.15, LINE, alpha=150)
    return number


def track_outline(radius_m: float, straight_m: float) -> list[Point]:
    """Return an oval around the origin, its straights along x."""
    half = straight_m / 2
    right = arc((half, 0.0), radius_m, -math.pi / 2, math.pi / 2, 20)
    return right + [(-x, -y) for x, y in right]


def draw_track_field(canvas: InstanceCanvas, centre: Point, angle: float, scale: float) -> int:
    """Draw a ground track field: lanes around a pitch; the object is all of the oval."""
    rng = canvas.rng
    lanes = int(rng.integers(5, 9))
    straight = TRACK_STRAIGHT_M * rng.uniform(0.85, 1.15)
    outer = TRACK_RADIUS_M + lanes * LANE_M
    part = lambda points: placed(points, centre, angle, scale)  # noqa: E731
    rubber = pick(canvas, TRACK_COLOURS)
    number = canvas.stamp(part(track_outline(outer, straight)), "ground track field", rubber)
    if not number:
        return 0
    for lane in range(1, lanes):
        ring = track_outline(TRACK_RADIUS_M + lane * LANE_M, straight)
        canvas.paint_line(part([*ring, ring[0]]), 0.08, LINE, alpha=110)
    ends_paved = rng.random() < 0.4
    inner = part(track_outline(TRACK_RADIUS_M - 0.4, straight))
    canvas.paint(inner, rubber if ends_paved else pick(canvas, GREENS))
    if not ends_paved:
        material = ("lawn", "grass", "dry grass")[int(rng.integers(3))]
        canvas.cover(material, inner, shade=rng.uniform(0.85, 1.1))
    length_m, width_m = straight + 14, 2 * TRACK_RADIUS_M - 9
    _draw_pitch(canvas, centre, angle, length_m * scale, width_m * scale)
    return number


def _draw_pitch(
    canvas: InstanceCanvas, centre: Point, angle: float, length_m: float, width_m: float
) -> None:
    """Paint a football pitch: mown stripes or turf, and its lines."""
    if canvas.rng.random() < 0.75:
        green = pick(canvas, GREENS)
        canvas.paint(rectangle(centre, length_m, width_m, angle), green, alpha=200)
        for stripe in range(0, 10, 2):
            place = moved(centre, angle, length_m * (stripe / 10 - 0.45))
            stripe_ground = rectangle(place, length_m / 10, width_m, angle)
            canvas.paint(stripe_ground, shade(green, 1.15), alpha=70)
    half, side = 0.48 * length_m, 0.46 * width_m
    box = [(-half, -side), (half, -side), (half, side), (-half, side), (-half, -side)]
    lines = [box, [(0.0, -side), (0.0, side)], arc((0.0, 0.0), 0.09 * length_m, 0, 2 * math.pi)]
    for way in (-1, 1):
        goal = [(way * half, -0.6 * side), (way * 0.7 * half, -0.6 * side)]
        lines.append([*goal, *[(x, -y) for x, y in reversed(goal)]])
    for line in lines:
        canvas.paint_line(placed(line, centre, angle), 0.2, LINE, alpha=170)


def draw_pier(
    canvas: InstanceCanvas, shore: Point, angle: float, length_m: float, boat_m: float, share: float
) -> int:
    """Draw a pier with boats at both sides; the object is the pier with all of its berths.

    Args:
        canvas: Where to draw.
        shore: Where it leaves the land.
        angle: Where it leads.
        length_m: How far.
        boat_m: Length of a berth.
        share: Part of the berths that are taken, 0 to 1.
    """
    rng = canvas.rng
    end, walk_m = moved(shore, angle, length_m), rng.uniform(2.0, 3.5)
    outline = band([moved(shore, angle, 0.04 * length_m), end], walk_m + 2.06 * boat_m)
    if not canvas.shows(outline):
        return 0
    deck = pick(canvas, ((176, 170, 158), (150, 142, 130), (196, 192, 184)))
    canvas.paint_line([shore, end], walk_m, deck)
    pitch = boat_m * rng.uniform(0.38, 0.5)
    for index, along in enumerate(
        np.arange(0.06 * length_m + pitch / 2, length_m - pitch / 3, pitch)
    ):
        for side in (-1, 1):
            if index % 2 == 0:
                finger = [
                    moved(shore, angle, along - pitch / 2, side * a)
                    for a in (0, walk_m / 2 + 0.9 * boat_m)
                ]
                canvas.paint_line(finger, 0.8, deck)
            if rng.random() < share:
                own = boat_m * rng.uniform(0.75, 1.0)
                place = moved(shore, angle, along, side * (walk_m / 2 + own / 2 + 0.4))
                way = angle + side * math.pi / 2 + (math.pi if rng.random() < 0.3 else 0)
                draw_boat(canvas, place, own, way, listed=False)
    return canvas.claim(outline, "harbor")


def draw_jetty(
    canvas: InstanceCanvas, shore: Point, angle: float, length_m: float, width_m: float
) -> int:
    """Draw a jetty of concrete for large ships; its deck is the object."""
    outline = band([shore, moved(shore, angle, length_m)], width_m)
    if not canvas.shows(outline):
        return 0
    canvas.shadow(outline, 4.0)
    colour = pick(canvas, ((172, 168, 160), (150, 146, 138), (190, 184, 172)))
    number = canvas.stamp(outline, "harbor", colour)
    canvas.paint_line([shore, moved(shore, angle, length_m)], 0.3 * width_m, shade(colour, 0.8))
    for along in np.arange(0.1, 0.95, 0.15):
        hut = rectangle(moved(shore, angle, along * length_m, 0.25 * width_m), 3.5, 2.5, angle)
        canvas.paint(hut, shade(colour, canvas.rng.uniform(0.5, 1.25)))
    return number


def draw_house(
    canvas: InstanceCanvas, centre: Point, length_m: float, width_m: float, angle: float
) -> int:
    """Draw a house with a hipped or gabled roof, whose slopes the sun lights differently."""
    rng = canvas.rng
    outline = rectangle(centre, length_m, width_m, angle)
    if not canvas.shows(outline):
        return 0
    canvas.shadow(outline, rng.uniform(4.5, 7.5))
    colour = pick(canvas, ROOFS, 0.1)
    number = canvas.stamp(outline, "building", colour)
    half, side = length_m / 2, width_m / 2
    ridge = half - side * (0.9 if rng.random() < 0.5 else 0.0)
    left, right = (-ridge, 0.0), (ridge, 0.0)
    corners = [(-half, -side), (half, -side), (half, side), (-half, side)]
    slopes = [
        [corners[0], corners[1], right, left],
        [corners[1], corners[2], right],
        [corners[2], corners[3], left, right],
        [corners[3], corners[0], left],
    ]
    length = math.hypot(*canvas.sun)
    for slope, facing in zip(slopes, (-math.pi / 2, 0.0, math.pi / 2, math.pi), strict=True):
        way = angle + facing
        light = -(canvas.sun[0] * math.cos(way) + canvas.sun[1] * math.sin(way)) / length
        canvas.paint(placed(slope, centre, angle), shade(colour, 1 + 0.22 * light))
    if rng.random() < 0.5:
        canvas.paint(
            rectangle(moved(centre, angle, 0.3 * half, 0.35 * side), 1.0, 1.0, angle),
            shade(colour, 0.5),
        )
    return number


def draw_hall(
    canvas: InstanceCanvas, centre: Point, length_m: float, width_m: float, angle: float
) -> int:
    """Draw a large building with a flat roof, plant on it, and sometimes a wing."""
    rng = canvas.rng
    outline = rectangle(centre, length_m, width_m, angle)
    if rng.random() < 0.4:
        cut_x, cut_y = length_m * rng.uniform(-0.2, 0.2), width_m * rng.uniform(-0.2, 0.15)
        half, side = length_m / 2, width_m / 2
        corners = [
            (-half, -side),
            (half, -side),
            (half, cut_y),
            (cut_x, cut_y),
            (cut_x, side),
            (-half, side),
        ]
        outline = placed(corners, centre, angle)
    if not canvas.shows(outline):
        return 0
    height_m = rng.uniform(5, 16)
    canvas.shadow(outline, height_m) if len(outline) == 4 else canvas.floating_shadow(
        outline, height_m
    )
    colour = pick(canvas, FLAT_ROOFS, 0.08)
    number = canvas.stamp(outline, "building", shade(colour, 0.86))
    canvas.paint(_shrunk(outline, 0.965), colour)
    ribs = rng.random() < 0.35 and len(outline) == 4
    for across in np.arange(-0.45, 0.46, 0.09) if ribs else ():
        ends = [moved(centre, angle, way * 0.47 * length_m, across * width_m) for way in (-1, 1)]
        canvas.paint_line(ends, 0.25, shade(colour, 0.85), alpha=150)
    for _ in range(0 if ribs else int(rng.integers(2, 9))):
        along, across = rng.uniform(-0.44, -0.05) * length_m, rng.uniform(-0.42, 0.05) * width_m
        unit = rectangle(
            moved(centre, angle, along, across), rng.uniform(1.5, 4), rng.uniform(1.5, 3), angle
        )
        canvas.paint(canvas.in_shadow(unit, 1.2), shade(colour, 0.55))
        canvas.paint(unit, shade(colour, rng.uniform(0.7, 1.2)))
    return number


def _shrunk(points: list[Point], share: float) -> list[Point]:
    """Draw points nearer to their mean."""
    x0, y0 = (sum(values) / len(points) for values in zip(*points, strict=True))
    return [(x0 + share * (x - x0), y0 + share * (y - y0)) for x, y in points]
