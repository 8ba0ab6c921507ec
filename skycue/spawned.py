"""Processes that a process starts: spawned, for threads and locks do not survive a fork."""

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

SPAWN = multiprocessing.get_context("spawn")
"""Starts processes that inherit nothing."""


def end_with_the_parent() -> None:
    """Let this process end when the one that started it does: killed, that one tells nobody."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
