"""What is encoded once for many images scores them as the method itself does."""

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.encoding import TOWER_FIELDS, computed_fields
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.registry import METHODS, build_method

CLASSES = ["harbor", "storage tank", "forest"]
IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
SEES_THE_IMAGE_FIRST = {"cocoop", "bimors", "applenet", "stylip", "c-saw", "regional"}
"""Methods whose class embeddings depend on the image, or that read more of it than one vector."""


def inputs_of(clip: Clip, method: PromptMethod) -> ImageInputs:
    caption = torch.rand(6, 768, generator=torch.Generator().manual_seed(2))
    fields = computed_fields(clip, IMAGES, TOWER_FIELDS) | {"pixels": IMAGES, "caption": caption}
    return ImageInputs(**{name: fields[name] for name in method.needs})


@pytest.mark.parametrize("name", METHODS)
@torch.no_grad()
def test_a_class_scorer_gives_the_logits_of_its_method(name: str, tiny_clip: Clip) -> None:
    torch.manual_seed(3)
    _, config = METHODS[name]
    method = build_method(tiny_clip, config())  # type: ignore[arg-type]  # one of the union
    inputs = inputs_of(tiny_clip, method)
    if method.trains == "solver":
        method.solve(inputs, LABELS, CLASSES)
    method.start_from(inputs, LABELS, CLASSES)
    scorer = method.class_scorer(CLASSES[::-1])
    assert (scorer is None) == (name in SEES_THE_IMAGE_FIRST)
    if scorer is not None:
        logits = scorer(method.image_embeddings(inputs))
        assert_close(logits, method(inputs, CLASSES[::-1]))
        assert_close(logits[:, [0]], method(inputs, CLASSES[2:]), rtol=1e-4, atol=1e-4)
