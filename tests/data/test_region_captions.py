"""Captions written by rules: hand-drawn scenes, and properties of scenes drawn by chance."""

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from skycue.data.caption_grammar import (
    ClassStatement,
    CountStatement,
    PositionStatement,
    RelationStatement,
    SizeStatement,
    UnknownStatement,
    is_true,
    parse_caption,
)
from skycue.data.instances import Instance, InstanceImage, instance_of
from skycue.data.nouns import plural
from skycue.data.region_captions import (
    GroundedCaption,
    caption_image,
    caption_region,
    class_and_box_caption,
    tell_neighbours,
)
from skycue.data.region_geometry import (
    JUDGED,
    SAID,
    layout_of,
    longer_side,
    neighbours_of,
    side_of,
)
from skycue.data.rle import polygons_to_mask
from skycue.errors import CaptionError

SIZE = (300, 300)
CLASSES = ("airplane", "ship", "harbor", "ground track field", "small vehicle", "bus")
SCENES = 60
ENDS = ((1, 1), (-1, 1), (-1, -1), (1, -1))


def scene(*boxes: tuple[str, int, int, int, int]) -> InstanceImage:
    """An image of 300 x 300 pixels with filled boxes: class, x, y, width, height."""
    instances = tuple(
        Instance(name, (x, y), np.ones((height, width), dtype=np.bool_))
        for name, x, y, width, height in boxes
    )
    return InstanceImage("scene.png", SIZE, instances)


def random_scene(seed: int) -> InstanceImage:
    """Up to thirty boxes; in every other scene some stand in a row or inside a large one."""
    chance = random.Random(seed)
    boxes = []
    for _ in range(chance.randint(1, 30)):
        width, height = chance.randint(4, 40), chance.randint(4, 40)
        x, y = chance.randint(0, 300 - width), chance.randint(0, 300 - height)
        boxes.append((chance.choice(CLASSES[: chance.randint(1, 6)]), x, y, width, height))
    if seed % 2:
        start, step = chance.randint(0, 60), chance.randint(18, 40)
        boxes += [("airplane", start + step * place, 280, 16, 14) for place in range(4)]
        boxes += [("harbor", 150, 100, 90, 80), ("ship", 160, 120, 20, 8)]
    return scene(*boxes)


def slanted_scene(seed: int) -> InstanceImage:
    """Up to seven thin rectangles, all of them slanted; in every other scene side by side."""
    chance = random.Random(1000 + seed)
    instances = []
    angle, step = chance.uniform(0.4, 1.2), chance.uniform(10, 60)
    for number in range(chance.randint(2, 7)):
        x, y = chance.uniform(40, 260), chance.uniform(40, 260)
        if seed % 2:
            x, y = 40 + step * number, 150.0
        else:
            angle = chance.uniform(0.4, 1.2)
        cos, sin = math.cos(angle), math.sin(angle)
        a, b = chance.uniform(15, 30), chance.uniform(2, 8)
        corners = [(x + s * a * cos - t * b * sin, y + s * a * sin + t * b * cos) for s, t in ENDS]
        mask = polygons_to_mask([[c for corner in corners for c in corner]], SIZE)
        found = instance_of(chance.choice(CLASSES[:2]), mask)
        instances += [] if found is None else [found]
    return InstanceImage("slanted.png", SIZE, tuple(instances))


def pixel_gap(first: Instance, second: Instance) -> float:
    """The least distance between the unit squares of two objects, over all their pixels."""
    (y, x), (v, u) = (np.nonzero(each.mask(SIZE)) for each in (first, second))
    apart = [np.maximum(abs(p[:, None] - q[None]) - 1, 0) for p, q in ((x, u), (y, v))]
    return float(np.hypot(*apart).min())


def mirrored(image: InstanceImage) -> InstanceImage:
    """The image with left and right exchanged."""
    width = image.size[1]
    instances = tuple(
        Instance(name, (width - x - crop.shape[1], y), crop[:, ::-1])
        for name, (x, y), crop in image.instances
    )
    return InstanceImage(image.image, image.size, instances)


def phrases(caption: GroundedCaption) -> list[tuple[str, tuple[int, ...]]]:
    """Each phrase's words with the objects that it owns."""
    return [(caption.text[p.start : p.end], p.instances) for p in caption.phrases]


def test_a_lone_object_has_a_class_and_a_place() -> None:
    caption = caption_region(scene(("bridge", 10, 10, 30, 20)), 0)
    assert caption.text == "A bridge is in the upper left of the image."
    assert phrases(caption) == [("A bridge", (0,))]
    assert caption.prompted == 0


def test_a_neighbour_on_one_side_is_named_with_its_side() -> None:
    image = scene(("airplane", 120, 150, 20, 20), ("ship", 160, 150, 20, 20))
    caption = caption_region(image, 0)
    assert parse_caption(caption.text) == (
        ClassStatement("airplane"),
        PositionStatement("in the middle"),
        RelationStatement("left of", "ships", "some"),
    )
    assert phrases(caption)[1] in [("a ship", (1,)), ("A ship", (1,))]


