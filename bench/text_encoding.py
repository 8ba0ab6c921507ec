"""How much faster is our text encoding than one image at a time over 77 tokens?

    python -m bench.text_encoding

ViT-B/16's text tower, one context of 4 tokens an image, the class at the end, forward and backward
to the contexts. Both sides compute the same class embeddings and gradients.
"""

import torch
from torch import Tensor

from bench.networks import CLASS_NAMES, Size, gradients, random_clip
from bench.reference import encode_classes
from bench.timing import Options, Result, largest_difference, read_options, report, speedup
from skycue.scenes.context import ContextConfig, encode_with_context

TARGET = 10.0
N_IMAGES = 4
N_CLASSES = 22
N_CTX = 4


def measure(
    options: Options,
    *,
    size: Size = "ViT-B/16",
    n_images: int = N_IMAGES,
    n_classes: int = N_CLASSES,
) -> list[Result]:
    """Compare both ways, then time them."""
    clip, names = random_clip(size), CLASS_NAMES[:n_classes]
    generator = torch.Generator().manual_seed(1)
    width, shared = clip.config.text.width, clip.config.embed_dim
    contexts = 0.02 * torch.randn(n_images, N_CTX, width, generator=generator)
    contexts.requires_grad_()
    weights = torch.randn(n_images, n_classes, shared, generator=generator)

    def outputs(embeddings: Tensor) -> tuple[Tensor, ...]:
        return embeddings.detach(), *gradients((embeddings * weights).sum(), [contexts])

    def ours() -> tuple[Tensor, ...]:
        return outputs(encode_with_context(clip, contexts, names, ContextConfig()))

    def reference() -> tuple[Tensor, ...]:
        return outputs(encode_classes(clip, contexts, names))

    difference = largest_difference(ours(), reference())
    question = (
        f"text encoding, {size}, {n_images} images x {n_classes} classes, forward and backward, "
        "against one image at a time over 77 tokens"
    )
    sides = {"reference": reference, "ours": ours}
    return [speedup(question, sides, options, target=TARGET, difference=difference)]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
