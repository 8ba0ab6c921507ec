"""How much memory does a fit of BiMoRS need at ViT-B/16?

    python -m bench.fit_memory

45 classes, 16 shots, batch 4, captions given, in a process of its own. To save time the image tower
runs for the first batch only and answers with random numbers after it, and training ends with the
first epoch; the peak is that of a whole fit, for every batch and every step holds the same.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.networks import CLASS_NAMES, Size, random_clip
from bench.peak_memory import run_alone
from bench.tiles import write_tiles
from bench.timing import GIGA, Options, Result, read_options, report
from skycue.backbones.sentence import SentenceEncoder
from skycue.backbones.text_source import TextSettings
from skycue.backbones.vit import ImageTokens
from skycue.data.scenes import SceneItem
from skycue.encoding import SceneEncoder
from skycue.fitting import fit_method
from skycue.scene_config import SceneConfig, SceneTrainConfig
from skycue.store import EncodingStore

TARGET_GB = 3.0
SHOTS = 16
BATCH = 4
ENCODING_BATCH = 32


class OneRealBatch(nn.Module):
    """An image tower for its first batch; after that random outputs of the same shapes."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.first: ImageTokens | None = None

    def forward(
        self, pixels: Tensor, *, prompts: Sequence[Tensor] = (), layers: Sequence[int] = ()
    ) -> ImageTokens:
        """Return projected class tokens and token maps, as `ImageTower.forward`."""
        if self.first is None:
            self.first = self.tower(pixels)
            return self.first
        projected = torch.randn(len(pixels), *self.first.projected.shape[1:])
        tokens = torch.randn(len(pixels), *self.first.tokens.shape[1:])
        return ImageTokens(projected, tokens, ())


class GivenCaptions:
    """One caption for every image, precomputed as a file would give it."""

    settings = TextSettings(kind="other")

    def caption(self, paths: Sequence[Path]) -> list[str]:
        """Return a caption for each path."""
        return [f"many trees and some houses, number {index}" for index in range(len(paths))]


def fit(size: Size, shots: int, n_classes: int) -> None:
    """Fit for one epoch."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_tiles(Path(folder) / "tiles", shots * n_classes)
        items = [SceneItem(path, index % n_classes) for index, path in enumerate(paths)]
        clip = random_clip(size)
        clip.image = OneRealBatch(clip.image)  # type: ignore[assignment]
        encoder = SceneEncoder(
            clip,
            store=EncodingStore(Path(folder) / "store"),
            captions=GivenCaptions(),
            sentence=SentenceEncoder(),
            batch_size=ENCODING_BATCH,
        )
        config = SceneConfig(train=SceneTrainConfig(epochs=1, batch_size=BATCH))
        fit_method(items, CLASS_NAMES[:n_classes], config, encoder=encoder, seed=1)


def measure(
    options: Options, *, size: Size = "ViT-B/16", shots: int = SHOTS, n_classes: int = 45
) -> list[Result]:
    """Run the fit in a process of its own and read its peak."""
    _, peak = run_alone(fit, size, shots, n_classes, options=options)
    return [
        Result(
            question=f"peak memory of a BiMoRS fit, {size}, {n_classes} classes, {shots} shots, "
            f"batch {BATCH}, captions given",
            answer=f"{peak / GIGA:.2f} GB",
            target=f"under {TARGET_GB:g} GB",
            met=peak / GIGA < TARGET_GB,
            detail="one epoch; the image tower ran for one batch of 32",
        )
    ]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen._replace(clock="wall"))
