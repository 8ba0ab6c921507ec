"""Parsing captions that people or models wrote, and judging them on small scenes."""

import itertools

import numpy as np
import pytest

from skycue.data.caption_grammar import (
    ClassStatement,
    CountStatement,
    PositionStatement,
    RelationStatement,
    SizeStatement,
    Statement,
    UnknownStatement,
    is_true,
    parse_caption,
)
from skycue.data.caption_templates import RELATION_TEMPLATES, check_class_name
from skycue.data.instances import Instance, InstanceImage
from skycue.errors import CaptionError


def block(name: str, x: int, y: int, side: int = 20) -> Instance:
    """A filled square."""
    return Instance(name, (x, y), np.ones((side, side), dtype=np.bool_))


# A ship in the middle, two ships to its right, a bridge far below it.
SCENE = InstanceImage(
    "scene.png",
    (300, 300),
    (
        block("ship", 140, 140),
        block("ship", 170, 140),
        block("ship", 176, 180, 10),
        block("bridge", 140, 270),
    ),
)


def test_each_kind_of_statement_is_read() -> None:
    text = (
        "There is a relatively small ship in the lower left of the image. It is directly above two "
        "other ships. Many storage tanks are all around it, the nearest one to its left."
    )
    assert parse_caption(text) == (
        ClassStatement("ship"),
        SizeStatement("small"),
        PositionStatement("in the lower left"),
        CountStatement("ships", "two", "near"),
        RelationStatement("above", "ships", "all"),
        RelationStatement("next to", "ships", "all"),
        CountStatement("storage tanks", "many", "near"),
        RelationStatement("among", "storage tanks", "all"),
        RelationStatement("right of", "storage tanks", "nearest"),
    )


def test_a_list_of_a_whole_image_is_read() -> None:
    text = "The image shows many ships, two storage tanks and a bridge at the top."
    assert parse_caption(text) == (
        CountStatement("ships", "many", "image"),
        CountStatement("storage tanks", "two", "image"),
        CountStatement("bridges", "one", "image"),
        PositionStatement("at the top", "bridges"),
    )


def test_every_template_reads_back_as_its_own_relations() -> None:
    for relations, templates in RELATION_TEMPLATES.items():
        for template, (words, count) in itertools.product(
            templates, [("a bus", "one"), ("four other buses", "four")]
        ):
            are = "is" if count == "one" else "are"
            sentence = template.replace("{are}", are).replace("{object}", words)
            sentence = sentence.replace("{Object}", words.capitalize())
            found = parse_caption(sentence)
            said = tuple(s.relation for s in found if isinstance(s, RelationStatement))
            assert said == (() if relations == ("near",) and count == "four" else relations)
            counts = [s for s in found if isinstance(s, CountStatement)]
            assert counts == ([] if count == "one" else [CountStatement("buses", count, "near")])


@pytest.mark.parametrize(
    "sentence",
    [
        "It is to the left of.",
        "It is to the left of ship.",
        "The harbor sleeps.",
        "It is above it",
        "Two ships is in the middle of the image.",
        "The image shows a ship and.",
    ],
)
def test_what_no_template_fits_is_unknown_and_false(sentence: str) -> None:
    found = parse_caption(sentence)
    assert found == (UnknownStatement(sentence),)
    assert not is_true(found[0], SCENE, 0)


def test_an_empty_caption_says_nothing() -> None:
    assert parse_caption("  ") == ()


@pytest.mark.parametrize(
    ("statement", "truth"),
    [
        (ClassStatement("ship"), True),
        (ClassStatement("bridge"), False),
        (PositionStatement("in the middle"), True),
        (PositionStatement("on the left"), False),
        (PositionStatement("at the bottom", "bridges"), True),
        (PositionStatement("at the bottom", "ships"), False),
        (CountStatement("ships", "two", "near"), True),
        (CountStatement("ships", "one", "near"), False),
        (CountStatement("bridges", "one", "near"), False),  # outside the window
        (CountStatement("ships", "three", "image"), True),
        (CountStatement("harbors", "one", "image"), False),
        (RelationStatement("left of", "ships", "some"), True),
        (RelationStatement("left of", "ships", "nearest"), True),
        (RelationStatement("left of", "ships", "all"), False),  # the third is below it
        (RelationStatement("right of", "ships", "some"), False),
        (RelationStatement("above", "ships", "some"), True),
        (RelationStatement("above", "bridges", "some"), False),  # outside the window
        (RelationStatement("next to", "ships", "some"), True),
        (RelationStatement("near", "ships", "some"), True),
        (RelationStatement("near", "bridges", "some"), False),
        (RelationStatement("among", "ships", "all"), False),
        (RelationStatement("inside", "ships", "some"), False),
        (SizeStatement("small"), False),
    ],
)
def test_statements_about_the_first_ship(statement: Statement, truth: bool) -> None:
    assert is_true(statement, SCENE, 0) == truth


def test_statements_about_a_box_are_false_of_a_whole_image() -> None:
    assert not is_true(ClassStatement("ship"), SCENE, None)
    assert not is_true(CountStatement("ships", "two", "near"), SCENE, None)
    assert is_true(CountStatement("bridges", "one", "image"), SCENE, None)


@pytest.mark.parametrize("name", ["", " ", "bridge, old", "St. Mary", "road and bridge"])
def test_names_that_break_sentences_are_refused(name: str) -> None:
    with pytest.raises(CaptionError, match="cannot stand in a sentence"):
        check_class_name(name)


def test_names_with_and_inside_a_word_are_kept() -> None:
    check_class_name("sandy island")
