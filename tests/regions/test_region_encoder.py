"""The region encoder against its steps as loops, and its geometry."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from skycue.errors import ConfigError
from skycue.regions.region_encoder import RegionEncoder, RegionEncoderConfig
from skycue.regions.roi_align import roi_align

TINY = RegionEncoderConfig(
    width=16, fuse_rounds=2, groups=4, roi_size=3, region_width=12, position_width=6
)
BOXES = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.7, 0.6]])
INDEX = torch.tensor([0, 1, 1])


def tiny_levels() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(2, 5, 12, 12), (2, 7, 6, 6), (2, 9, 3, 3)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def build(config: RegionEncoderConfig = TINY, seed: int = 4) -> RegionEncoder:
    torch.manual_seed(seed)
    return RegionEncoder((5, 7, 9), 10, config).eval()


def by_hand(encoder: RegionEncoder, levels: list[Tensor], box: Tensor, image: int) -> Tensor:
    """The published steps for one box, from the encoder's weights by their names."""
    state = encoder.state_dict()
    maps = []
    for i, level in enumerate(levels):
        height, width = level.shape[-2:]
        rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        known = torch.cat([level[image], x[None], y[None]])[None]
        name = f"level_inputs.{i}"
        maps.append(F.conv2d(known, state[f"{name}.weight"], state[f"{name}.bias"]))
    for n in range(2):
        mixed = []
        for i, level in enumerate(maps):
            size = level.shape[-2:]
            after, before = maps[min(i + 1, 2)][:, 12:], maps[max(i - 1, 0)][:, 8:12]
            x = torch.cat(
                [
                    level[:, :8],
                    F.interpolate(after, size=size, mode="bilinear", align_corners=True),
                    F.interpolate(before, size=size, mode="bilinear", align_corners=True),
                ],
                dim=1,
            )
            x = F.conv2d(x, state[f"rounds.{n}.conv.weight"], padding=1)
            norm = f"rounds.{n}.norm"
            mixed.append(F.relu(F.group_norm(x, 4, state[f"{norm}.weight"], state[f"{norm}.bias"])))
        maps = mixed
    total = torch.zeros(1, 16, 3, 3)
    for i, level in enumerate(maps):
        cut = roi_align(level, box[None], torch.tensor([0]), size=3)
        name = f"roi_convs.{i}"
        total += F.conv2d(cut, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
    flat = torch.stack(
        [F.relu(total)[0, d, r, c] for d in range(16) for r in range(3) for c in range(3)]
    )
    region = state["region.weight"] @ flat + state["region.bias"]
    code = box
    for linear, norm in (("0", "2"), ("3", "5")):
        code = F.relu(state[f"position.{linear}.weight"] @ code + state[f"position.{linear}.bias"])
        weights = (state[f"position.{norm}.weight"], state[f"position.{norm}.bias"])
        code = F.layer_norm(code, code.shape, *weights)
    return F.linear(region + code, state["output.weight"], state["output.bias"])


def test_a_vector_follows_the_published_steps() -> None:
    encoder, levels = build(), tiny_levels()
    found = encoder(levels, BOXES, INDEX, BOXES)
    for r in range(3):
        assert_close(found[r], by_hand(encoder, levels, BOXES[r], int(INDEX[r])), rtol=0, atol=1e-5)


def test_glamm_geometry_reads_the_upper_left_two_thirds() -> None:
    encoder, levels = build(), tiny_levels()
    old = build(TINY.model_copy(update={"geometry": "glamm_224"}))
    position = torch.rand(3, 4)
    assert_close(
        old(levels, BOXES, INDEX, position), encoder(levels, BOXES * 2 / 3, INDEX, position)
    )


def test_the_position_of_the_box_is_seen_apart_from_the_frame() -> None:
    encoder, levels = build(), tiny_levels()
    here, there = (encoder(levels, BOXES, INDEX, BOXES * share) for share in (1.0, 0.5))
    assert (here - there).abs().max() > 1e-3


def test_levels_are_joined_once_for_many_boxes() -> None:
    encoder, levels = build(), tiny_levels()
    joined = encoder.join_levels(levels)
    alone = [
        encoder.encode_boxes(joined, BOXES[r, None], INDEX[r, None], BOXES[r, None])
        for r in range(3)
    ]
    assert_close(torch.cat(alone), encoder(levels, BOXES, INDEX, BOXES))


def test_no_box_gives_no_vector() -> None:
    nothing = torch.zeros(0, 4)
    found = build()(tiny_levels(), nothing, torch.zeros(0, dtype=torch.int64), nothing)
    assert found.shape == (0, 10)


def test_grids_are_resized_as_configured() -> None:
    encoder = build(TINY.model_copy(update={"cells": (8, 4, 2)}))
    joined = encoder.join_levels(tiny_levels())
    assert [tuple(level.shape) for level in joined] == [
        (2, 16, 8, 8),
        (2, 16, 4, 4),
        (2, 16, 2, 2),
    ]


def test_the_large_configuration_has_the_size_of_glamm_s_encoder() -> None:
    config = RegionEncoderConfig(
        width=1024,
        cells=(192, 96, 48, 24),
        fuse_rounds=5,
        groups=64,
        roi_size=14,
        region_width=1024,
        position_width=256,
        geometry="glamm_224",
    )
    with torch.device("meta"):
        encoder = RegionEncoder((1024,) * 4, 4096, config)
    assert encoder.region.weight.shape == (1024, 1024 * 196)
    inputs = 4 * (1024 * 1026 + 1024)
    rounds = 5 * (1024 * 1024 * 9 + 2 * 1024)
    roi_convs = 4 * (1024 * 1024 * 9 + 1024)
    position = 4 * 256 + 256 + 2 * 256 + 256 * 1024 + 1024 + 2 * 1024
    region, output = 1024 * 196 * 1024 + 1024, 1024 * 4096 + 4096
    total = inputs + rounds + roi_convs + position + region + output
    assert sum(p.numel() for p in encoder.parameters()) == total


def test_groups_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match="groups 7 do not divide width 96"):
        RegionEncoderConfig(groups=7)


def test_grid_sizes_for_other_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match="holds 2 grid sizes, but the image encoder gives 3"):
        build(TINY.model_copy(update={"cells": (8, 4)}))
