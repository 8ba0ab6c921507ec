"""Nouns of phrases, and who may be told apart from whom."""

import pytest

from skycue.regions.phrase_keys import (
    PhraseIds,
    denominator_mask,
    phrase_attributes,
    phrase_key,
    positive_mask,
    stable_id,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ship", "ship"),
        ("The Ships", "ship"),
        ("tennis court-2", "tennis court"),
        ("two other storage tanks", "storage tank"),
        ("a relatively small vehicle in the upper left", "vehicle"),
        ("more than a hundred small vehicles", "vehicle"),
        ("a row of three airplanes", "airplane"),
        ("group of buses", "bus"),
        ("ferries", "ferry"),
        ("warehouses", "warehouse"),
        ("churches", "church"),
        ("grass", "grass"),
        ("people", "person"),
        ("the one next to ships", "ship"),
        ("the nearest one", ""),
        ("", ""),
    ],
)
def test_the_key_of_a_phrase_is_its_noun(text: str, key: str) -> None:
    assert phrase_key(text) == key


def test_attributes_are_words_of_size_colour_place_and_count() -> None:
    words = phrase_attributes("three large white planes on the left, near the runway")
    assert words == {"three", "large", "white", "left", "near"}


def test_numbers_of_texts_never_change_and_fit_int64() -> None:
    assert stable_id("ship") == 6849054928262592325
    assert all(0 <= stable_id(str(i)) < 2**63 for i in range(100))


def test_right_answers_share_the_noun_but_no_look_alikes() -> None:
    texts = ["a ship", "the ships", "the large ship", "a plane", "a ship"]
    classes = ["ship", "ship", "ship", "plane", "ship"]
    ids = PhraseIds.of(texts, classes, ["a", "a", "a", "a", "b"])
    assert positive_mask(ids, ids).int().tolist() == [
        [1, 1, 0, 0, 1],
        [1, 1, 0, 0, 1],
        [0, 0, 1, 0, 1],  # another image: no look-alike that was told apart by a word
        [0, 0, 0, 1, 0],
        [1, 1, 1, 0, 1],
    ]


def test_known_classes_split_a_noun() -> None:
    texts = ["a small vehicle", "a large vehicle", "a vehicle"]
    ids = PhraseIds.of(texts, ["small vehicle", "large vehicle", None], ["a", "b", "c"])
    assert positive_mask(ids, ids).int().tolist() == [[1, 0, 1], [0, 1, 1], [1, 1, 1]]


def test_only_undecided_phrases_leave_the_denominator() -> None:
    texts = ["a ship", "a vessel", "the large vessel", "a plane", "a vessel"]
    classes = ["ship", "ship", "ship", "plane", "ship"]
    ids = PhraseIds.of(texts, classes, ["a", "a", "a", "a", "b"])
    assert (~denominator_mask(ids, ids)).nonzero().tolist() == [[0, 1], [1, 0]]


def test_unknown_classes_leave_nothing_out() -> None:
    ids = PhraseIds.of(["a ship", "a vessel"], [None, None], ["a", "a"])
    assert denominator_mask(ids, ids).all()


def test_a_phrase_without_a_noun_takes_its_class_for_it() -> None:
    ids = PhraseIds.of(["the nearest one", "a storage tank"], ["storage tank"] * 2, ["a", "b"])
    assert positive_mask(ids, ids).all()
