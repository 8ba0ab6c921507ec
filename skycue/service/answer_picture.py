"""Answers drawn on their raster: masks in colours, boxes dashed, one picture for all."""

import io
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from skycue.boxes import Box
from skycue.region_drawing import phrase_colour
from skycue.service.records import AnswerRecord

OPACITY = 110
"""Of masks, of 255."""
DASH = 8
"""Pixels of a dash and of the gap behind it."""


def draw_answers(
    pixels: NDArray[np.uint8], answers: Sequence[AnswerRecord], shrink: float
) -> bytes:
    """Return a PNG.

    Args:
        pixels: The raster, RGB [3, h, w].
        answers: In pixels of the raster at its own size.
        shrink: Pixels of the raster along a pixel of the picture.
    """
    picture = Image.fromarray(pixels.transpose(1, 2, 0)).convert("RGBA")
    for answer in answers:
        for number, phrase in enumerate(answer.phrases):
            layer = Image.new("RGBA", picture.size)
            drawing = ImageDraw.Draw(layer)
            colour = Image.new("RGB", (1, 1), phrase_colour(number)).getpixel((0, 0))
            assert isinstance(colour, tuple)
            for shell, *holes in phrase.outline:
                drawing.polygon(_scaled(shell, shrink), fill=(*colour, OPACITY))
                for hole in holes:
                    drawing.polygon(_scaled(hole, shrink), fill=(0, 0, 0, 0))
                drawing.line(_scaled(shell, shrink), fill=(*colour, 255), width=2)
            picture = Image.alpha_composite(picture, layer)
        _dash(ImageDraw.Draw(picture), answer.box, shrink)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _scaled(ring: Sequence[tuple[float, float]], shrink: float) -> list[tuple[float, float]]:
    return [(x / shrink, y / shrink) for x, y in ring]


def _dash(drawing: ImageDraw.ImageDraw, box: Box, shrink: float) -> None:
    """Draw a box in dashes of white on black."""
    x_min, y_min, x_max, y_max = (value / shrink for value in box)
    corners = [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max), (x_min, y_min)]
    for begin, end in itertools.pairwise(corners):
        drawing.line([begin, end], fill="black", width=1)
        length = max(abs(end[0] - begin[0]), abs(end[1] - begin[1]))
        for start in np.arange(0, length, 2 * DASH):
            dash = [start / length, min(1.0, (start + DASH) / length)]
            points = [
                (begin[0] + share * (end[0] - begin[0]), begin[1] + share * (end[1] - begin[1]))
                for share in dash
            ]
            drawing.line(points, fill="white", width=1)
