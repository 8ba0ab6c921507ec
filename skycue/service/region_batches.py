"""Boxes of all users, answered together by the one region model.

A thread holds the model. It takes waiting boxes of each owner in turn, so that somebody with a
thousand boxes delays others by a batch at most, and answers those of a batch in one pass though
they lie on different rasters. Nobody waits for a reader: an answer is handed to a callback that
must not block.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from skycue.answers import Answer
from skycue.box_windows import ShownWindow, window_of
from skycue.boxes import Box
from skycue.errors import ConflictError, QuotaError, SkycueError
from skycue.geo.raster import Raster
from skycue.region_describer import EncodedRegions, RegionDescriber
from skycue.service.rasters import Rasters
from skycue.shown_windows import ShownPixels, answer_of_nothing, read_shown

logger = logging.getLogger(__name__)

KEPT_PIXELS = 64_000_000
"""Pixels of the encoded windows that are held in memory."""


class Reply(Protocol):
    """Where what is said of a box goes; called in the model's thread, so it must not block."""

    def words(self, caption: str) -> None:
        """Take the caption as far as it is written."""

    def answer(self, answer: Answer, shown: ShownWindow, raster: Raster) -> None:
        """Take the answer, in pixels of the window that was shown."""

    def problem(self, problem: Exception) -> None:
        """Take what prevented an answer."""


class BoxRequest(NamedTuple):
    """A box that waits for the model.

    Attributes:
        owner: Who asks.
        raster: Id of the raster.
        box: In pixels of the raster, inside it.
        ask: A question in place of the model's own, or None.
        reply: Where the answer goes.
    """

    owner: str
    raster: str
    box: Box
    ask: str | None
    reply: Reply


class _Window(NamedTuple):
    """A window that was read, and encoded once something of it was asked for."""

    pixels: ShownPixels
    image: EncodedRegions


class _Seen(NamedTuple):
    """A box with the window that it lies on."""

    request: BoxRequest
    raster: Raster
    shown: ShownWindow
    window: _Window


_WindowKey = tuple[str, tuple[int, ...], ShownWindow]
"""Id of the raster, its shown bands, and the window."""


class BatchCounts(Protocol):
    """What is told about batches, for measures."""

    def waiting(self, boxes: int) -> None:
        """Boxes wait now."""

    def batch(self, boxes: int) -> None:
        """A batch of so many boxes begins."""


