"""A run from inputs to files, and what is missing for it."""

import os
import sys
from pathlib import Path

import pytest

from skycue.errors import FailedPlacesError, MissingToolError
from skycue.scale.archive import ArchiveConfig, run_archive
from skycue.scale.ray_engine import NO_STATISTICS, RayEngine
from tests.scale.made_up_work import DAMAGED, ByteWork, expected_rows, kept_rows, write_archive


def test_without_ray_the_message_says_how_to_get_it_and_what_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingToolError, match=r"'skycue\[ray\]', or use --engine local"):
        RayEngine(ByteWork(), tmp_path)


def test_ray_s_usage_statistics_are_off_before_ray_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NO_STATISTICS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingToolError):
        RayEngine(ByteWork(), tmp_path)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_failures_end_a_run_that_is_written_to_the_end(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in", n_files=2)
    for path in paths:
        path.rename(path.with_suffix(".tif"))
    paths = [path.with_suffix(".tif") for path in paths]
    paths[0].write_bytes(bytes([DAMAGED]) + paths[0].read_bytes()[1:])
    folder, inputs = tmp_path / "run", [str(tmp_path / "in")]
    settings = {"model": "bytes"}
    with pytest.raises(FailedPlacesError, match="1 of 20 places failed"):
        run_archive(ByteWork(), inputs, folder, settings=settings, n_workers=1, merge=True)
    assert kept_rows(folder) == expected_rows(paths)
    assert (folder / "rows-00000.parquet").is_file()
    content = ArchiveConfig(keep_going=True)
    result = run_archive(ByteWork(), inputs, folder, settings=settings, config=content)
    assert (result.manifest.n_rows, result.files) == (19, [])
