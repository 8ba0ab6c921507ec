"""What a state dict does not say: activation, heads and normalisation of the named architectures.

The names and shapes are OpenCLIP's (https://github.com/mlfoundations/open_clip, `model_configs`).
Image size, context length and MLP width are read from the weights, so that a checkpoint trained on
at another resolution keeps its name.
"""

from typing import NamedTuple

from skycue.backbones.clip import OPENAI_MEAN, OPENAI_STD
from skycue.backbones.transformer import Activation
from skycue.errors import CheckpointError

Colour = tuple[float, float, float]

INCEPTION: Colour = (0.5, 0.5, 0.5)
"""Mean and standard deviation that map RGB in [0, 1] to [-1, 1]."""


class Shapes(NamedTuple):
    """What tells architectures apart and can be read from the weights."""

    patch_size: int
    image_width: int
    image_layers: int
    text_width: int
    text_layers: int
    embed_dim: int


class Architecture(NamedTuple):
    """A kind of CLIP, as `--arch` names it.

    Attributes:
        shapes: What its weights must look like.
        activation: Activation of the MLPs of both towers.
        image_heads: Attention heads of the image tower.
        text_heads: Attention heads of the text tower.
        mean: Mean of the RGB channels in [0, 1] that it was trained with.
        std: Their standard deviation.
        layer_norm_eps: Epsilon of every layer norm.
    """

    shapes: Shapes
    activation: Activation
    image_heads: int
    text_heads: int
    mean: Colour = OPENAI_MEAN
    std: Colour = OPENAI_STD
    layer_norm_eps: float = 1e-5


B_32 = Shapes(32, 768, 12, 512, 12, 512)
B_16 = Shapes(16, 768, 12, 512, 12, 512)
B_16_PLUS = Shapes(16, 896, 12, 640, 12, 640)
L_14 = Shapes(14, 1024, 24, 768, 12, 768)
H_14 = Shapes(14, 1280, 32, 1024, 24, 1024)
G_14 = Shapes(14, 1408, 40, 1024, 24, 1024)
BIG_G_14 = Shapes(14, 1664, 48, 1280, 32, 1280)

ARCHITECTURES: dict[str, Architecture] = {
    "ViT-B-32": Architecture(B_32, "gelu", 12, 8),
    "ViT-B-32-quickgelu": Architecture(B_32, "quick_gelu", 12, 8),
    "ViT-B-16": Architecture(B_16, "gelu", 12, 8),
    "ViT-B-16-quickgelu": Architecture(B_16, "quick_gelu", 12, 8),
    "ViT-B-16-plus-240": Architecture(B_16_PLUS, "gelu", 14, 10),
    "ViT-L-14": Architecture(L_14, "gelu", 16, 12),
    "ViT-L-14-quickgelu": Architecture(L_14, "quick_gelu", 16, 12),
    "ViT-L-14-336": Architecture(L_14, "gelu", 16, 12),
    "ViT-L-14-336-quickgelu": Architecture(L_14, "quick_gelu", 16, 12),
    # laion/CLIP-ViT-L-14-laion2B-s32B-b82K is the one published ViT-L-14 of this normalisation.
    "ViT-L-14-laion2b": Architecture(L_14, "gelu", 16, 12, INCEPTION, INCEPTION),
    "ViT-H-14": Architecture(H_14, "gelu", 16, 16),
    "ViT-H-14-quickgelu": Architecture(H_14, "quick_gelu", 16, 16),
    "ViT-g-14": Architecture(G_14, "gelu", 16, 16),
    "ViT-bigG-14": Architecture(BIG_G_14, "gelu", 16, 20),
    "ViT-bigG-14-quickgelu": Architecture(BIG_G_14, "quick_gelu", 16, 20),
}


def architecture_named(name: str) -> Architecture:
    """Return the architecture of a name.

    Raises:
        CheckpointError: If there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"unknown architecture {name!r} for --arch: choose one of {', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[name]


def name_of(architecture: Architecture) -> str:
    """Return the first name of an architecture, or "custom" where it has none."""
    names = [name for name, known in ARCHITECTURES.items() if known == architecture]
    return names[0] if names else "custom"


def names_that_fit(shapes: Shapes) -> list[str]:
    """Return the names of the architectures of these shapes."""
    return [name for name, known in ARCHITECTURES.items() if known.shapes == shapes]
