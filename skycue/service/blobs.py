"""Files of the server under keys: a folder, or an object store with a bounded local cache.

A file is written once under a key of its own and never changed, so a local copy is never stale.
Keys are made by the server (`names.py`); no part of one comes from a client.
"""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from skycue.errors import ConfigError, MissingToolError, NotFoundError
from skycue.files import PARTIAL_SUFFIX, write_atomically

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Download = Callable[[str, Path], None]
"""Writes the file of a key to a path."""


class FileStore:
    """Keeps files by key."""

    def __init__(self, url: str, *, cache: Path, cache_bytes: int, endpoint: str = "") -> None:
        """Connect to a folder or an object store.

        Args:
            url: A folder, or a URL of fsspec such as s3://BUCKET/PREFIX.
            cache: Folder of local copies, of this process alone; not used where `url` is a folder.
            cache_bytes: Size of the copies; those used longest ago go first.
            endpoint: Address of an S3 server other than Amazon's.

        Raises:
            ConfigError: If the URL names no known kind of store, or it does not answer.
            MissingToolError: If what speaks its protocol is not installed.
        """
        self._folder = None if "://" in url else Path(url)
        self._cache = LocalCache(cache, cache_bytes)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            return
        self._remote, self._prefix = _connect(url, endpoint)

    def put(self, key: str, path: Path) -> int:
        """Move a local file under a key and return its size; the local file is gone then."""
        size = path.stat().st_size
        if self._folder is None:
            self._remote.put_file(str(path), self._name(key))
            path.unlink()
            return size
        target = self._folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{target.name}{PARTIAL_SUFFIX}"
        shutil.move(path, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
        return size

    def put_bytes(self, key: str, content: bytes) -> None:
        """Write some bytes under a key."""
        if self._folder is None:
            self._remote.pipe_file(self._name(key), content)
        else:
            write_atomically(self._folder / key, content)

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """Give a local path to a file, which stays while the block runs.

        Raises:
            NotFoundError: If there is no file under the key.
        """
        if self._folder is not None:
            path = self._folder / key
            if not path.is_file():
                raise NotFoundError("a file of the server is missing: its operator must look.")
            yield path
            return
        with self._cache.hold(key, self._download) as path:
            yield path

    def read(self, key: str) -> bytes:
        """Return the content under a key."""
        with self.local(key) as path:
            return path.read_bytes()

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the files in a folder of keys, sorted."""
        if self._folder is not None:
            root = self._folder / prefix
            found = (path.relative_to(self._folder).as_posix() for path in root.rglob("*"))
            return sorted(
                key
                for key in found
                if (self._folder / key).is_file() and not key.endswith(PARTIAL_SUFFIX)
            )
        self._remote.invalidate_cache()
        start = len(self._prefix) + 1
        return sorted(str(name)[start:] for name in self._remote.find(self._name(prefix)))

    def remove(self, prefix: str) -> None:
        """Remove a file, or all files in a folder of keys; none is no mistake."""
        if self._folder is not None:
            target = self._folder / prefix
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            return
        self._remote.invalidate_cache()
        for name in self._remote.find(self._name(prefix)):
            self._remote.rm_file(name)
            self._cache.forget(str(name)[len(self._prefix) + 1 :])

    def is_ready(self) -> bool:
        """Tell whether the store answers."""
        if self._folder is not None:
            return os.access(self._folder, os.W_OK)
        try:
            self._remote.invalidate_cache()
            self._remote.find(self._name("ready"))
        except OSError:
            return False
        return True

    def _download(self, key: str, target: Path) -> None:
        try:
            self._remote.get_file(self._name(key), str(target))
        except FileNotFoundError as error:
            raise NotFoundError("a file of the server is missing: its operator must look.") from (
                error
            )

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}"


class LocalCache:
    """Copies of an object store's files, bounded in size; a copy in use is never removed."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Hold copies in a folder; those of an earlier run are removed."""
        self._folder, self._max_bytes = folder, max_bytes
        shutil.rmtree(folder, ignore_errors=True)
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._sizes: dict[str, int] = {}  # the one used last stands last
        self._users: Counter[str] = Counter()

    @contextmanager
    def hold(self, key: str, download: Download) -> Iterator[Path]:
        """Give the copy of a file, made by `download(key, path)` where there is none."""
        path = self._folder / key
        with self._lock:
            self._users[key] += 1
            waiting = self._locks.setdefault(key, threading.Lock())
        try:
            with waiting:  # others of this key wait, other keys do not
                if not path.is_file():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    partial = path.parent / f".{path.name}{PARTIAL_SUFFIX}"
                    download(key, partial)
                    partial.replace(path)
            with self._lock:
                self._sizes.pop(key, None)
                self._sizes[key] = path.stat().st_size
                self._shrink()
            yield path
        finally:
            with self._lock:
                self._users[key] -= 1
                self._shrink()

    def forget(self, key: str) -> None:
        """Remove the copy of a file that is gone."""
        with self._lock:
            if self._sizes.pop(key, None) is not None:
                (self._folder / key).unlink(missing_ok=True)

    def n_bytes(self) -> int:
        """Return the size of the copies."""
        with self._lock:
            return sum(self._sizes.values())

    def _shrink(self) -> None:
        """Remove the copies used longest ago until the others fit."""
        total = sum(self._sizes.values())
        for key in list(self._sizes):
            if total <= self._max_bytes:
                return
            if self._users[key] == 0:
                total -= self._sizes.pop(key)
                (self._folder / key).unlink(missing_ok=True)


def _connect(url: str, endpoint: str) -> "tuple[AbstractFileSystem, str]":
    """Return a file system and the prefix of all keys in it."""
    import fsspec

    options: dict[str, object] = {}
    if endpoint:
        options["client_kwargs"] = {"endpoint_url": endpoint}
    try:
        remote, prefix = fsspec.core.url_to_fs(url, **options)
        remote.find(prefix)
    except ImportError as error:
        raise MissingToolError(
            f"the file store {url} needs more: pip install 'skycue[cloud]'."
        ) from error
    except FileNotFoundError:
        return remote, prefix.rstrip("/")
    except (ValueError, OSError) as error:
        raise ConfigError(f"the file store {url} cannot be used: {error}.") from error
    return remote, prefix.rstrip("/")
