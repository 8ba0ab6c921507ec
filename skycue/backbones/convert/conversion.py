"""Turn any supported network into one folder of ours: `skycue convert`, and hub names as backbones.

A GLaMM becomes a region model (`glamm.py`); all else is a CLIP.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import (
    CONFIG_FILE,
    FORMAT,
    WEIGHTS_FILE,
    save_clip,
)
from skycue.backbones.convert import glamm, huggingface, openai, openclip
from skycue.backbones.convert.architectures import (
    ARCHITECTURES,
    Architecture,
    architecture_named,
    name_of,
    names_that_fit,
)
from skycue.backbones.convert.hub import fetch
from skycue.backbones.convert.known_files import KNOWN_FILES
from skycue.backbones.convert.layout import (
    Measured,
    assemble,
    check_described,
    configuration,
    measure,
)
from skycue.backbones.convert.tensor_files import (
    PICKLE_SUFFIXES,
    SAFETENSORS_SUFFIX,
    check_is_file,
    read_pickled,
    read_safetensors,
)
from skycue.backbones.convert.torchscript import is_torchscript, read_torchscript
from skycue.backbones.tokenizer import Tokenizer
from skycue.errors import CheckpointError, OutputExistsError
from skycue.files import sha256_of


class Foreign(NamedTuple):
    """A CLIP read from somebody else's files.

    Attributes:
        clip: The network, frozen, in float32.
        architecture: Its name in `ARCHITECTURES`, or "custom".
        files: The files its weights come from.
    """

    clip: Clip
    architecture: str
    files: tuple[Path, ...]


class Conversion(NamedTuple):
    """What a conversion did.

    Attributes:
        architecture: Name of the architecture, "glamm", or "custom".
        parameters: Number of weights.
        sha256: SHA-256 of each file of weights, by its name.
        fingerprint: Fingerprint of the backbone written; of a region model, the SHA-256 of its
            weights.
    """

    architecture: str
    parameters: int
    sha256: dict[str, str]
    fingerprint: str


def convert(
    source: str | Path, out: Path, arch: str | Architecture | None = None, *, force: bool = False
) -> Conversion:
    """Read a CLIP of OpenAI, OpenCLIP or Hugging Face, or a GLaMM, and write a folder of ours.

    Args:
        source: A file of weights, a folder as on the hub, or a hub name.
        out: The folder to write.
        arch: For a file of weights, what the weights do not say: a name in `ARCHITECTURES`, or an
            architecture of your own.
        force: Replace a backbone in `out`.

    Raises:
        CheckpointError: If the source is damaged, not supported, or needs `arch`.
        OutputExistsError: If `out` holds something and `force` is false.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not force):
        raise OutputExistsError(
            f"{out} exists: choose another folder, or replace the backbone in it with --force."
        )
    if Path(source).is_dir() and out.resolve() == Path(source).resolve():
        raise OutputExistsError(f"{out} is the source itself: choose another folder.")
    path = _locate(source, allow_pickle=True)
    if path.is_dir() and glamm.is_glamm(path):
        _refuse_arch(source, arch)
        return _convert_glamm(path, out)
    foreign = _read(path, source, arch, allow_pickle=True)
    _save(foreign.clip, out)
    return Conversion(
        foreign.architecture,
        sum(parameter.numel() for parameter in foreign.clip.parameters()),
        {path.name: sha256_of(path) for path in foreign.files},
        foreign.clip.fingerprint,
    )


def read_foreign(
    source: str | Path, arch: str | Architecture | None = None, *, allow_pickle: bool
) -> Foreign:
    """Read a CLIP of somebody else's layout.

    Args:
        source: A file of weights, a folder as on the hub, or a hub name.
        arch: As for `convert`.
        allow_pickle: Read pickled weights; only `skycue convert` does.

    Raises:
        CheckpointError: If the source is damaged, not supported, or needs `arch`.
    """
    return _read(
        _locate(source, allow_pickle=allow_pickle), source, arch, allow_pickle=allow_pickle
    )


def _locate(source: str | Path, *, allow_pickle: bool) -> Path:
    """Return the file or folder of a source; what the hub has is fetched."""
    path = Path(source)
    if not path.exists():
        is_file_name = path.suffix in (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES)
        if is_file_name or path.is_absolute() or str(source).count("/") != 1:
            check_is_file(path)
        return fetch(str(source), allow_pickle=allow_pickle)
    return path


def _read(
    path: Path, source: str | Path, arch: str | Architecture | None, *, allow_pickle: bool
) -> Foreign:
    """Read a CLIP from a file or a folder."""
    if path.is_file():
        return _read_file(path, arch)
    _refuse_arch(source, arch)
    return _read_folder(path, allow_pickle=allow_pickle)


def _refuse_arch(source: str | Path, arch: str | Architecture | None) -> None:
    """Refuse to be told what a folder says itself."""
    if arch is not None:
        raise CheckpointError(
            f"--arch is for a file of weights; the files of {source} say what it is. Leave it out."
        )


def _read_file(path: Path, arch: str | Architecture | None) -> Foreign:
    """Read a file of weights under OpenAI's names."""
    state = _read_weights(path)
    openclip.refuse_other_networks(state, path)
    measured = measure(state, openai.source_of, path)
    openai.check_sizes(state, measured, path)
    name, architecture = _choose(path, arch, measured)
    weights = {name: tensor for name, tensor in state.items() if name not in openai.SIZES}
    config = configuration(measured, architecture)
    clip = assemble(config, Tokenizer.clip(), weights, openai.source_of, path)
    return Foreign(clip, name, (path,))


