"""Every unit gets a part, classes are cut like the whole, and the answer is a function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skycue.data.stratification import stratify

FRACTIONS = (0.5, 0.2, 0.3)


def test_one_label_each_is_cut_as_the_fractions_say() -> None:
    labels: list[tuple[int, ...]] = [(n % 2,) for n in range(40)]
    parts = stratify(labels, [1] * 40, FRACTIONS)
    for label in (0, 1):
        of_label = [part for part, own in zip(parts, labels, strict=True) if own == (label,)]
        assert [of_label.count(part) for part in range(3)] == [10, 4, 6]


def test_a_cut_worked_out_by_hand() -> None:
    # Label 1 is rarest: its two units go to parts 0 and 1, which want 1 and 1. Then label 0, of
    # which part 0 wants 2 - 1 and part 1 wants 2: first to 1, then one each, 0 before 1.
    labels: list[tuple[int, ...]] = [(0,), (0, 1), (1,), (0,), (0,), ()]
    assert stratify(labels, [1] * 6, (0.5, 0.5)) == [1, 0, 1, 0, 1, 0]


def test_the_rarest_label_is_in_every_part_that_it_can_be_in() -> None:
    labels: list[tuple[int, ...]] = [(0, 1) if n < 3 else (0,) for n in range(300)]
    parts = stratify(labels, [1] * 300, FRACTIONS)
    assert parts[:3] == [0, 2, 1]  # wants 1.5, 0.6, 0.9; then 0.5, 0.6, 0.9; then 0.5, 0.6, -0.1


def test_a_unit_of_many_images_counts_for_all_of_them() -> None:
    parts = stratify([(0,), (0,), (0,), (0,)], [3, 1, 1, 1], (0.5, 0.5))
    assert parts == [0, 1, 1, 1]


@given(st.lists(st.sets(st.integers(0, 5), max_size=4), max_size=60))
def test_each_class_is_cut_about_like_the_whole(sets: list[set[int]]) -> None:
    labels = [tuple(sorted(own)) for own in sets]
    parts = stratify(labels, [1] * len(labels), FRACTIONS)
    assert len(parts) == len(labels)
    assert set(parts) <= {0, 1, 2}
    if labels:
        rarest = min(
            {k for own in labels for k in own},
            default=None,
            key=lambda k: sum(k in own for own in labels),
        )
        of_rarest = [p for p, own in zip(parts, labels, strict=True) if rarest in own]
        for part, fraction in enumerate(FRACTIONS):
            assert abs(of_rarest.count(part) - fraction * len(of_rarest)) < 2


@pytest.mark.parametrize("empty", [1, 2])
def test_a_part_without_a_share_gets_nothing(empty: int) -> None:
    fractions = [0.5, 0.5, 0.5]
    fractions[empty] = 0.0
    labels: list[tuple[int, ...]] = [(n % 3,) if n % 4 else () for n in range(30)]
    assert empty not in stratify(labels, [1] * 30, fractions)
