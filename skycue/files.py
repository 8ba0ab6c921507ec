"""Write files so that a reader never sees half of one, and name files by their content."""

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skycue.errors import OutputExistsError

PARTIAL_SUFFIX = ".partial"
"""Ends the name of a file that is still being written, or of the folder that it is written in."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write a file under, which takes its final name if the block ends well.

    For libraries that write by themselves. The name given is the final one, in a hidden folder
    beside it, where they may put files of their own too. The content is forced to the disk before
    the rename, and the rename after it. Missing parent folders are made. A block that raises leaves
    no trace; a process killed on the way leaves at most a hidden folder that ends in `.partial`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL_SUFFIX, dir=path.parent))
    try:
        partial = folder / path.name
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file that holds either its old content or all of the new, whatever happens.

    The content goes to a temporary name in the same folder, is forced to the disk, and takes the
    final name by a rename, which is forced to the disk too. Missing parent folders are made. A
    process killed on the way leaves at most a hidden file that ends in `.partial`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.getpid()}-{threading.get_ident()}"  # two may write one file at a time
    partial = path.parent / f".{path.name}.{writer}{PARTIAL_SUFFIX}"
    with partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Stop before a result would replace another one.

    Raises:
        OutputExistsError: If `path` exists and `force` is false.
    """
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists: choose another name, or replace it with --force.")


def _sync_folder(folder: Path) -> None:
    """Force a rename to the disk; Windows neither offers nor needs it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
