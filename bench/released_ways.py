"""What the released code of each method does in a step, written anew from its description.

The text tower sees whole padded sequences of 77 tokens, once for all classes or, where the context
depends on the image, once for each image in a loop; see `bench/reference.py` for what is shared
with ours. Numbers of images are those of the authors' configurations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from bench.reference import bimors_logits, encode_classes, image_by_image
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.bimors import BiMoRS
from skycue.scenes.cocoop import CoCoOp
from skycue.scenes.coop import CoOp

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
    """

    batch: int
    logits: Logits
    same_target: float | None = None
    released_target: float | None = None
    loss: Loss | None = None

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


def coop_logits(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Encode all classes in the one context."""
    assert isinstance(method, CoOp)
    classes = encode_classes(method.clip, method.context[None], class_names)[0]
    return method.clip.logit_scale.exp() * inputs.require("embedding") @ classes.T


def cocoop_logits(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Encode all classes anew for each image, whose embedding shifts the context."""
    assert isinstance(method, CoCoOp)
    embedding = inputs.require("embedding")
    contexts = method.context + method.meta_net(embedding)[:, None]  # [B, M, W]
    return image_by_image(method.clip, embedding, contexts, class_names)


def bimors(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Encode all classes anew for each image, to which the context attends."""
    assert isinstance(method, BiMoRS)
    return bimors_logits(method, inputs, class_names)


PER_IMAGE = 8.0
"""Times faster, at the same encodings, where class embeddings depend on the image."""
SHARED = 3.0
"""Times faster than the released recipe, where a step encodes the classes once anyway."""

WAYS: dict[str, Way] = {
    "coop": Way(batch=32, logits=coop_logits, released_target=SHARED),
    "cocoop": Way(batch=1, logits=cocoop_logits, same_target=PER_IMAGE),
    "bimors": Way(batch=4, logits=bimors, same_target=PER_IMAGE),
}
"""The way of each method by its name."""
