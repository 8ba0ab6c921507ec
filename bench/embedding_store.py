"""How much faster is a second run over the same raster, whose encodings were kept?

    python -m bench.embedding_store

First runs begin with an empty store and fill it; second runs, in a store opened anew, find all that
they need there. Both give the same numbers, bit for bit, which is tried first. Scenes: all windows
of 256 px every 128 of a COG, classified. Regions: `mini` encodes an image of 1024 px, and answers a
box on it, of which the kept encoding is a part.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.networks import random_clip
from bench.tiling import PLACE, STRIDE, WINDOW, open_classifier, smooth_colours
from bench.timing import (
    NO_TARGET,
    DifferentOutputsError,
    Options,
    Result,
    best_times,
    read_options,
    report,
)
from skycue.backbones.clip import Clip
from skycue.backbones.pretrained import load_clip
from skycue.data.renderer.instance_scenes import render
from skycue.geo.cells import CellGrid
from skycue.geo.cog import write_cog
from skycue.geo.raster import Raster
from skycue.region_describer import EncodedRegions, RegionDescriber
from skycue.scene_windows import classify_windows
from skycue.store import EncodingStore

SIDE = 1024
"""Of the raster and of the image in pixels."""


class FreshStores:
    """Stores for first runs, each empty, and one that a run has filled."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0

    def empty(self) -> EncodingStore:
        """Return a store in which nothing is."""
        self._number += 1
        return EncodingStore(self._folder / str(self._number))

    def last(self) -> EncodingStore:
        """Open the last one anew."""
        return EncodingStore(self._folder / str(self._number))


def measure_scenes(name: str, clip: Clip, side: int, options: Options) -> Result:
    """Classify a raster twice."""
    with tempfile.TemporaryDirectory() as folder:
        path, stores = Path(folder) / "raster.tif", FreshStores(Path(folder) / "stores")
        bands = ("red", "green", "blue")
        write_cog(path, smooth_colours(side), PLACE, nodata=None, descriptions=bands)
        windows = list(CellGrid((side, side), WINDOW, STRIDE))
        _ = clip.fingerprint  # hashed when first asked for, by whichever side comes first

        def run(store: EncodingStore) -> NDArray[np.float32]:
            return classify_windows(open_classifier(clip, store), Raster.open(path), windows)

        first = run(stores.empty())
        if not np.array_equal(first, run(stores.last())):
            raise DifferentOutputsError("kept encodings gave other probabilities")
        n_bytes = stores.last().n_bytes()
        sides = {"first": lambda: run(stores.empty()), "second": lambda: run(stores.last())}
        times = best_times(sides, options)
    return _compared(
        f"second run over {len(windows)} windows of a raster of {side} px, {name}",
        times,
        options,
        f"same probabilities; {n_bytes / 1e6:.2f} MB kept",
    )


def measure_regions(side: int, options: Options) -> Result:
    """Encode an image twice."""
    pixels = render(0, size=side).pixels
    with tempfile.TemporaryDirectory() as folder:
        stores = FreshStores(Path(folder))
        network = RegionDescriber.load("mini").network
        box = render(0, size=side).instances[0].box

        def run(store: EncodingStore) -> EncodedRegions:
            describer = RegionDescriber(network, store=store)
            assert describer.kept is not None
            return describer.encode(pixels)

        answers = [run(store).describe(box).to_json() for store in (stores.empty(), stores.last())]
        if answers[0] != answers[1]:
            raise DifferentOutputsError("a kept image gave another answer")
        times = best_times(
            {"first": lambda: run(stores.empty()), "second": lambda: run(stores.last())}, options
        )
    return _compared(
        f"second encoding of an image of {side} px, region model `mini`",
        times,
        options,
        "same answer; hashing the network's weights included on both sides",
    )


def _compared(question: str, times: dict[str, float], options: Options, detail: str) -> Result:
    """Return how many times faster the second run is; nothing is asked of the number."""
    return Result(
        question=question,
        answer=f"{times['first'] / times['second']:.1f}x",
        target=NO_TARGET,
        met=True,
        detail=f"{times['first']:.3g} s to {times['second']:.3g} s, best of {options.rounds}; "
        f"{detail}",
    )


def measure(options: Options) -> list[Result]:
    """Ask for scenes with two backbones and for regions."""
    torch.manual_seed(0)
    return [
        measure_scenes("`mini`", load_clip("mini", "cpu"), SIDE, options),
        measure_scenes("ViT-B/32", random_clip("ViT-B/32"), SIDE, options),
        measure_regions(SIDE, options),
    ]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
