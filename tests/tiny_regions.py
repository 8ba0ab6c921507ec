"""Small outlined images, and a region network that reads them in milliseconds."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from skycue.backbones.language import LanguageConfig, load_language_model
from skycue.backbones.small_segmenter import SmallSegmenterConfig
from skycue.backbones.vocabulary import train_bpe_tokenizer
from skycue.data.instances import Instance, InstanceImage
from skycue.data.region_captions import caption_image, caption_region
from skycue.data.rle import encode_mask
from skycue.region_recipe import RegionTrainingConfig
from skycue.region_samples import Item, RegionSample, SampleConfig, TrainImage, cut_sample
from skycue.regions.clvnet import ClvNet, ClvNetConfig, ImageTokens
from skycue.regions.mask_decoder import MaskDecoderConfig
from skycue.regions.reasoner import ReasonerConfig
from skycue.regions.region_encoder import RegionEncoderConfig
from tests.conftest import build_tiny_clip

SIZE = (48, 64)
CLASSES = ["harbor", "ship", "storage tank"]
COLOURS = {"harbor": (150, 150, 140), "ship": (230, 60, 40), "storage tank": (240, 240, 90)}
SEA = (30, 60, 100)
CONFIG = ClvNetConfig(
    image_grid=1,
    segmenter=SmallSegmenterConfig(input_size=32, width=16, fine_width=8, layers=1, heads=2),
    windows=(1.6, 4.0),
    view_grid=2,
    region_encoder=RegionEncoderConfig(
        width=8, groups=2, roi_size=2, region_width=8, position_width=8
    ),
    mask_decoder=MaskDecoderConfig(heads=2),
    reasoner=ReasonerConfig(max_tokens=64),
    language=LanguageConfig(
        hidden_size=32, layers=1, heads=2, intermediate_size=32, max_positions=256, vocab_size=300
    ),
)
SAMPLING = SampleConfig(scales=CONFIG.windows, size=32, cells=16)
SCHEDULE = {
    "epochs": 2, "batch_size": 4, "drop_last": False, "optimizer": "adamw", "lr": 0.003,
    "save_every_s": 0,
}  # fmt: skip
RECIPE = RegionTrainingConfig.model_validate(
    {
        "model": CONFIG.model_dump(),
        "data": {
            "outlined": [{"annotations": "instances.json", "images": "images"}],
            "held_out": "held_out.txt",
            "mask_cells": 16,
        },
        "stages": [
            {
                "name": "masks",
                "kind": "masks",
                "trains": ["net.segmenter.*", "pretrain.*"],
                "train": SCHEDULE,
            },
            {
                "name": "full",
                "trains": ["net.*", "align.*", "!net.segmenter.backbone.*"],
                "align_after": 2,
                "train": SCHEDULE,
            },
        ],
    }
)
"""Of two stages; it trains on `write_dataset`, without the images that `held_out.txt` lists."""
PLAIN = SAMPLING._replace(jitter=0.0, zoom=1.0, colour=0.0)
"""Nothing is left to chance but the orientation."""


def wedge(class_name: str, x: int, y: int, height: int, width: int) -> Instance:
    """An object that no turn and no mirror brings onto itself."""
    crop = np.ones((height, width), dtype=np.bool_)
    crop[: height // 2, : width // 3] = False
    return Instance(class_name, (x, y), crop)


PORT = InstanceImage(
    "port.png",
    SIZE,
    (
        wedge("ship", 8, 10, 8, 14),
        wedge("ship", 30, 11, 8, 12),
        wedge("harbor", 4, 24, 20, 16),
        wedge("storage tank", 46, 30, 12, 12),
    ),
)
SHORE = InstanceImage(
    "shore.png", SIZE, (wedge("storage tank", 20, 6, 14, 14), wedge("ship", 40, 30, 6, 16))
)
LONELY = InstanceImage("lonely.png", SIZE, (wedge("harbor", 16, 12, 24, 30),))
OUTLINES = (PORT, SHORE, LONELY)


def paint(outlines: InstanceImage) -> NDArray[np.uint8]:
    """Draw each object in the colour of its class, [H, W, 3]."""
    rng = np.random.default_rng(len(outlines.instances))
    pixels = np.full((*outlines.size, 3), SEA, dtype=np.uint8)
    for instance in outlines.instances:
        pixels[instance.mask(outlines.size)] = COLOURS[instance.class_name]
    noisy: NDArray[np.int64] = pixels + rng.integers(-8, 9, pixels.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def train_images() -> list[TrainImage]:
    """The images in memory: 4 + 2 + 1 objects."""
    return [TrainImage(outlines.image, paint(outlines), outlines) for outlines in OUTLINES]


def write_dataset(root: Path, images: Sequence[InstanceImage] = OUTLINES) -> None:
    """Write the images and `instances.json`, in the layout of COCO, below a data root."""
    (root / "images").mkdir(parents=True)
    content: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(CLASSES)]
    for number, outlines in enumerate(images):
        Image.fromarray(paint(outlines)).save(root / "images" / outlines.image)
        height, width = outlines.size
        content["images"].append(
            {"id": number, "file_name": outlines.image, "height": height, "width": width}
        )
        for instance in outlines.instances:
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": number,
                    "category_id": CLASSES.index(instance.class_name),
                    "segmentation": encode_mask(instance.mask(outlines.size)).model_dump(),
                }
            )
    (root / "instances.json").write_text(json.dumps(content), encoding="utf-8")


def samples_of(*items: tuple[int, int]) -> list[RegionSample]:
    """Cut boxes, given as (image, object), as they are."""
    images = train_images()
    return [cut_sample(images[i], Item(i, o), PLAIN, CLASSES) for i, o in items]


@cache
def captions() -> tuple[str, ...]:
    """What is said of the images."""
    said = [caption_image(o).text for o in OUTLINES]
    return (*said, *(caption_region(o, i).text for o in OUTLINES for i in range(len(o.instances))))


def build_tiny_network(config: ClvNetConfig = CONFIG, *, seed: int = 0) -> ClvNet:
    """Build a network of random weights, in which no layer starts at zero."""
    torch.manual_seed(seed)
    tokenizer = train_bpe_tokenizer(captions(), config.language.vocab_size)
    language = load_language_model(config.language, tokenizer)
    network = ClvNet(config, build_tiny_clip(), language)
    for parameter in network.parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def whole_images(network: ClvNet, samples: Sequence[RegionSample]) -> ImageTokens:
    """Encode noise in place of the whole images of samples, one for each number of an image."""
    size = network.clip.config.image.image_size
    rows = [
        torch.rand(3, size, size, generator=torch.Generator().manual_seed(s.image)) for s in samples
    ]
    return network.encode_images(torch.stack(rows))


def nll_by_hand(network: ClvNet, prompts: Tensor, ids: Sequence[int]) -> float:
    """Return what answer tokens cost behind prompts, [1, P, W], each read after all before it."""
    language, nll = network.reasoner.language, 0.0
    for position, token in enumerate(ids):
        before = language.embed(torch.tensor([ids[:position]], dtype=torch.int64))
        inputs = torch.cat([prompts, before], dim=1)
        logits = language.model(inputs_embeds=inputs).logits[0, -1]
        nll -= logits.log_softmax(-1)[token].item()
    return nll
