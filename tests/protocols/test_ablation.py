"""The ablation of BiMoRS: what its variants are, and what stands in its table."""

from __future__ import annotations

import pytest

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.protocols.ablation import (
    EQUAL_SIZE,
    REFERENCE,
    VARIANTS,
    ablation_rows,
    hidden_of_equal_size,
    plan,
    tables,
)
from skycue.protocols.cells import ORACLE, Comparison, Row
from skycue.protocols.results import Results
from skycue.protocols.tables import Measure
from skycue.scene_config import config_of
from skycue.scenes.bimors import BiMoRSConfig
from skycue.scenes.cocoop import CoCoOpConfig
from skycue.scenes.registry import build_method
from tests.protocols.made_up import made_up_data, result_of, row

WIDTH = 8


@pytest.fixture
def rows(tiny_clip: Clip) -> list[Row]:
    return ablation_rows(config_of("bimors"), tiny_clip, WIDTH)


def test_each_variant_changes_one_thing(rows: list[Row]) -> None:
    reference = rows[0].config.method.model_dump()
    for variant, changed in zip(VARIANTS, rows[1:], strict=False):
        options = changed.config.method.model_dump()
        differing = {name for name in options if options[name] != reference[name]}
        assert differing == set(variant.options)
        assert len(differing) + (changed.texts != "own") == 1


def test_cocoop_of_equal_size_learns_as_many_numbers(tiny_clip: Clip) -> None:
    config = BiMoRSConfig(caption_width=WIDTH)
    hidden = hidden_of_equal_size(tiny_clip, config, WIDTH)

    def size(method: BiMoRSConfig | CoCoOpConfig) -> int:
        return sum(p.numel() for p in build_method(tiny_clip, method).learned_parameters().values())

    one_unit = tiny_clip.config.embed_dim + tiny_clip.config.text.width + 1
    assert abs(size(CoCoOpConfig(hidden=hidden)) - size(config)) <= one_unit / 2


def test_only_bimors_can_be_ablated(tiny_clip: Clip) -> None:
    with pytest.raises(ConfigError, match="one of bimors; 'coop' was given"):
        ablation_rows(config_of("coop"), tiny_clip, WIDTH)


def test_reference_is_run_with_other_shots_and_oracle_with_human_captions(rows: list[Row]) -> None:
    comparison = Comparison(
        data=(
            made_up_data("ucm", ("forest", "river"), human=True, n_train=16),
            made_up_data("whu", ("desert", "park"), n_train=16),
        ),
        rows=(row("zero-shot"), row("linear-probe"), *rows),
        shots=(16,),
        seeds=(1, 2),
    )
    cells = plan(comparison)
    assert len({cell.key for cell in cells}) == len(cells)
    assert {c.shots for c in cells if c.row.name == REFERENCE} == {1, 4, 16}
    assert {c.data for c in cells if c.row.name == ORACLE} == {"ucm"}
    accuracy = {1: 0.8, 2: 0.6}
    results = Results(
        result_of(
            cell,
            [accuracy.get(cell.seed, 0.5)] * 2
            if cell.row.name != EQUAL_SIZE
            else [0.1 + accuracy[cell.seed]] * 2,
        )
        for cell in cells
    )
    table = tables(comparison, results)[0]
    by_name = {str(line[0]): line for line in table.rows}
    difference = by_name[EQUAL_SIZE][-1]
    assert isinstance(difference, Measure)
    assert difference.values == pytest.approx((0.1, 0.1))  # paired: no deviation is left
    assert by_name["bimors, 4 shots"][1] == "7"
    assert by_name[REFERENCE][-1] == ""
