"""Fixtures that many tests share: a tiny seeded CLIP and a small folder of labelled tiles."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.text import TextConfig
from skycue.backbones.tokenizer import Tokenizer
from skycue.backbones.vit import ImageConfig

TINY_CLASSES = ("bare soil", "forest", "lake")
TINY_COLOURS = ((160, 120, 80), (30, 100, 40), (40, 80, 160))
TILES_PER_CLASS = 8
MULTI_LABEL_CLASSES = ("forest", "lake", "soil")
MULTI_LABEL_TILES = 48


@cache
def clip_tokenizer() -> Tokenizer:
    """Return CLIP's tokenizer, built once a test process."""
    return Tokenizer.clip()


def build_tiny_clip(*, context_length: int = 40, seed: int = 0, embed_dim: int = 24) -> Clip:
    """Return a seeded random CLIP: two layers, 32-pixel images, patches of 16, D = 24."""
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer()
    config = ClipConfig(
        embed_dim=embed_dim,
        image=ImageConfig(image_size=32, patch_size=16, width=32, layers=2, heads=4),
        text=TextConfig(
            context_length=context_length,
            vocab_size=tokenizer.vocab_size,
            width=32,
            layers=3,
            heads=4,
        ),
    )
    clip = Clip(config, tokenizer)
    for name, parameter in clip.named_parameters():  # random norms and biases hide no mistake
        if parameter.dim() < 2 and name != "logit_scale":
            torch.nn.init.normal_(parameter, mean=float("ln" in name), std=0.2)
    return clip.eval().requires_grad_(False)


@pytest.fixture
def tiny_clip() -> Clip:
    """A seeded random CLIP that encodes an image in a millisecond."""
    return build_tiny_clip()


@pytest.fixture
def scene_folder(tmp_path: Path) -> Path:
    """A folder per class, eight 40-pixel tiles each, told apart by colour."""
    rng = np.random.default_rng(7)
    root = tmp_path / "tiles"
    for name, colour in zip(TINY_CLASSES, TINY_COLOURS, strict=True):
        folder = root / name.replace(" ", "_")
        folder.mkdir(parents=True)
        for index in range(TILES_PER_CLASS):
            noise = rng.normal(0, 12, (40, 40, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{folder.name}_{index}.png")
    return root


def write_multi_label_tiles(folder: Path) -> Path:
    """Write 48 tiles of 40 pixels: a quarter of a tile is filled for each class that it shows.

    Tile n shows class k where bit k of n is set; the quarter that is left is grey, and so is that
    of a class that is absent.
    """
    rng = np.random.default_rng(11)
    (folder / "images").mkdir(parents=True)
    shown = {}
    for number in range(MULTI_LABEL_TILES):
        pixels = np.full((40, 40, 3), 120.0)
        name = f"tile_{number:02}.png"
        shown[name] = [MULTI_LABEL_CLASSES[k] for k in range(3) if number >> k & 1]
        for k, colour in enumerate((TINY_COLOURS[1], TINY_COLOURS[2], TINY_COLOURS[0])):
            if number >> k & 1:
                y, x = 20 * (k // 2), 20 * (k % 2)
                pixels[y : y + 20, x : x + 20] = colour
        noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "images" / name)
    (folder / "labels.json").write_text(json.dumps(shown), encoding="utf-8")
    return folder
