"""Open a source of captions by its name: `hf:NAME`, `file:PATH`, `oracle:PATH` or `bank`."""

from pathlib import Path

import torch

from skycue.backbones.caption_file import CaptionFile
from skycue.backbones.clip import Clip
from skycue.backbones.image_captioner import DecodingConfig, ImageCaptioner
from skycue.backbones.phrase_bank import BankConfig, PhraseBank
from skycue.backbones.text_source import TextSource
from skycue.config import Config
from skycue.errors import CaptionError

ALLOWED = (
    "bank, hf:NAME (a folder or hub name), file:captions.jsonl, or oracle:captions.jsonl for "
    "captions written by people; several files are parted by commas"
)
"""What a text source can be called."""


class TextConfig(Config):
    """Options of the sources that write captions."""

    decoding: DecodingConfig = DecodingConfig()
    """Of `hf:NAME`."""
    bank: BankConfig = BankConfig()
    """Of `bank`."""


def open_text_source(
    spec: str,
    clip: Clip | None = None,
    *,
    config: TextConfig | None = None,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    root: Path | None = None,
) -> TextSource:
    """Open a text source.

    Args:
        spec: "bank", "hf:NAME", "file:PATH" or "oracle:PATH"; several paths parted by commas.
        clip: The backbone, which `bank` needs.
        config: Options of `bank` and of decoding; None takes the defaults.
        batch_size: Images in one pass.
        device: Where an `hf:` model computes; `bank` computes where `clip` lies.
        dtype: What the images are encoded in.
        root: The dataset's folder, for captions files that lie apart from it.

    Raises:
        CaptionError: If there is no such kind of source, or a captions file cannot be used.
        CheckpointError: If a model cannot be loaded.
    """
    config = config or TextConfig()
    kind, separator, name = spec.partition(":")
    if spec == "bank":
        if clip is None:
            raise CaptionError("the text source 'bank' needs a backbone that scores its phrases.")
        return PhraseBank(clip, config.bank, batch_size=batch_size, dtype=dtype)
    if not separator or not name or kind not in ("hf", "file", "oracle"):
        raise CaptionError(f"no text source '{spec}'; allowed: {ALLOWED}.")
    if kind == "hf":
        return ImageCaptioner(
            name, config.decoding, batch_size=batch_size, device=device, dtype=dtype
        )
    paths = [Path(part) for part in name.split(",")]
    return CaptionFile(*paths, oracle=kind == "oracle", root=root)
