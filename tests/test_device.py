"""Devices, number formats and running out of memory."""

import logging

import pytest
import torch

from skycue.device import (
    autocast,
    available_devices,
    describe_device,
    explain_out_of_memory,
    resolve_device,
    resolve_dtype,
)
from skycue.errors import DeviceError, OutOfMemoryError

CPU = torch.device("cpu")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def only_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("only_cpu")
def test_auto_takes_the_cpu_where_there_is_nothing_else_and_logs_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="skycue"):
        assert resolve_device("auto") == CPU
    assert caplog.messages == [f"device auto: {describe_device(CPU)}"]


@pytest.mark.usefixtures("two_gpus")
def test_a_named_cuda_device_is_taken_and_a_bare_cuda_is_the_first() -> None:
    assert resolve_device("cuda") == torch.device("cuda:0")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert available_devices()[:2] == ["cuda:0", "cuda:1"]


@pytest.mark.usefixtures("two_gpus")
def test_a_cuda_device_beyond_the_last_is_refused() -> None:
    with pytest.raises(DeviceError, match="no device 'cuda:2'; use auto or one of: cuda:0, cuda:1"):
        resolve_device("cuda:2")


@pytest.mark.usefixtures("only_cpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_an_absent_device_is_refused_and_never_replaced(name: str) -> None:
    with pytest.raises(DeviceError, match=f"^this machine has no device '{name}'; use auto or"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cpu:0"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=f"^'{name}' is no device"):
        resolve_device(name)


@pytest.mark.parametrize(("threads", "text"), [(1, "cpu (1 thread)"), (8, "cpu (8 threads)")])
def test_the_cpu_is_described_by_its_threads(
    threads: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert describe_device(CPU) == text


def test_dtypes_by_name() -> None:
    assert resolve_dtype("float32", CPU) == torch.float32
    assert resolve_dtype("bfloat16", CPU) == torch.bfloat16
    assert resolve_dtype("float16", CPU) == torch.float16


def test_dtype_auto_is_float32_on_a_cpu_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="skycue"):
        assert resolve_dtype("auto", CPU) == torch.float32
    assert caplog.messages == ["dtype auto: float32"]


def test_dtype_auto_is_bfloat16_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert resolve_dtype("auto", torch.device("cuda:0")) == torch.bfloat16


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(DeviceError, match="'fp16' is no dtype; use auto or one of: float32, bf"):
        resolve_dtype("fp16", CPU)


def test_autocast_multiplies_in_the_format_and_float32_changes_nothing() -> None:
    a = torch.ones(2, 2)
    with autocast(CPU, torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
    with autocast(CPU, torch.float32):
        assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_names_the_setting_to_lower(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemoryError, match="lower --batch-size 64 and start again"),
        explain_out_of_memory("--batch-size 64"),
    ):
        raise error


def test_a_real_allocation_that_cannot_be_met_is_explained() -> None:
    with pytest.raises(OutOfMemoryError), explain_out_of_memory("--batch-size"):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), explain_out_of_memory("--batch-size"):
        raise RuntimeError("shapes differ")


@pytest.mark.gpu
def test_a_cuda_device_runs_out_of_memory_in_one_line() -> None:
    device = resolve_device("cuda")
    with pytest.raises(OutOfMemoryError), explain_out_of_memory("--batch-size"):
        torch.empty(2**45, dtype=torch.uint8, device=device)
