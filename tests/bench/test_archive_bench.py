"""The benchmarks of archives do what they time, at tiny size; nothing here is about time."""

from pathlib import Path

import pytest

from bench import archive, archive_driver
from bench.timing import Options
from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip

ONCE = Options(threads=1, rounds=1)


def test_the_case_has_a_unit_for_every_step(tiny_clip: Clip, tmp_path: Path) -> None:
    save_clip(tiny_clip, tmp_path / "tiny")
    size = archive.Size(side=256, n_units=4, unit_size=4)
    case = archive.prepare(tmp_path, size, str(tmp_path / "tiny"))
    assert len(case.plan) == size.n_units
    assert case.plan.n_places() == (256 // archive.WINDOW) ** 2
    assert archive.loop_alone(case) > 0


@pytest.mark.slow
@pytest.mark.ray
def test_engines_do_the_runs_that_are_timed(tiny_clip: Clip, tmp_path: Path) -> None:
    save_clip(tiny_clip, tmp_path / "tiny")
    size = archive.Size(side=256, n_units=4, unit_size=4)
    results = archive.measure(ONCE, size, backbone=str(tmp_path / "tiny"))
    assert len(results) == 4
    small = archive_driver.Size(n_parts=2, n_rows=5, n_units=3, n_waiting=4, pause_s=0.01)
    assert len(archive_driver.measure(ONCE, small)) == 7
