"""A tiny seeded CLV-Net that talks, in phrases, and an image to ask it about."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.backbones.language import LanguageConfig, LanguageModel, load_language_model
from skycue.backbones.sam import SCRATCH, SamSettings
from skycue.backbones.small_segmenter import SmallSegmenterConfig
from skycue.backbones.vocabulary import train_bpe_tokenizer
from skycue.region_network import save_network
from skycue.regions.clvnet import ClvNet, ClvNetConfig
from skycue.regions.mask_decoder import MaskDecoderConfig
from skycue.regions.reasoner import ReasonerConfig
from skycue.regions.region_encoder import RegionEncoderConfig
from tests.conftest import build_tiny_clip

TEXTS = (
    "A large ship lies left of two small ships in the harbour.",
    "Three storage tanks stand in a row above the road.",
    "A small vehicle is next to the large ship, near the upper edge.",
) * 20
VOCABULARY = 330
SMALL = SmallSegmenterConfig(input_size=64, width=16, fine_width=8, layers=1, heads=2)
SAM = SamSettings(
    source=SCRATCH,
    input_size=64,
    patch_size=8,
    hidden_size=16,
    layers=2,
    heads=2,
    global_layers=(1,),
    window=3,
    decoder_width=16,
    decoder_hidden=32,
)
TINY = ClvNetConfig(
    segmenter=SMALL,
    view_grid=2,
    region_encoder=RegionEncoderConfig(
        width=8, groups=2, roi_size=3, region_width=16, position_width=16
    ),
    mask_decoder=MaskDecoderConfig(heads=2),
    reasoner=ReasonerConfig(max_tokens=24, max_phrases=4),
    language=LanguageConfig(
        hidden_size=32, layers=2, heads=4, intermediate_size=48, max_positions=128
    ),
)
WHOLE = TINY.model_copy(update={"windows": ()})
"""The segmenter sees the whole image."""
SAM_WHOLE = WHOLE.model_copy(update={"segmenter": SAM, "region_layers": (0, 1)})
EAGERNESS = {"<p>": 4.0, "</p>": 4.0, "</s>": 2.0}
"""Factors on token rows: by chance alone, a random model would open a phrase once in 300 tokens."""


@cache
def tiny_clip(seed: int = 0) -> Clip:
    """The CLIP of `tests.conftest.build_tiny_clip`, built once a test process."""
    return build_tiny_clip(seed=seed)


def tiny_language(config: LanguageConfig = TINY.language, *, seed: int = 6) -> LanguageModel:
    """A random language model whose states depend on what it read, fond of phrases."""
    torch.manual_seed(seed)
    language = load_language_model(config, train_bpe_tokenizer(TEXTS, VOCABULARY))
    with torch.no_grad():
        for weight in language.model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.3)
        for token, factor in EAGERNESS.items():
            language.embeddings.weight[language.id_of(token)] *= factor
    return language.eval()


def build_network(config: ClvNetConfig = TINY, *, seed: int = 7, related: bool = True) -> ClvNet:
    """A random network around `tiny_clip`.

    Args:
        config: Its shape.
        seed: Of its weights.
        related: Let the relation layer and the box prompt do something; both start at zero.
    """
    network = ClvNet(config, tiny_clip(), tiny_language(config.language, seed=seed))
    for name, weight in network.named_parameters():
        if name.startswith(("reasoner.projector", "region_encoder.output", "view_projection")):
            torch.nn.init.normal_(weight, std=0.5)  # what is seen must matter to what is said
        if name.startswith("segmenter.mask_decoder") and weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.4)  # SAM's masks start near zero
        if related and name.startswith(("segmenter.box_", "mask_decoder.relations.out")):
            torch.nn.init.normal_(weight, std=0.3)
    return network.eval().requires_grad_(False)


@cache
def shared_network() -> ClvNet:
    """The network of `TINY`, built once a test process; change nothing in it."""
    return build_network()


def save_tiny_model(folder: Path) -> Path:
    """Save a network like `shared_network`, and its CLIP beside it, for other processes to load."""
    save_clip(tiny_clip(), folder / "clip")
    config = TINY.model_copy(update={"clip": str(folder / "clip")})
    save_network(build_network(config), folder / "regions", dtype=torch.float32)
    return folder / "regions"


def picture(seed: int = 1, size: tuple[int, int] = (60, 90)) -> NDArray[np.uint8]:
    """An image of coloured squares on noise, RGB [3, H, W]."""
    rng = np.random.default_rng(seed)
    pixels: NDArray[np.uint8] = rng.integers(0, 90, (3, *size)).astype(np.uint8)
    for _ in range(4):
        y, x = int(rng.integers(0, size[0] - 15)), int(rng.integers(0, size[1] - 15))
        pixels[:, y : y + 15, x : x + 15] = rng.integers(60, 250, (3, 1, 1)).astype(np.uint8)
    return pixels
