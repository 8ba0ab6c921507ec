"""The losses that join two towers: contrast with several positives, and distillation of texts.

Contrast is CLIP's (Radford et al., ICML 2021, figure 3, https://arxiv.org/abs/2103.00020) with the
target of Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2
(https://arxiv.org/abs/2004.11362): where texts of a batch are equal, an image has several right
answers, and the mean of their log-probabilities is raised. Without equal texts it is CLIP's loss.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def multi_positive_contrastive_loss(
    image_embeddings: Tensor, text_embeddings: Tensor, scale: Tensor, text_ids: Tensor
) -> Tensor:
    """Return the symmetric contrastive loss of a batch of pairs, a scalar.

    Args:
        image_embeddings: Unit vectors, [B, D].
        text_embeddings: Unit vectors of the text of each image, [B, D].
        scale: Inverse temperature, a scalar.
        text_ids: Integers that are equal where texts are equal, [B]; image i and text j are a
            positive pair where `text_ids[i] == text_ids[j]`.
    """
    logits = scale * image_embeddings @ text_embeddings.T  # [B, B]
    positive = (text_ids[:, None] == text_ids[None, :]).to(logits.dtype)
    target = positive / positive.sum(dim=1, keepdim=True)  # symmetric: equality is
    to_text = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    to_image = -(target * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (to_text + to_image) / 2


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return how far sentence vectors lie from a teacher's, alone and as a set, a scalar.

    The first part is one minus the cosine to the teacher's vector of the same text. The second is
    the divergence of the student's similarities to all texts of the batch from the teacher's, as
    Tian et al., "Contrastive Representation Distillation", ICLR 2020,
    https://arxiv.org/abs/1910.10699, argue for: relations tell more than single vectors.

    Args:
        student: Vectors of any length, [B, S].
        teacher: Unit vectors, [B, S].
        temperature: Of both distributions over the batch.
    """
    unit = F.normalize(student, dim=-1)
    wanted = (teacher @ teacher.T / temperature).softmax(dim=-1)  # [B, B]
    found = (unit @ teacher.T / temperature).log_softmax(dim=-1)
    distance = 1 - (unit * teacher).sum(dim=-1).mean()
    return distance + F.kl_div(found, wanted, reduction="batchmean")


def text_id_of(texts: list[str]) -> Tensor:
    """Number texts so that equal ones, but for case and outer white space, get the same number.

    Returns:
        Numbers from 0 in the order of first appearance, int64 [B].
    """
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(text.strip().lower(), len(numbers)) for text in texts])
