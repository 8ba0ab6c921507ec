"""Captions of outlined objects, written by rules from their geometry.

A caption of a box names the boxed object first, then what it is to its neighbours; each phrase owns
the instances that it names. Nothing is drawn by chance: wording follows from the class and the
cell of the grid, so that equal scenes read equal and a model can learn the wording. What is said
parses back (`skycue.data.caption_grammar`) and is true.
"""

from collections.abc import Sequence
from typing import NamedTuple

from skycue.boxes import Box
from skycue.data.caption_templates import (
    FIRST_TEMPLATES,
    IMAGE_TEMPLATES,
    NEAREST_OBJECT,
    NEAREST_WORDS,
    RELATION_TEMPLATES,
    Relation,
    object_words,
)
from skycue.data.instances import InstanceImage
from skycue.data.region_geometry import (
    JUDGED,
    SAID,
    Layout,
    Side,
    SizeWord,
    cell_of,
    is_among,
    is_in_row,
    is_inside,
    is_next_to,
    layout_of,
    neighbours_of,
    offset,
    place_of,
    side_of,
    size_among_kind,
)
from skycue.errors import CaptionError

MAX_KINDS = 2
"""Kinds of neighbours that a caption tells of, the nearest ones."""
MAX_TOLD = 5
"""Neighbours whose sides are told in a text to learn from, the nearest ones."""
MAX_LISTED = 4
"""Kinds that the caption of a whole image lists, the most numerous ones."""
NEAREST_LEAD = 1.25
"""The nearest of a group is told where the next one is at least this many times as far."""


class GroundedPhrase(NamedTuple):
    """A phrase of a caption with the objects that it names.

    Attributes:
        start: Of its first character in the caption.
        end: Behind its last character.
        instances: Indices of the objects, in the order of the image.
        class_name: Their class.
    """

    start: int
    end: int
    instances: tuple[int, ...]
    class_name: str


class GroundedCaption(NamedTuple):
    """A caption whose phrases own objects.

    Attributes:
        text: One to three sentences.
        phrases: In the order of the text; they do not overlap.
        prompted: Which phrase is the boxed object; None for a caption of a whole image.
    """

    text: str
    phrases: tuple[GroundedPhrase, ...]
    prompted: int | None


class _Clause(NamedTuple):
    """What holds between the boxed object and some neighbours of a kind, before it is worded."""

    relations: tuple[Relation, ...]
    members: tuple[int, ...]
    nearest: tuple[Side, int] | None = None


def caption_region(image: InstanceImage, index: int) -> GroundedCaption:
    """Describe one object of an image and what is around it.

    Args:
        image: With its objects.
        index: Of the boxed object.

    Returns:
        A caption whose first phrase is the boxed object.
    """
    layout = layout_of(image)
    class_name = layout.class_names[index]
    writer = _Writer()
    size = size_among_kind(image, index, SAID)
    writer.write_first(class_name, layout.boxes[index], image.size, size, index)
    for clause in _clauses(layout, index):
        writer.write_clause(clause, layout, index)
    return GroundedCaption(writer.text, tuple(writer.phrases), 0)


def tell_neighbours(image: InstanceImage, index: int) -> GroundedCaption:
    """Tell the side of each neighbour of an object, the nearest first: a text to learn from.

    A caption names one side at most; a small model that reads many of these learns sides sooner.
    """
    layout = layout_of(image)
    subject, class_name = layout.boxes[index], layout.class_names[index]
    writer = _Writer()
    for other in neighbours_of(layout.boxes, index)[:MAX_TOLD]:
        name = layout.class_names[other]
        side = side_of(subject, layout.boxes[other], JUDGED)
        template = RELATION_TEMPLATES[(side or "near",)][0].replace("{are}", "is")
        writer.text += " " if writer.text else ""
        writer.fill(template, object_words(name, 1, other=name == class_name), (other,), name)
    return GroundedCaption(writer.text, tuple(writer.phrases), None)


def class_and_box_caption(class_name: str, box: Box, size: tuple[int, int]) -> str:
    """Say what the rules can say of an object whose class and box are all that is known."""
    writer = _Writer()
    writer.write_first(class_name, box, size, None, 0)
    return writer.text


def caption_image(image: InstanceImage) -> GroundedCaption:
    """Describe a whole image: its kinds of objects with their counts, single ones with a place.

    Raises:
        CaptionError: If the image has no objects.
    """
    if not image.instances:
        raise CaptionError(f"{image.image} has no objects to write a caption of; leave it out.")
    layout = layout_of(image)
    kinds = sorted(
        _by_class(layout, range(len(layout.boxes))).items(), key=lambda kind: (-len(kind[1]), kind)
    )[:MAX_LISTED]
    before, _, after = IMAGE_TEMPLATES[len(kinds) % len(IMAGE_TEMPLATES)].partition("{object}")
    writer = _Writer()
    writer.text = before
    for position, (class_name, members) in enumerate(kinds):
        if position:
            writer.text += " and " if position == len(kinds) - 1 else ", "
        writer.add_phrase(object_words(class_name, len(members), other=False), members, class_name)
        if len(members) == 1:
            writer.text += f" {place_of(layout.boxes[members[0]], image.size)}"
    return GroundedCaption(writer.text + after, tuple(writer.phrases), None)


