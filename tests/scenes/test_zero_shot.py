"""Zero-shot: templates, ensembles and a template without a place for the name."""

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.scenes.frozen_text import TEMPLATES
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig


def test_an_ensemble_is_the_normalised_mean_of_its_templates(tiny_clip: Clip) -> None:
    names = ["harbor", "forest"]
    ensemble = ZeroShot(tiny_clip, ZeroShotConfig(template="remote-sensing"))
    singles = [
        ZeroShot(tiny_clip, ZeroShotConfig(template=template)).class_embeddings(names)
        for template in TEMPLATES["remote-sensing"]
    ]
    mean = torch.stack(singles).mean(0)
    expected = mean / mean.norm(dim=-1, keepdim=True)
    assert_close(ensemble.class_embeddings(names), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("template", ["a photo", "{} beside {}", ""])
def test_a_template_without_one_place_for_the_name_is_refused(template: str) -> None:
    with pytest.raises(ValidationError, match=r"holds no single \{\}"):
        ZeroShotConfig(template=template)
