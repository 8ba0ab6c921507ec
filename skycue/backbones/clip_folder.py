"""A CLIP on disk: `config.json`, `model.safetensors` and `tokenizer.json` in one folder."""

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.tokenizer import Tokenizer
from skycue.errors import CheckpointError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
FORMAT = "skycue-clip-1"
"""Written into `config.json`; another value is another layout and is refused."""


def save_clip(clip: Clip, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a CLIP into a folder, which is made where it is missing.

    Args:
        clip: What to write.
        folder: Where to; files of the same names are replaced.
        dtype: Precision of the stored weights; float16 halves the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {"format": FORMAT, **clip.config.model_dump(mode="json")}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    clip.tokenizer.save(folder / TOKENIZER_FILE)
    weights = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in clip.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def load_clip_folder(folder: Path, device: torch.device | str = "cpu") -> Clip:
    """Read a CLIP that `save_clip` or `skycue convert` wrote; its weights are float32 and frozen.

    Raises:
        CheckpointError: If a file is missing or damaged, or weights and configuration disagree.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"no {name} in {folder}: a backbone folder holds {CONFIG_FILE}, {WEIGHTS_FILE} and "
                f"{TOKENIZER_FILE}. Make one with `skycue convert SRC -o DIR`."
            )
    clip = Clip(_read_config(folder / CONFIG_FILE), Tokenizer.load(folder / TOKENIZER_FILE))
    load_weights(clip, folder / WEIGHTS_FILE)
    return clip.to(device).eval().requires_grad_(False)


def _read_config(path: Path) -> ClipConfig:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} is not JSON ({error}). Convert the backbone again."
        ) from None
    found = fields.pop("format", None) if isinstance(fields, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has format {found!r}; {FORMAT!r} is read. If this is a Hugging Face or "
            "OpenCLIP folder, run `skycue convert` on it first."
        )
    try:
        return ClipConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        raise CheckpointError(f"{path}: {where}: {first['msg']}.") from None


def load_weights(clip: Clip, path: Path) -> None:
    """Fill a CLIP from a safetensors file, after comparing every name and shape.

    Raises:
        CheckpointError: If the file is damaged, or a name or shape is not the model's.
    """
    wanted = clip.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            check_names_and_shapes(shapes, {k: tuple(v.shape) for k, v in wanted.items()}, path)
            weights = {name: file.get_tensor(name).to(wanted[name].dtype) for name in shapes}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}).") from None
    clip.load_state_dict(weights)


def check_names_and_shapes(
    found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], source: Path
) -> None:
    """Compare the tensors of a file with the tensors of a model.

    Raises:
        CheckpointError: If they differ; the line names the first of each kind of difference.
    """
    problems = []
    for kind, names in (
        ("misses", sorted(wanted.keys() - found.keys())),
        ("has unexpected", sorted(found.keys() - wanted.keys())),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problems.append(f"{kind} {', '.join(names[:3])}{more}")
    problems += [
        f"has {name} of shape {list(found[name])} where {list(wanted[name])} is wanted"
        for name in sorted(found.keys() & wanted.keys())
        if found[name] != wanted[name]
    ][:3]
    if problems:
        raise CheckpointError(f"{source} {'; '.join(problems)}.")
