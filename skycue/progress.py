"""Progress on stderr for people; nothing where stderr is a file or a pipe."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_HIDDEN = threading.Event()


def hide_bars() -> None:
    """Show no bars in this process from now on: one of many workers, whose bars would mix."""
    _HIDDEN.set()


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` steps while the block runs, and yield what moves it by some steps."""
    if _HIDDEN.is_set() or not sys.stderr.isatty():
        yield lambda steps: None
        return
    from rich.console import Console  # imported when used: `skycue --help` must not wait for it
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda steps: progress.advance(task, steps)


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items and move a bar by one for each that is done."""
    with progress_bar(description, total) as advance:
        for item in items:
            yield item
            advance(1)