@pytest.mark.parametrize(("x", "told"), [(164, 2), (165, 1)])
def test_a_neighbours_centre_lies_within_two_and_a_half_longer_sides(x: int, told: int) -> None:
    image = scene(("airplane", 100, 100, 10, 20), ("ship", 100 + x - 114, 100, 10, 20))
    assert len(caption_region(image, 0).phrases) == told


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "another"), (2, "two other"), (5, "five other"), (6, "several other"), (10, "many other")],
)
def test_counts_are_exact_up_to_five(count: int, words: str) -> None:
    others = [("ship", 110 + 9 * (n % 4), 100 + 9 * (n // 4), 8, 8) for n in range(count)]
    caption = caption_region(scene(("ship", 95, 90, 20, 20), *others), 0)
    noun = "ship" if count == 1 else "ships"
    text, owned = phrases(caption)[1]
    assert text.lower() == f"{words} {noun}"
    assert owned == tuple(range(1, count + 1))


def test_a_ship_inside_a_harbor_and_the_other_way_round() -> None:
    image = scene(("ship", 140, 140, 20, 10), ("harbor", 120, 120, 60, 60))
    ship, harbor = (parse_caption(caption_region(image, index).text)[-1] for index in (0, 1))
    assert ship == RelationStatement("inside", "harbors", "some")
    assert harbor == RelationStatement("around", "ships", "some")


def test_three_courts_on_a_line_are_a_row_and_off_it_are_not() -> None:
    line = scene(*(("tennis court", 100 + 24 * n, 100, 20, 40) for n in range(3)))
    row = RelationStatement("in a row with", "tennis courts", "all")
    assert row in parse_caption(caption_region(line, 1).text)
    bent = scene(*(("tennis court", 100 + 24 * n, 100 + 40 * (n == 1), 20, 40) for n in range(3)))
    assert row not in parse_caption(caption_region(bent, 1).text)
    assert not is_true(row, bent, 1)


def test_an_object_amid_four_is_among_them() -> None:
    around = [("ship", 140 + dx, 140 + dy, 20, 20) for dx, dy in ((-40, 9), (44, 0), (0, -42))]
    image = scene(("ship", 140, 140, 20, 20), *around, ("ship", 131, 182, 20, 20))
    statements = parse_caption(caption_region(image, 0).text)
    assert statements[2:] == (
        CountStatement("ships", "four", "near"),
        RelationStatement("among", "ships", "all"),
    )


def test_size_is_told_among_three_of_a_kind_at_one_and_a_half_times_the_median() -> None:
    small, large = ("ship", 0, 0, 10, 10), ("ship", 200, 200, 15, 10)
    three = scene(small, ("ship", 100, 100, 10, 10), large)
    assert SizeStatement("large") in parse_caption(caption_region(three, 2).text)
    two = scene(small, large)
    assert "relatively" not in caption_region(two, 1).text
    almost = scene(small, ("ship", 100, 100, 10, 10), ("ship", 200, 200, 14, 10))
    assert "relatively" not in caption_region(almost, 2).text


def test_class_and_box_give_the_first_sentence_without_a_size() -> None:
    image = random_scene(3)
    for index, instance in enumerate(image.instances):
        first = caption_region(image, index).text.partition(". ")[0].rstrip(".")
        bare = class_and_box_caption(instance.class_name, instance.box, SIZE)
        assert parse_caption(bare)[0] == ClassStatement(instance.class_name)
        if "relatively" not in first:
            assert bare == first + "."


def test_a_whole_image_lists_kinds_by_count_then_name() -> None:
    boxes = [("ship", 0, 0, 9, 9), ("ship", 50, 50, 9, 9), ("bridge", 270, 270, 9, 9)]
    caption = caption_image(scene(boxes[2], *boxes[:2], ("airplane", 150, 10, 9, 9)))
    assert caption.text == (
        "This image contains two ships, an airplane at the top and a bridge in the lower right."
    )
    assert phrases(caption) == [("two ships", (1, 2)), ("an airplane", (3,)), ("a bridge", (0,))]
    assert caption.prompted is None


def test_an_image_without_objects_has_no_caption() -> None:
    with pytest.raises(CaptionError, match=r"scene\.png has no objects"):
        caption_image(scene())


def named(caption: GroundedCaption, image: InstanceImage) -> Sequence[str]:
    """The plural of the class that each phrase's objects have; they must agree."""
    kinds = [{image.instances[i].class_name for i in p.instances} for p in caption.phrases]
    assert all(len(kind) == 1 for kind in kinds)
    return [plural(kind.pop()) for kind in kinds]


@pytest.mark.parametrize("seed", range(SCENES))
def test_all_that_a_caption_says_parses_and_is_true(seed: int) -> None:
    image = random_scene(seed)
    for index in range(len(image.instances)):
        caption = caption_region(image, index)
        statements = parse_caption(caption.text)
        assert not any(isinstance(found, UnknownStatement) for found in statements), caption.text
        for statement in statements:
            assert is_true(statement, image, index), (caption.text, statement)
        assert caption == caption_region(image, index)
        assert caption.phrases[0].instances == (index,)
        ends = [(phrase.start, phrase.end) for phrase in caption.phrases]
        assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
        assert named(caption, image)
    for statement in parse_caption(caption_image(image).text):
        assert is_true(statement, image, None), statement


def test_slanted_objects_are_said_to_be_next_to_each_other_by_their_pixels_alone() -> None:
    said = refused = 0
    for seed in range(16):
        image = slanted_scene(seed)
        for index, subject in enumerate(image.instances):
            caption = caption_region(image, index)
            for statement in parse_caption(caption.text):
                assert is_true(statement, image, index), (caption.text, statement)
            near = neighbours_of(layout_of(image).boxes, index)
            others = {other: image.instances[other] for other in near}
            gaps = {
                other: pixel_gap(subject, each)
                / min(longer_side(subject.box), longer_side(each.box))
                for other, each in others.items()
            }
            for noun in {plural(each.class_name) for each in others.values()}:
                kind = [n for n, each in others.items() if plural(each.class_name) == noun]
                for scope, holds in (("some", any), ("all", all)):
                    next_to = RelationStatement("next to", noun, scope)  # type: ignore[arg-type]
                    truth = holds(gaps[other] <= JUDGED.gap for other in kind)
                    assert is_true(next_to, image, index) == truth
                    refused += not truth
                    if next_to in parse_caption(caption.text):
                        said += 1
                        assert holds(gaps[other] <= SAID.gap for other in kind), caption.text
    assert said > 5
    assert refused > 20


def test_parallel_slanted_ships_far_apart_are_not_next_to_each_other() -> None:
    band = np.abs(np.subtract.outer(np.arange(100), np.arange(100))) <= 2
    image = InstanceImage(
        "ships.png", SIZE, (Instance("ship", (50, 80), band), Instance("bus", (120, 80), band))
    )  # the boxes overlap by 30 columns, the ships lie 65 / sqrt(2) = 46 pixels apart
    assert "next to" not in caption_region(image, 0).text
    apart = RelationStatement("next to", "buses", "some")
    assert is_true(apart, image, 0)  # 0.46 of the length: within the bar for judging
    farther = image._replace(instances=(image.instances[0], Instance("bus", (148, 80), band)))
    assert not is_true(apart, farther, 0)


def test_a_slanted_row_is_as_broad_as_its_ships_not_as_their_boxes() -> None:
    band = np.abs(np.subtract.outer(np.arange(40), np.arange(40))) <= 4
    row = RelationStatement("in a row with", "ships", "all")

    def is_a_row(shift: int) -> bool:
        corners = ((100, 100), (125, 100 + shift), (150, 100))
        return is_true(
            row, InstanceImage("", SIZE, tuple(Instance("ship", c, band) for c in corners)), 1
        )

    assert is_a_row(0)
    assert not is_a_row(18)  # 12 pixels off the line: within half a box's side, not half a ship's


def test_left_and_right_are_false_in_the_mirror_and_the_rest_stays_true() -> None:
    turned = 0
    for seed in range(SCENES):
        image = random_scene(seed)
        other = mirrored(image)
        for index in range(len(image.instances)):
            for statement in parse_caption(caption_region(image, index).text):
                match statement:
                    case RelationStatement("left of" | "right of", scope="all" | "nearest"):
                        turned += 1
                        assert not is_true(statement, other, index), statement
                    case PositionStatement(place) if "left" in place or "right" in place:
                        turned += 1
                        assert not is_true(statement, other, index), statement
                    case PositionStatement():
                        pass  # a centre on the border of two cells may change
                    case RelationStatement("left of" | "right of"):
                        pass  # of some: there may be one on each side
                    case _:
                        assert is_true(statement, other, index), statement
    assert turned > 300


@pytest.mark.parametrize("seed", range(0, SCENES, 5))
def test_the_text_of_neighbours_tells_the_side_of_each_nearest_first(seed: int) -> None:
    image = random_scene(seed)
    layout = layout_of(image)
    for index in range(len(image.instances)):
        told = tell_neighbours(image, index)
        nearest = neighbours_of(layout.boxes, index)[:5]
        assert [phrase.instances for phrase in told.phrases] == [(other,) for other in nearest]
        statements = parse_caption(told.text)
        assert len(statements) == len(nearest)
        for statement, other in zip(statements, nearest, strict=True):
            side = side_of(layout.boxes[index], layout.boxes[other], JUDGED) or "near"
            noun = plural(layout.class_names[other])
            assert statement == RelationStatement(side, noun, "some")
            assert is_true(statement, image, index)
