"""The sentences of rule-written captions, as templates whose places are filled.

{object} is filled by a phrase such as "two other storage tanks", {Object} by one that starts the
sentence, {place} by a cell of the grid, {are} by "is" or "are". Captions are written from these
templates and parsed by the same ones.
"""

from typing import Literal

from skycue.data.nouns import article, count_word, plural
from skycue.data.region_geometry import Side
from skycue.errors import CaptionError

Relation = Literal[Side, "next to", "inside", "around", "near", "among", "in a row with"]
"""What the boxed object is to its neighbours."""

FIRST_TEMPLATES = (
    "{Object} is {place} of the image.",
    "There is {object} {place} of the image.",
    "{Place} of the image is {object}.",
)
"""What a caption of a box starts with."""
IMAGE_TEMPLATES = ("The image shows {object}.", "This image contains {object}.")
"""The sentence about a whole image; {object} is a list."""
NEAREST_WORDS: dict[Side, str] = {
    "left of": "to its right",
    "right of": "to its left",
    "above": "below it",
    "below": "above it",
}
"""Where the nearest of a group is, by the side of it on which the boxed object is."""
NEAREST_OBJECT = "the nearest one"

_WORDS: dict[Side, tuple[str, str]] = {
    "left of": ("to the left of", "to the right of"),
    "right of": ("to the right of", "to the left of"),
    "above": ("above", "below"),
    "below": ("below", "above"),
}


def _side_templates(side: Side, adverb: str) -> tuple[str, ...]:
    """Say a side with the boxed object as subject, twice, and the other way round."""
    words, inverse = _WORDS[side]
    return (
        f"It is {adverb}{words} {{object}}.",
        f"{{Object}} {{are}} {adverb}{inverse} it.",
        f"It lies {adverb}{words} {{object}}.",
    )


RELATION_TEMPLATES: dict[tuple[Relation, ...], tuple[str, ...]] = {
    **{(side,): _side_templates(side, "") for side in _WORDS},
    **{(side, "next to"): _side_templates(side, "directly ") for side in _WORDS},
    ("next to",): (
        "It is next to {object}.",
        "{Object} {are} next to it.",
        "It lies next to {object}.",
    ),
    ("inside",): ("It is inside {object}.", "It lies within {object}."),
    ("around",): ("{Object} {are} inside it.", "It encloses {object}."),
    ("near",): (
        "{Object} {are} near it.",
        "Near it {are} {object}.",
        "Close to it {are} {object}.",
    ),
    ("among",): ("It is among {object}.", "{Object} {are} all around it."),
    ("in a row with",): (
        "It is in a row with {object}.",
        "{Object} {are} in a row with it.",
        "It forms a row with {object}.",
    ),
}
"""Ways to say what holds between the boxed object and some neighbours of one class."""


def object_words(class_name: str, count: int, *, other: bool) -> str:
    """Return the phrase of `count` objects: "a bridge", "another ship", "two other ships"."""
    if count == 1:
        return f"another {class_name}" if other else f"{article(class_name)} {class_name}"
    return f"{count_word(count)} {'other ' if other else ''}{plural(class_name)}"


def check_class_name(class_name: str) -> None:
    """Refuse a class name that would break a sentence apart.

    Raises:
        CaptionError: If it is blank or holds a comma, a full stop or the word "and".
    """
    if not class_name.strip() or "and" in class_name.split() or {",", "."} & set(class_name):
        raise CaptionError(
            f"class name '{class_name}' cannot stand in a sentence: a name has at least one word, "
            "no comma, no full stop and no 'and'. Rename the class."
        )
