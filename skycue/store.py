"""Encodings kept on disk: rows of numbers under the hash of what they encode.

A *space* is one kind of row, such as the token maps of one backbone; it is a folder. In it lie
shards: safetensors files with many rows each, and their keys in the metadata. A shard is written
once, atomically, and never changed, so a process may be killed at any moment, and several may
share a store.
"""

import hashlib
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from skycue.files import write_atomically

logger = logging.getLogger(__name__)

ROWS = "rows"
"""Name of the one tensor in a shard, [N, ...]."""
KEYS = "keys"
"""Name of the metadata that holds the N keys as a JSON list."""
SHARD_SUFFIX = ".safetensors"


class _Place(NamedTuple):
    """Where a row lies."""

    shard: Path
    row: int


class EncodingStore:
    """A folder of encodings that outlive the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, dict[str, _Place]] = {}

    def load(self, space: str, keys: Sequence[str]) -> dict[str, Tensor]:
        """Return the rows that are kept, by key; the others are left out."""
        places = self._index(space)
        wanted: dict[Path, list[str]] = defaultdict(list)
        for key in dict.fromkeys(keys):
            if key in places:
                wanted[places[key].shard].append(key)
        found: dict[str, Tensor] = {}
        for shard, held in wanted.items():
            with safe_open(shard, framework="pt") as file:
                rows = file.get_tensor(ROWS)[[places[key].row for key in held]]  # read lazily
            found.update(zip(held, rows, strict=True))
        return found

    def save(self, space: str, keys: Sequence[str], rows: Tensor) -> None:
        """Keep one row for each key.

        Args:
            space: Names the kind of row; a folder name.
            keys: N different keys, such as file hashes.
            rows: What to keep, [N, ...].
        """
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()
        shard = self.folder / space / f"{name}{SHARD_SUFFIX}"
        metadata = {KEYS: json.dumps(list(keys))}
        write_atomically(shard, safetensors_bytes({ROWS: rows.contiguous()}, metadata))
        self._index(space).update(_places(shard, keys))

    def n_bytes(self) -> int:
        """Return the size of all shards."""
        return sum(shard.stat().st_size for shard in self.folder.glob(f"*/*{SHARD_SUFFIX}"))

    def _index(self, space: str) -> dict[str, _Place]:
        """Return where the rows of a space lie, read from the shards the first time."""
        if space not in self._places:
            index: dict[str, _Place] = {}
            for shard in sorted((self.folder / space).glob(f"*{SHARD_SUFFIX}")):
                try:
                    with safe_open(shard, framework="pt") as file:
                        index.update(_places(shard, json.loads(file.metadata()[KEYS])))
                except SafetensorError as error:
                    logger.warning("passed over the damaged encodings %s: %s", shard, error)
            self._places[space] = index
        return self._places[space]


def default_cache_folder() -> Path:
    """Return where this platform keeps what can be computed again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "skycue"
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "skycue" / "Cache"
    return home / ".cache" / "skycue"


def _places(shard: Path, keys: Sequence[str]) -> dict[str, _Place]:
    return {key: _Place(shard, row) for row, key in enumerate(keys)}
