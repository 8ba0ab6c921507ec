"""Read the tensors of a TorchScript archive without running anything in it.

OpenAI publishes CLIP as TorchScript: a zip whose `data.pkl` pickles a tree of modules, with the
storages of its tensors beside it and code that we never look at. The pickle goes through an
unpickler that knows three things: a tensor rebuilt from a storage, an empty OrderedDict of hooks,
and classes under `__torch__`, which all become bags of attributes. Any other name is refused.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from skycue.backbones.convert.tensor_files import DAMAGED, check_is_file, first_line
from skycue.errors import CheckpointError

MAX_PICKLE_BYTES = 64 << 20
"""Largest `data.pkl` that is read; that of OpenAI's ViT-L/14 takes less than one megabyte."""
MAX_DEPTH = 32
"""Deepest nesting of modules that is followed; CLIP's is eight."""

STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
"""Class of `torch` that a pickle names a storage by, to its type of number."""


class ModuleAttributes:
    """A module of the archive: its attributes and nothing of its class."""

    def __init__(self) -> None:
        self.attributes: dict[str, object] = {}

    def __setstate__(self, state: object) -> None:
        """Take what the pickle holds for this module, a dictionary of attributes."""
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("the state of a module is no dictionary")
        self.attributes = {str(name): value for name, value in state.items()}


class _Storage(NamedTuple):
    """The numbers of a file in the archive, [n]."""

    numbers: Tensor


class _ModuleUnpickler(pickle.Unpickler):
    """Builds the tree of modules; `find_class` is the list of all that a pickle may name."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(_read(archive, f"{root}/data.pkl", MAX_PICKLE_BYTES)))
        self._archive = archive
        self._root = root
        self._storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> type | Callable[..., Tensor] | torch.dtype:
        if module == "__torch__" or module.startswith("__torch__."):
            return ModuleAttributes
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise CheckpointError(f"it asks for {module}.{name}, which is refused")

    def persistent_load(self, pid: object) -> _Storage:
        """Return the storage that a tensor refers to: ("storage", type, key, device, length)."""
        match pid:
            case ("storage", torch.dtype() as dtype, str(key), str(), int(length)):
                if key not in self._storages:
                    self._storages[key] = self._read_storage(key, dtype, length)
                storage = self._storages[key]
            case _:
                raise CheckpointError(f"it refers to something else than a storage: {pid!r:.60}")
        if storage.numbers.dtype != dtype or len(storage.numbers) != length:
            raise CheckpointError(f"storage {key} is described in two ways")
        return storage

    def _read_storage(self, key: str, dtype: torch.dtype, length: int) -> _Storage:
        n_bytes = length * dtype.itemsize
        content = bytearray(_read(self._archive, f"{self._root}/data/{key}", n_bytes))
        if len(content) != n_bytes:
            raise CheckpointError(f"storage {key} holds {len(content)} bytes instead of {n_bytes}")
        if not content:
            return _Storage(torch.empty(0, dtype=dtype))
        return _Storage(torch.frombuffer(content, dtype=dtype))


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a zip laid out as TorchScript lays out its archives."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except DAMAGED:
        return False


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Read the state dict of the module in a TorchScript archive.

    Returns:
        Parameters and buffers under their dotted names, as `state_dict` would give them.

    Raises:
        CheckpointError: If the archive is damaged, or its pickle names anything but modules and
            tensors; nothing that it names is ever called.
    """
    check_is_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root_of(archive)
            module = _ModuleUnpickler(archive, root).load()
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be read as TorchScript: {error}.") from error
    except (*DAMAGED, MemoryError) as error:
        raise CheckpointError(
            f"{path} is a damaged TorchScript archive: {first_line(error)}. Get it again."
        ) from error
    if not isinstance(module, ModuleAttributes):
        raise CheckpointError(f"{path} holds no module but {type(module).__name__}.")
    tensors: dict[str, Tensor] = {}
    for name, tensor in _tensors_of(module, "", set(), path):
        tensors[name] = tensor
    return tensors


def _root_of(archive: zipfile.ZipFile) -> str:
    """Return the folder inside the archive that holds everything, and check its byte order."""
    roots = [name.removesuffix("/data.pkl") for name in archive.namelist() if "/data.pkl" in name]
    if len(roots) != 1:
        raise CheckpointError(f"it holds {len(roots)} files data.pkl instead of one")
    byte_order = f"{roots[0]}/byteorder"
    if byte_order in archive.namelist() and _read(archive, byte_order, 16) != b"little":
        raise CheckpointError("its numbers are not little-endian")
    return roots[0]


def _read(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """Return a file of the archive, which TorchScript stores as it is."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise CheckpointError(f"{name} is missing in it") from None
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > max_bytes:
        raise CheckpointError(f"{name} is compressed, or larger than the {max_bytes} bytes allowed")
    return archive.read(info)


def _rebuild_tensor(
    storage: _Storage,
    offset: int,
    size: Sequence[int],
    stride: Sequence[int],
    requires_grad: bool,
    hooks: OrderedDict[str, object],
) -> Tensor:
    """Return a tensor over a part of a storage, after checking that it is a part."""
    length = len(storage.numbers)
    n_numbers = prod(int(n) for n in size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or n_numbers > length or (n_numbers and last >= length):
        raise CheckpointError(f"a tensor of shape {list(size)} exceeds its storage of {length}")
    return storage.numbers.as_strided(size, stride, offset)


def _tensors_of(
    module: ModuleAttributes, prefix: str, seen: set[int], path: Path
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a module and of the modules in it, each with its dotted name."""
    if id(module) in seen or prefix.count(".") > MAX_DEPTH:
        raise CheckpointError(f"{path}: module {prefix[:-1]} is shared, or nested too deeply.")
    seen.add(id(module))
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, ModuleAttributes):
            yield from _tensors_of(value, f"{prefix}{name}.", seen, path)
