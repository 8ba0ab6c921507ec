"""How much faster are images scored by BiMoRS, with kept encodings and from pixels?

    python -m bench.scoring

45 classes. The reference encodes prompts for one image at a time over 77 tokens. From pixels, both
sides resize and encode the tiles in one batch first; the captions' vectors are given.
"""

import torch
from torch import Tensor

from bench.networks import (
    CLASS_NAMES,
    Size,
    random_bimors,
    random_captions,
    random_clip,
    random_inputs,
)
from bench.reference import bimors_logits
from bench.tiles import TILE_SIDE
from bench.timing import Options, Result, largest_difference, read_options, report, speedup
from skycue.backbones.clip import Clip
from skycue.backbones.preprocess import preprocess
from skycue.scenes.base import ImageInputs

KEPT_TARGET = 10.0
PIXELS_TARGETS: dict[Size, float] = {"ViT-B/16": 4.5, "ViT-B/32": 7.0}
N_KEPT = 4
N_TILES = 24


def measure_kept(options: Options, *, size: Size = "ViT-B/16", n_images: int = N_KEPT) -> Result:
    """Score images whose encodings are kept."""
    method = random_bimors(random_clip(size))
    inputs = random_inputs(method.clip, n_images).to("cpu")

    @torch.no_grad()
    def reference() -> Tensor:
        return bimors_logits(method, inputs, CLASS_NAMES)

    @torch.no_grad()
    def ours() -> Tensor:
        return method.forward(inputs, CLASS_NAMES)

    difference = largest_difference([ours()], [reference()])
    question = f"scoring {n_images} images with kept encodings, 45 classes, {size}"
    sides = {"reference": reference, "ours": ours}
    return speedup(question, sides, options, target=KEPT_TARGET, difference=difference)


def measure_pixels(options: Options, *, size: Size, n_tiles: int = N_TILES) -> Result:
    """Score tiles from pixels to logits."""
    method = random_bimors(random_clip(size))
    generator = torch.Generator().manual_seed(4)
    shape = (n_tiles, 3, TILE_SIDE, TILE_SIDE)
    tiles = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    captions = random_captions(n_tiles)

    @torch.no_grad()
    def reference() -> Tensor:
        return bimors_logits(method, _encode(method.clip, tiles, captions), CLASS_NAMES)

    @torch.no_grad()
    def ours() -> Tensor:
        return method.forward(_encode(method.clip, tiles, captions), CLASS_NAMES)

    difference = largest_difference([ours()], [reference()])
    question = f"from pixels to answer, {n_tiles} tiles, 45 classes, captions given, {size}"
    target = PIXELS_TARGETS.get(size, 1.0)
    sides = {"reference": reference, "ours": ours}
    return speedup(question, sides, options, target=target, difference=difference)


def _encode(clip: Clip, tiles: Tensor, captions: Tensor) -> ImageInputs:
    """Encode tiles, uint8 [B, 3, H, W], in one batch."""
    size = clip.config.image.image_size
    pixels = torch.stack([preprocess(tile, size) for tile in tiles])
    encoded = clip.encode_image_tokens(pixels)
    return ImageInputs(embedding=encoded.embedding, tokens=encoded.tokens, caption=captions)


def measure(options: Options) -> list[Result]:
    """Ask for kept encodings, then from pixels at both patch sizes."""
    from_pixels = [measure_pixels(options, size=size) for size in PIXELS_TARGETS]
    return [measure_kept(options), *from_pixels]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
