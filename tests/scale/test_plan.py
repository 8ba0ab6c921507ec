"""A plan cuts an archive into units whose ids say all that decides their rows."""

from pathlib import Path

import pytest

from skycue.boxes import PlacedBox
from skycue.errors import RunError
from skycue.scale.plan import PLAN_FILE, load_plan, make_plan, unit_id
from tests.scale.made_up_work import REFUSED, ByteWork, write_archive


def test_units_cover_every_place_of_every_raster_once(tmp_path: Path) -> None:
    paths = write_archive(tmp_path, n_files=2, n_places=10)
    plan = make_plan(paths, ByteWork(), unit_size=4)
    cut = [(Path(unit.raster).name, unit.first, unit.n_places) for unit in plan.units()]
    assert cut == [
        (path.name, first, count) for path in paths for first, count in [(0, 4), (4, 4), (8, 2)]
    ]
    assert plan.n_places() == 20
    assert len({unit.id for unit in plan.units()}) == 6


def test_an_id_changes_with_content_places_and_work_and_not_with_the_path(tmp_path: Path) -> None:
    [path] = write_archive(tmp_path / "one", n_files=1)
    [copy] = write_archive(tmp_path / "two", n_files=1)

    def ids(raster: Path, work: ByteWork, unit_size: int = 10) -> list[str]:
        return [unit.id for unit in make_plan([raster], work, unit_size=unit_size).units()]

    known = ids(path, ByteWork())
    assert ids(copy, ByteWork()) == known
    assert ids(path, ByteWork(factor=2)) != known
    assert ids(path, ByteWork(), unit_size=9)[0] != known[0]
    copy.write_bytes(b"\x02" + copy.read_bytes()[1:])
    assert ids(copy, ByteWork()) != known


def test_an_id_changes_with_a_box_its_name_and_what_was_found_of_the_raster() -> None:
    boxes = [PlacedBox("a", (0.0, 0.0, 4.0, 4.0))]
    known = unit_id("work", "raster", 0, 1, boxes)
    assert unit_id("work", "raster", 0, 1, [PlacedBox("a", (0.0, 0.0, 4.0, 4.0))]) == known
    assert unit_id("work", "raster", 0, 1, [PlacedBox("b", (0.0, 0.0, 4.0, 4.0))]) != known
    assert unit_id("work", "raster", 0, 1, [PlacedBox("a", (0.0, 0.0, 4.0, 4.5))]) != known
    assert unit_id("work", "raster", 0, 1, boxes, "another stretch") != known


def test_copies_are_done_once_and_what_cannot_be_read_is_noted(tmp_path: Path) -> None:
    paths = write_archive(tmp_path, n_files=2)
    copy, broken = tmp_path / "zz_copy.bin", tmp_path / "broken.bin"
    copy.write_bytes(paths[0].read_bytes())
    broken.write_bytes(REFUSED)
    plan = make_plan([copy, broken, *paths, paths[0]], ByteWork(), unit_size=100)
    assert [unit.raster for unit in plan.units()] == [str(path) for path in paths]
    assert plan.record.duplicates == ((str(copy), str(paths[0])),)
    [failure] = plan.record.unusable
    assert failure.raster == str(broken)
    assert "it is no raster" in failure.reason


def test_a_plan_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in", n_files=3)
    plan = make_plan(paths, ByteWork(), unit_size=4, inputs=["in"], settings={"model": "bytes"})
    plan.save(tmp_path / "run")
    again = load_plan(tmp_path / "run")
    assert again is not None
    assert again.record == plan.record
    assert list(again.units()) == list(plan.units())


def test_there_may_be_no_plan_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert load_plan(tmp_path) is None
    (tmp_path / PLAN_FILE).write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match="is no plan that this version reads"):
        load_plan(tmp_path)
