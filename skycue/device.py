"""Where and how precisely to compute: devices, number formats, and running out of memory."""

import contextlib
import logging
from collections.abc import Iterator

import torch

from skycue.errors import DeviceError, OutOfMemoryError

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:n` or `mps` into a device of this machine.

    `auto` takes CUDA before MPS before the CPU, and logs its choice. A device that is asked for
    by name is never replaced by another.

    Raises:
        DeviceError: If the name is not one of these, or this machine has no such device.
    """
    available = available_devices()
    if name == "auto":
        device = torch.device(available[0])
        logger.info("device auto: %s", describe_device(device))
        return device
    if name == "cuda" and "cuda:0" in available:
        name = "cuda:0"
    if name in available:
        return torch.device(name)
    if name == "cuda" or name.startswith("cuda:") or name == "mps":
        problem = f"this machine has no device '{name}'"
    else:
        problem = f"'{name}' is no device"
    raise DeviceError(f"{problem}; use auto or one of: {', '.join(available)}")


def available_devices() -> list[str]:
    """List the devices of this machine, the fastest first; the last is always `cpu`."""
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def describe_device(device: torch.device) -> str:
    """Say what a device is, with its threads or its memory in GiB."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{device} ({properties.name}, {properties.total_memory / 2**30:.0f} GiB)"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' * (threads != 1)})"
    return str(device)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Turn `auto`, `float32`, `bfloat16` or `float16` into the number format to compute in.

    `auto` is bfloat16 on a CUDA device that computes in it, and float32 elsewhere: a CPU without
    instructions for half precision is several times slower in it. It logs its choice.

    Raises:
        DeviceError: If the name is not one of these.
    """
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = torch.bfloat16 if fast else torch.float32
        logger.info("dtype auto: %s", str(dtype).removeprefix("torch."))
        return dtype
    if name not in DTYPES:
        raise DeviceError(f"'{name}' is no dtype; use auto or one of: {', '.join(DTYPES)}")
    return DTYPES[name]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Compute in `dtype` where that is safe, with float32 weights; float32 changes nothing."""
    half = torch.bfloat16 if dtype == torch.float32 else dtype  # float32 itself is refused
    return torch.autocast(device.type, dtype=half, enabled=dtype != torch.float32)


@contextlib.contextmanager
def explain_out_of_memory(setting: str) -> Iterator[None]:
    """Turn running out of memory into one line that names the setting to lower.

    Args:
        setting: What to lower and how, such as `--batch-size 64`.

    Raises:
        OutOfMemoryError: If the memory of the device or of the machine ran out inside.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"out of memory; lower {setting} and start again") from error


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Tell running out of memory from other errors; on a CPU torch raises a bare RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error).lower()
    return "out of memory" in message or "can't allocate memory" in message
