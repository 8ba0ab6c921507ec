"""Boxes of a request to answers that are kept, told event by event while they come to be."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

from pydantic import JsonValue

from skycue.answers import Answer
from skycue.box_windows import ShownWindow
from skycue.boxes import Box
from skycue.errors import BoxError, SkycueError
from skycue.geo.box_places import place_boxes
from skycue.geo.raster import Raster
from skycue.service.answer_log import AnswerLog
from skycue.service.answer_records import record_of
from skycue.service.rasters import Rasters
from skycue.service.records import AnswerRecord, Problem
from skycue.service.region_batches import BoxRequest, RegionBatches

logger = logging.getLogger(__name__)

KEEPING_THREADS = 1
"""Threads that turn answers into records, so that the model goes on meanwhile; one keeps them in
the order in which they were answered."""


class Event(NamedTuple):
    """What is told of a request.

    Attributes:
        kind: `token` tells a caption so far; `answer` and `error` end what is told of a box.
        box_id: As the request named the box.
        data: JSON of the event.
        record: The answer, where that is the event.
    """

    kind: Literal["token", "answer", "error"]
    box_id: str
    data: JsonValue
    record: AnswerRecord | None = None


Listener = Callable[[Event], None]
"""Takes events, in some thread; it must not block."""


class Describing:
    """Lets boxes be described, and keeps what is said of them."""

    def __init__(self, rasters: Rasters, batches: RegionBatches, answers: AnswerLog) -> None:
        self._rasters, self._batches, self._answers = rasters, batches, answers
        self._pool = ThreadPoolExecutor(KEEPING_THREADS, "answers")

    def begin(
        self,
        owner: str,
        raster: str,
        boxes: Sequence[tuple[str, Box]],
        listener: Listener,
        *,
        crs: str = "pixels",
        ask: str | None = None,
    ) -> None:
        """Let boxes wait for the model; they are answered and kept whether anybody listens or not.

        Args:
            owner: Who asks.
            raster: On what.
            boxes: Names and corners.
            listener: Told about each box in the end, and about its words before.
            crs: Of the corners, or `pixels`.
            ask: A question in place of the model's own.

        Raises:
            NotFoundError: If the owner sees no such raster.
            ConflictError: If it is not ready.
            BoxError: If a box is wrong; nothing is computed then.
            GeoError: If the CRS is unknown.
            QuotaError: If too many boxes of the owner wait.
        """
        with self._rasters.open(owner, raster) as opened:
            names = [name for name, _ in boxes]
            corners = [box for _, box in boxes]
            placed = place_boxes(corners, crs, opened.georeference, opened.size, names)
        if placed.refused:
            raise BoxError(placed.refused[0].reason)
        self._batches.submit(
            [
                BoxRequest(
                    owner, raster, box, ask, _Reply(self, owner, raster, name, box, listener)
                )
                for name, box in placed.boxes
            ]
        )

    def close(self) -> None:
        """Keep what has been answered, and end."""
        self._pool.shutdown()

    def keep(self, reply: "_Reply", answer: Answer, shown: ShownWindow, raster: Raster) -> None:
        """Turn an answer into a record, keep it, and tell about it; in a thread of the pool."""
        self._pool.submit(self._keep, reply, answer, shown, raster)

    def _keep(self, reply: "_Reply", answer: Answer, shown: ShownWindow, raster: Raster) -> None:
        try:
            record = record_of(
                answer,
                shown,
                raster.georeference,
                raster=reply.raster,
                box_id=reply.box_id,
                box=reply.box,
            )
            self._answers.add(reply.owner, [record])
        except Exception as error:  # whoever waits must be told, and the thread must go on
            logger.exception("an answer about %s could not be kept", reply.raster)
            reply.problem(error)
            return
        data = record.model_dump(mode="json")
        reply.listener(Event("answer", reply.box_id, data, record))


class _Reply:
    """Takes what the model says of one box."""

    def __init__(
        self,
        describing: Describing,
        owner: str,
        raster: str,
        box_id: str,
        box: Box,
        listener: Listener,
    ) -> None:
        self._describing = describing
        self.owner, self.raster, self.box_id, self.box = owner, raster, box_id, box
        self.listener = listener

    def words(self, caption: str) -> None:
        data: JsonValue = {"box_id": self.box_id, "caption": caption}
        self.listener(Event("token", self.box_id, data))

    def answer(self, answer: Answer, shown: ShownWindow, raster: Raster) -> None:
        self._describing.keep(self, answer, shown, raster)

    def problem(self, problem: Exception) -> None:
        told = problem_of(problem)
        data: JsonValue = {"box_id": self.box_id, "error": told.model_dump()}
        self.listener(Event("error", self.box_id, data))


def problem_of(error: Exception) -> Problem:
    """Say what went wrong: a user's mistake in its own words, a bug of ours in none."""
    if isinstance(error, SkycueError):
        return Problem(type=type(error).__name__, message=str(error))
    message = "something went wrong in the server; its log says what."
    return Problem(type="ServerError", message=message)
