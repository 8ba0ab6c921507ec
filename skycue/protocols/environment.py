"""Where a run was computed: versions, device, threads, and how fast this machine multiplies."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time

import torch
from pydantic import BaseModel

from skycue.device import describe_device

PACKAGES = ("skycue", "torch", "transformers", "tokenizers", "scikit-learn", "numpy", "pillow")
"""Packages whose version can change a number."""
MATMUL_SIDE = 1024
MATMUL_RUNS = 5


class Environment(BaseModel, frozen=True, extra="forbid"):
    """The machine and the software of a run."""

    python: str
    platform: str
    packages: dict[str, str]
    """Version of each package."""
    device: str
    dtype: str
    jobs: int = 1
    """Processes that compute at a time."""
    threads: int
    """Threads that torch computes with in each."""
    cores: int
    matmul_gflops: float
    """Fastest of a few float32 multiplications of square matrices, in 10^9 operations a second."""


def describe_environment(
    device: torch.device, dtype: torch.dtype, *, jobs: int = 1, threads: int | None = None
) -> Environment:
    """Describe this machine and measure its rate of matrix multiplication on the device.

    Args:
        device: Where the run computed.
        dtype: In which number format.
        jobs: Processes that computed at a time.
        threads: Of torch in each; those of this process if not given.
    """
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
        device=describe_device(device),
        dtype=str(dtype).removeprefix("torch."),
        jobs=jobs,
        threads=threads or torch.get_num_threads(),
        cores=os.cpu_count() or 1,
        matmul_gflops=round(_matmul_gflops(device), 1),
    )


def _matmul_gflops(device: torch.device) -> float:
    """Time square float32 products; the fastest run is the least disturbed one."""
    matrix = torch.ones(MATMUL_SIDE, MATMUL_SIDE, device=device)
    seconds = []
    for _ in range(MATMUL_RUNS):
        started = time.perf_counter()
        (matrix @ matrix).sum().item()  # .item() waits for the device
        seconds.append(time.perf_counter() - started)
    return 2 * MATMUL_SIDE**3 / min(seconds) / 1e9
