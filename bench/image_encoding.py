"""How near does image encoding come to the machine's rate of matrix multiplication?

    python -m bench.image_encoding

ViT-B/16 in float32. Only multiplications and additions of matrix products count as operations: the
patch convolution, the four projections of each block, its attention, and the last projection.
"""

import torch

from bench.networks import Size, random_clip
from bench.timing import MATRIX_SIDE, Options, Result, best_times, gflops, read_options, report
from skycue.backbones.vit import ImageConfig

TARGET = 0.70
N_IMAGES = 8


def operations(config: ImageConfig, embed_dim: int) -> int:
    """Return the floating-point operations of one image's matrix products."""
    width, cells = config.width, config.grid**2
    tokens = cells + 1
    hidden = int(width * config.mlp_ratio)
    stem = cells * 3 * config.patch_size**2 * width
    projections = tokens * (3 * width * width + width * width + 2 * width * hidden)
    attention = 2 * tokens * tokens * width
    return 2 * (stem + config.layers * (projections + attention) + width * embed_dim)


def measure(
    options: Options, *, size: Size = "ViT-B/16", n_images: int = N_IMAGES
) -> tuple[list[Result], float]:
    """Time a batch and matrix products in turns; return the answer and the machine's rate."""
    clip = random_clip(size)
    side = clip.config.image.image_size
    pixels = torch.rand(n_images, 3, side, side, generator=torch.Generator().manual_seed(1))
    matrix = torch.randn(MATRIX_SIDE, MATRIX_SIDE)
    with torch.inference_mode():
        clip.encode_image(pixels)  # the first run sets up the threads
        sides = {"images": lambda: clip.encode_image(pixels), "product": lambda: matrix @ matrix}
        times = best_times(sides, options)
    rate = gflops(2 * MATRIX_SIDE**3, times["product"])
    own = gflops(n_images * operations(clip.config.image, clip.config.embed_dim), times["images"])
    result = Result(
        question=f"image encoding, {size}, {n_images} images, against matrix products",
        answer=f"{own / rate:.0%}",
        target=f"at least {TARGET:.0%}",
        met=own / rate >= TARGET,
        detail=f"{n_images / times['images']:.1f} images/s, {own:.0f} of {rate:.0f} GFLOP/s, "
        f"best of {options.rounds}",
    )
    return [result], rate


if __name__ == "__main__":
    chosen = read_options(__doc__)
    answers, machine_rate = measure(chosen)
    report(answers, chosen, machine_rate)
