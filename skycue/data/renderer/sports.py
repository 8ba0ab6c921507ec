"""Sports grounds: courts, baseball diamonds and running tracks with their pitch.

As in `traffic.py`: metres, radians, and each function returns the number of what it drew, or 0.
"""

import math

from skycue.data.renderer.canvas import Colour, Point, moved, rectangle
from skycue.data.renderer.elements import shade
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.outlines import Pose, arc
from skycue.data.renderer.shapes import COURT_COLOURS, DIRT, GREENS, LINE, TRACK_COLOURS
from skycue.data.renderer.traffic import pick

TENNIS = (23.77, 10.97)
"""Length and width of a doubles court, metres."""
BASKETBALL = (28.0, 15.0)
"""Length and width of a basketball court, metres."""
COURT_EDGE_M = 0.4
"""How far a court's paint reaches beyond its lines."""
LINE_M = 0.16
TRACK_STRAIGHT_M = 84.4
TRACK_RADIUS_M = 36.5
LANE_M = 1.22
BASE_M = 27.4
"""Side of the square of a baseball infield."""
MOUND_M = 18.4
"""From home plate to the pitcher's mound."""


def draw_tennis_court(canvas: InstanceCanvas, centre: Point, angle: float, colour: Colour) -> int:
    """Draw a tennis court; the object is the court, not the run-off around it."""
    length_m, width_m = TENNIS
    outline = rectangle(centre, length_m + COURT_EDGE_M, width_m + COURT_EDGE_M, angle)
    number = canvas.stamp(outline, "tennis court", colour)
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
    court = Pose(centre, angle)
    for line in lines:
        canvas.paint_line(court.place(line), LINE_M, LINE, alpha=230)
    net = court.place([(0.0, -side - 0.2), (0.0, side + 0.2)])
    canvas.paint_line(net, 0.3, shade(colour, 0.5), alpha=200)
    return number


def draw_basketball_court(
    canvas: InstanceCanvas, centre: Point, angle: float, colour: Colour
) -> int:
    """Draw a basketball court with its circles, keys and three-point lines."""
    length_m, width_m = BASKETBALL
    outline = rectangle(centre, length_m + COURT_EDGE_M, width_m + COURT_EDGE_M, angle)
    number = canvas.stamp(outline, "basketball court", colour)
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
    court = Pose(centre, angle)
    for line in lines:
        canvas.paint_line(court.place(line), LINE_M, LINE, alpha=230)
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
    field = Pose(home, angle, scale, scale)
    mound, arc_m = (MOUND_M, 0.0), rng.uniform(27.0, 30.0)
    skin = [p for p in arc(mound, arc_m, -2.0, 2.0, 20) if abs(p[1]) <= p[0] + 3.5]
    apron = arc((0.0, 0.0), 4.2, math.pi / 2 + 0.3, 1.5 * math.pi - 0.3, 8)
    outline = field.place([*skin, *apron])
    if not canvas.shows(outline):
        return 0
    field_m = rng.uniform(2.3, 3.3) * BASE_M
    if rng.random() < 0.8:
        outfield = field.place([(0.0, 0.0), *arc((0.0, 0.0), field_m, -0.8, 0.8)])
        material = "lawn" if rng.random() < 0.7 else "grass"
        canvas.cover(material, outfield, shade=rng.uniform(0.9, 1.15))
    dirt = pick(canvas, DIRT)
    number = canvas.stamp(outline, "baseball diamond", dirt)
    worn = field.place(arc(mound, 0.8 * arc_m, -1.3, 1.3))
    canvas.paint_line(worn, 3.0 * scale, shade(dirt, 1.06), alpha=90)
    if scale > 0.8 or rng.random() < 0.4:
        corner, inset = BASE_M / math.sqrt(2), 2.2
        near, far = (inset, 0.0), (2 * corner - inset, 0.0)
        square = [near, (corner, inset - corner), far, (corner, corner - inset)]
        canvas.paint(field.place(square), pick(canvas, GREENS))
        canvas.paint_disc(moved(home, angle, MOUND_M * scale), 2.7 * scale, dirt)
        canvas.paint_disc(moved(home, angle, 1.5 * scale), 3.2 * scale, dirt)
    canvas.paint_disc(moved(home, angle, 0.6 * scale), 0.8 * scale, shade(dirt, 1.25))
    for side in (-1, 1):
        foul = field.place([(0.0, 0.0), (0.7 * field_m, side * 0.7 * field_m)])
        canvas.lay_line(foul, LINE_M, LINE, alpha=150)
    return number


