"""End a process like `kill -9` does, at a chosen call: for tests of trainings that go on."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAVING = {"sync": (os, "fsync"), "rename": (Path, "replace")}
"""Moments inside a save, and the function that is called there."""


def kill_at(moment: str, count: int, step: tuple[Any, str]) -> None:
    """Let this process end at a call of a function; "never" lets it be.

    Args:
        moment: "step" or one of `SAVING`.
        count: Which call is the last, from 1.
        step: Owner and name of the function that a training step calls.
    """
    moments: dict[str, tuple[Any, str]] = {"step": step, **SAVING}
    if moment in moments:
        owner, name = moments[moment]
        setattr(owner, name, _killing(getattr(owner, name), count))


def _killing(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    calls = 0

    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return wrapped
