"""A TorchScript archive gives its tensors, and nothing else that it asks for."""

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from skycue.backbones.convert.torchscript import ModuleAttributes, read_torchscript
from tests.backbones.convert.foreign import (
    SMALL_TORCHSCRIPT,
    Hostile,
    refused,
    save_torchscript,
)


def repack(path: Path, replaced: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Rewrite an archive with other content for the files whose names end so."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            ends = [content for end, content in replaced.items() if name.endswith(end)]
            archive.writestr(name, ends[0] if ends else content)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A small TorchScript archive."""
    path = tmp_path / "model.pt"
    save_torchscript(SMALL_TORCHSCRIPT, path)
    return path


def test_a_torchscript_archive_reads_as_its_state_dict(archive: Path) -> None:
    state = read_torchscript(archive)
    sizes = {"input_resolution": 32, "context_length": 5, "vocab_size": 3}
    assert state.keys() == SMALL_TORCHSCRIPT.keys() | sizes.keys()
    for name, tensor in SMALL_TORCHSCRIPT.items():
        assert torch.equal(state[name], tensor)
        assert state[name].dtype == tensor.dtype
    assert {name: int(state[name]) for name in sizes} == sizes


def test_a_hostile_torchscript_archive_is_refused_by_name_and_not_run(
    archive: Path, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence"
    repack(archive, {"/data.pkl": pickle.dumps(Hostile(evidence), protocol=2)})
    refused(archive, f"asks for {os.system.__module__}.system, which is refused")
    assert not evidence.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "torch._utils._rebuild_parameter", "torch.jit._pickle.build_intlist"]
)
def test_only_tensors_and_modules_may_be_named(name: str, archive: Path) -> None:
    module, _, attribute = name.rpartition(".")
    repack(archive, {"/data.pkl": f"c{module}\n{attribute}\n.".encode()})
    refused(archive, re.escape(f"asks for {name}, which is refused"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"c__torch__.builtins\neval\n(S'1'\ntR.", "damaged"),  # a bag takes no arguments
        (b"c__torch__\nA\n)\x81]b.", "state of a module is no dictionary"),
        (b"c__torch__\nA\n)\x81q\x00}X\x01\x00\x00\x00aq\x01h\x00sb.", "shared, or nested"),
        (b"]q\x00.", "holds no module but list"),
        (b"", "damaged"),
        (b"(S'storage'\nctorch\nHalfStorage\nS'9'\nS'cpu'\nI4\ntQ.", "data/9 is missing in it"),
        (b"(S'storage'\nctorch\nHalfStorage\nS'0'\nS'cpu'\nI4\ntQ.", "larger than the 8 bytes"),
        (b"S'elsewhere'\nQ.", "refers to something else than a storage"),
    ],
)
def test_a_mangled_pickle_is_refused(content: bytes, message: str, archive: Path) -> None:
    repack(archive, {"/data.pkl": content})
    refused(archive, message)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((5,), (1,), 0),
        ((2, 2), (2, 2), 0),
        ((2,), (1,), -1),
        ((1 << 40,), (0,), 0),
        ((1,), (1,), 4),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    size: tuple[int, ...], stride: tuple[int, ...], offset: int, archive: Path
) -> None:
    tensors = io.BytesIO()
    pickler = _TensorPickler(tensors, protocol=2)
    pickler.dump(_View(size, stride, offset))
    repack(archive, {"/data.pkl": tensors.getvalue(), "/data/0": b"\0" * 16})
    refused(archive, "exceeds its storage of 4")


class _View:
    """Pickles as a tensor over storage 0 of four float32 numbers."""

    def __init__(self, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> None:
        self.arguments = (_STORAGE, offset, size, stride, False, None)

    def __reduce__(self) -> tuple[Callable[..., Tensor], tuple[object, ...]]:
        return torch._utils._rebuild_tensor_v2, self.arguments


_STORAGE = object()


class _TensorPickler(pickle.Pickler):
    """Writes the storage of a `_View` as TorchScript does."""

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        return ("storage", torch.FloatStorage, "0", "cpu", 4) if obj is _STORAGE else None


def test_a_compressed_archive_is_refused(archive: Path) -> None:
    repack(archive, {}, compression=zipfile.ZIP_DEFLATED)
    refused(archive, "is compressed")


def test_a_big_endian_archive_is_refused(archive: Path) -> None:
    repack(archive, {"/byteorder": b"big"})
    refused(archive, "not little-endian")


def test_a_module_of_the_archive_is_only_a_bag() -> None:
    assert vars(ModuleAttributes()) == {"attributes": {}}
    assert ModuleAttributes.__mro__ == (ModuleAttributes, object)
