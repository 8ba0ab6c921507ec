"""The convolutional stem: folded batch norms, padding, what of it is computed in half precision."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from skycue.backbones.stem import (
    BATCH_NORM_EPS,
    EfficientNetLite0,
    SamePadConv,
    build_stem,
    fold_batch_norm,
    read_imagenet_weights,
)
from skycue.backbones.vit import ImageConfig
from skycue.errors import ConfigError

PIXELS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def stem() -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0().eval()


def test_a_folded_convolution_equals_convolution_then_batch_norm() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, eps=BATCH_NORM_EPS)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor is not None
        nn.init.uniform_(tensor, 0.5, 1.5)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fold_batch_norm(
        conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var
    )
    assert_close(F.conv2d(PIXELS, weight, bias), norm.eval()(conv(PIXELS)))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_is_tensorflows_same(kernel: int, stride: int) -> None:
    # TensorFlow: out = ceil(n / s); total = (out - 1) s + k - n; the smaller half goes first.
    torch.manual_seed(0)
    conv = SamePadConv(3, 4, kernel, stride, 1)
    total = (64 // stride - 1) * stride + kernel - 64
    first = total // 2
    padded = F.pad(PIXELS, (first, total - first, first, total - first))
    assert_close(conv(PIXELS), F.conv2d(padded, conv.weight, conv.bias, stride))


def test_a_cell_covers_32_pixels(stem: EfficientNetLite0) -> None:
    assert stem(PIXELS).shape == (2, stem.out_channels, 2, 2)


def test_every_published_tensor_but_the_classifier_finds_its_place(
    stem: EfficientNetLite0,
) -> None:
    published = {}
    for name, tensor in stem.state_dict().items():
        conv, norm = _published_names(name)
        if name.endswith("weight"):
            published[f"{conv}.weight"] = tensor
        else:
            ones, zeros = torch.ones_like(tensor), torch.zeros_like(tensor)
            published |= {f"{norm}.weight": ones, f"{norm}.bias": tensor}
            published |= {f"{norm}.running_mean": zeros}
            published |= {f"{norm}.running_var": ones - BATCH_NORM_EPS}
    read = read_imagenet_weights(published | {"_fc.weight": torch.zeros(1)})
    assert_close(read, dict(stem.state_dict()))


def _published_names(name: str) -> tuple[str, str]:
    """Return the published names of a convolution of ours and of its batch norm."""
    parts = name.split(".")
    if parts[0] != "blocks":
        return ("_conv_stem", "_bn0") if parts[0] == "first" else ("_conv_head", "_bn1")
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[parts[2]]
    return f"_blocks.{parts[1]}._{parts[2]}_conv", f"_blocks.{parts[1]}.{norm}"


def test_half_precision_before_the_trained_blocks_changes_no_gradient_of_frozen_ones(
    stem: EfficientNetLite0,
) -> None:
    stem.requires_grad_(False)
    stem.head.requires_grad_(True)
    stem.frozen_dtype = torch.bfloat16
    stem(PIXELS).sum().backward()
    assert stem.head.weight.grad is not None
    assert all(p.grad is None for p in stem.blocks.parameters())
    assert stem(PIXELS).dtype == torch.float32


def test_half_precision_is_for_training_only(stem: EfficientNetLite0) -> None:
    with torch.no_grad():
        exact = stem(PIXELS)
        stem.requires_grad_(False).frozen_dtype = torch.bfloat16
        assert_close(stem(PIXELS), exact)


@pytest.mark.parametrize(("image_size", "patch_size"), [(64, 16), (100, 32)])
def test_a_grid_that_is_not_the_stems_is_refused(image_size: int, patch_size: int) -> None:
    config = ImageConfig(
        image_size=image_size, patch_size=patch_size, width=8, layers=1, heads=1,
        stem="efficientnet_lite0",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="cells of 32 pixels"):
        build_stem(config)
