"""How much memory this process takes: what it holds now, and the peak of a piece of work.

Read from /proc, so on Linux alone; elsewhere nothing is known and None is said.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
FORGET_PEAK = Path("/proc/self/clear_refs")
"""Takes `5` to let the peak begin anew with what is held."""
HELD, PEAK = "VmRSS:", "VmHWM:"
"""Lines of `STATUS` with the resident size and its peak, in KiB. The peak is that since the program
was started; unlike `ru_maxrss` it does not begin with that of the process that started this one."""
KIBIBYTE = 1024


def held_bytes() -> int | None:
    """Return the resident size of this process; None where it cannot be read."""
    return _read(HELD)


def peak_bytes() -> int | None:
    """Return the largest resident size of this process; None where it cannot be read."""
    return _read(PEAK)


class PeakMeter:
    """Measures the peaks of pieces of work, and keeps the largest of the process."""

    def __init__(self) -> None:
        self._largest = 0
        self._of_work: int | None = None

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Note what the block takes at its peak above what is held when it begins.

        What was freed before is given back to the system first: reused, it would not show.
        """
        self._largest = self.largest or 0
        _give_back()
        held = held_bytes()
        self._of_work = None
        can_measure = _forget_peak()
        yield
        peak = peak_bytes()
        if can_measure and held is not None and peak is not None:
            self._of_work = max(peak - held, 0)

    @property
    def of_work(self) -> int | None:
        """Bytes that the last block took above what was held before; None if not measured."""
        return self._of_work

    @property
    def largest(self) -> int | None:
        """The largest resident size of the process until now; None where it cannot be read."""
        peak = peak_bytes()
        return None if peak is None else max(self._largest, peak)


def _give_back() -> None:
    """Let the C library return freed memory to the system, where it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _forget_peak() -> bool:
    """Let the peak begin anew, and say whether that is possible here."""
    try:
        FORGET_PEAK.write_text("5")
    except OSError:  # no Linux, or a sandbox that forbids it
        return False
    return True


def _read(line: str) -> int | None:
    """Return a size that `STATUS` tells, in bytes."""
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = next((each for each in lines if each.startswith(line)), None)
    return None if found is None else int(found.split()[1]) * KIBIBYTE
