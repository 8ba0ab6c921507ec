"""Trying a recipe: what fake weights stand in for, and that memory is told for the full depth."""

from pathlib import Path

import pytest
import torch

from skycue.backbones.sam import SamSettings
from skycue.region_dry_run import FAKE_IMAGES, DryStage, dry_run, with_fake_weights
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
def test_fake_weights_count_the_layers_that_they_leave_out() -> None:
    real, fake = try_recipe(fake_weights=False), try_recipe(fake_weights=True)
    assert [stage.stage for stage in fake] == ["masks", "full"]
    for one, other in zip(real, fake, strict=True):
        assert (one.parameters, one.trained) == (other.parameters, other.trained)
        assert one.weights_gib == pytest.approx(4 * one.parameters / 2**30, abs=1e-3)
        # Two moments of AdamW and the average.
        assert one.optimizer_gib == pytest.approx(12 * one.trained / 2**30, abs=1e-3)
    assert real[0].trained < real[1].trained < real[1].parameters
    assert {"text", "semantic", "relation"} <= fake[1].terms.keys()


def test_fake_weights_need_no_file_and_keep_the_widths() -> None:
    recipe = RegionTrainingConfig.model_validate(
        {
            "data": {"outlined": [{"annotations": "train.json", "images": "images"}]},
            "start": "glamm",
            "model": {
                "clip": "openai/clip-vit-large-patch14-336",
                "image_layer": 22,
                "region_layers": [8, 12, 16, 20],
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
