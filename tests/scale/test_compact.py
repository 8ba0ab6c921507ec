"""Merging keeps every row once, in the order of the plan, and joins the extents."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skycue.scale.compact import compact
from skycue.scale.parts import write_part
from skycue.scale.plan import Plan, make_plan
from tests.scale.made_up_work import ByteWork, expected_rows, write_archive

WORK = ByteWork()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of 40 rows whose units are done, in the folder `tmp_path`."""
    plan = make_plan(write_archive(tmp_path / "in"), WORK, unit_size=3)
    for unit in reversed(list(plan.units())):
        write_part(tmp_path, unit, WORK.do(unit))
    return plan


def rows_of(paths: list[Path]) -> list[tuple[str, int, int]]:
    table = pa.concat_tables([pq.read_table(path) for path in paths], promote_options="permissive")
    return [(row["raster"], row["place"], row["level"]) for row in table.to_pylist()]


@pytest.mark.parametrize("rows_of_group", [1, 3, 7, 40, 1000])
def test_a_merged_file_has_the_rows_of_the_plan_in_its_order(
    tmp_path: Path, plan: Plan, rows_of_group: int
) -> None:
    paths = compact(tmp_path, plan, WORK.empty(), rows_of_group=rows_of_group)
    assert [path.name for path in paths] == ["rows-00000.parquet"]
    assert rows_of(paths) == expected_rows(sorted((tmp_path / "in").iterdir()))
    groups = pq.ParquetFile(paths[0]).metadata
    sizes = [groups.row_group(n).num_rows for n in range(groups.num_row_groups)]
    assert set(sizes[:-1]) <= {rows_of_group}


def test_a_file_that_is_full_is_followed_by_another_and_old_ones_go(
    tmp_path: Path, plan: Plan
) -> None:
    many = compact(tmp_path, plan, WORK.empty(), rows_of_group=5, rows_of_file=10)
    assert [path.name for path in many] == [f"rows-{n:05d}.parquet" for n in range(4)]
    assert rows_of(many) == expected_rows(sorted((tmp_path / "in").iterdir()))
    one = compact(tmp_path, plan, WORK.empty())
    assert sorted(tmp_path.glob("rows-*")) == one


def test_a_run_without_rows_has_a_merged_file_without_rows(tmp_path: Path) -> None:
    (tmp_path / "nodata.bin").write_bytes(bytes(5))
    plan = make_plan([tmp_path / "nodata.bin"], WORK, unit_size=2)
    for unit in plan.units():
        write_part(tmp_path, unit, WORK.do(unit))
    [path] = compact(tmp_path, plan, WORK.empty())
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path).names == ["raster", "place", "level"]


def test_the_extents_of_parts_are_joined(tmp_path: Path, plan: Plan) -> None:
    [path] = compact(tmp_path, plan, WORK.empty(), rows_of_group=4)
    column = json.loads(pq.read_schema(path).metadata[b"geo"])["columns"]["geometry"]
    assert column["bbox"] == [0.0, 0.0, 9.0, 1.0]
    assert column["geometry_types"] == ["MultiPolygon"]
