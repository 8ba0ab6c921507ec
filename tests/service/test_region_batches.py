"""Boxes of several owners share batches, wait in turn, and fail alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import cast

import pytest

from skycue.answers import Answer
from skycue.box_windows import ShownWindow
from skycue.errors import ConfigError, NotFoundError, QuotaError
from skycue.geo.raster import Raster
from skycue.region_describer import RegionDescriber
from skycue.service.rasters import Rasters
from skycue.service.region_batches import BoxRequest, RegionBatches
from tests.web.made_up_regions import TAKEN_QUESTION, MadeUpRegions, caption_of
from tests.web.serving import geotiff, levels

PIXELS = levels(40, 60)


class Opened:
    """Stands for the table of rasters: every id but "none" is the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self, owner: str, raster: str) -> Iterator[Raster]:
        if raster == "none":
            raise NotFoundError("no raster none.")
        yield Raster.open(self.path)


class Kept:
    """Keeps what is said of a box, and tells when it ends."""

    def __init__(self) -> None:
        self.captions: list[str] = []
        self.found: Answer | None = None
        self.error: Exception | None = None
        self.ended = Event()

    def words(self, caption: str) -> None:
        self.captions.append(caption)

    def answer(self, answer: Answer, shown: ShownWindow, raster: Raster) -> None:
        self.found = answer
        self.ended.set()

    def problem(self, problem: Exception) -> None:
        self.error = problem
        self.ended.set()


@pytest.fixture
def batches(tmp_path: Path) -> Iterator[RegionBatches]:
    path = tmp_path / "a.tif"
    path.write_bytes(geotiff(PIXELS))
    model = MadeUpRegions()
    batches = RegionBatches(
        lambda: cast(RegionDescriber, model),
        cast(Rasters, Opened(path)),
        max_boxes=4,
        wait_s=0.0,
        max_waiting=20,
    )
    yield batches
    batches.stop()


def requests_of(
    owner: str, n: int, *, raster: str = "r", ask: str | None = None
) -> list[BoxRequest]:
    return [BoxRequest(owner, raster, (k, 1.0, k + 9.0, 12.0), ask, Kept()) for k in range(n)]


def wait(*requests: BoxRequest) -> list[Kept]:
    kept = [cast(Kept, request.reply) for request in requests]
    assert all(one.ended.wait(60) for one in kept)
    return kept


def test_owners_take_turns_so_that_many_boxes_of_one_delay_nobody(batches: RegionBatches) -> None:
    many, few = requests_of("many", 12), requests_of("few", 1)
    batches.submit(many)
    batches.submit(few)
    first = batches._next_batch()
    assert first is not None
    assert [request.owner for request in first] == ["many", "few", "many", "many"]


def test_each_box_gets_its_own_answer_and_its_words(batches: RegionBatches) -> None:
    asked = requests_of("one", 6) + requests_of("one", 3)
    batches.submit(asked)
    batches.start()
    for request, kept in zip(asked, wait(*asked), strict=True):
        assert kept.found is not None
        assert kept.found.caption == caption_of(PIXELS, request.box) == kept.captions[-1]


def test_a_box_that_fails_takes_no_other_with_it(batches: RegionBatches) -> None:
    good, lost = requests_of("a", 2), requests_of("b", 1, raster="none")
    odd, fine = requests_of("c", 1, ask="What?"), requests_of("d", 1, ask=TAKEN_QUESTION)
    for some in (good, lost, odd, fine):
        batches.submit(some)
    batches.start()
    ends = wait(*good, *lost, *odd, *fine)
    assert [type(one.error) for one in ends] == [
        type(None), type(None), NotFoundError, ConfigError, type(None),
    ]  # fmt: skip
    assert all(one.found is not None for one in ends if one.error is None)


def test_too_many_waiting_boxes_are_refused_as_a_whole(batches: RegionBatches) -> None:
    batches.submit(requests_of("a", 15))
    with pytest.raises(QuotaError, match="15 of your boxes wait"):
        batches.submit(requests_of("a", 6))
    batches.submit(requests_of("b", 20))
    batches.submit(requests_of("a", 5))


def test_who_waits_when_the_server_ends_is_told_so(batches: RegionBatches) -> None:
    asked = requests_of("a", 3)
    batches.submit(asked)
    batches.stop()
    batches.start()
    assert all("ends" in str(one.error) for one in wait(*asked))
