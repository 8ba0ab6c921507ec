"""How much faster are images scored by BiMoRS, with kept encodings and from pixels?

    python -m bench.scoring

45 classes. The reference encodes prompts for one image at a time over 77 tokens; the vectors of the
captions are given on both sides.
"""

import torch
from torch import Tensor

from bench.networks import CLASS_NAMES, Size, random_bimors, random_captions, random_clip
from bench.reference import bimors_logits
from bench.tiles import TILE_SIDE
from bench.timing import Options, Result, largest_difference, read_options, report, speedup
from skycue.backbones.clip import Clip
from skycue.backbones.preprocess import preprocess
from skycue.scenes.base import ImageInputs
from skycue.scenes.bimors import BiMoRS

KEPT_TARGET = 10.0
PIXELS_TARGETS: dict[Size, float] = {"ViT-B/16": 4.5, "ViT-B/32": 7.0}
N_KEPT = 4
N_TILES = 24


def measure_kept(
    options: Options, *, size: Size = "ViT-B/16", n_images: int = N_KEPT
) -> list[Result]:
    """Score images whose encodings are kept; the release encodes them each time."""
    method, tiles, captions = _method_and_tiles(size, n_images)
    kept = _encode(method.clip, tiles, captions)

    @torch.no_grad()
    def plain() -> Tensor:
        return bimors_logits(method, kept, CLASS_NAMES)

    @torch.no_grad()
    def released() -> Tensor:
        return bimors_logits(method, _encode(method.clip, tiles, captions), CLASS_NAMES)

    @torch.no_grad()
    def ours() -> Tensor:
        return method.forward(kept, CLASS_NAMES)

    difference = largest_difference([ours()], [plain()])
    question = f"scoring {n_images} images, 45 classes, {size}: "
    return [
        speedup(
            question + "same kept encodings on both sides",
            {"reference": plain, "ours": ours},
            options,
            target=KEPT_TARGET,
            difference=difference,
        ),
        speedup(
            question + "kept encodings against the released recipe",
            {"reference": released, "ours": ours},
            options,
            target=None,
            difference=difference,
        ),
    ]


def measure_pixels(options: Options, *, size: Size, n_tiles: int = N_TILES) -> Result:
    """Score tiles from pixels to logits; both sides resize and encode them in one batch."""
    method, tiles, captions = _method_and_tiles(size, n_tiles)

    @torch.no_grad()
    def reference() -> Tensor:
        return bimors_logits(method, _encode(method.clip, tiles, captions), CLASS_NAMES)

    @torch.no_grad()
    def ours() -> Tensor:
        return method.forward(_encode(method.clip, tiles, captions), CLASS_NAMES)

    return speedup(
        f"from pixels to answer, {n_tiles} tiles, 45 classes, captions given, {size}",
        {"reference": reference, "ours": ours},
        options,
        target=PIXELS_TARGETS.get(size),
        difference=largest_difference([ours()], [reference()]),
    )


def _method_and_tiles(size: Size, n_tiles: int) -> tuple[BiMoRS, Tensor, Tensor]:
    """Return a method, random tiles [B, 3, H, W] in bytes and their caption vectors."""
    shape = (n_tiles, 3, TILE_SIDE, TILE_SIDE)
    generator = torch.Generator().manual_seed(4)
    tiles = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return random_bimors(random_clip(size)), tiles, random_captions(n_tiles)


@torch.no_grad()
def _encode(clip: Clip, tiles: Tensor, captions: Tensor) -> ImageInputs:
    """Encode tiles, uint8 [B, 3, H, W], in one batch."""
    size = clip.config.image.image_size
    pixels = torch.stack([preprocess(tile, size) for tile in tiles])
    encoded = clip.encode_image_tokens(pixels)
    return ImageInputs(embedding=encoded.embedding, tokens=encoded.tokens, caption=captions)


def measure(options: Options) -> list[Result]:
    """Ask for kept encodings, then from pixels at both patch sizes."""
    from_pixels = [measure_pixels(options, size=size) for size in PIXELS_TARGETS]
    return [*measure_kept(options), *from_pixels]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
