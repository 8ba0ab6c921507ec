"""Numbers that tell what region records hold: how much, how long, how varied, about what."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from skycue.data.caption_grammar import (
    CountStatement,
    RelationStatement,
    UnknownStatement,
    parse_caption,
)
from skycue.data.regions import RegionRecord

_WORD = re.compile(r"[\w'-]+")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")


class RegionStatistics(NamedTuple):
    """What records hold; means are of a record.

    Attributes:
        images: Different images.
        records: Boxes with captions.
        phrases: Mean number of phrases with masks.
        masks: Mean number of masks of all phrases.
        sentences: Mean number of sentences.
        words: Mean number of words.
        vocabulary: Different words, in lower case.
        captions: Different captions.
        with_relation: Share of records whose caption states a relation.
        with_count: Share of records whose caption states a count.
        with_unknown: Share of records with a sentence that the rules' grammar does not read.
        relations: Relations that are stated, the most frequent first.
        classes: Boxed objects of each class, the most numerous first; those without a named class
            are left out.
    """

    images: int
    records: int
    phrases: float
    masks: float
    sentences: float
    words: float
    vocabulary: int
    captions: int
    with_relation: float
    with_count: float
    with_unknown: float
    relations: dict[str, int]
    classes: dict[str, int]


def describe_records(records: Sequence[RegionRecord]) -> RegionStatistics:
    """Count what at least one record holds."""
    words = [_WORD.findall(record.caption.lower()) for record in records]
    parsed = [parse_caption(record.caption) for record in records]
    said = [{type(found) for found in statements} for statements in parsed]
    relations = Counter(
        found.relation
        for statements in parsed
        for found in statements
        if isinstance(found, RelationStatement)
    )
    phrases = [phrase for record in records for phrase in record.phrases]
    names = Counter(
        name
        for record in records
        if record.prompted is not None
        and (name := record.phrases[record.prompted].class_name) is not None
    )
    return RegionStatistics(
        images=len({record.image for record in records}),
        records=len(records),
        phrases=_share(len(phrases), records),
        masks=_share(sum(len(phrase.masks) for phrase in phrases), records),
        sentences=_share(sum(len(_SENTENCE_END.findall(r.caption)) for r in records), records),
        words=_share(sum(map(len, words)), records),
        vocabulary=len({word for caption in words for word in caption}),
        captions=len({record.caption for record in records}),
        with_relation=_share(sum(RelationStatement in kinds for kinds in said), records),
        with_count=_share(sum(CountStatement in kinds for kinds in said), records),
        with_unknown=_share(sum(UnknownStatement in kinds for kinds in said), records),
        relations=dict(relations.most_common()),
        classes=dict(names.most_common()),
    )


def _share(count: int, records: Sequence[RegionRecord]) -> float:
    """Return a count a record, rounded for reading."""
    return round(count / len(records), 3)
