"""Encodings kept on disk: rows of numbers under the hash of what they encode.

A *space* is one kind of row, such as the token maps of one backbone; it is a folder. In it lie
shards: safetensors files with many rows each, and their keys in the metadata. A shard is written
once, atomically, and never changed, so a process may be killed at any moment, and several may
write and read one store at a time: the worst that can happen is that a row is computed twice.

The size is bounded. A shard that is read gets a new date; when the store outgrows its bound, the
shards with the oldest dates go. One that another process removed is simply not there any more.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import sys
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from skycue.files import PARTIAL_SUFFIX, write_atomically

logger = logging.getLogger(__name__)

ROWS = "rows"
"""Name of the one tensor in a shard, [N, ...]."""
KEYS = "keys"
"""Name of the metadata that holds the N keys as a JSON list."""
SHARD_SUFFIX = ".safetensors"
_ANY_SHARD = "[0-9a-f]" * 64 + SHARD_SUFFIX  # so named that no other file is ever removed

DEFAULT_MAX_BYTES = 20_000_000_000
"""Bound of a store: the token maps of about 65,000 images by ViT-B/16, or 10^7 embeddings."""
LOW_WATER = 0.9
"""Share of the bound that is left when shards are removed, so that this happens rarely."""
WRITERS = 16
"""Processes that may write at a time and stay under the bound: each looks at the size of the whole
store after it has written this part of what was free when it looked last."""
ABANDONED_S = 3600.0
"""Age of a half-written file whose writer must have been killed."""
MAX_INDEXES = 64
"""Spaces whose keys are held in memory; those used longest ago are read again when needed."""


ROWS_A_PART = 8192
"""Pixels of a raster, from top to bottom, whose windows lie in one part of a space."""


class WindowKey(NamedTuple):
    """Names what is encoded of a raster.

    Attributes:
        source: Hash of the file and of how it is read: which bands, stretched how.
        x: Column of the window's first pixel.
        y: Row of its first pixel.
        width: Its columns.
        height: Its rows.
        size: (height, width) in pixels at which it is read.
    """

    source: str
    x: int
    y: int
    width: int
    height: int
    size: tuple[int, int]

    @property
    def part(self) -> str:
        """The folder inside a space in which the window's encoding lies."""
        return f"{self.source}-{self.y // ROWS_A_PART}"

    def __str__(self) -> str:
        """Return the key within the part."""
        return f"{self.x},{self.y},{self.width},{self.height}@{self.size[0]}x{self.size[1]}"


class _Place(NamedTuple):
    """Where a row lies."""

    shard: Path
    row: int


class _Index:
    """Which rows a space holds, as far as this process has looked."""

    def __init__(self) -> None:
        self.places: dict[str, _Place] = {}
        self.shards: set[Path] = set()
        self.seen_ns = -1  # date of the folder when it was read

    def add(self, shard: Path, keys: Sequence[str]) -> None:
        self.shards.add(shard)
        self.places.update({key: _Place(shard, row) for row, key in enumerate(keys)})

    def drop(self, shard: Path) -> None:
        self.shards.discard(shard)
        self.places = {key: place for key, place in self.places.items() if place.shard != shard}