def _read_folder(folder: Path, *, allow_pickle: bool) -> Foreign:
    """Read a folder of Hugging Face's or OpenCLIP's layout."""
    config = folder / CONFIG_FILE
    if config.is_file() and FORMAT in config.read_text(encoding="utf-8", errors="replace"):
        raise CheckpointError(f"{folder} is a backbone of Skycue already: give it to --backbone.")
    safe: Sequence[str]
    pickled: Sequence[str]
    if config.is_file():
        described = huggingface.describe(folder)
        tokenizer = huggingface.load_tokenizer(folder)
        safe, pickled = huggingface.SAFE_WEIGHTS, huggingface.PICKLED_WEIGHTS
        source_of = huggingface.source_of
    elif (folder / openclip.CONFIG_FILE).is_file():
        described = openclip.describe(folder)
        tokenizer = Tokenizer.clip()
        safe, pickled = openclip.SAFE_WEIGHTS, openclip.PICKLED_WEIGHTS
        source_of = openai.source_of
    else:
        raise CheckpointError(
            f"no CLIP in {folder}: expected {huggingface.CONFIG_FILE} or {openclip.CONFIG_FILE} "
            "beside the weights."
        )
    files = _weights_in(folder, safe, pickled, allow_pickle=allow_pickle)
    state: dict[str, Tensor] = {}
    for file in files:
        state |= _read_weights(file)
    state = huggingface.without_position_ids(state)
    measured = measure(state, source_of, files[0])
    check_described(measured, described)
    config_of_clip = configuration(measured, described.architecture)
    clip = assemble(config_of_clip, tokenizer, state, source_of, files[0])
    return Foreign(clip, name_of(described.architecture), tuple(files))


def _convert_glamm(folder: Path, out: Path) -> Conversion:
    """Read a GLaMM and write it as a region model; its weights are in memory once."""
    safe, pickled = huggingface.SAFE_WEIGHTS, huggingface.PICKLED_WEIGHTS
    files = _weights_in(folder, safe, pickled, allow_pickle=True)
    state: dict[str, Tensor] = {}
    for file in files:
        state |= _read_weights(file)
    converted = glamm.convert_glamm(folder, state)
    with _unfinished(out) as temporary:
        converted.save(temporary)
    return Conversion(
        "glamm",
        sum(tensor.numel() for tensor in converted.state.values()),
        {path.name: sha256_of(path) for path in files},
        sha256_of(out / WEIGHTS_FILE),
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read the state dict of one file of any kind."""
    if path.suffix == SAFETENSORS_SUFFIX:
        return openclip.state_dict_of(read_safetensors(path), path)
    if is_torchscript(path):
        return read_torchscript(path)
    return openclip.state_dict_of(read_pickled(path), path)


def _weights_in(
    folder: Path, safe: Sequence[str], pickled: Sequence[str], *, allow_pickle: bool
) -> list[Path]:
    """Return the files of weights in a folder, safetensors where there are any."""
    for name in (*safe, *(pickled if allow_pickle else ())):
        path = folder / name
        if path.is_file():
            return huggingface.parts_of(path) if path.suffix == ".json" else [path]
    if any((folder / name).is_file() for name in pickled):
        raise CheckpointError(
            f"{folder} has pickled weights only, which are not read at run time: run `skycue "
            "convert` on it once and use the folder that it writes."
        )
    raise CheckpointError(f"no weights in {folder}: expected {' or '.join((*safe, *pickled))}.")


def _choose(
    path: Path, arch: str | Architecture | None, measured: Measured
) -> tuple[str, Architecture]:
    """Return the architecture of a file of weights and its name, never guessing."""
    known = KNOWN_FILES.get(sha256_of(path))
    if isinstance(arch, Architecture):
        name, architecture = name_of(arch), arch
    elif arch is None and known is None:
        fitting = names_that_fit(measured.shapes)
        choices = ", ".join(fitting or ARCHITECTURES)
        which = "those that fit its shapes" if fitting else "none of them fits its shapes"
        raise CheckpointError(
            f"{path} does not say its activation, heads and normalisation: name its architecture "
            f"with --arch, one of {choices} ({which})."
        )
    elif arch is not None and known is not None and arch != known:
        raise CheckpointError(f"{path} is known to be {known}, not {arch}: leave --arch out.")
    else:
        name = arch or known or ""
        architecture = architecture_named(name)
    if architecture.shapes != measured.shapes:
        differences = [
            f"{field} {wanted} where the file has {found}"
            for field, wanted, found in zip(
                measured.shapes._fields, architecture.shapes, measured.shapes, strict=True
            )
            if wanted != found
        ]
        raise CheckpointError(f"{path} is no {name}, which has {', '.join(differences)}.")
    return name, architecture


def _save(clip: Clip, out: Path) -> None:
    """Write a backbone."""
    with _unfinished(out) as temporary:
        save_clip(clip, temporary)


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """Give a folder whose files go to `out` in the end, so that no folder looks whole too early."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        yield Path(temporary)
        out.mkdir(exist_ok=True)
        (out / CONFIG_FILE).unlink(missing_ok=True)
        written = sorted(Path(temporary).iterdir(), key=lambda path: path.name == CONFIG_FILE)
        for path in written:  # the configuration last
            path.replace(out / path.name)
