"""Trying a recipe: what fake weights stand in for, and that memory is told for the full depth."""

import math
from pathlib import Path

import pytest
import torch

from skycue.backbones.sam import SamSettings
from skycue.config import load_config, shipped_configs
from skycue.region_dry_run import DryStage, dry_run
from skycue.region_fake_weights import FAKE_IMAGES, with_fake_weights
from skycue.region_recipe import RegionTrainingConfig

SCHEDULE = {"epochs": 1, "batch_size": 2, "optimizer": "adamw", "average_decay": 0.9}
RECIPE = RegionTrainingConfig.model_validate(
    {
        "data": {"rendered": FAKE_IMAGES.model_dump()},
        "model": {"language": {"hidden_size": 64, "heads": 2, "layers": 5, "vocab_size": 400}},
        "stages": [
            {"name": "masks", "kind": "masks", "trains": ["net.segmenter.*"], "train": SCHEDULE},
            {"name": "full", "trains": ["net.*", "align.*"], "train": SCHEDULE},
        ],
    }
)


def try_recipe(*, fake_weights: bool) -> list[DryStage]:
    return dry_run(
        RECIPE, Path("absent"), seed=1, device=torch.device("cpu"), fake_weights=fake_weights
    )


@pytest.mark.slow
def test_fake_weights_count_what_they_leave_out() -> None:
    real, fake = try_recipe(fake_weights=False), try_recipe(fake_weights=True)
    assert [stage.stage for stage in fake] == ["masks", "full"]
    for one, other in zip(real, fake, strict=True):
        assert one._replace(terms={}) == other._replace(terms={})
        assert one.weight_format == "float32"
        assert one.weights_gib == pytest.approx(4 * one.parameters / 2**30, abs=1e-3)
        assert one.gradients_gib == pytest.approx(4 * one.trained / 2**30, abs=1e-3)
        # Two moments of AdamW and the average.
        assert one.optimizer_gib == pytest.approx(12 * one.trained / 2**30, abs=1e-3)
        parts = [one.weights_gib, one.gradients_gib, one.optimizer_gib]
        parts += one.activations_gib.values()
        assert one.total_gib == pytest.approx(sum(parts), abs=5e-3)
    assert real[0].trained < real[1].trained < real[1].parameters
    assert {"text", "semantic", "relation"} <= fake[1].terms.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("smollm_region", torch.float32),
        ("glamm_7b", torch.bfloat16),
        ("geopixeld_7b", torch.float32),
    ],
)
def test_recipes_of_pretrained_models_are_tried_without_them(name: str, dtype: torch.dtype) -> None:
    recipe = load_config(RegionTrainingConfig, shipped_configs()[name])
    device = torch.device("cpu")
    stages = dry_run(recipe, Path("absent"), seed=1, device=device, dtype=dtype, fake_weights=True)
    assert [stage.stage for stage in stages] == [stage.name for stage in recipe.stages]
    last = stages[-1]
    assert all(math.isfinite(term) for term in last.terms.values())
    assert all(last.activations_gib[part] > 0 for part in ("language_model", "mask_decoder"))
    # Vicuna 7B with SAM ViT-H and CLIP ViT-L; SmolLM2 with `mini`'s parts.
    least, most = (0.13e9, 0.3e9) if name == "smollm_region" else (7.8e9, 8.5e9)
    assert least < last.parameters < most
    assert last.trained < 0.5 * last.parameters


def test_fake_weights_need_no_file_and_keep_the_widths() -> None:
    recipe = RegionTrainingConfig.model_validate(
        {
            "data": {"outlined": [{"annotations": "train.json", "images": "images"}]},
            "start": "glamm",
            "model": {
                "clip": "openai/clip-vit-large-patch14-336",
                "image_layer": 22,
                "region_layers": [8, 12, 16, 20],
                "region_encoder": {"width": 64, "cells": [192, 96, 10, 5], "fuse_rounds": 5},
                "segmenter": {"kind": "sam", "hidden_size": 1280, "layers": 32},
                "language": {"source": "lmsys/vicuna-7b-v1.5", "hidden_size": 4096, "layers": 32},
            },
            "stages": [{"name": "full", "train": SCHEDULE}],
        }
    )
    fake = with_fake_weights(recipe)
    assert (fake.start, fake.data.outlined, fake.model.clip) == (None, (), "mini")
    assert fake.model.region_layers == (0, 1, 0, 1)
    language, segmenter = fake.model.language, fake.model.segmenter
    assert (language.source, language.hidden_size, language.layers) == ("scratch", 4096, 2)
    assert isinstance(segmenter, SamSettings)
    assert (segmenter.source, segmenter.hidden_size, segmenter.layers) == ("scratch", 1280, 2)
    assert segmenter.global_layers == (1,)
    encoder = fake.model.region_encoder
    assert (encoder.width, encoder.cells, encoder.fuse_rounds) == (64, (12, 12, 10, 5), 1)
