"""Are the masks of 16 phrases decoded faster in one pass than one by one?

    python -m bench.many_phrases

The mask decoders of `mini` and of SAM (its published size, random weights), on features of one
image; on a GPU too where there is one. Both ways give the same masks.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from bench.peak_memory import peaks, run_alone
from bench.timing import (
    GIGA,
    NO_TARGET,
    Options,
    Result,
    largest_difference,
    read_options,
    report,
    speedup,
)
from skycue.backbones.sam import SCRATCH, SamSettings, load_sam
from skycue.backbones.segmenter import MaskFeatures, Segmenter
from skycue.backbones.small_segmenter import SmallSegmenter, SmallSegmenterConfig

TARGETS = {"cpu": 1.0, "cuda": 4.0}
N_PHRASES = 16
Network = Literal["mini", "SAM", "tiny SAM"]
NETWORKS: tuple[Network, ...] = ("mini", "SAM")
REPEATS: dict[Network, int] = {"mini": 10, "SAM": 1, "tiny SAM": 1}
"""Passes that are timed together, so that short ones are not lost in the clock."""
SAMS: dict[Network, SamSettings] = {
    "SAM": SamSettings(source=SCRATCH, layers=1, global_layers=()),
    "tiny SAM": SamSettings(
        source=SCRATCH,
        layers=1,
        global_layers=(),
        input_size=64,
        patch_size=8,
        hidden_size=16,
        heads=2,
        window=3,
        decoder_width=16,
    ),
}
"""Of SAM's encoder there is one layer, for it is not asked."""
BOX = (0.3, 0.3, 0.7, 0.7)
Way = Literal["one pass", "one by one"]
WAYS: tuple[Way, ...] = ("one pass", "one by one")


def decoder(network: Network, way: Way, device: str = "cpu") -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what decodes all phrases and returns mask logits [K, h, w] and expected overlaps."""
    torch.manual_seed(1)
    segmenter = _segmenter(network).to(device).eval().requires_grad_(False)
    features = _features(network, segmenter, device)
    queries = torch.randn(1, N_PHRASES, segmenter.query_width).to(device)
    boxes = torch.tensor([BOX], device=device)

    @torch.no_grad()
    def decode() -> tuple[Tensor, Tensor]:
        parts = [queries] if way == "one pass" else list(torch.split(queries, 1, dim=1))
        for _ in range(REPEATS[network]):
            outputs = [segmenter.decode(features, part, boxes) for part in parts]
        if device == "cuda":
            torch.cuda.synchronize()
        logits = torch.cat([output.logits[0] for output in outputs])  # [K, h, w]
        return logits, torch.cat([output.iou[0] for output in outputs])

    return decode


def _segmenter(network: Network) -> Segmenter:
    """Build a network with random weights."""
    if network == "mini":
        return SmallSegmenter(SmallSegmenterConfig())
    return load_sam(SAMS[network])


@torch.no_grad()
def _features(network: Network, segmenter: Segmenter, device: str) -> MaskFeatures:
    """Return features of one random image, or for SAM random ones of the right shape."""
    if network == "mini":
        side = segmenter.input_size
        return segmenter.encode(torch.rand(1, 3, side, side).to(device))
    side = SAMS[network].input_size // SAMS[network].patch_size
    return MaskFeatures(torch.randn(1, segmenter.width, side, side).to(device))


def measure(
    options: Options, *, network: Network, device: Literal["cpu", "cuda"] = "cpu"
) -> Result:
    """Compare both ways, then time them."""
    one_pass, one_by_one = (decoder(network, way, device) for way in WAYS)
    difference = largest_difference(one_pass(), one_by_one())
    return speedup(
        f"masks of {N_PHRASES} phrases in one pass against one by one, decoder of {network}, "
        f"{device}, {REPEATS[network]} times",
        {"reference": one_by_one, "ours": one_pass},
        options,
        target=TARGETS[device],
        difference=difference,
    )


def measure_memory(options: Options, network: Network) -> Result:
    """Let each way decode in a process of its own."""
    found = {str(way): run_alone(decode_once, network, way, options=options)[1] for way in WAYS}
    return peaks(f"masks of {N_PHRASES} phrases, decoder of {network}", found)


def decode_once(network: Network, way: Way) -> None:
    """Decode all phrases."""
    decoder(network, way)()


def measure_gpu_memory(network: Network) -> Result:
    """Read the largest amount that PyTorch held on the GPU while it decoded."""
    found: dict[Way, float] = {}
    for way in WAYS:
        decode = decoder(network, way, "cuda")
        torch.cuda.reset_peak_memory_stats()
        decode()
        found[way] = torch.cuda.max_memory_allocated() / GIGA
    return Result(
        question=f"peak memory of the GPU: masks of {N_PHRASES} phrases, decoder of {network}",
        answer=f"{found['one pass']:.2f} GB",
        target=NO_TARGET,
        met=True,
        detail="; ".join(f"{way}: {peak:.2f} GB" for way, peak in found.items()),
    )


def measure_all(options: Options) -> list[Result]:
    """Ask for both networks on the CPU, and on the GPU where there is one."""
    results = [measure(options, network=network) for network in NETWORKS]
    results += [measure_memory(options, network) for network in NETWORKS]
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False  # both sides compute in float32
        results += [measure(options, network=network, device="cuda") for network in NETWORKS]
        results += [measure_gpu_memory(network) for network in NETWORKS]
    return results


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure_all(chosen), chosen)
