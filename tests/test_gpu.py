"""CPU and CUDA agree, for CLIP and for every method; `pytest -m gpu` runs these tests."""

import copy

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.encoding import TOWER_FIELDS, computed_fields
from skycue.scenes.applenet import APPLeNetConfig
from skycue.scenes.base import ImageInputs
from skycue.scenes.bimors import BiMoRSConfig
from skycue.scenes.clip_adapter import ClipAdapterConfig
from skycue.scenes.cocoop import CoCoOpConfig
from skycue.scenes.coop import CoOpConfig
from skycue.scenes.csaw import CSAWConfig
from skycue.scenes.kgcoop import KgCoOpConfig
from skycue.scenes.linear_probe import LinearProbeConfig
from skycue.scenes.maple import MaPLeConfig
from skycue.scenes.prograd import ProGradConfig
from skycue.scenes.promptsrc import PromptSRCConfig
from skycue.scenes.regional import RegionalConfig
from skycue.scenes.registry import METHODS, MethodConfig, build_method
from skycue.scenes.stylip import StyLIPConfig
from skycue.scenes.tip_adapter import TipAdapterConfig, TipAdapterFConfig
from skycue.scenes.vpt import VPTConfig
from skycue.scenes.zero_shot import ZeroShotConfig
from tests.conftest import build_tiny_clip

pytestmark = pytest.mark.gpu
CLASSES = ["harbor", "storage tank", "forest"]
CONFIGS: dict[str, MethodConfig] = {
    "zero-shot": ZeroShotConfig(),
    "linear-probe": LinearProbeConfig(),
    "tip-adapter": TipAdapterConfig(),
    "tip-adapter-f": TipAdapterFConfig(),
    "clip-adapter": ClipAdapterConfig(),
    "coop": CoOpConfig(),
    "kgcoop": KgCoOpConfig(),
    "prograd": ProGradConfig(),
    "cocoop": CoCoOpConfig(init="released"),
    "bimors": BiMoRSConfig(caption_width=5, init="released"),
    "vpt": VPTConfig(),
    "maple": MaPLeConfig(),
    "promptsrc": PromptSRCConfig(),
    "applenet": APPLeNetConfig(init="released"),
    "stylip": StyLIPConfig(init="released"),
    "regional": RegionalConfig(),
    "c-saw": CSAWConfig(init="released"),
}
LABELS = torch.arange(6) % 3
CUDA_TOLERANCE = 1e-3
"""Relative and absolute; matrix products round differently on the two devices."""


def encoded(clip: Clip) -> ImageInputs:
    pixels = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    fields = computed_fields(clip, pixels.to(clip.device), TOWER_FIELDS)
    caption = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    pixels = pixels.to(clip.device)
    return ImageInputs(caption=caption.to(clip.device), pixels=pixels, **fields)


def test_image_and_text_embeddings_agree() -> None:
    cpu, cuda = build_tiny_clip(), build_tiny_clip().to("cuda")
    for name in TOWER_FIELDS:
        on_cpu, on_cuda = encoded(cpu).require(name), encoded(cuda).require(name)
        assert_close(on_cuda.cpu(), on_cpu, rtol=CUDA_TOLERANCE, atol=CUDA_TOLERANCE)
    texts = ["a river.", "a photo of a sparse residential area."]
    own = cuda.encode_text(cuda.tokenize(texts)).cpu()
    assert_close(
        own, cpu.encode_text(cpu.tokenize(texts)), rtol=CUDA_TOLERANCE, atol=CUDA_TOLERANCE
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float32(dtype: torch.dtype) -> None:
    clip = build_tiny_clip().to("cuda")
    full = encoded(clip).require("embedding")
    with torch.autocast("cuda", dtype):
        half = encoded(clip).require("embedding")
    assert torch.cosine_similarity(half, full).min() > 0.99


def test_every_method_is_compared() -> None:
    assert CONFIGS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_and_gradients_of_a_method_agree(name: str) -> None:
    config = CONFIGS[name]
    torch.manual_seed(3)
    cpu = build_method(build_tiny_clip(), config)
    if cpu.trains == "solver":
        cpu.solve(encoded(cpu.clip), LABELS, CLASSES)
    cpu.start_from(encoded(cpu.clip), LABELS, CLASSES)
    cuda = copy.deepcopy(cpu).to("cuda")
    results = []
    for method in (cpu, cuda):
        inputs, labels = encoded(method.clip), LABELS.to(method.clip.device)
        logits = method(inputs, CLASSES)
        learned = list(method.learned_parameters().values())
        method.chance = torch.Generator().manual_seed(4)
        loss = method.loss(inputs, labels, CLASSES)
        gradients = torch.autograd.grad(loss, learned) if learned else ()
        results.append([logits.detach().cpu(), *(gradient.cpu() for gradient in gradients)])
    for on_cpu, on_cuda in zip(*results, strict=True):
        assert_close(on_cuda, on_cpu, rtol=CUDA_TOLERANCE, atol=CUDA_TOLERANCE)
