"""Workers read rasters as they were planned, and a damaged place does not take others with it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.errors import GeoError, ImageReadError, RunError
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.scale.plan import make_plan
from skycue.scale.rasters import note_of, open_planned, try_each
from skycue.scale.work import Failure, Places, Unit
from tests.made_up_rasters import fields, write_tiff
from tests.scale.made_up_work import ByteWork


class OneWindow(ByteWork):
    """Has one place on each raster."""

    def places(self, raster: Path) -> Places:
        return Places(1, note=note_of(Raster.open(raster)))


def unit_of(path: Path) -> Unit:
    [unit] = make_plan([path], OneWindow(), unit_size=1).units()
    return unit


def test_all_workers_stretch_a_raster_as_the_plan_says(tmp_path: Path) -> None:
    values = np.arange(3 * 64 * 64, dtype=np.uint16).reshape(3, 64, 64) + 1
    path = write_tiff(tmp_path / "deep.tif", values)
    opened = open_planned(unit_of(path), None)
    assert opened.stretch == Raster.open(path).stretch
    other = unit_of(path)._replace(note='{"low": [0, 0, 0], "high": [65535, 65535, 65535]}')
    window = PixelWindow(0, 0, 64, 64)
    levels = open_planned(other, None).read(window).pixels
    np.testing.assert_array_equal(levels, np.rint(values / 257).astype(np.uint8))


def test_a_palette_needs_no_stretch_and_a_worker_shows_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.tile(np.array([[0, 1]], np.uint8), (20, 10)))
    image.putpalette(bytes([10, 20, 30, 110, 120, 130]))
    image.save(tmp_path / "palette.tif")
    read = open_planned(unit_of(tmp_path / "palette.tif"), None).read(PixelWindow(0, 0, 2, 1))
    assert read.pixels[:, 0].T.tolist() == [[10, 20, 30], [110, 120, 130]]


def test_a_raster_that_was_changed_is_refused_and_one_that_was_touched_is_not(
    tmp_path: Path,
) -> None:
    path = write_tiff(tmp_path / "a.tif", fields(2, 2, seed=1))
    unit = unit_of(path)
    os.utime(path, ns=(1, 1))
    assert open_planned(unit, None).size == (80, 80)
    write_tiff(path, fields(2, 2, seed=2))
    with pytest.raises(ImageReadError, match=r"a.tif has changed since it was planned: give --aga"):
        open_planned(unit, None)


@pytest.mark.parametrize("bad", [set(), {0}, {6}, {3, 4}, set(range(7))])
def test_bad_places_are_found_and_the_others_done_in_order(bad: set[int]) -> None:
    def do(places: Sequence[int]) -> list[int]:
        if bad & set(places):
            raise ImageReadError("damaged")
        return list(places)

    done, failures = try_each(range(7), do, lambda place: f"place {place}", "r.tif")
    assert [place for some in done for place in some] == [n for n in range(7) if n not in bad]
    assert failures == [Failure("r.tif", f"place {n}", 1, "damaged") for n in sorted(bad)]


def test_one_bad_place_costs_few_tries() -> None:
    n_tries = 0

    def do(places: Sequence[int]) -> None:
        nonlocal n_tries
        n_tries += 1
        if 700 in places:
            raise GeoError("no such place")

    _, failures = try_each(range(1024), do, str, "")
    assert [failure.place for failure in failures] == ["700"]
    assert n_tries == 1 + 2 * 10


def test_no_place_is_no_work_and_what_concerns_all_is_no_failure() -> None:
    def fail(places: Sequence[int]) -> None:
        raise RunError("the disk is full")

    assert try_each([], fail, str, "") == ([], [])
    with pytest.raises(RunError):
        try_each([1, 2], fail, str, "")
