"""OpenAI's names of the weights of CLIP, which OpenCLIP kept.

`clip/model.py` in https://github.com/openai/CLIP: `visual.transformer.resblocks.0.attn...` for the
image tower, the same without `visual.` for the text tower. A published `.pt` is a TorchScript
archive (`torchscript.py`) that also holds three sizes beside the weights.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from skycue.backbones.convert.layout import Measured, Renames, Source, renamed
from skycue.errors import CheckpointError

RENAMES: Renames = (
    ("image.stem.", "visual.conv1."),
    ("image.projection", "visual.proj"),
    ("image.blocks.", "visual.transformer.resblocks."),
    ("image.", "visual."),
    ("text.blocks.", "transformer.resblocks."),
    ("text.projection", "text_projection"),
    ("text.", ""),
    (".attention.in_proj.", ".attn.in_proj_"),
    (".attention.out_proj.", ".attn.out_proj."),
    (".mlp.fc.", ".mlp.c_fc."),
    (".mlp.proj.", ".mlp.c_proj."),
)
SIZES = ("input_resolution", "context_length", "vocab_size")
"""What OpenAI's archives hold beside the weights."""


def source_of(name: str) -> Source:
    """Return where a tensor of ours stands in a state dict of OpenAI's or OpenCLIP's."""
    return Source((renamed(name, RENAMES),))


def check_sizes(state: Mapping[str, Tensor], measured: Measured, path: Path) -> None:
    """Compare the sizes that OpenAI's archives state with those of the weights.

    Raises:
        CheckpointError: If they differ.
    """
    from_weights = (measured.image_size, measured.context_length, measured.vocab_size)
    for name, size in zip(SIZES, from_weights, strict=True):
        if name in state and state[name].flatten().tolist() != [size]:
            raise CheckpointError(
                f"{path} states {name} {state[name].tolist()}; its weights are made for {size}."
            )
