"""What rule-written captions say, parsed from their text, and whether it is true.

Each sentence comes from a template (`caption_templates`) and is read by the same one. What it says
is a tuple of statements. Statements about neighbours name a class by its plural, the form that
every phrase can be brought to.
"""

import re
from dataclasses import dataclass
from typing import Literal

from skycue.data.caption_templates import (
    FIRST_TEMPLATES,
    IMAGE_TEMPLATES,
    NEAREST_OBJECT,
    NEAREST_WORDS,
    RELATION_TEMPLATES,
    Relation,
)
from skycue.data.instances import Instance, InstanceImage
from skycue.data.nouns import COUNT_WORDS, MANY, SEVERAL, count_word, plural
from skycue.data.region_geometry import (
    JUDGED,
    PLACES,
    Layout,
    SizeWord,
    is_among,
    is_in_row,
    is_inside,
    is_next_to,
    layout_of,
    neighbours_of,
    place_of,
    side_of,
    size_among_kind,
)

Scope = Literal["some", "all", "nearest"]


@dataclass(frozen=True)
class ClassStatement:
    """The boxed object is of a class, such as "storage tank"."""

    class_name: str


@dataclass(frozen=True)
class SizeStatement:
    """The boxed object is large or small among its kind."""

    size: SizeWord


@dataclass(frozen=True)
class PositionStatement:
    """An object's centre lies in a cell of the 3 x 3 grid: the boxed one's, or one of a class.

    Attributes:
        place: The cell's name in `CELLS`.
        noun: Plural of the class; None for the boxed object.
    """

    place: str
    noun: str | None = None


@dataclass(frozen=True)
class RelationStatement:
    """The boxed object has a relation to neighbours of a class.

    Attributes:
        relation: Of the boxed object to them: "left of" where it is left of them.
        noun: Plural of their class.
        scope: To at least one of them, to all of them, or to the nearest one.
    """

    relation: Relation
    noun: str
    scope: Scope


@dataclass(frozen=True)
class CountStatement:
    """So many objects of a class are neighbours of the boxed one, or in the image.

    Attributes:
        noun: Plural of the class.
        count: A count word: one to five, several (6 to 9), many.
        scope: Among the neighbours, or in the whole image.
    """

    noun: str
    count: str
    scope: Literal["near", "image"]


@dataclass(frozen=True)
class UnknownStatement:
    """A sentence that no template fits; it is never true."""

    text: str


Statement = (
    ClassStatement
    | SizeStatement
    | PositionStatement
    | RelationStatement
    | CountStatement
    | UnknownStatement
)


def parse_caption(text: str) -> tuple[Statement, ...]:
    """Return what a caption says, in the order in which it says it.

    A sentence that no template fits, as a trained model may write it, gives one
    `UnknownStatement`; an empty text says nothing.
    """
    sentences = re.split(r"(?<=\.)\s+", text.strip())
    return tuple(found for sentence in sentences if sentence for found in _parse(sentence))


def is_true(statement: Statement, image: InstanceImage, index: int | None) -> bool:
    """Judge a statement by the objects of the image.

    Rules are those by which captions are written, with lower bars (`region_geometry.JUDGED`):
    a relation holds as its plain reading has it, without a margin. A relation has the boxed object
    as subject and neighbours of the named class in its window as objects; "all" and "nearest" are
    false where there is none. Counts are exact up to five. An unknown statement is false.

    Args:
        statement: A part of what `parse_caption` returned.
        image: The ground truth.
        index: The boxed object; None for a caption of the whole image, for which statements about a
            boxed object are false.
    """
    layout = layout_of(image)
    match statement:
        case UnknownStatement():
            return False
        case CountStatement(noun, count, scope="image"):
            named = [name for name in layout.class_names if plural(name) == noun]
            return bool(named) and count_word(len(named)) == count
        case PositionStatement(place, noun=str(noun)):
            places = zip(layout.boxes, layout.class_names, strict=True)
            return any(
                place_of(box, image.size) == place for box, name in places if plural(name) == noun
            )
    return index is not None and _is_true_of_object(statement, image, layout, index)


def _is_true_of_object(
    statement: Statement, image: InstanceImage, layout: Layout, index: int
) -> bool:
    """Judge what is said of the boxed object."""
    match statement:
        case ClassStatement(class_name):
            return layout.class_names[index] == class_name
        case SizeStatement(size):
            return size_among_kind(image, index, JUDGED) == size
        case PositionStatement(place):
            return place_of(layout.boxes[index], image.size) == place
        case CountStatement(noun, count):
            group = _neighbours_named(layout, index, noun)
            return bool(group) and count_word(len(group)) == count
        case RelationStatement(relation, noun, scope):
            group = _neighbours_named(layout, index, noun)
            return _is_related(layout, index, group, relation, scope)
    return False


def _neighbours_named(layout: Layout, index: int, noun: str) -> list[int]:
    """Return the neighbours whose class has this plural, nearest first."""
    near = neighbours_of(layout.boxes, index)
    return [other for other in near if plural(layout.class_names[other]) == noun]


def _is_related(
    layout: Layout, index: int, group: list[int], relation: Relation, scope: Scope
) -> bool:
    """Judge one relation to a group, which may be empty."""
    if not group:
        return False
    subject, objects = layout.instances[index], [layout.instances[other] for other in group]
    if relation == "in a row with":
        return is_in_row(subject, objects, JUDGED)
    if relation == "among":
        return is_among(subject, objects, JUDGED)
    if scope == "nearest":
        return _holds(subject, objects[0], relation)
    holds = (_holds(subject, each, relation) for each in objects)
    return all(holds) if scope == "all" else any(holds)