class EncodingStore:
    """A folder of encodings that outlive the process; threads and processes may share it.

    Args:
        folder: Where the spaces lie; it is made when something is kept.
        max_bytes: Size that all shards together do not exceed.
    """

    def __init__(self, folder: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._lock = threading.Lock()  # of the indexes and of what follows
        self._free_to_write = 0  # bytes until this process looks at the size again
        self._told_why_not = False

    def load(self, space: str, keys: Sequence[str]) -> dict[str, Tensor]:
        """Return the rows that are kept, by key; the others are left out."""
        found: dict[str, Tensor] = {}
        for shard, row_of in self._locate(space, keys).items():
            if file := self._open(space, shard):
                with file as opened:
                    rows = opened.get_tensor(ROWS)[list(row_of.values())]  # read lazily
                found.update(zip(row_of, rows, strict=True))
        return {key: found[key] for key in dict.fromkeys(keys) if key in found}

    def save(self, space: str, keys: Sequence[str], rows: Tensor) -> None:
        """Keep one row for each key; where the disk does not take them, say so and go on.

        Args:
            space: Names the kind of row; a folder name, or several with slashes between.
            keys: N different keys, such as file hashes.
            rows: What to keep, [N, ...].
        """
        self._write(space, keys, {ROWS: rows.contiguous()})

    def load_fields(self, space: str, key: str) -> dict[str, Tensor] | None:
        """Return the tensors that `save_fields` kept, or None."""
        for shard in self._locate(space, [key]):
            if file := self._open(space, shard):
                with file as opened:
                    return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return None

    def save_fields(self, space: str, key: str, fields: Mapping[str, Tensor]) -> None:
        """Keep tensors of different shapes, all of them or none, under one key of a space."""
        self._write(space, [key], {name: field.contiguous() for name, field in fields.items()})

    def _open(self, space: str, shard: Path) -> safe_open | None:
        """Open a shard, which is in use now; None where it is gone or damaged."""
        try:
            os.utime(shard)
            return _open_shard(shard)
        except FileNotFoundError:  # removed by another process since it was found
            pass
        except SafetensorError as error:
            logger.warning("passed over the damaged encodings %s: %s", shard, error)
        with self._lock:
            self._index(space).drop(shard)
        return None

    def _write(self, space: str, keys: Sequence[str], tensors: dict[str, Tensor]) -> None:
        """Write a shard, and remove old ones where there are too many."""
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()
        shard = self.folder / space / f"{name}{SHARD_SUFFIX}"
        content = safetensors_bytes(tensors, {KEYS: json.dumps(list(keys))})
        if len(content) > self.max_bytes:
            self._tell(f"{len(content) / 1e6:.1f} MB at once are more than the store may hold")
            return
        try:
            write_atomically(shard, content)
        except OSError as error:  # a full or read-only disk must not stop who can compute
            self._tell(f"{error.strerror} ({shard.parent})")
            return
        with self._lock:
            self._index(space).add(shard, keys)
            self._free_to_write -= len(content)
            must_look = self._free_to_write < 0
        if must_look:
            free = self.max_bytes - self.evict()
            with self._lock:
                self._free_to_write = free // WRITERS

    def n_bytes(self) -> int:
        """Return the size of all shards."""
        return sum(size for _, size, _ in self._files(_ANY_SHARD))

    def evict(self) -> int:
        """Remove the shards used longest ago where the store exceeds its bound; return its size.

        What killed writers left behind goes too.
        """
        long_ago = time.time_ns() - int(ABANDONED_S * 1e9)
        for date, _, path in self._files(f".{_ANY_SHARD}.*{PARTIAL_SUFFIX}"):
            if date < long_ago:
                path.unlink(missing_ok=True)
        shards = sorted(self._files(_ANY_SHARD))
        total = sum(size for _, size, _ in shards)
        if total <= self.max_bytes:
            return total
        removed = 0
        for _, size, path in shards:
            if total - removed <= LOW_WATER * self.max_bytes:
                break
            with contextlib.suppress(PermissionError):  # Windows: a reader holds it
                path.unlink(missing_ok=True)
                removed += size
        logger.info("removed the oldest %.1f MB of the encodings in %s", removed / 1e6, self.folder)
        return total - removed

    def _files(self, pattern: str) -> Iterator[tuple[int, int, Path]]:
        """Yield (date in ns, bytes, path) of the files in all spaces whose names fit."""
        for path in self.folder.rglob(pattern):
            with contextlib.suppress(FileNotFoundError):  # removed while we look
                facts = path.stat()
                yield facts.st_mtime_ns, facts.st_size, path

    def _locate(self, space: str, keys: Sequence[str]) -> dict[Path, dict[str, int]]:
        """Return the rows of the keys that are kept, by shard."""
        wanted: dict[Path, dict[str, int]] = defaultdict(dict)
        with self._lock:
            index = self._index(space)
            if any(key not in index.places for key in keys):
                self._refresh(space, index)
            for key in keys:
                if key in index.places:
                    place = index.places[key]
                    wanted[place.shard][key] = place.row
        return wanted

    def _index(self, space: str) -> _Index:
        """Return the index of a space, the last one used, while the lock is held."""
        index = self._indexes.setdefault(space, _Index())
        self._indexes.move_to_end(space)
        if len(self._indexes) > MAX_INDEXES:
            self._indexes.popitem(last=False)
        return index

    def _refresh(self, space: str, index: _Index) -> None:
        """Read the keys of shards that this process has not seen, where the folder changed."""
        folder = self.folder / space
        try:
            date = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if date == index.seen_ns:
            return
        for shard in sorted(folder.glob(_ANY_SHARD)):
            if shard in index.shards:
                continue
            try:
                with _open_shard(shard) as file:
                    index.add(shard, json.loads(file.metadata()[KEYS]))
            except FileNotFoundError:
                continue
            except SafetensorError as error:
                index.shards.add(shard)  # told once
                logger.warning("passed over the damaged encodings %s: %s", shard, error)
        index.seen_ns = date

    def _tell(self, reason: str) -> None:
        """Warn once that encodings are not kept."""
        if not self._told_why_not:
            logger.warning("encodings are not kept: %s", reason)
            self._told_why_not = True


def _open_shard(shard: Path) -> safe_open:
    """Open a shard; `FileNotFoundError` where another process has removed it.

    safetensors opens a file twice, for its header and as a storage of torch, which says
    `RuntimeError` where the file went in between.
    """
    try:
        return safe_open(shard, framework="pt")
    except RuntimeError as error:
        if f"({errno.ENOENT})" not in str(error):
            raise
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(shard)) from error


def default_cache_folder() -> Path:
    """Return where this platform keeps what can be computed again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "skycue"
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "skycue" / "Cache"
    return home / ".cache" / "skycue"
