"""How much faster is a training step of BiMoRS?

    python -m bench.bimors_step

Batch 4, 22 classes, ViT-B/16, forward, backward and SGD. Two references: the released recipe, which
decodes, crops and encodes the images in every step (the user's gain); and the same encodings on
both sides (the code's merit). Both encode prompts for one image at a time over 77 tokens. The
release computes in float16 on a GPU; here both sides compute in float32 on the CPU.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bench.networks import (
    CLASS_NAMES,
    Size,
    gradients,
    random_bimors,
    random_captions,
    random_clip,
)
from bench.reference import bimors_logits
from bench.tiles import write_tiles
from bench.timing import Options, Result, largest_difference, read_options, report, speedup
from skycue.augmentation import random_resized_crop
from skycue.backbones.clip import Clip
from skycue.backbones.preprocess import preprocess
from skycue.data.images import read_image
from skycue.scenes.base import ImageInputs
from skycue.scenes.bimors import BiMoRS

RELEASED_TARGET = 12.0
BATCH = 4
N_CLASSES = 22
LEARNING_RATE = 1e-6
"""So low that the rounds of both sides do the same work."""
MOMENTUM = 0.9


def measure(
    options: Options, *, size: Size = "ViT-B/16", n_classes: int = N_CLASSES
) -> list[Result]:
    """Compare losses and gradients, then time a step against both references."""
    clip, names = random_clip(size), CLASS_NAMES[:n_classes]
    method = random_bimors(clip)
    labels = torch.arange(BATCH) % n_classes
    captions = random_captions(BATCH)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_tiles(Path(folder), BATCH)
        kept = encode(clip, paths, captions)
        kept = kept._replace(tokens=kept.require("tokens").half())  # as they are kept
        generator = torch.Generator().manual_seed(5)

        def ours() -> Tensor:
            return method.loss(kept.to("cpu"), labels, names)

        def plain() -> Tensor:
            return F.cross_entropy(bimors_logits(method, kept.to("cpu"), names), labels)

        def released() -> Tensor:
            inputs = encode(clip, paths, captions, crops=generator)
            return F.cross_entropy(bimors_logits(method, inputs, names), labels)

        own, other = (loss_and_gradients(method, side) for side in (ours, plain))
        difference = largest_difference(own, other)
        sizes = f"batch {BATCH}, {n_classes} classes, {size}"
        return [
            speedup(
                f"BiMoRS step, {sizes}: kept encodings against the released recipe",
                {"reference": steps(method, released), "ours": steps(method, ours)},
                options,
                target=RELEASED_TARGET,
                difference=difference,
            ),
            speedup(
                f"BiMoRS step, {sizes}: same encodings on both sides",
                {"reference": steps(method, plain), "ours": steps(method, ours)},
                options,
                target=None,
                difference=difference,
            ),
        ]


@torch.no_grad()
def encode(
    clip: Clip, paths: Sequence[Path], captions: Tensor, *, crops: Generator | None = None
) -> ImageInputs:
    """Decode tiles and run the image tower, on random crops where a generator is given."""
    size = clip.config.image.image_size
    images = [read_image(path) for path in paths]
    pixels = [
        preprocess(image, size) if crops is None else random_resized_crop(image, size, crops)
        for image in images
    ]
    encoded = clip.encode_image_tokens(torch.stack(pixels))
    return ImageInputs(embedding=encoded.embedding, tokens=encoded.tokens, caption=captions)


def loss_and_gradients(method: BiMoRS, loss_of: Callable[[], Tensor]) -> list[Tensor]:
    """Return the loss and the gradient of every learned parameter."""
    loss = loss_of()
    return [loss.detach(), *gradients(loss, list(method.learned_parameters().values()))]


def steps(method: BiMoRS, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a training step by SGD with momentum."""
    parameters = list(method.learned_parameters().values())
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss_of())
        optimizer.step()

    return step


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