class RegionBatches:
    """Answers boxes in batches."""

    def __init__(
        self,
        load: Callable[[], RegionDescriber],
        rasters: Rasters,
        *,
        max_boxes: int,
        wait_s: float,
        max_waiting: int,
        counts: BatchCounts | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            load: Loads the model, in the thread that holds it.
            rasters: Opens rasters.
            max_boxes: Boxes of a batch.
            wait_s: How long the first box of a batch waits for others.
            max_waiting: Boxes of one owner that wait at once.
            counts: Told about batches.
        """
        self._load, self._rasters = load, rasters
        self._max_boxes, self._wait_s, self._max_waiting = max_boxes, wait_s, max_waiting
        self.counts = counts
        self._waiting: OrderedDict[str, deque[BoxRequest]] = OrderedDict()
        self._news = threading.Condition()
        self._stopping = False
        self._windows: OrderedDict[_WindowKey, _Window] = OrderedDict()
        self._thread = threading.Thread(target=self._serve, name="region-model", daemon=True)

    def start(self) -> None:
        """Load the model and begin to answer."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the batch that runs; what waits is told so."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def submit(self, requests: Sequence[BoxRequest]) -> None:
        """Let boxes of one owner wait for the model.

        Raises:
            QuotaError: If too many of them wait; none is taken then.
            ConflictError: If the server ends.
        """
        if not requests:
            return
        owner = requests[0].owner
        with self._news:
            if self._stopping:
                raise ConflictError("the server ends: ask again when it is back.")
            mine = self._waiting.get(owner, deque())
            if len(mine) + len(requests) > self._max_waiting:
                raise QuotaError(
                    f"{len(mine)} of your boxes wait; with {len(requests)} more they would exceed "
                    f"{self._max_waiting}. Ask again when some are answered."
                )
            self._waiting.setdefault(owner, mine).extend(requests)
            self._tell_waiting()
            self._news.notify_all()

    def _serve(self) -> None:
        try:
            describer = self._load()
        except Exception as error:  # told to everybody who asks; the log has it in full
            logger.exception("the region model cannot be loaded")
            self._refuse_all(error)
            return
        while (batch := self._next_batch()) is not None:
            if self.counts is not None:
                self.counts.batch(len(batch))
            self._answer(describer, batch)
        self._refuse_all(ConflictError("the server ends: ask again when it is back."))

    def _next_batch(self) -> list[BoxRequest] | None:
        """Wait for boxes and take some of each owner in turn; None when the server ends."""
        with self._news:
            while not self._waiting and not self._stopping:
                self._news.wait()
            if self._stopping:
                return None
            deadline = time.monotonic() + self._wait_s
            while sum(map(len, self._waiting.values())) < self._max_boxes and not self._stopping:
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    break
            batch: list[BoxRequest] = []
            question = next(iter(self._waiting.values()))[0].ask
            passed: set[str] = set()
            while len(batch) < self._max_boxes:
                owner = next((name for name in self._waiting if name not in passed), None)
                if owner is None:
                    break
                mine = self._waiting[owner]
                if mine[0].ask != question:  # one question a pass
                    passed.add(owner)
                    continue
                batch.append(mine.popleft())
                if mine:
                    self._waiting.move_to_end(owner)
                else:
                    del self._waiting[owner]
            self._tell_waiting()
            return batch

    def _answer(self, describer: RegionDescriber, batch: Sequence[BoxRequest]) -> None:
        """Answer a batch; a box that cannot be answered takes no other with it."""
        seen = []
        for request in batch:
            try:
                one = self._look(describer, request)
                if one.window.pixels.holds_any(one.shown.to_shown(request.box)):
                    seen.append(one)
                    continue
                nothing = answer_of_nothing(one.shown, request.box, describer.model)
                request.reply.answer(nothing, one.shown, one.raster)
            except Exception as error:
                self._tell_problem(request, error)
        if not seen:
            return
        try:
            self._answer_together(describer, seen)
        except Exception as error:
            if len(seen) == 1:
                self._tell_problem(seen[0].request, error)
                return
            for one in seen:
                try:
                    self._answer_together(describer, [one])
                except Exception as own:
                    self._tell_problem(one.request, own)

    def _answer_together(self, describer: RegionDescriber, seen: Sequence[_Seen]) -> None:
        pairs = [(one.window.image, one.shown.to_shown(one.request.box)) for one in seen]
        answers = describer.describe_pairs(
            pairs,
            ask=seen[0].request.ask,
            told=lambda row, caption: seen[row].request.reply.words(caption),
        )
        for one, answer in zip(seen, answers, strict=True):
            one.request.reply.answer(one.window.pixels.cut(answer), one.shown, one.raster)

    def _look(self, describer: RegionDescriber, request: BoxRequest) -> _Seen:
        """Return the encoded window around a box, encoded once for all boxes on it."""
        with self._rasters.open(request.owner, request.raster) as raster:
            shown = window_of(request.box, raster.size, describer.needs)
            key = (request.raster, raster.bands, shown)
            window = self._windows.pop(key, None)
            if window is None:
                pixels = read_shown(raster, shown)
                window = _Window(pixels, describer.encode(pixels.pixels))
            self._windows[key] = window
        self._forget_windows()
        return _Seen(request, raster, shown, window)

    def _forget_windows(self) -> None:
        """Let go of the windows used longest ago."""
        pixels = sum(shown.size[0] * shown.size[1] for *_, shown in self._windows)
        while pixels > KEPT_PIXELS and len(self._windows) > 1:
            (*_, shown), _ = self._windows.popitem(last=False)
            pixels -= shown.size[0] * shown.size[1]

    def _tell_problem(self, request: BoxRequest, error: Exception) -> None:
        if not isinstance(error, SkycueError):
            logger.error("box %s of %s", request.box, request.raster, exc_info=error)
        request.reply.problem(error)

    def _refuse_all(self, error: Exception) -> None:
        """Tell everybody who waits, and everybody who will, that no answer comes."""
        while True:
            with self._news:
                while not self._waiting and not self._stopping:
                    self._news.wait()
                waiting = [request for mine in self._waiting.values() for request in mine]
                self._waiting.clear()
                ends = self._stopping
            for request in waiting:
                request.reply.problem(error)
            if ends:
                return

    def _tell_waiting(self) -> None:
        if self.counts is not None:
            self.counts.waiting(sum(map(len, self._waiting.values())))
