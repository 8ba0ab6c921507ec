"""Class probabilities of windows of a raster: decoded ahead, encoded once, looked up the next time.

A window is classified as the tile that it is: with the pixels of an image file cut out there it
gets the same probabilities. Its result depends on nothing but its own pixels, so windows may come
in any order, in any batches, in any process.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, groupby, islice
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skycue.backbones.preprocess import preprocess
from skycue.encoding import KeptEncodings, SceneEncoder
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.progress import progress_bar
from skycue.scenes.base import ImageInputs, Need, PromptMethod
from skycue.store import ROWS_A_PART, EncodingStore, WindowKey

READ_THREADS = 2
"""Threads that decode while the network computes."""
CHUNK = 64
"""Windows that a thread decodes at once; more where batches are larger."""
SCORED_AT_ONCE = 256
"""Windows whose prompts are scored together; a method cuts its own work smaller."""
NEIGHBOURHOOD = 2048
"""Side in pixels of the squares in whose order windows are read: neighbours share what is decoded.
A part of the store holds a whole number of them."""
SHARED_SHARE = 0.5
"""Windows are decoded in one piece if their areas together are so much of the piece at least,"""
SHARED_PIXELS = 16_000_000
"""and the piece is not larger than this."""
LARGEST_ENLARGEMENT = 4
"""Windows with a longer shorter side than so many times the backbone's input are read smaller,
through overviews where there are any, so that the largest need no more memory."""
NOTHING = "nothing-1"
"""Space of the store that knows which windows hold nothing."""

Work = TypeVar("Work")
Done = TypeVar("Done")


class WindowClassifier(Protocol):
    """What is asked of a classifier, such as `skycue.inference.SceneClassifier`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that it was fitted on."""
        ...

    @property
    def encoder(self) -> SceneEncoder:
        """What encodes images."""
        ...

    @property
    def method(self) -> PromptMethod:
        """What scores them."""
        ...

    def require_scorable(self, class_names: Sequence[str]) -> None:
        """Refuse classes that the method cannot score."""

    def probabilities(
        self, inputs: ImageInputs, class_names: Sequence[str] | None = None
    ) -> Tensor:
        """Return class probabilities of encoded images, [B, C]."""
        ...


class _Chunk(NamedTuple):
    """Windows after a look at the store and at their pixels.

    Attributes:
        positions: Of those that hold something, in the list of all windows.
        kept: What is known of them.
        pixels: Of those that have to be encoded, [3, S, S] each.
    """

    positions: list[int]
    kept: KeptEncodings
    pixels: list[Tensor]


def classify_windows(
    classifier: WindowClassifier,
    raster: Raster,
    windows: Sequence[PixelWindow],
    class_names: Sequence[str] | None = None,
    *,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Classify windows of a raster, in bounded memory beside the result.

    Where a window reaches outside, or over pixels without a value, it shows the mean colour of its
    valid pixels there. With a store in the classifier's encoder, a window is encoded once and for
    all, whatever classifier of the same backbone asks.

    Args:
        classifier: A fitted scene classifier.
        raster: What to read, as it was opened: its bands and its stretch.
        windows: N windows, in any order; some may stand twice.
        class_names: Classes to tell apart; those fitted on if not given.
        advance: Is told how many more windows are done; a progress bar if not given.

    Returns:
        Class probabilities, [N, C]; NaN for windows without a valid pixel.

    Raises:
        EncodingError: If the classifier reads captions that belong to files.
        NewClassesError: If its method cannot score a class that it has not learned.
        ImageReadError: If the raster is damaged there.
    """
    names = classifier.class_names if class_names is None else tuple(class_names)
    classifier.require_scorable(names)
    rows = np.full((len(windows), len(names)), np.nan, dtype=np.float32)
    if advance is None:
        with progress_bar("classifying windows", len(windows)) as move:
            return classify_windows(classifier, raster, windows, names, advance=move)
    needs, encoder = classifier.method.needs, classifier.encoder
    reader = _Reader(raster, encoder, needs)
    waiting: list[tuple[list[int], ImageInputs]] = []
    chunk_size, n_left = max(CHUNK, encoder.batch_size), len(windows)

    def score() -> None:
        positions = [n for some, _ in waiting for n in some]
        rows[positions] = classifier.probabilities(
            _joined([inputs for _, inputs in waiting]), names
        ).numpy()
        waiting.clear()

    with ThreadPoolExecutor(READ_THREADS) as pool:
        chunks = _chunks(raster, windows, chunk_size)
        for asked, chunk in _ahead(pool, lambda some: reader.look(some, windows), chunks):
            if chunk.positions:
                inputs = encoder.encode_missing(chunk.kept, chunk.pixels, needs)
                waiting.append((chunk.positions, inputs))
            if sum(len(positions) for positions, _ in waiting) >= SCORED_AT_ONCE:
                score()
            advance(len(asked))
            n_left -= len(asked)
    if waiting:
        score()
    advance(n_left)  # those that are known to be empty without a look
    return rows


