"""Few-shot: the plan of cells, and the columns of its table."""

from __future__ import annotations

from skycue.protocols.cells import ORACLE, Comparison
from skycue.protocols.few_shot import plan, tables
from skycue.protocols.results import Results
from skycue.protocols.tables import Measure
from tests.protocols.made_up import made_up_data, result_of, row

COMPARISON = Comparison(
    data=(
        made_up_data("ucm", ("forest", "river"), human=True),
        made_up_data("whu", ("desert", "park")),
    ),
    rows=(row("zero-shot"), row("linear-probe"), row("bimors", ORACLE)),
    shots=(1, 4),
    seeds=(1, 2, 3),
)


def test_cells_are_rows_times_shots_times_seeds() -> None:
    cells = plan(COMPARISON)
    assert len({cell.key for cell in cells}) == len(cells)
    assert len([c for c in cells if c.data == "ucm"]) == 1 + 2 * 3 + 2 * 3


def test_draw_of_fewer_shots_is_part_of_the_larger_one() -> None:
    probe = [c for c in plan(COMPARISON) if c.row.name == "linear-probe" and c.data == "ucm"]
    one, four = ({i.path for i in c.train} for c in probe if c.seed == 2)
    assert one < four


def test_oracle_row_runs_only_where_people_wrote_captions() -> None:
    oracle = [cell for cell in plan(COMPARISON) if cell.row.name == ORACLE]
    assert {cell.data for cell in oracle} == {"ucm"}
    assert {cell.row.config.captions for cell in oracle} == {"oracle:/nowhere/ucm/captions.jsonl"}


def test_zero_shot_stands_under_every_number_of_shots() -> None:
    results = Results(
        result_of(cell, [0.5 if cell.shots == 0 else 0.1 * cell.shots]) for cell in plan(COMPARISON)
    )
    table = tables(COMPARISON, results)[1]
    assert table.columns == ("method", "1 shot", "4 shots")
    assert table.rows == (
        ("zero-shot", Measure((0.5,)), Measure((0.5,))),
        ("linear-probe", Measure((0.1,) * 3), Measure((0.4,) * 3)),
    )


def test_identity_changes_with_what_the_result_depends_on() -> None:
    cells = plan(COMPARISON)
    assert len({cell.identity("a") for cell in cells}) == len(cells)
    assert cells[0].identity("a") != cells[0].identity("b")
