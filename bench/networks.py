"""Networks of the published sizes with random weights, and what they are shown."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.text import TextConfig
from skycue.backbones.tokenizer import Tokenizer
from skycue.backbones.vit import ImageConfig
from skycue.scenes.base import ImageInputs
from skycue.scenes.bimors import BiMoRS, BiMoRSConfig

Size = Literal["ViT-B/16", "ViT-B/32", "tiny"]

CLASS_NAMES = (
    "airplane", "airport", "baseball diamond", "basketball court", "beach", "bridge", "chaparral",
    "church", "circular farmland", "cloud", "commercial area", "dense residential", "desert",
    "forest", "freeway", "golf course", "ground track field", "harbor", "industrial area",
    "intersection", "island", "lake", "meadow", "medium residential", "mobile home park",
    "mountain", "overpass", "palace", "parking lot", "railway", "railway station",
    "rectangular farmland", "river", "roundabout", "runway", "sea ice", "ship", "snowberg",
    "sparse residential", "stadium", "storage tank", "tennis court", "terrace",
    "thermal power station", "wetland",
)  # fmt: skip
"""The 45 classes of RESISC45, as prompts read them."""
CAPTION_WIDTH = 768
"""Width of the caption vectors of bert-base-uncased."""
LOGIT_SCALE = 100.0
"""Inverse temperature of OpenAI's CLIP after its training."""


class Shape(NamedTuple):
    """Sizes that tell the networks apart; the text towers of both ViT-B are the same."""

    image: ImageConfig
    text_width: int
    text_layers: int
    heads: int
    embed_dim: int


SHAPES: dict[Size, Shape] = {
    "ViT-B/16": Shape(
        ImageConfig(image_size=224, patch_size=16, width=768, layers=12, heads=12), 512, 12, 8, 512
    ),
    "ViT-B/32": Shape(
        ImageConfig(image_size=224, patch_size=32, width=768, layers=12, heads=12), 512, 12, 8, 512
    ),
    "tiny": Shape(
        ImageConfig(image_size=32, patch_size=16, width=32, layers=2, heads=2), 32, 2, 4, 24
    ),
}


def random_clip(size: Size, *, seed: int = 0) -> Clip:
    """Build a frozen CLIP with random weights, in float32 on the CPU."""
    torch.manual_seed(seed)
    tokenizer = Tokenizer.clip()
    shape = SHAPES[size]
    config = ClipConfig(
        embed_dim=shape.embed_dim,
        image=shape.image,
        text=TextConfig(
            context_length=77,
            vocab_size=tokenizer.vocab_size,
            width=shape.text_width,
            layers=shape.text_layers,
            heads=shape.heads,
        ),
        activation="quick_gelu",
    )
    clip = Clip(config, tokenizer)
    with torch.no_grad():
        clip.logit_scale.fill_(LOGIT_SCALE).log_()
    return clip.eval().requires_grad_(False)


def random_bimors(clip: Clip, *, seed: int = 1) -> BiMoRS:
    """Build an untrained BiMoRS that already moves the context, so that every gradient counts."""
    torch.manual_seed(seed)
    config = BiMoRSConfig(caption_width=CAPTION_WIDTH, init="released")
    return BiMoRS(clip, config)


def random_inputs(clip: Clip, n_images: int, *, seed: int = 2) -> ImageInputs:
    """Return encodings as they are kept: unit embeddings, token maps in float16, captions."""
    generator = torch.Generator().manual_seed(seed)
    image = clip.config.image
    embedding = torch.randn(n_images, clip.config.embed_dim, generator=generator)
    tokens = torch.randn(n_images, 1 + image.grid**2, image.width, generator=generator)
    return ImageInputs(
        embedding=torch.nn.functional.normalize(embedding, dim=-1),
        tokens=tokens.half(),
        caption=random_captions(n_images),
    )


def random_captions(n_images: int, *, seed: int = 3) -> Tensor:
    """Return caption vectors, [B, S]."""
    return torch.randn(n_images, CAPTION_WIDTH, generator=torch.Generator().manual_seed(seed))


def gradients(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the loss's gradients, one for each parameter."""
    return torch.autograd.grad(loss, parameters)
