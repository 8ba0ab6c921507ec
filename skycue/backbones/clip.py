"""CLIP: two towers, one shared space, and the temperature between them.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
https://arxiv.org/abs/2103.00020. Prompts enter as token embeddings, at any layer; this module knows
no method that does so.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from skycue.backbones.text import DEFAULT_MAX_BYTES, TextConfig, TextTower
from skycue.backbones.tokenizer import Tokenizer
from skycue.backbones.transformer import Activation
from skycue.backbones.vit import ImageConfig, ImageTower

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of the RGB channels in [0, 1] that OpenAI's CLIP was trained with."""
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of the RGB channels that OpenAI's CLIP was trained with."""
START_TEMPERATURE = 0.07
"""Temperature at the start of CLIP's own training (section 2.5)."""


class ClipConfig(BaseModel, frozen=True, extra="forbid"):
    """All that a folder's `config.json` says of a CLIP."""

    embed_dim: int = Field(gt=0)
    """Width of the shared space, D."""
    image: ImageConfig
    """The image tower."""
    text: TextConfig
    """The text tower."""
    activation: Activation = "gelu"
    """Activation of the MLPs; OpenAI's checkpoints were trained with "quick_gelu"."""
    layer_norm_eps: float = Field(default=1e-5, gt=0)
    """Epsilon of every layer norm."""
    mean: tuple[float, float, float] = OPENAI_MEAN
    """Taken off the RGB channels in [0, 1]."""
    std: tuple[float, float, float] = OPENAI_STD
    """What the channels are then divided by."""


class ImageEncoding(NamedTuple):
    """An image as CLIP sees it.

    Attributes:
        embedding: Image embeddings of unit length, [B, D].
        tokens: Class token and patch tokens after the last block, before its norm, [B, 1+N, V].
        maps: The same after the layers that were asked for, each [B, 1+N, V].
    """

    embedding: Tensor
    tokens: Tensor
    maps: tuple[Tensor, ...] = ()

    @property
    def moments(self) -> Tensor:
        """Mean and deviation (divided by 1+N) over the tokens of each map, [B, maps, 2, V]."""
        maps = torch.stack(self.maps, dim=1).float()  # [B, maps, 1+N, V]
        return torch.stack([maps.mean(dim=2), maps.std(dim=2, correction=0)], dim=2)


class Clip(nn.Module):
    """A CLIP of any size."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ClipConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        shared = (config.embed_dim, config.activation, config.layer_norm_eps)
        self.image = ImageTower(config.image, *shared)
        self.text = TextTower(config.text, *shared)
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(START_TEMPERATURE)))
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.logit_scale.device

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of configuration, vocabulary and weights: names this very network."""
        digest = hashlib.sha256(self.config.model_dump_json().encode())
        digest.update(json.dumps(self.tokenizer.vocabulary(), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return image embeddings of unit length, [B, D], for RGB in [0, 1], [B, 3, S, S]."""
        return self.encode_image_tokens(pixels).embedding

    def encode_image_tokens(
        self, pixels: Tensor, *, prompts: Sequence[Tensor] = (), layers: Sequence[int] = ()
    ) -> ImageEncoding:
        """Encode images and keep their tokens.

        Args:
            pixels: RGB in [0, 1], [B, 3, S, S]; `backbones.preprocess` makes them.
            prompts: Extra tokens for each of the first blocks, see `ImageTower.encode_patches`.
            layers: Blocks whose token maps are returned as well.

        Returns:
            Embeddings of unit length and token maps.
        """
        return self.encode_patches(self.embed_image(pixels), prompts=prompts, layers=layers)

    def embed_image(self, pixels: Tensor) -> Tensor:
        """Return patch embeddings, what enters the image tower's first block, [B, 1+N, V].

        Args:
            pixels: RGB in [0, 1], [B, 3, S, S].
        """
        return self.image.embed((pixels - self.mean) / self.std)

    def encode_patches(
        self, patches: Tensor, *, prompts: Sequence[Tensor] = (), layers: Sequence[int] = ()
    ) -> ImageEncoding:
        """Encode images from their patch embeddings; see `encode_image_tokens`.

        Args:
            patches: What `embed_image` returned, [B, 1+N, V].
            prompts: Extra tokens for each of the first blocks, see `ImageTower.encode_patches`.
            layers: Blocks whose token maps are returned as well.
        """
        out = self.image.encode_patches(patches, prompts=prompts, layers=layers)
        return ImageEncoding(F.normalize(out.projected.float(), dim=-1), out.tokens, out.maps)

    def embed_patches(self, patches: Tensor, *, prompts: Sequence[Tensor] = ()) -> Tensor:
        """Return only the image embeddings of `encode_patches`, [B, D], for less work.

        Args:
            patches: What `embed_image` returned, [B, 1+N, V].
            prompts: Extra tokens for each of the first blocks, see `ImageTower.encode_patches`.
        """
        return F.normalize(self.image.project_patches(patches, prompts=prompts).float(), dim=-1)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids padded with 0 to the context length, [C, L], on the model's device.

        Raises:
            PromptTooLongError: If a text has too many tokens.
        """
        ids = self.tokenizer.encode(texts, self.config.text.context_length)
        return ids.to(self.device)

    def token_embedding(self, ids: Tensor) -> Tensor:
        """Return the rows of the token table, [..., W], for ids of any shape."""
        embeddings: Tensor = self.text.token_embedding(ids)
        return embeddings

    def eot_index(self, ids: Tensor) -> Tensor:
        """Return the position of the first end-of-text token of each row, [C], for ids [C, L]."""
        return (ids == self.tokenizer.eot_id).int().argmax(dim=-1)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Return text embeddings of unit length, [C, D], for token ids [C, L]."""
        states = self.text(self.token_embedding(ids), self.eot_index(ids))
        return F.normalize(states.float(), dim=-1)

    def encode_prompts(
        self,
        prefix: Tensor,
        suffix: Tensor,
        eot_index: Tensor,
        *,
        deep_prompts: Sequence[Tensor] = (),
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Tensor:
        """Encode token embeddings that share a beginning; see `TextTower.encode_prompts`.

        Returns:
            Text embeddings of unit length, [G, C, D].
        """
        states = self.text.encode_prompts(
            prefix, suffix, eot_index, deep_prompts=deep_prompts, max_bytes=max_bytes
        )
        return F.normalize(states.float(), dim=-1)