def track_outline(radius_m: float, straight_m: float) -> list[Point]:
    """Return an oval around the origin, its straights along x."""
    right = arc((straight_m / 2, 0.0), radius_m, -math.pi / 2, math.pi / 2, 20)
    return right + [(-x, -y) for x, y in right]


def draw_track_field(canvas: InstanceCanvas, centre: Point, angle: float, scale: float) -> int:
    """Draw a ground track field: lanes around a pitch; the object is all of the oval."""
    rng = canvas.rng
    lanes = int(rng.integers(5, 9))
    straight = TRACK_STRAIGHT_M * rng.uniform(0.85, 1.15)
    oval = Pose(centre, angle, scale, scale)
    rubber = pick(canvas, TRACK_COLOURS)
    outline = oval.place(track_outline(TRACK_RADIUS_M + lanes * LANE_M, straight))
    number = canvas.stamp(outline, "ground track field", rubber)
    if not number:
        return 0
    for lane in range(1, lanes):
        ring = track_outline(TRACK_RADIUS_M + lane * LANE_M, straight)
        canvas.paint_line(oval.place([*ring, ring[0]]), 0.08, LINE, alpha=110)
    inner = oval.place(track_outline(TRACK_RADIUS_M - 0.4, straight))
    if rng.random() < 0.4:
        canvas.paint(inner, pick(canvas, (rubber, *TRACK_COLOURS)))  # the ends are paved
    else:
        material = ("lawn", "grass", "dry grass")[int(rng.integers(3))]
        canvas.cover(material, inner, shade=rng.uniform(0.85, 1.1))
    _draw_pitch(canvas, oval, straight + 14, 2 * TRACK_RADIUS_M - 9)
    for end in (-1, 1):
        bay = oval.quad(end * (straight / 2 + 12), end * (straight / 2 + 20), 14)
        canvas.paint(bay, shade(rubber, rng.uniform(0.9, 1.1)), alpha=170)
    return number


def _draw_pitch(canvas: InstanceCanvas, oval: Pose, length_m: float, width_m: float) -> None:
    """Paint a football pitch: mown stripes or turf, and its lines."""
    half, side = length_m / 2, width_m / 2
    if canvas.rng.random() < 0.75:
        green = pick(canvas, GREENS)
        canvas.paint(oval.quad(-half, half, side), green, alpha=int(canvas.rng.integers(90, 255)))
        for stripe in range(0, 10, 2):
            start = length_m * (stripe / 10 - 0.5)
            mown = oval.quad(start, start + length_m / 10, side)
            canvas.paint(mown, shade(green, 1.2), alpha=70)
    half, side = 0.96 * half, 0.92 * side
    box = [(-half, -side), (half, -side), (half, side), (-half, side), (-half, -side)]
    lines = [box, [(0.0, -side), (0.0, side)], arc((0.0, 0.0), 9.15, 0, 2 * math.pi)]
    for way in (-1, 1):
        goal = [(way * half, -0.6 * side), (way * 0.7 * half, -0.6 * side)]
        lines.append([*goal, *[(x, -y) for x, y in reversed(goal)]])
    for line in lines:
        canvas.paint_line(oval.place(line), 0.2, LINE, alpha=170)
