"""The released way of CoOp and of others that encode classes once: see `bench/released_ways.py`.

A step encodes the classes over 77 tokens; the images are frozen encodings.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.reference import encode_classes, encode_padded, logits_of
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.clip_adapter import ClipAdapter
from skycue.scenes.coop import CoOp
from skycue.scenes.kgcoop import KgCoOp
from skycue.scenes.prograd import ProGrad
from skycue.scenes.tip_adapter import TipAdapter


def coop_logits(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Encode all classes in the one context."""
    assert isinstance(method, CoOp)
    classes = encode_classes(method.clip, method.context[None], class_names)[0]
    return logits_of(method.clip, inputs.require("embedding"), classes)


def kgcoop_loss(
    method: PromptMethod, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]
) -> Tensor:
    """Add the distance from the templates' class embeddings, which are known before training."""
    assert isinstance(method, KgCoOp)
    classes = encode_classes(method.clip, method.context[None], class_names)[0]
    logits = logits_of(method.clip, inputs.require("embedding"), classes)
    cosines = F.cosine_similarity(classes, method._templates.class_embeddings(class_names))
    return F.cross_entropy(logits, labels) + method.weight * (1 - cosines.mean())


def prograd_loss(
    method: PromptMethod, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]
) -> Tensor:
    """Pull both losses back through the text tower, and project one gradient on the other.

    Returns a scalar whose gradient is the projected one, as a step takes it.
    """
    assert isinstance(method, ProGrad)
    logits = coop_logits(method, inputs, class_names)
    templates = method._templates.class_embeddings(class_names)
    expected = logits_of(method.clip, inputs.require("embedding"), templates).softmax(dim=-1)
    own = F.cross_entropy(logits, labels)
    general = F.cross_entropy(logits, expected)
    (of_own,) = torch.autograd.grad(own, method.context, retain_graph=True)
    (of_general,) = torch.autograd.grad(general, method.context)
    direction = of_general / of_general.norm()
    if (of_own * of_general).sum() < 0:
        of_own = of_own - method.strength * (of_own * direction).sum() * direction
    return own.detach() + (of_own * (method.context - method.context.detach())).sum()


def clip_adapter_logits(
    method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]
) -> Tensor:
    """Encode the templates of all classes in every step, and adapt image embeddings."""
    assert isinstance(method, ClipAdapter)
    (template,) = method._text.templates
    ids = method.clip.tokenize([template.replace("{}", name) for name in class_names])
    embeddings, eot_index = method.clip.token_embedding(ids), method.clip.eot_index(ids)
    classes = encode_padded(method.clip, embeddings, eot_index)
    share, images = method.config.image_ratio, inputs.require("embedding")
    mixed = share * method.image_adapter(images) + (1 - share) * images
    return logits_of(method.clip, F.normalize(mixed, dim=-1), classes)


def tip_adapter_logits(
    method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]
) -> Tensor:
    """Ask the remembered images; the templates' class embeddings are known before."""
    assert isinstance(method, TipAdapter)
    images = inputs.require("embedding")
    affinity = images @ method.keys.T
    recalled = (-1 * (method.beta - method.beta * affinity)).exp() @ method.values
    classes = method._text.class_embeddings(class_names)
    return logits_of(method.clip, images, classes) + recalled * method.alpha
