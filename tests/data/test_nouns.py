"""Articles, plurals and count words."""

import pytest

from skycue.data.nouns import article, count_word, names_one, plural


@pytest.mark.parametrize(
    ("noun", "both"),
    [
        ("airplane", "an airplane"),
        ("storage tank", "a storage tank"),
        ("unit", "a unit"),
        ("umbrella", "an umbrella"),
        ("one-way street", "a one-way street"),
        ("Overpass", "an Overpass"),
    ],
)
def test_the_article_follows_the_sound(noun: str, both: str) -> None:
    assert f"{article(noun)} {noun}" == both


@pytest.mark.parametrize(
    ("noun", "several"),
    [
        ("ship", "ships"),
        ("storage tank", "storage tanks"),
        ("bridge", "bridges"),
        ("bus", "buses"),
        ("ferry", "ferries"),
        ("railway", "railways"),
        ("tall person", "tall people"),
        ("military aircraft", "military aircraft"),
        ("marsh", "marshes"),
    ],
)
def test_the_last_word_takes_the_plural(noun: str, several: str) -> None:
    assert plural(noun) == several


def test_counts_are_words_up_to_five_then_several_then_many() -> None:
    words = [count_word(count) for count in (1, 5, 6, 9, 10, 300)]
    assert words == ["one", "five", "several", "several", "many", "many"]


@pytest.mark.parametrize(
    ("phrase", "one"),
    [
        ("A storage tank", True),
        ("an airplane", True),
        ("Another ship", True),
        ("two other ships", False),
        ("many ships", False),
        ("airplanes", False),
        ("", False),
    ],
)
def test_an_article_or_another_names_one(phrase: str, one: bool) -> None:
    assert names_one(phrase) == one
