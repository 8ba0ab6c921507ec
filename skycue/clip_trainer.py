"""What a CLIP learns from: captioned images by contrast, and a sentence encoder by imitation.

The teacher has read far more than the captions. The text tower imitates its vectors on captions and
on a list of phrases, so that names which no caption holds land near their meaning.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn
from torch.nn import functional as F

from skycue.backbones.clip import Clip
from skycue.backbones.contrastive import (
    distillation_loss,
    multi_positive_contrastive_loss,
    text_id_of,
)
from skycue.backbones.sentence import SentenceEncoder
from skycue.backbones.stem import EfficientNetLite0, load_imagenet_weights
from skycue.backbones.tokenizer import Tokenizer
from skycue.clip_augmentation import random_views
from skycue.clip_pairs import fill_templates, is_held_out, load_pairs, read_pairs, read_phrases
from skycue.clip_recipe import ClipTrainingConfig, StageConfig
from skycue.device import autocast
from skycue.errors import ConfigError
from skycue.files import write_atomically
from skycue.metrics.retrieval import recall_at_k
from skycue.training import Batch

log = logging.getLogger(__name__)

MAX_LOG_SCALE = 4.6052
"""Logarithm of the largest inverse temperature, 100 (Radford et al., section 2.5)."""
TEXT_CHUNK = 128
"""Texts in one pass; chunks are sorted by length, so that little of them is padding."""
KEY_LETTERS = 16
"""Of the hash that names the file of kept teacher vectors."""
IMAGE_CHUNK = 32
"""Images in one pass of the image tower: on a CPU, convolutions of few images stay in the cache."""


class ClipTrainer:
    """Data, network and teacher vectors of a run, and the losses on them."""

    def __init__(
        self,
        config: ClipTrainingConfig,
        root: Path,
        folder: Path,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Read the data, train the tokenizer, encode all texts by the teacher, build the network.

        Args:
            config: The recipe.
            root: Folder of the datasets.
            folder: Where the teacher's vectors are kept for the next start.
            seed: Of the network's start.
            device: Where to compute.
            dtype: Number format of the towers' products.

        Raises:
            SkycueError: If data, phrases, teacher or model do not fit.
        """
        self.config, self.device, self.dtype = config, device, dtype
        listed = read_pairs(root, config.datasets, "train", config.excluded)
        held = [is_held_out(pair.path, root, config.held_out_percent) for pair in listed]
        learned = [pair for pair, out in zip(listed, held, strict=True) if not out]
        self.pairs = load_pairs(learned, config.stored_size)
        size = config.model.image.image_size
        self.held_out = load_pairs([p for p, out in zip(listed, held, strict=True) if out], size)
        phrases = fill_templates(read_phrases(config.phrases), config.templates)
        captions = list(dict.fromkeys(c for pair in learned for c in pair.captions))
        self.texts = [*captions, *phrases]
        self.n_captions = len(captions)
        row_of = {caption: row for row, caption in enumerate(captions)}
        self.caption_rows = [torch.tensor([row_of[c] for c in p.captions]) for p in learned]
        self.text_ids = text_id_of(self.texts)  # [T]
        log.info(
            "%d images and %d captions to train on, %d images held out, %d phrases in templates",
            len(learned), len(captions), len(self.held_out.images), len(phrases),
        )  # fmt: skip
        vectors = _kept_vectors(self.texts, config.teacher, device, folder)
        self.teacher_vectors = F.normalize(vectors, dim=-1)  # [T, S]
        torch.manual_seed(seed)
        self.clip = _build_clip(config, self.texts).to(device)
        self.teacher = nn.Linear(config.model.embed_dim, vectors.shape[1]).to(device)
        self.token_ids = self._tokenize(self.texts)  # [T, L], on the CPU
        self.lengths = self.clip.eot_index(self.token_ids)

    def _tokenize(self, texts: Sequence[str]) -> Tensor:
        length = self.clip.config.text.context_length
        return self.clip.tokenizer.encode(texts, length, truncate=True)

    def parameters(self, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
        """Let exactly the parameters learn whose name fits a pattern, and return them.

        Raises:
            ConfigError: If a pattern fits none.
        """
        named = dict(self.clip.named_parameters())
        named |= {f"teacher.{name}": p for name, p in self.teacher.named_parameters()}
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in named):
                raise ConfigError(
                    f"stages.trains: no parameter fits {pattern!r}; "
                    "patterns are such as 'text.*' or 'image.stem.0.blocks.9.*'."
                )
        for name, parameter in named.items():
            parameter.requires_grad_(any(fnmatchcase(name, pattern) for pattern in patterns))
        return {name: p for name, p in named.items() if p.requires_grad}

    def state(self) -> dict[str, Tensor]:
        """Return all weights, the head that meets the teacher included."""
        teacher = {f"teacher.{name}": t for name, t in self.teacher.state_dict().items()}
        return {**self.clip.state_dict(), **teacher}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        teacher = {k.removeprefix("teacher."): v for k, v in state.items() if "teacher." in k}
        self.teacher.load_state_dict(teacher)
        self.clip.load_state_dict({k: v for k, v in state.items() if "teacher." not in k})

    def encode_texts(self, rows: Tensor) -> Tensor:
        """Return unit embeddings of texts by their rows, [B, D]."""
        order = self.lengths[rows].argsort(stable=True)
        chunks = torch.split(rows[order], TEXT_CHUNK)
        with autocast(self.device, self.dtype):
            vectors = [self.clip.encode_text(self.token_ids[c].to(self.device)) for c in chunks]
        return torch.cat(vectors)[order.argsort(stable=True).to(self.device)]

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Return unit embeddings of RGB in [0, 1], [B, 3, S, S] to [B, D]."""
        chunks = torch.split(pixels.to(self.device), IMAGE_CHUNK)
        with autocast(self.device, self.dtype):
            return torch.cat([self.clip.encode_image(chunk) for chunk in chunks])

    def text_loss(self, rows: Tensor) -> Tensor:
        """Return the distance of texts from the teacher's vectors."""
        return self._distil(self.encode_texts(rows), rows)

    def image_loss(self, batch: Batch, stage: StageConfig) -> Tensor:
        """Return contrast of random views with one caption each, and the texts' distillation."""
        picks = [self.caption_rows[i] for i in batch.indices.tolist()]
        chance = torch.rand(len(picks), generator=batch.generator)
        rows = torch.stack(
            [row[int(c * len(row))] for row, c in zip(picks, chance.tolist(), strict=True)]
        )
        views = random_views(
            self.pairs.images[batch.indices], stage.image_size, stage.augment, batch.generator
        )
        n_phrases = len(self.texts) - self.n_captions
        phrases = self.n_captions + torch.randint(
            n_phrases, (stage.phrases_per_step,), generator=batch.generator
        )
        images = self.encode_images(views)
        rows_all = torch.cat([rows, phrases])
        texts = self.encode_texts(rows_all)
        scale = self.clip.logit_scale.clamp(max=MAX_LOG_SCALE).exp()
        ids = self.text_ids[rows].to(self.device)
        loss = multi_positive_contrastive_loss(images, texts[: len(rows)], scale, ids)
        if stage.distillation:
            loss = loss + stage.distillation * self._distil(texts, rows_all)
        return loss

    def _distil(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        vectors = self.teacher_vectors[rows].to(self.device)
        return distillation_loss(self.teacher(embeddings), vectors, self.config.temperature)

    @torch.no_grad()
    def validate_retrieval(self) -> float:
        """Return the mean of R@1, R@5 and R@10 both ways on the held-out images."""
        texts = [c for captions in self.held_out.captions for c in captions]
        owner = [i for i, captions in enumerate(self.held_out.captions) for _ in captions]
        ids = self._tokenize(texts)
        text = torch.cat(
            [self.clip.encode_text(c.to(self.device)) for c in torch.split(ids, TEXT_CHUNK)]
        )
        image = self.encode_images(self.held_out.images.float() / 255)
        recall = recall_at_k((image @ text.T).cpu().numpy(), torch.tensor(owner).numpy())
        both = [*recall.image_to_text.values(), *recall.text_to_image.values()]
        return sum(both) / len(both)


def _build_clip(config: ClipTrainingConfig, texts: list[str]) -> Clip:
    """Build the network with a tokenizer trained on the texts, and ImageNet's stem if it has it."""
    tokenizer = Tokenizer.train(texts, config.model.text.vocab_size)
    text = config.model.text.model_copy(update={"vocab_size": tokenizer.vocab_size})
    clip = Clip(config.model.model_copy(update={"text": text}), tokenizer)
    for module in clip.image.stem.modules():
        if isinstance(module, EfficientNetLite0):
            load_imagenet_weights(module)
            module.frozen_dtype = getattr(torch, config.frozen_dtype)
    return clip


def _kept_vectors(texts: list[str], name: str, device: torch.device, folder: Path) -> Tensor:
    """Return the teacher's vectors of texts, [T, S], from `folder` where they are already kept."""
    key = hashlib.sha256("\n".join([name, *texts]).encode()).hexdigest()[:KEY_LETTERS]
    path = folder / f"teacher-{key}.safetensors"
    if path.is_file():
        return load_file(path)["vectors"]
    vectors = SentenceEncoder(name, device).encode(texts)
    write_atomically(path, safetensors_bytes({"vectors": vectors}))
    return vectors