class _Reader:
    """Looks windows up in the store, and decodes those that are not there; for many threads."""

    def __init__(self, raster: Raster, encoder: SceneEncoder, needs: Iterable[Need]) -> None:
        self.raster, self.encoder, self.needs = raster, encoder, frozenset(needs)
        self.input_size = encoder.clip.config.image.image_size
        # Without a store nobody reads the keys of another run: no need to hash a huge file.
        self.source = raster.content_key() if encoder.store is not None else ""

    def look(self, positions: Sequence[int], windows: Sequence[PixelWindow]) -> _Chunk:
        """Find or decode the windows at some positions, which lie in one part of the store."""
        keys = {n: self._key(windows[n]) for n in positions}
        part = keys[positions[0]].part
        known_empty = _EmptyWindows(self.encoder.store, part)
        empty = known_empty.among([str(key) for key in keys.values()])
        left = [n for n in positions if str(keys[n]) not in empty]
        kept = self.encoder.find_kept([str(keys[n]) for n in left], self.needs, part=part)
        missing = [left[place] for place in kept.missing]
        images = dict(zip(missing, self._read([windows[n] for n in missing]), strict=True))
        new = [str(keys[n]) for n, image in images.items() if image is None]
        known_empty.keep(new)
        return _Chunk(
            [n for n in left if str(keys[n]) not in new],
            kept.without(new),
            [image for image in images.values() if image is not None],
        )

    def _key(self, window: PixelWindow) -> WindowKey:
        return WindowKey(self.source, *window, self._read_size(window))

    def _read_size(self, window: PixelWindow) -> tuple[int, int]:
        """Return the (height, width) at which a window is read."""
        most = LARGEST_ENLARGEMENT * self.input_size
        factor = max(1.0, min(window.width, window.height) / most)
        return (round(window.height / factor), round(window.width / factor))

    def _read(self, windows: Sequence[PixelWindow]) -> Iterator[Tensor | None]:
        """Yield the pixels of windows as the backbone takes them; None where nothing is valid."""
        if piece := self._piece(windows):
            whole = self.raster.read(piece)
            for window in windows:
                top, left = window.y - piece.y, window.x - piece.x
                rows, columns = slice(top, top + window.height), slice(left, left + window.width)
                yield self._shown(whole.pixels[:, rows, columns], whole.valid[rows, columns])
            return
        for window in windows:
            pixels, valid, _ = self.raster.read(window, self._read_size(window))
            yield self._shown(pixels, valid)

    def _piece(self, windows: Sequence[PixelWindow]) -> PixelWindow | None:
        """Return what to decode for all windows at once, or None if each is decoded alone."""
        if not windows or any(self._read_size(w) != (w.height, w.width) for w in windows):
            return None
        left, top = min(w.x for w in windows), min(w.y for w in windows)
        right, bottom = max(w.x + w.width for w in windows), max(w.y + w.height for w in windows)
        n_pixels = (right - left) * (bottom - top)
        area = sum(w.width * w.height for w in windows)
        if n_pixels > SHARED_PIXELS or area < SHARED_SHARE * n_pixels:
            return None
        return PixelWindow(left, top, right - left, bottom - top)

    def _shown(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Tensor | None:
        """Return what the backbone sees of a window, RGB in [0, 1], [3, S, S]."""
        if not valid.any():
            return None
        if not valid.all():
            mean = np.rint(pixels[:, valid].mean(axis=1)).astype(np.uint8)
            pixels = np.where(valid, pixels, mean[:, None, None])
        return preprocess(torch.from_numpy(np.ascontiguousarray(pixels)), self.input_size)


class _EmptyWindows:
    """What the store knows of windows without a valid pixel, in one of its parts."""

    def __init__(self, store: EncodingStore | None, part: str) -> None:
        self._store, self._space = store, f"{NOTHING}/{part}"

    def among(self, keys: Sequence[str]) -> set[str]:
        """Return which of the windows are known to be empty."""
        return set() if self._store is None else set(self._store.load(self._space, keys))

    def keep(self, keys: Sequence[str]) -> None:
        """Remember that windows are empty."""
        if self._store is not None and keys:
            self._store.save(self._space, keys, torch.zeros(len(keys), 0, dtype=torch.uint8))


def _chunks(raster: Raster, windows: Sequence[PixelWindow], size: int) -> Iterator[tuple[int, ...]]:
    """Yield the positions of windows that may hold something, neighbours together."""
    corners = np.fromiter(chain.from_iterable(windows), np.int64, 4 * len(windows)).reshape(-1, 4)
    x, y = corners[:, 0], corners[:, 1]
    order = np.lexsort((x, y, x // NEIGHBOURHOOD, y // NEIGHBOURHOOD))  # the last counts most
    filled = (n for square in _squares(corners, order, raster) for n in square)
    for _, of_part in groupby(filled, lambda n: windows[n].y // ROWS_A_PART):
        while chunk := tuple(islice(of_part, size)):
            yield chunk


def _squares(
    corners: NDArray[np.int64], order: NDArray[np.int64], raster: Raster
) -> Iterator[list[int]]:
    """Yield the positions of windows that may hold something, by the square they start in.

    A square is looked at as a whole first: a large raster may be empty for the most part.
    """
    ordered = corners[order]
    squares = ordered[:, :2] // NEIGHBOURHOOD
    cuts = np.flatnonzero(np.any(squares[1:] != squares[:-1], axis=1)) + 1
    for positions, inside in zip(np.split(order, cuts), np.split(ordered, cuts), strict=True):
        if len(positions) == 0:
            continue
        left, top = inside[:, :2].min(axis=0).tolist()
        right, bottom = (inside[:, :2] + inside[:, 2:]).max(axis=0).tolist()
        if raster.is_empty(PixelWindow(left, top, right - left, bottom - top)):
            continue
        yield [
            position
            for position, window in zip(positions.tolist(), inside.tolist(), strict=True)
            if not raster.is_empty(PixelWindow(*window))
        ]


def _ahead(
    pool: ThreadPoolExecutor, do: Callable[[Work], Done], items: Iterable[Work]
) -> Iterator[tuple[Work, Done]]:
    """Do work in threads and yield it in order, a few items ahead of who takes them."""
    running: deque[tuple[Work, Future[Done]]] = deque()
    try:
        for item in items:
            running.append((item, pool.submit(do, item)))
            if len(running) > READ_THREADS:
                done, future = running.popleft()
                yield done, future.result()
        while running:
            done, future = running.popleft()
            yield done, future.result()
    finally:
        for _, future in running:
            future.cancel()


def _joined(inputs: Sequence[ImageInputs]) -> ImageInputs:
    """Return the inputs of several chunks as one."""
    fields = zip(*inputs, strict=True)
    return ImageInputs(*(torch.cat(rows) if rows[0] is not None else None for rows in fields))
