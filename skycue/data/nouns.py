"""Articles, plurals and count words of class names, for sentences written by rules."""

COUNT_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
"""Counts that are told exactly."""
SEVERAL, MANY = "several", "many"
LEAST_MANY = 10
"""Six to nine are several, ten and more are many."""

_UNCHANGED = frozenset({"aircraft", "spacecraft", "watercraft", "hovercraft", "sheep", "series"})
_IRREGULAR = {"person": "people", "man": "men", "woman": "women", "child": "children"}
_VOWEL_LETTERS = "aeiou"
_SPOKEN_CONSONANT = ("uni", "use", "uti", "eu", "one")
_SPOKEN_VOWEL = ("hour", "honest")


def article(noun: str) -> str:
    """Return "a" or "an", by the sound that the noun starts with."""
    word = noun.lower()
    if word.startswith(_SPOKEN_CONSONANT):
        return "a"
    return "an" if word.startswith((*_VOWEL_LETTERS, *_SPOKEN_VOWEL)) else "a"


def names_one(phrase: str) -> bool:
    """Tell whether a phrase names a single object: "a ship", "another ship", not "two ships"."""
    return phrase.lower().startswith(("a ", "an ", "another "))


def plural(noun: str) -> str:
    """Return the plural of a class name, whose last word is the one that changes.

    >>> plural("storage tank"), plural("ferry"), plural("bus"), plural("large aircraft")
    ('storage tanks', 'ferries', 'buses', 'large aircraft')
    """
    before, space, word = noun.rpartition(" ")
    return before + space + _plural_word(word)


def count_word(count: int) -> str:
    """Return the word that tells a count of at least 1: exact up to five, then several, many."""
    if count >= LEAST_MANY:
        return MANY
    return COUNT_WORDS.get(count, SEVERAL)


def _plural_word(word: str) -> str:
    """Return the plural of one word."""
    if word in _UNCHANGED:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in _VOWEL_LETTERS:
        return word[:-1] + "ies"
    return word + "s"