class _Writer:
    """A caption that grows sentence by sentence."""

    def __init__(self) -> None:
        self.text = ""
        self.phrases: list[GroundedPhrase] = []

    def write_first(
        self,
        class_name: str,
        box: Box,
        image_size: tuple[int, int],
        size: SizeWord | None,
        index: int,
    ) -> None:
        """Name the boxed object and its place."""
        words = (
            f"a relatively {size} {class_name}"
            if size
            else object_words(class_name, 1, other=False)
        )
        place = place_of(box, image_size)
        template = _choose(FIRST_TEMPLATES, class_name, cell_of(box, image_size))
        template = template.replace("{place}", place).replace("{Place}", _capitalised(place))
        self.fill(template, words, (index,), class_name)

    def write_clause(self, clause: _Clause, layout: Layout, index: int) -> None:
        """Say what is around the boxed object."""
        class_name = layout.class_names[clause.members[0]]
        several = len(clause.members) > 1
        other = class_name == layout.class_names[index]
        words = object_words(class_name, len(clause.members), other=other)
        cell = cell_of(layout.boxes[index], layout.size)
        template = _choose(RELATION_TEMPLATES[clause.relations], class_name, cell)
        template = template.replace("{are}", "are" if several else "is")
        self.text += " "
        self.fill(template, words, clause.members, class_name)
        if clause.nearest is not None:
            side, member = clause.nearest
            self.text = self.text.removesuffix(".") + ", "
            self.add_phrase(NEAREST_OBJECT, (member,), class_name)
            self.text += f" {NEAREST_WORDS[side]}."

    def add_phrase(self, words: str, instances: Sequence[int], class_name: str) -> None:
        """Add words that name objects."""
        start = len(self.text)
        self.text += words
        owned = tuple(sorted(instances))
        self.phrases.append(GroundedPhrase(start, len(self.text), owned, class_name))

    def fill(self, template: str, words: str, members: tuple[int, ...], class_name: str) -> None:
        """Add a sentence, its object being the words."""
        if template.startswith("{Object}"):
            words, template = _capitalised(words), template.replace("{Object}", "{object}")
        before, _, after = template.partition("{object}")
        self.text += before
        self.add_phrase(words, members, class_name)
        self.text += after


def _clauses(layout: Layout, index: int) -> list[_Clause]:
    """Return what is said of the neighbours, the nearest kind first."""
    kinds = _by_class(layout, neighbours_of(layout.boxes, index))
    clauses: list[_Clause] = []
    for members in list(kinds.values())[:MAX_KINDS]:
        clause = _clause(layout, index, members)
        told = any(earlier.nearest for earlier in clauses)
        clauses.append(clause._replace(nearest=None) if told else clause)
    return clauses


def _by_class(layout: Layout, indices: Sequence[int]) -> dict[str, list[int]]:
    """Group objects by class, in the order of their first members."""
    kinds: dict[str, list[int]] = {}
    for index in indices:
        kinds.setdefault(layout.class_names[index], []).append(index)
    return kinds


def _clause(layout: Layout, index: int, members: list[int]) -> _Clause:
    """Choose what to say of the neighbours of one kind, nearest first: the most telling relation.

    That is being inside one of them; holding them all; a row of one kind with the boxed object; one
    side for all; being among them; for a single one, being next to it; else being near.
    """
    objects = [layout.instances[member] for member in members]
    boxes = [layout.boxes[member] for member in members]
    subject, box, group = layout.instances[index], layout.boxes[index], tuple(members)
    for member, each in zip(members, objects, strict=True):
        if is_inside(subject, each, SAID):
            return _Clause(("inside",), (member,))
    if all(is_inside(each, subject, SAID) for each in objects):
        return _Clause(("around",), group)
    same_kind = layout.class_names[members[0]] == layout.class_names[index]
    if same_kind and is_in_row(subject, objects, SAID):
        return _Clause(("in a row with",), group)
    sides = {side_of(box, other, SAID) for other in boxes}
    side = sides.pop() if len(sides) == 1 else None
    if side is None and len(group) > 1:
        among = is_among(subject, objects, SAID)
        return _Clause(("among",) if among else ("near",), group, _nearest(box, members, boxes))
    adjacent = all(is_next_to(subject, each, SAID) for each in objects)
    if side is not None:
        return _Clause((side, "next to") if adjacent else (side,), group)
    return _Clause(("next to",) if adjacent else ("near",), group)


def _nearest(subject: Box, members: list[int], boxes: list[Box]) -> tuple[Side, int] | None:
    """Return the side of the boxed object and the nearest of a group, where both are clear."""
    squares = [dx * dx + dy * dy for dx, dy in (offset(subject, box) for box in boxes[:2])]
    side = side_of(subject, boxes[0], SAID)
    if side is None or squares[1] < NEAREST_LEAD**2 * squares[0]:
        return None
    return side, members[0]


def _choose(templates: Sequence[str], class_name: str, cell: tuple[int, int]) -> str:
    """Choose a wording by the class and the cell of the boxed object."""
    return templates[(len(class_name) + cell[0] + cell[1]) % len(templates)]


def _capitalised(words: str) -> str:
    return words[0].upper() + words[1:]
