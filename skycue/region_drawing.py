"""A described region as PNG bytes: masks on the image, and the caption under it in their colours.

Drawn on Agg without pyplot, so there is no display, no global state, and equal input gives equal
bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.boxes import Box
from skycue.data.mask_crops import MaskCrop

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

COLOURS = (
    "#d62728",
    "#1f77b4",
    "#2ca02c",
    "#9467bd",
    "#e36f00",
    "#0097a7",
    "#c2188a",
    "#8c564b",
    "#5d7a00",
    "#3f3fbf",
)
"""Of the phrases in their order, all dark enough to be read on white; they start again after."""
TEXT_COLOUR = "#222222"
NOTE_COLOUR = "#888888"
MASK_OPACITY = 0.45
MAX_DRAWN_SIDE = 1440
"""Pixels along the longer side of the picture; larger images are thinned out for it."""
PICTURE_INCHES = 7.0
"""Longer side of the image in the picture."""
MIN_WIDTH_INCHES = 4.0
DOTS_PER_INCH = 120
FONT_POINTS = 11
LINE_INCHES = 0.24
MARGIN_INCHES = 0.12


class DrawnPhrase(NamedTuple):
    """A phrase of a caption with what it stands for.

    Attributes:
        span: First character in the caption, and the one after the last.
        mask: Its pixels, or None where it has none.
        note: What stands in grey behind it, such as a score; may be empty.
    """

    span: tuple[int, int]
    mask: MaskCrop | None
    note: str = ""


class _Word(NamedTuple):
    """A piece of the text that is not broken, in one colour."""

    text: str
    colour: str
    is_phrase: bool
    is_spaced: bool
    """A space stands before it."""


def phrase_colour(index: int) -> str:
    """Return the colour of a phrase, "#rrggbb", in the text and on the image."""
    return COLOURS[index % len(COLOURS)]


def draw_region(
    pixels: NDArray[np.uint8], box: Box, caption: str, phrases: Sequence[DrawnPhrase]
) -> bytes:
    """Draw an image with a box, the masks of phrases, and the caption below.

    Args:
        pixels: RGB, [3, H, W].
        box: The box that was asked about, drawn dashed.
        caption: The text.
        phrases: Its phrases, in order; each has the colour of its mask.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    height, width = pixels.shape[1:]
    scale = PICTURE_INCHES / max(height, width)  # inches a pixel
    picture_width = max(width * scale, MIN_WIDTH_INCHES)
    figure = Figure(figsize=(picture_width, height * scale), dpi=DOTS_PER_INCH)
    lines = _break_lines(figure, _words(caption, phrases), picture_width - 2 * MARGIN_INCHES)
    text_height = len(lines) * LINE_INCHES + 2 * MARGIN_INCHES
    picture_height = height * scale + text_height
    figure.set_size_inches(picture_width, picture_height)
    left, share = (1 - width * scale / picture_width) / 2, text_height / picture_height
    axes = figure.add_axes((left, share, 1 - 2 * left, 1 - share))
    _draw_image(axes, pixels, box, phrases)
    for row, line in enumerate(lines):
        y = text_height - MARGIN_INCHES - (row + 0.75) * LINE_INCHES
        for x, word in line:
            _text(figure, word, (MARGIN_INCHES + x) / picture_width, y / picture_height)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _draw_image(
    axes: Axes, pixels: NDArray[np.uint8], box: Box, phrases: Sequence[DrawnPhrase]
) -> None:
    """Draw pixels, masks with their outlines, and the box."""
    from matplotlib.patches import Rectangle

    height, width = pixels.shape[1:]
    step = -(-max(height, width) // MAX_DRAWN_SIDE)  # rounded up
    picture = pixels[:, ::step, ::step].transpose(1, 2, 0) / 255.0  # [h, w, 3]
    extent = (0.0, float(width), float(height), 0.0)
    masks = [
        (number, phrase.mask.full()[::step, ::step].copy())
        for number, phrase in enumerate(phrases)
        if phrase.mask is not None
    ]
    for number, mask in masks:
        colour = _rgb(phrase_colour(number))
        picture[mask] = (1 - MASK_OPACITY) * picture[mask] + MASK_OPACITY * colour
    axes.imshow(picture, extent=extent)
    for number, mask in masks:
        if mask.any() and not mask.all() and min(mask.shape) > 1:
            y, x = ((np.arange(n) + 0.5) * step for n in mask.shape)
            axes.contour(x, y, mask, levels=[0.5], colors=phrase_colour(number), linewidths=1.5)
    corner, size = (box[0], box[1]), (box[2] - box[0], box[3] - box[1])
    for colour_name, style in (("white", "-"), ("black", (0, (4, 4)))):
        frame = Rectangle(
            corner, *size, fill=False, edgecolor=colour_name, linestyle=style, linewidth=1.2
        )
        axes.add_patch(frame)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()


def _words(caption: str, phrases: Sequence[DrawnPhrase]) -> list[_Word]:
    """Cut a caption, with the notes of its phrases, into words with their colours."""
    words: list[_Word] = []
    end = 0

    def add(text: str, colour: str, *, is_phrase: bool = False) -> None:
        for number, word in enumerate(text.split()):
            words.append(_Word(word, colour, is_phrase, number > 0 or text[0].isspace()))

    for number, phrase in enumerate(phrases):
        start, stop = phrase.span
        add(caption[end:start], TEXT_COLOUR)
        before = caption[start - 1 : start]
        add(
            f"{before if before.isspace() else ''}{caption[start:stop]}",
            phrase_colour(number),
            is_phrase=True,
        )
        add(f" {phrase.note}" if phrase.note else "", NOTE_COLOUR)
        end = stop
    add(caption[end:], TEXT_COLOUR)
    return words


def _break_lines(
    figure: Figure, words: Sequence[_Word], width: float
) -> list[list[tuple[float, _Word]]]:
    """Put words into lines of a width, each word with its left edge; all in inches."""
    lines: list[list[tuple[float, _Word]]] = [[]]
    space = _width(figure, "n n") - _width(figure, "nn")
    x = 0.0
    for word in words:
        length = _width(figure, word.text, is_bold=word.is_phrase)
        x += space if word.is_spaced and lines[-1] else 0.0
        if lines[-1] and x + length > width:
            lines.append([])
            x = 0.0
        lines[-1].append((x, word))
        x += length
    return lines


def _width(figure: Figure, text: str, *, is_bold: bool = False) -> float:
    """Return the width of a text in inches."""
    drawn = _text(figure, _Word(text, TEXT_COLOUR, is_bold, False), 0.0, 0.0)
    width = drawn.get_window_extent().width / DOTS_PER_INCH
    drawn.remove()
    return float(width)


def _text(figure: Figure, word: _Word, x: float, y: float) -> Text:
    """Write a word at shares of the figure; dollar signs are no formulas."""
    return figure.text(
        x,
        y,
        word.text,
        color=word.colour,
        fontsize=FONT_POINTS,
        fontweight="bold" if word.is_phrase else "normal",
        parse_math=False,
    )


def _rgb(colour: str) -> NDArray[np.float64]:
    """Turn "#rrggbb" into three shares."""
    return np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
