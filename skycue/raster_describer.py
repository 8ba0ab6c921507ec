"""Describe boxes on a raster of any size, thousands in one run.

`skycue.box_windows` chooses the window that a model sees of each box. A window is read once, while
the model is at work on others, and encoded once for all of its boxes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from skycue.answers import Answer
from skycue.box_windows import BoxGroup, ShownWindow, ViewNeeds, group_boxes
from skycue.boxes import Box, PlacedBox, check_box
from skycue.errors import BoxError
from skycue.raster_answers import RasterAnswer
from skycue.region_inputs import DescribedRaster
from skycue.region_naming import Namer, name_masks
from skycue.shown_windows import ShownPixels, answer_of_nothing, read_shown
from skycue.store import WindowKey

BOXES_TOGETHER = 32
"""Boxes that the model is asked about at a time, of as many windows as that takes."""
PIXELS_TOGETHER = 16_000_000
"""Shown pixels that are held at a time, about: sixteen windows of 1024, four of 2048 pixels."""
WINDOWS_AHEAD = 2
"""Windows that are read while the model works."""
Encoded = TypeVar("Encoded")


class PairDescriber(Protocol[Encoded]):
    """A region model that is asked about boxes of several images together.

    `skycue.region_describer.RegionDescriber` is one.
    """

    @property
    def model(self) -> str:
        """Name of the model that changes with its weights."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides its answers."""
        ...

    @property
    def needs(self) -> ViewNeeds:
        """What it asks of the window around a box."""
        ...

    def encode(self, image: NDArray[np.uint8], /, *, key: WindowKey | None = None) -> Encoded:
        """Encode an image, RGB [3, H, W], or take it from a store by its key."""
        ...

    def describe_pairs(
        self, pairs: Sequence[tuple[Encoded, Box]], /, *, ask: str | None = None
    ) -> list[Answer]:
        """Return an answer to each pair of an encoded image and a box in its pixels."""
        ...


class _Read(NamedTuple):
    """A window that was read for its boxes."""

    group: BoxGroup
    shown: ShownPixels


class RasterDescriber(Generic[Encoded]):
    """A region model that is asked about boxes on one raster."""

    def __init__(
        self,
        describer: PairDescriber[Encoded],
        raster: DescribedRaster,
        *,
        ask: str | None = None,
        namer: Namer | None = None,
        source: str | None = None,
    ) -> None:
        """Join a model with a raster.

        Args:
            describer: The model.
            raster: Where the boxes lie.
            ask: What to ask in place of the model's usual question.
            namer: A fitted scene classifier that names the masks.
            source: `raster.content_key()`, where the model has a store of encoded windows; it takes
                reading the whole file once.
        """
        self._describer, self._raster = describer, raster
        self._ask, self._namer, self._source = ask, namer, source

    def describe(self, boxes: Sequence[PlacedBox]) -> Iterator[RasterAnswer]:
        """Describe boxes, window by window from top to bottom.

        The answers to a box do not depend on the others of the run, but for the rounding of sums.

        Args:
            boxes: In pixels of the raster; cut to it.

        Yields:
            An answer to each box. A box without a valid pixel has one without words, and a flag;
            no mask has pixels that the raster does not hold.

        Raises:
            BoxError: If a box is wrong or two have one id; nothing is computed then.
            ImageReadError: If the raster cannot be read at a window.
        """
        size = self._raster.size
        name, times = Counter(each.id for each in boxes).most_common(1)[0] if boxes else ("", 0)
        if times > 1:
            raise BoxError(f"{times} boxes have the id '{name}': give each its own.")
        checked = [
            PlacedBox(each.id, check_box(each.box, size, f"box {each.id}")) for each in boxes
        ]
        waiting: list[_Read] = []
        for window in self._read_ahead(group_boxes(checked, size, self._describer.needs)):
            waiting.append(window)
            n_boxes = sum(len(each.group.boxes) for each in waiting)
            n_pixels = sum(each.shown.valid.size for each in waiting)
            if n_boxes >= BOXES_TOGETHER or n_pixels >= PIXELS_TOGETHER:
                yield from self._answer(waiting)
                waiting = []
        yield from self._answer(waiting)

    def _read_ahead(self, groups: Sequence[BoxGroup]) -> Iterator[_Read]:
        """Read windows in their order, a few of them before they are asked for."""
        with ThreadPoolExecutor(1) as reader:
            rest = iter(groups)
            ahead: list[Future[_Read]] = [
                reader.submit(self._read, group) for group in islice(rest, WINDOWS_AHEAD)
            ]
            while ahead:
                read = ahead.pop(0).result()
                ahead += [reader.submit(self._read, group) for group in islice(rest, 1)]
                yield read

    def _read(self, group: BoxGroup) -> _Read:
        return _Read(group, read_shown(self._raster, group.shown))

    def _answer(self, windows: Sequence[_Read]) -> Iterator[RasterAnswer]:
        """Ask the model about the boxes of some windows together."""
        pairs: list[tuple[Encoded, Box]] = []
        asked: list[list[PlacedBox]] = []
        for window in windows:
            inside = [
                each
                for each in window.group.boxes
                if window.shown.holds_any(window.group.shown.to_shown(each.box))
            ]
            asked.append(inside)
            if inside:
                shown = window.group.shown
                encoded = self._describer.encode(window.shown.pixels, key=self._key(shown))
                pairs += [(encoded, shown.to_shown(each.box)) for each in inside]
        answers = iter(self._describer.describe_pairs(pairs, ask=self._ask) if pairs else [])
        for window, inside in zip(windows, asked, strict=True):
            found = [window.shown.cut(answer) for answer in islice(answers, len(inside))]
            if self._namer is not None:
                found = name_masks(found, window.shown.pixels, self._namer)
            named = {each.id: answer for each, answer in zip(inside, found, strict=True)}
            for each in window.group.boxes:
                answer = named.get(each.id) or answer_of_nothing(
                    window.group.shown, each.box, self._describer.model
                )
                yield self._placed(answer, window, each)

    def _key(self, shown: ShownWindow) -> WindowKey | None:
        return None if self._source is None else WindowKey(self._source, *shown.window, shown.size)

    def _placed(self, answer: Answer, window: _Read, placed: PlacedBox) -> RasterAnswer:
        named = replace(answer, image=str(self._raster.path))
        shown, place = window.group.shown, window.shown.georeference
        return RasterAnswer(named, placed, shown, self._raster.size, place)


def describe_boxes(
    describer: PairDescriber[Encoded],
    raster: DescribedRaster,
    boxes: Sequence[PlacedBox],
    *,
    ask: str | None = None,
    namer: Namer | None = None,
    source: str | None = None,
) -> list[RasterAnswer]:
    """Return the answers to boxes on a raster in their order; see `RasterDescriber`."""
    run = RasterDescriber(describer, raster, ask=ask, namer=namer, source=source)
    return in_order(run.describe(boxes), boxes)


def in_order(answers: Iterable[RasterAnswer], boxes: Sequence[PlacedBox]) -> list[RasterAnswer]:
    """Return answers in the order of the boxes that were asked about."""
    number = {placed.id: n for n, placed in enumerate(boxes)}
    return sorted(answers, key=lambda answer: number[answer.placed.id])
