"""How much of the bare model's speed is left when windows come from a raster?

    python -m bench.tiling

A COG of random smooth colours, deflated, in blocks of 512 px, cut into windows of 256 px every
128. The bare loop: the image tower and the class scores on windows that lie in memory as tensors,
in batches of 32. Ours: `classify_windows` from the file, decoding and resizing included, nothing
kept. Both give the same probabilities first. The backbone is `mini`, the fastest there is and so
the hardest case, and a random ViT-B/32.

A share above 100 % is no result: ours does all that the bare loop does, and decodes beside it. On a
busy machine several threads of PyTorch wait by spinning, which `--clock cpu` counts: use it with
`--threads 1`.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.networks import CLASS_NAMES, random_clip
from bench.timing import Options, Result, best_times, largest_difference, read_options, report
from skycue.backbones.clip import Clip
from skycue.backbones.preprocess import preprocess
from skycue.backbones.pretrained import load_clip
from skycue.encoding import SceneEncoder
from skycue.geo.cells import CellGrid
from skycue.geo.cog import write_cog
from skycue.geo.georeference import GeoReference
from skycue.geo.raster import Raster
from skycue.inference import SceneClassifier
from skycue.scene_config import config_of
from skycue.scene_windows import SCORED_AT_ONCE, classify_windows
from skycue.scenes.base import ImageInputs
from skycue.store import EncodingStore

TARGET = 0.9
MINI_SIDE, VIT_SIDE = 2048, 1536
"""Of the raster in pixels, by backbone: each run takes some seconds."""
WINDOW, STRIDE, BATCH = 256, 128, 32
N_CLASSES = 12
SPOT_PIXELS = 32
"""Pixels from one random colour to the next."""
PLACE = GeoReference("EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0))


def smooth_colours(side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw random colours and what lies between them, with some noise, RGB [3, S, S]."""
    rng = np.random.default_rng(seed)
    spots = rng.integers(256, size=(side // SPOT_PIXELS, side // SPOT_PIXELS, 3), dtype=np.uint8)
    smooth = Image.fromarray(spots).resize((side, side), Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth, dtype=np.int16) + rng.integers(-4, 5, size=(side, side, 3))
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8).transpose(2, 0, 1))


def open_classifier(clip: Clip, store: EncodingStore | None = None) -> SceneClassifier:
    """Return a zero-shot classifier, which keeps nothing without a store."""
    encoder = SceneEncoder(clip, store=store, batch_size=BATCH)
    names, config = CLASS_NAMES[:N_CLASSES], config_of("zero-shot")
    return SceneClassifier.fit_items([], names, config, encoder=encoder, seed=1)


@torch.no_grad()
def bare_loop(classifier: SceneClassifier, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Classify windows that are ready in memory, [3, S, S] each."""
    rows = []
    for start in range(0, len(pixels), SCORED_AT_ONCE):
        part = pixels[start : start + SCORED_AT_ONCE]
        found = [
            classifier.encoder.clip.encode_image(torch.stack(list(part[n : n + BATCH])))
            for n in range(0, len(part), BATCH)
        ]
        rows.append(classifier.probabilities(ImageInputs(embedding=torch.cat(found))))
    return torch.cat(rows)


def measure_backbone(name: str, clip: Clip, side: int, options: Options) -> Result:
    """Compare both ways on one backbone."""
    classifier = open_classifier(clip)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raster.tif"
        pixels = smooth_colours(side)
        write_cog(path, pixels, PLACE, nodata=None, descriptions=("red", "green", "blue"))
        windows = list(CellGrid((side, side), WINDOW, STRIDE))
        size = clip.config.image.image_size
        cut = (pixels[:, w.y : w.y + WINDOW, w.x : w.x + WINDOW] for w in windows)
        ready = [preprocess(torch.from_numpy(np.ascontiguousarray(tile)), size) for tile in cut]
        raster = Raster.open(path)

        def ours() -> torch.Tensor:
            return torch.from_numpy(classify_windows(classifier, raster, windows))

        difference = largest_difference([ours()], [bare_loop(classifier, ready)])
        times = best_times({"bare": lambda: bare_loop(classifier, ready), "ours": ours}, options)
    share = times["bare"] / times["ours"]
    return Result(
        question=f"windows of {WINDOW} px every {STRIDE} from a GeoTIFF of {side} px against the "
        f"bare model, {name}",
        answer=f"{100 * share:.0f} % of its speed",
        target=f"at least {100 * TARGET:.0f} %",
        met=share >= TARGET,
        detail=f"{len(windows)} windows, {len(windows) / times['bare']:.1f} a second to "
        f"{len(windows) / times['ours']:.1f}, best of {options.rounds}; probabilities differ by "
        f"{difference:.0e}",
    )


def measure(options: Options) -> list[Result]:
    """Ask for `mini` and for a ViT-B/32."""
    return [
        measure_backbone("`mini`", load_clip("mini", "cpu"), MINI_SIDE, options),
        measure_backbone("ViT-B/32", random_clip("ViT-B/32"), VIT_SIDE, options),
    ]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
