"""A CLIP that says of itself that it is a ViT-B/16, to count what methods would learn on one."""

import torch

from skycue.backbones.clip import Clip
from tests.conftest import build_tiny_clip


def clip_of_published_widths() -> Clip:
    """Return a CLIP whose configuration and token table are ViT-B/16's; it cannot encode."""
    clip = build_tiny_clip()
    towers = {
        "image": clip.config.image.model_copy(update={"width": 768, "layers": 12}),
        "text": clip.config.text.model_copy(update={"width": 512, "layers": 12}),
    }
    clip.config = clip.config.model_copy(update={"embed_dim": 512, **towers})
    clip.text.token_embedding = torch.nn.Embedding(clip.tokenizer.vocab_size, 512)
    return clip
