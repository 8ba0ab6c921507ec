"""Each method's released way is another way to the same losses, gradients and logits."""

from pathlib import Path

import pytest
import torch

from bench import method_steps
from bench.method_steps import (
    build_case,
    encode_crops,
    loss_and_gradients,
    measure,
    measure_memory,
    measure_scoring,
    measure_step,
    steps,
)
from bench.released_ways import WAYS
from bench.timing import Options, largest_difference

ONCE = Options(threads=1, rounds=1)


@pytest.mark.parametrize("name", WAYS)
def test_a_released_way_gives_our_loss_gradients_and_logits(name: str, tmp_path: Path) -> None:
    case = build_case(name, tmp_path, "tiny", n_classes=5, n_images=3)
    if case.method.trains == "gradient":
        own, other = (
            loss_and_gradients(case.method, side) for side in (case.our_loss, case.same_loss)
        )
        assert all(tensor.abs().max() > 0 for tensor in own)
        assert largest_difference(own, other) < 1e-4
    assert largest_difference([case.our_logits()], [case.same_logits()]) < 1e-4


def test_the_released_recipe_scores_what_it_encodes_alike(tmp_path: Path) -> None:
    case = build_case("applenet", tmp_path, "tiny", n_classes=5, n_images=3)
    assert largest_difference([case.our_logits()], [case.released_logits()]) < 1e-3  # kept in half


def test_a_step_changes_what_is_learned(tmp_path: Path) -> None:
    case = build_case("coop", tmp_path, "tiny", n_classes=5, n_images=3)
    before = {name: p.detach().clone() for name, p in case.method.learned_parameters().items()}
    steps(case.method, case.our_loss)()
    for name, parameter in case.method.learned_parameters().items():
        assert not torch.equal(parameter, before[name]), name


def test_the_released_recipe_sees_other_crops_in_each_step(tmp_path: Path) -> None:
    case = build_case("coop", tmp_path, "tiny", n_classes=5, n_images=3)
    generator = torch.Generator().manual_seed(1)
    first, second = (
        encode_crops(case.method, case.paths, case.captions, generator) for _ in range(2)
    )
    assert (first.require("embedding") - second.require("embedding")).abs().max() > 1e-4


def test_a_method_has_rows_for_learning_scoring_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_steps, "run_alone", lambda *_, options: (None, 2e9))
    results = [
        *measure_step("cocoop", ONCE, "tiny", 5),
        *measure_scoring("cocoop", ONCE, "tiny", 5),
        *measure_memory("cocoop", ONCE, "tiny", 5),
    ]
    assert [result.target for result in results] == [
        "none",
        "at least 8x",
        "none",
        "at least 8x",
        "none",
        "none",
    ]
    assert results[4].detail == "ours: 2.00 GB; the released way: 2.00 GB"


def test_a_method_that_makes_no_steps_has_rows_for_scoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(method_steps, "run_alone", lambda *_, options: (None, 2e9))
    questions = [result.question for result in measure("tip-adapter", ONCE, size="tiny")]
    assert [question.split(",")[0] for question in questions] == [
        "tip-adapter",
        "tip-adapter",
        "peak memory of the process: scoring of tip-adapter",
    ]


@pytest.mark.parametrize("side", ["ours", "the released way"])
def test_the_work_of_a_memory_row_runs(side: method_steps.Side) -> None:
    method_steps.step_alone("cocoop", side, "tiny", 5)
    method_steps.score_alone("cocoop", side, "tiny", 5)
