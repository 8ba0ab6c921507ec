"""Which phrases mean the same kind of thing, and which may not be told apart.

Contrast between phrases and masks needs to know its right and wrong answers. A phrase is reduced to
its noun, "two large storage tanks-1 on the left" to "storage tank", and to the words that
set it apart from its like: two, large, left.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_DETERMINERS = "a an the this that these those its their some any each every all"
_ADVERBS = (
    "about around approximately nearly almost over more less than relatively very quite rather "
    "slightly fairly most least"
)
_SIZES = (
    "small tiny little large big huge long short wide narrow tall low smaller larger smallest "
    "largest"
)
_COLOURS = "white black grey gray red green blue yellow orange brown pink purple dark light bright"
_PLACES = (
    "left right upper lower top bottom middle centre center central leftmost rightmost topmost "
    "bottommost northern southern eastern western north south east west corner edge nearest "
    "closest farthest nearby near inside outside"
)
_COUNTS = (
    "one two three four five six seven eight nine ten dozen dozens hundred hundreds several many "
    "few multiple numerous single another other others first second third last"
)
_PRONOUNS = "one ones it they them"
_COLLECTIVES = "group groups row rows cluster clusters line lines pair pairs number couple"
_CUTS = (
    "of in on at to by with from near next beside between among along around inside outside within "
    "above below behind under over across which that who parked located situated standing lying "
    "docked and or"
)


def _word_set(*lists: str) -> frozenset[str]:
    return frozenset(word for words in lists for word in words.split())


ATTRIBUTE_WORDS = _word_set(_SIZES, _COLOURS, _PLACES, _COUNTS)
"""Words of size, colour, place and count: they tell objects of a kind apart."""
_ENDS = _word_set(_CUTS)
"""Words that end the part of a phrase in which its noun stands."""
_NO_NOUNS = ATTRIBUTE_WORDS | _ENDS | _word_set(_DETERMINERS, _ADVERBS, _PRONOUNS)
_GROUPS = _word_set(_COLLECTIVES)
"""Words whose "of" is followed by the noun that is meant."""
_IRREGULAR = {"people": "person", "men": "man", "women": "woman", "children": "child"}
_ID_BYTES = 8


def phrase_key(text: str) -> str:
    """Return the noun of a phrase: lower case, singular, without what sets it apart.

    Nouns of two words stay two words. A phrase without a noun, such as "the nearest one", has the
    key "".

    >>> phrase_key("Two large storage tanks-1 on the left"), phrase_key("a row of ships")
    ('storage tank', 'ship')
    """
    words = _words(text)
    while "of" in words and _GROUPS & set(words[: words.index("of")]):
        words = words[words.index("of") + 1 :]
    noun: list[str] = []
    for word in words:
        if word in _ENDS and noun:
            break
        if word not in _NO_NOUNS:
            noun.append(word)
    return " ".join([*noun[:-1], _singular(noun[-1])]) if noun else ""


def phrase_attributes(text: str) -> frozenset[str]:
    """Return the words of a phrase that tell its object from others of its kind.

    >>> sorted(phrase_attributes("Two large storage tanks on the left"))
    ['large', 'left', 'two']
    """
    return ATTRIBUTE_WORDS & frozenset(_words(text))


def stable_id(text: str) -> int:
    """Return a number for a text, the same in every process and run, never -1."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=_ID_BYTES).digest()
    return int.from_bytes(digest, "big") >> 1  # 63 bits: not negative as int64


class PhraseIds(NamedTuple):
    """Numbers that say which phrases are alike, int64 [M] each; they can be gathered.

    Attributes:
        keys: Equal where phrases have the same noun.
        attributes: Equal where the same words set them apart.
        classes: Equal where their objects are of one class; -1 where the class is not known.
        images: Equal where they belong to one image.
    """

    keys: Tensor
    attributes: Tensor
    classes: Tensor
    images: Tensor

    @classmethod
    def of(
        cls, texts: Sequence[str], class_names: Sequence[str | None], images: Sequence[str]
    ) -> "PhraseIds":
        """Number phrases, given the class of each, where known, and the name of its image.

        A phrase without a noun takes its class name for it, or else all its words.
        """
        keys = [
            phrase_key(text) or phrase_key(name or "") or " ".join(_words(text))
            for text, name in zip(texts, class_names, strict=True)
        ]
        attributes = [" ".join(sorted(phrase_attributes(text))) for text in texts]
        classes = [-1 if name is None else stable_id(name) for name in class_names]
        return cls(
            torch.tensor([stable_id(key) for key in keys], dtype=torch.int64),
            torch.tensor([stable_id(words) for words in attributes], dtype=torch.int64),
            torch.tensor(classes, dtype=torch.int64),
            torch.tensor([stable_id(image) for image in images], dtype=torch.int64),
        )

    def to(self, device: torch.device) -> "PhraseIds":
        """Return the numbers on a device."""
        return PhraseIds(*(ids.to(device) for ids in self))


def positive_mask(rows: PhraseIds, columns: PhraseIds) -> Tensor:
    """Tell which phrases are right answers for each other.

    Phrases of the same noun are, unless their classes are known to differ, or they stand in one
    image and other words set them apart: those are look-alikes, to be told apart.

    Returns:
        Bool, [M, N].
    """
    same_class = _equal(rows.classes, columns.classes)
    unknown = (rows.classes == -1)[:, None] | (columns.classes == -1)
    look_alike = _equal(rows.images, columns.images) & ~_equal(rows.attributes, columns.attributes)
    return _equal(rows.keys, columns.keys) & (same_class | unknown) & ~look_alike


def denominator_mask(rows: PhraseIds, columns: PhraseIds) -> Tensor:
    """Tell which phrases stand in the denominator of each other's contrast.

    All do but those of the same known class in the same image that no attribute sets apart and that
    are no right answer either, such as "vessel" beside "ship": to push them away would be wrong.

    Returns:
        Bool, [M, N].
    """
    same_class = _equal(rows.classes, columns.classes) & (rows.classes != -1)[:, None]
    undecided = (
        same_class
        & _equal(rows.images, columns.images)
        & _equal(rows.attributes, columns.attributes)
    )
    return ~undecided | positive_mask(rows, columns)


def _equal(rows: Tensor, columns: Tensor) -> Tensor:
    return rows[:, None] == columns[None]


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case, without numbers and running indices."""
    return re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text.lower())


def _singular(word: str) -> str:
    """Return a regular noun's singular; what looks like none stays."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > len("dies"):
        return word[:-3] + "y"
    if re.search(r"(ss|sh|ch|x|z|[^o]us)es$", word):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
