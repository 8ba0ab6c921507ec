"""A part proves by a hash that it is whole: finished is what such a file says, and nothing else."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from skycue.scale.parts import part_path, read_receipt, write_part
from skycue.scale.plan import make_plan
from skycue.scale.work import Failure, Unit
from tests.scale.made_up_work import ByteWork, write_archive


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """The one unit of a plan of one raster."""
    [unit] = make_plan(write_archive(tmp_path / "in", n_files=1), ByteWork(), unit_size=99).units()
    return unit


def test_a_part_holds_the_rows_and_the_receipt(tmp_path: Path, unit: Unit) -> None:
    rows = ByteWork().do(unit)._replace(failures=(Failure("r", "3", 1, "damaged"),), n_skipped=2)
    receipt = write_part(tmp_path, unit, rows)
    assert read_receipt(tmp_path, unit.id) == receipt
    assert (receipt.n_places, receipt.n_rows, receipt.n_skipped) == (10, 10, 2)
    assert receipt.n_failed == 1
    kept = pq.read_table(part_path(tmp_path, unit.id))
    assert kept.to_pylist() == rows.table.to_pylist()
    assert kept.schema.metadata[b"geo"] == rows.table.schema.metadata[b"geo"]


def test_the_same_rows_are_the_same_bytes(tmp_path: Path, unit: Unit) -> None:
    for name in ("one", "two"):
        write_part(tmp_path / name, unit, ByteWork().do(unit))
    one, two = (part_path(tmp_path / name, unit.id).read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_unit_without_a_part_is_not_finished(tmp_path: Path, unit: Unit) -> None:
    assert read_receipt(tmp_path, unit.id) is None


def test_no_row_of_a_part_can_change_and_no_byte_be_lost_unseen(tmp_path: Path, unit: Unit) -> None:
    write_part(tmp_path, unit, ByteWork().do(unit))
    path = part_path(tmp_path, unit.id)
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    assert footer > 100
    for place in range(footer):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_receipt(tmp_path, unit.id) is None, place
    for length in range(0, len(whole), 50):
        path.write_bytes(whole[:length])
        assert read_receipt(tmp_path, unit.id) is None, length
    path.write_bytes(whole)
    assert read_receipt(tmp_path, unit.id) is not None


@pytest.mark.parametrize(("old", "new"), [(b'"n_rows":10', b'"n_rows":11'), (b'"WKB"', b'"WKT"')])
def test_a_changed_receipt_or_extent_is_seen(
    tmp_path: Path, unit: Unit, old: bytes, new: bytes
) -> None:
    write_part(tmp_path, unit, ByteWork().do(unit))
    path = part_path(tmp_path, unit.id)
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new))
    assert read_receipt(tmp_path, unit.id) is None


def test_the_part_of_another_unit_under_this_name_does_not_count(
    tmp_path: Path, unit: Unit
) -> None:
    other = "f" * len(unit.id)
    write_part(tmp_path, unit, ByteWork().do(unit))
    place = part_path(tmp_path, other)
    place.parent.mkdir()
    place.write_bytes(part_path(tmp_path, unit.id).read_bytes())
    assert read_receipt(tmp_path, other) is None
