"""Each benchmark compares what it should, at tiny size; nothing here is about time."""

import pytest
import torch

from bench import (
    cli_start,
    fit_memory,
    image_encoding,
    rendering,
    scoring,
    text_encoding,
)
from bench.__main__ import PAGE, SCRIPTS, TABLE, with_rows
from bench.networks import CLASS_NAMES, random_bimors, random_clip, random_inputs
from bench.reference import bimors_logits, encode_classes
from bench.timing import DifferentOutputsError, Options, Result, best_times, largest_difference
from skycue.backbones.vit import ImageConfig
from skycue.scenes.context import ContextConfig, encode_with_context

ONCE = Options(threads=1, rounds=1)


def test_the_reference_is_another_way_to_the_same_embeddings_and_gradients() -> None:
    clip = random_clip("tiny")
    context = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
    ours = encode_with_context(clip, context, CLASS_NAMES[:5], ContextConfig())
    reference = encode_classes(clip, context, CLASS_NAMES[:5])
    weights = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(2))
    gradients = [torch.autograd.grad((x * weights).sum(), context)[0] for x in (ours, reference)]
    assert largest_difference([ours, gradients[0]], [reference, gradients[1]]) < 1e-5


def test_the_plain_bimors_gives_the_same_logits() -> None:
    method = random_bimors(random_clip("tiny"))
    inputs = random_inputs(method.clip, 3).to("cpu")
    reference = bimors_logits(method, inputs, CLASS_NAMES[:4])
    assert largest_difference([method(inputs, CLASS_NAMES[:4])], [reference]) < 1e-5


def test_the_difference_of_the_worst_pair_counts() -> None:
    reference = [torch.tensor([2.0, -4.0]), torch.tensor([1.0])]
    ours = [torch.tensor([2.0001, -4.0]), torch.tensor([1.00005])]
    assert largest_difference(ours, reference) == pytest.approx(5e-5, rel=0.01)


def test_sides_that_disagree_are_not_timed() -> None:
    with pytest.raises(DifferentOutputsError, match=r"output 1 differs by 1\.0e-03"):
        largest_difference([torch.ones(2), torch.ones(2) * 1.001], [torch.ones(2), torch.ones(2)])


def test_not_a_number_is_a_disagreement() -> None:
    with pytest.raises(DifferentOutputsError):
        largest_difference([torch.tensor([float("nan")])], [torch.ones(1)])


def test_the_sides_take_turns() -> None:
    seen: list[str] = []
    sides = {"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}
    best_times(sides, Options(rounds=2))
    assert seen == ["a", "b", "a", "b"]


def test_every_comparison_agrees_at_tiny_size() -> None:
    results = [
        *text_encoding.measure(ONCE, size="tiny", n_images=2, n_classes=4),
        *scoring.measure_kept(ONCE, size="tiny", n_images=2),
        scoring.measure_pixels(ONCE, size="tiny", n_tiles=3),
    ]
    assert len(results) == 4
    assert all("outputs differ by" in result.detail for result in results)


def test_operations_of_a_small_tower_counted_by_hand() -> None:
    config = ImageConfig(image_size=4, patch_size=2, width=3, layers=1, heads=1)
    stem = 4 * 12 * 3
    projections = 5 * (4 * 9 + 2 * 3 * 12)  # queries, keys, values, output; two MLP layers
    attention = 2 * 5 * 5 * 3
    assert image_encoding.operations(config, embed_dim=7) == 2 * (
        stem + projections + attention + 3 * 7
    )


def test_operations_of_vit_b_16_are_those_published() -> None:
    """35.1 GFLOP an image (open_clip's profile) count a multiplication and an addition each."""
    config = random_clip("tiny").config.image.model_copy(
        update={"image_size": 224, "patch_size": 16, "width": 768, "layers": 12}
    )
    assert image_encoding.operations(config, embed_dim=512) / 1e9 == pytest.approx(35.1, rel=0.005)


def test_the_image_tower_runs_for_the_first_batch_only() -> None:
    clip = random_clip("tiny")
    tower = fit_memory.OneRealBatch(clip.image)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    first, second = tower(pixels), tower(pixels)
    assert torch.equal(first.tokens, clip.image(pixels).tokens)
    assert second.tokens.shape == first.tokens.shape
    assert not torch.equal(second.tokens, first.tokens)


def test_help_is_asked_of_this_installation() -> None:
    [result] = cli_start.measure(ONCE)
    assert result.answer.endswith(" s")


def test_a_row_tells_the_answer_and_how_it_was_measured() -> None:
    result = Result(question="q", answer="12x", target="at least 10x", met=True, detail="d", load=2)
    again = Result.model_validate_json(result.model_dump_json())
    assert again.row("2026-11-30", "EPYC") == (
        "| q | 12x | at least 10x | yes | d "
        "| 2026-11-30, 0 threads at 0 GFLOP/s, load 2.0, EPYC, PyTorch  |"
    )
    unasked = result.model_copy(update={"target": "none", "clock": "cpu", "threads": 1})
    assert "| none |  | d | today, processor time, 1 thread" in unasked.row("today", "EPYC")


def test_the_rows_of_a_script_are_replaced_and_all_else_stays() -> None:
    page = f"before\n\n{TABLE}| `scoring` | old |\n| `tiling` | kept |\n\nafter\n"
    expected = f"before\n\n{TABLE}| `scoring` | new |\n| `tiling` | kept |\n\nafter\n"
    assert with_rows(page, "scoring", ["| new |"]) == expected
    assert with_rows(expected, "server", ["| 1 |", "| 2 |"]) == expected.replace(
        "| `tiling`", "| `server` | 1 |\n| `server` | 2 |\n| `tiling`"
    )
    assert with_rows(TABLE, "tiling", ["| first |"]) == f"{TABLE}| `tiling` | first |\n"
    with pytest.raises(ValueError, match="no table of benchmarks"):
        with_rows("text\n", "tiling", [])


def test_the_published_page_has_the_table_with_rows_of_scripts_that_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(with_rows(page, script, []) for script in SCRIPTS)
    assert with_rows(page, "scoring", []) != page


def test_rendering_is_told_in_images_a_second() -> None:
    (result,) = rendering.measure(ONCE, size=64, n_images=2)
    assert result.answer.endswith(" images/s")
    assert result.target == "at least 20 images/s"
