"""What the released code of each method does in a step, written anew from its description.

The text tower sees whole padded sequences of 77 tokens, once for all classes or, where the context
depends on the image, once for each image in a loop. What the releases compute before training, such
as the class embeddings of templates, is computed before it here too. Numbers of images are those of
the authors' configurations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from bench.released_deep import promptsrc_loss, two_tower_logits, vpt_logits
from bench.released_per_image import (
    applenet_logits,
    applenet_loss,
    bimors,
    cocoop_logits,
    csaw_logits,
    csaw_loss,
    stylip_logits,
)
from bench.released_shared import (
    clip_adapter_logits,
    coop_logits,
    kgcoop_loss,
    prograd_loss,
    tip_adapter_logits,
)
from skycue.scenes.base import ImageInputs, PromptMethod

Logits = Callable[[PromptMethod, ImageInputs, Sequence[str]], Tensor]
"""Gives logits [B, C] of a method's parameters, inputs and class names."""
Loss = Callable[[PromptMethod, ImageInputs, Tensor, Sequence[str]], Tensor]
"""Gives the training loss of the same and labels [B]."""


class Way(NamedTuple):
    """How a method's released code works, and what ours has to reach.

    Attributes:
        batch: Images of a training step, as published.
        logits: Scores images.
        same_target: Times faster that ours must be where both sides have the same encodings.
        released_target: Times faster than decoding, cropping and encoding images in each step.
        loss: Of a step; none is the cross-entropy of the logits.
        image_passes: How often the release puts each image through the frozen tower in a step.
        settings: Options of the method, by name, that differ from ours by default.
    """

    batch: int
    logits: Logits
    same_target: float | None = None
    released_target: float | None = None
    loss: Loss | None = None
    image_passes: int = 1
    settings: tuple[tuple[str, str], ...] = ()

    def loss_of(
        self,
        method: PromptMethod,
        inputs: ImageInputs,
        labels: Tensor,
        class_names: Sequence[str],
    ) -> Tensor:
        """Return the training loss, a scalar."""
        if self.loss is not None:
            return self.loss(method, inputs, labels, class_names)
        return F.cross_entropy(self.logits(method, inputs, class_names), labels)


PER_IMAGE = 8.0
"""Times faster, at the same encodings, where class embeddings depend on the image."""
SHARED = 3.0
"""Times faster than the released recipe, where a step encodes the classes once anyway."""
BIMORS = 12.0
"""Times faster than the released recipe of BiMoRS, where images are not encoded in each step."""
DEEP = 1.0
"""Times faster, at the same encodings, where images pass the tower with prompts in it."""

WAYS: dict[str, Way] = {
    "coop": Way(batch=32, logits=coop_logits, released_target=SHARED),
    "cocoop": Way(batch=1, logits=cocoop_logits, same_target=PER_IMAGE),
    "bimors": Way(batch=4, logits=bimors, same_target=PER_IMAGE, released_target=BIMORS),
    "kgcoop": Way(batch=128, logits=coop_logits, loss=kgcoop_loss, released_target=SHARED),
    "prograd": Way(
        batch=32, logits=coop_logits, loss=prograd_loss, released_target=SHARED, image_passes=2
    ),
    "maple": Way(batch=4, logits=two_tower_logits, same_target=DEEP),
    "promptsrc": Way(batch=4, logits=two_tower_logits, loss=promptsrc_loss, same_target=DEEP),
    "vpt": Way(batch=4, logits=vpt_logits, same_target=DEEP),
    "stylip": Way(batch=4, logits=stylip_logits, same_target=PER_IMAGE),
    "applenet": Way(batch=4, logits=applenet_logits, loss=applenet_loss, same_target=PER_IMAGE),
    "c-saw": Way(batch=4, logits=csaw_logits, loss=csaw_loss),
    "clip-adapter": Way(batch=32, logits=clip_adapter_logits, settings=(("template", "photo"),)),
    "tip-adapter": Way(batch=256, logits=tip_adapter_logits),
    "tip-adapter-f": Way(batch=256, logits=tip_adapter_logits),
}
"""The way of each method by its name."""