def _holds(subject: Instance, target: Instance, relation: Relation) -> bool:
    """Judge a relation between two objects; neighbours are near by definition."""
    if relation == "inside":
        return is_inside(subject, target, JUDGED)
    if relation == "around":
        return is_inside(target, subject, JUDGED)
    if relation == "next to":
        return is_next_to(subject, target, JUDGED)
    return relation == "near" or side_of(subject.box, target.box, JUDGED) == relation


_PLACES = "|".join(PLACES)
_COUNTS = "|".join((*list(COUNT_WORDS.values())[1:], SEVERAL, MANY))
_NEAREST_SIDES = {words: side for side, words in NEAREST_WORDS.items()}
_NEAREST_TAIL = (
    rf"(?:, {re.escape(NEAREST_OBJECT)} (?P<nearest>{'|'.join(NEAREST_WORDS.values())}))?\."
)
_ONE = re.compile(r"(?:an?|another) (?P<noun>.+)", re.IGNORECASE)
_SOME = re.compile(rf"(?P<count>{_COUNTS})(?: other)? (?P<noun>.+)", re.IGNORECASE)
_SIZED = re.compile(r"relatively (?P<size>large|small) (?P<noun>.+)")
_LISTED = re.compile(rf"(?P<object>.+?)(?: (?P<place>{_PLACES}))?")
_SEPARATOR = re.compile(r", | and ")


def _pattern_of(template: str) -> re.Pattern[str]:
    """Turn a template into a pattern with the groups object, place and nearest."""
    pattern = re.escape(template.removesuffix(".")).replace(r"\ ", " ")
    for place in ("Object", "object"):
        pattern = pattern.replace(rf"\{{{place}\}}", "(?P<object>[^,]+?)")
    pattern = pattern.replace(r"\{list\}", "(?P<list>.+)")
    for place in ("Place", "place"):
        pattern = pattern.replace(rf"\{{{place}\}}", f"(?P<place>(?i:{_PLACES}))")
    pattern = pattern.replace(r"\{are\}", "(?:is|are)")
    return re.compile(pattern)


_FIRST = tuple(_pattern_of(template) for template in FIRST_TEMPLATES)
_IMAGE = tuple(_pattern_of(template.replace("{object}", "{list}")) for template in IMAGE_TEMPLATES)
_RELATIONS = tuple(
    (relations, re.compile(_pattern_of(template).pattern + _NEAREST_TAIL))
    for relations, templates in RELATION_TEMPLATES.items()
    for template in templates
)


def _parse(sentence: str) -> tuple[Statement, ...]:
    """Return what one sentence says."""
    found = _parse_first(sentence) or _parse_image(sentence) or _parse_relation(sentence)
    return found or (UnknownStatement(sentence),)


def _parse_first(sentence: str) -> tuple[Statement, ...]:
    """Read the class, size and position of the boxed object."""
    for pattern in _FIRST:
        match = pattern.fullmatch(sentence.removesuffix("."))
        one = _ONE.fullmatch(match["object"]) if match else None
        if match and one:
            sized = _SIZED.fullmatch(one["noun"])
            noun = sized["noun"] if sized else one["noun"]
            size = (
                (SizeStatement("large" if sized["size"] == "large" else "small"),) if sized else ()
            )
            return (ClassStatement(noun), *size, PositionStatement(match["place"].lower()))
    return ()


def _parse_relation(sentence: str) -> tuple[Statement, ...]:
    """Read what is said of the neighbours of one class."""
    for relations, pattern in _RELATIONS:
        match = pattern.fullmatch(sentence)
        group = _parse_group(match["object"]) if match else None
        if match and group:
            noun, count = group
            found: list[Statement] = []
            if count != COUNT_WORDS[1]:
                found.append(CountStatement(noun, count, "near"))
            scope: Scope = "all" if found else "some"
            if relations != ("near",) or not found:  # a counted neighbour is near by definition
                found += [RelationStatement(relation, noun, scope) for relation in relations]
            if match["nearest"]:
                found.append(RelationStatement(_NEAREST_SIDES[match["nearest"]], noun, "nearest"))
            return tuple(found)
    return ()


def _parse_image(sentence: str) -> tuple[Statement, ...]:
    """Read the list of what a whole image shows."""
    for pattern in _IMAGE:
        match = pattern.fullmatch(sentence.removesuffix("."))
        if not match:
            continue
        found: list[Statement] = []
        for part in _SEPARATOR.split(match["list"]):
            listed = _LISTED.fullmatch(part)
            group = _parse_group(listed["object"]) if listed else None
            if not listed or not group:
                return ()
            found.append(CountStatement(*group, "image"))
            if listed["place"]:
                found.append(PositionStatement(listed["place"], group[0]))
        return tuple(found)
    return ()


def _parse_group(phrase: str) -> tuple[str, str] | None:
    """Return the plural noun and the count word of a phrase."""
    if "and" in phrase.split():  # a list that broke off
        return None
    if one := _ONE.fullmatch(phrase):
        return plural(one["noun"]), COUNT_WORDS[1]
    if some := _SOME.fullmatch(phrase):
        return some["noun"], some["count"].lower()
    return None
