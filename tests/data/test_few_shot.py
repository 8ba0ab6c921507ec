"""Draws are the same everywhere and nested; too many shots name every class that is too small."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skycue.data.few_shot import base_new, draw
from skycue.data.scenes import SceneItem
from skycue.errors import ShotsError


def items_of(counts: dict[str, int], root: str = "/data") -> list[SceneItem]:
    """Return items of some classes, labelled in the order given."""
    return [
        SceneItem(Path(root) / name / f"{name}_{number:03}.jpg", label)
        for label, (name, count) in enumerate(counts.items())
        for number in range(count)
    ]


ITEMS = items_of({"airport": 20, "beach": 9})


def test_a_known_draw_never_changes() -> None:
    names = [item.path.name for item in draw(ITEMS, shots=3, seed=1)]
    assert names == [
        "airport_016.jpg",
        "airport_006.jpg",
        "airport_001.jpg",
        "beach_007.jpg",
        "beach_000.jpg",
        "beach_001.jpg",
    ]


def test_a_draw_does_not_depend_on_the_order_of_the_items_or_their_place() -> None:
    shuffled = items_of({"airport": 20, "beach": 9}, root="/elsewhere/deep")
    random.Random(0).shuffle(shuffled)
    here, there = draw(ITEMS, 4, seed=5), draw(shuffled, 4, seed=5)
    assert [item.path.name for item in here] == [item.path.name for item in there]


def test_a_class_is_drawn_the_same_without_the_others() -> None:
    beach = [item for item in ITEMS if item.label == 1]
    assert draw(beach, 4, seed=2) == draw(ITEMS, 4, seed=2)[4:]


@given(st.integers(1, 8), st.integers(0, 2**32))
def test_fewer_shots_are_part_of_more_and_each_class_gets_its_number(shots: int, seed: int) -> None:
    few, more = draw(ITEMS, shots, seed), draw(ITEMS, shots + 1, seed)
    assert set(few) < set(more)
    assert [item.label for item in few] == [0] * shots + [1] * shots


def test_seeds_draw_differently() -> None:
    assert len({draw(ITEMS, 4, seed) for seed in range(20)}) == 20


def test_all_images_are_drawn_about_equally_often() -> None:
    counts = dict.fromkeys(ITEMS[:20], 0)
    for seed in range(400):
        for item in draw(ITEMS, 5, seed)[:5]:
            counts[item] += 1
    assert 70 < min(counts.values()) <= max(counts.values()) < 135  # 100 expected


def test_all_classes_with_too_few_images_are_named_with_their_counts() -> None:
    items = items_of({"airport": 4, "beach": 16, "church": 1})
    with pytest.raises(
        ShotsError,
        match=r"16 shots asked for, but 2 of 3 classes hold fewer: airport \(4\), church \(1\)",
    ):
        draw(items, 16, seed=1)


@pytest.mark.parametrize(("items", "shots"), [(ITEMS, 0), ([], 1)])
def test_no_shots_and_no_images_are_refused(items: list[SceneItem], shots: int) -> None:
    with pytest.raises(ShotsError, match=f"{shots} shots asked for"):
        draw(items, shots, seed=1)


@pytest.mark.parametrize(("count", "n_base"), [(1, 1), (2, 1), (7, 4), (12, 6), (45, 23)])
def test_the_first_half_is_base_and_an_odd_class_goes_to_it(count: int, n_base: int) -> None:
    names = [f"class {number}" for number in range(count)]
    base, new = base_new(names)
    assert base == tuple(names[:n_base])
    assert base + new == tuple(names)
