"""Tables over seeds, worked out by hand."""

from __future__ import annotations

import csv
import io
import math

import pytest

from skycue.protocols.tables import Measure, Table

TABLE = Table(
    name="base-to-new",
    title="Base to new",
    columns=("method", "base", "new"),
    rows=(
        ("CoOp", Measure((0.80, 0.82, 0.84)), Measure((0.5, 0.6, 0.7))),
        ("linear probe", Measure((0.9,)), None),
    ),
    notes=("Three seeds.",),
)


def test_mean_and_sample_deviation_over_seeds() -> None:
    measure = Measure((0.80, 0.82, 0.84))
    assert measure.mean == pytest.approx(0.82)
    assert measure.std == pytest.approx(0.02)  # sqrt((0.0004 + 0 + 0.0004) / 2)


def test_one_seed_has_no_deviation() -> None:
    assert math.isnan(Measure((0.9,)).std)
    assert Measure((0.9,)).text() == "90.0"


def test_markdown_shows_percent_and_what_is_not_applicable() -> None:
    assert TABLE.markdown() == (
        "### Base to new\n"
        "\n"
        "| method | base | new |\n"
        "| --- | ---: | ---: |\n"
        "| CoOp | 82.0 ± 2.0 | 60.0 ± 10.0 |\n"
        "| linear probe | 90.0 | not applicable |\n"
        "\n"
        "Three seeds.\n"
    )


def test_bar_in_a_field_does_not_end_it() -> None:
    table = Table("t", "T", ("name",), (("a|b",),))
    assert "| a\\|b |" in table.markdown()


def test_csv_holds_full_precision_and_leaves_missing_fields_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert float(rows[0]["new mean"]) == pytest.approx(0.6)
    assert float(rows[0]["new std"]) == pytest.approx(0.1)
    assert rows[0]["base seeds"] == "3"
    assert (rows[1]["base std"], rows[1]["new mean"], rows[1]["new seeds"]) == ("", "", "")


def test_calibration_error_is_shown_as_a_share() -> None:
    assert Measure((0.12, 0.14), is_percent=False).text() == "0.130 ± 0.014"


def test_average_over_datasets_is_taken_seed_by_seed() -> None:
    average = Measure.average([Measure((0.2, 0.4)), Measure((0.6, 0.8)), Measure((0.1,))])
    assert average is not None
    assert average.values == pytest.approx((0.3, 1.3 / 3))
    assert Measure.average([Measure((0.2,)), None]) is None
