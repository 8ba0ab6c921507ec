"""Captions without a captioner: a fixed list of phrases, scored by the same CLIP.

Every phrase is a text prompt; a tile gets the phrases that its image embedding lies nearest to, at
most one of each group, joined into a sentence. The list is one text file for all datasets, hashed,
and holds no class name of theirs, so a caption is a description and not a guess of the class.
"""

from collections.abc import Sequence
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.backbones.preprocess import preprocess
from skycue.backbones.text_source import TextSettings
from skycue.config import Config
from skycue.data.images import read_image
from skycue.device import autocast, explain_out_of_memory

PHRASES = "remote_sensing_v1"
"""Name and version of the list in use."""


class BankConfig(Config):
    """How a caption is composed from phrases."""

    top_k: int = Field(default=4, ge=1)
    """Phrases in a caption, each from another group."""
    template: str = Field(default="{}", pattern=r"\{\}")
    """What CLIP reads for a phrase. On training images of `mini`, bare phrases in groups of four
    made captions that told classes apart best; words around them changed little."""


class Phrases(NamedTuple):
    """The phrases of a list, group after group.

    Attributes:
        texts: P phrases.
        groups: Group of each, P numbers from 0 up in order.
        sha256: Hash of phrases and groups, whatever comments stand beside them.
    """

    texts: tuple[str, ...]
    groups: tuple[int, ...]
    sha256: str


class PhraseBank:
    """The text source `bank`."""

    def __init__(
        self,
        clip: Clip,
        config: BankConfig | None = None,
        *,
        batch_size: int = 64,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Encode all phrases once, on the device of the backbone.

        Args:
            clip: Scores the phrases, and encodes images for `caption`.
            config: How captions are composed; None takes the defaults.
            batch_size: Images in one pass of `caption`.
            dtype: What the images of `caption` are encoded in.
        """
        self._clip = clip
        self._config = config or BankConfig()
        self._batch_size = batch_size
        self._dtype = dtype
        self._phrases = load_phrases()
        prompts = [self._config.template.replace("{}", text) for text in self._phrases.texts]
        with torch.no_grad():
            self._embeddings = clip.encode_text(clip.tokenize(prompts)).float().cpu()  # [P, D]
        maker = {
            "source": "bank",
            "backbone": clip.fingerprint,
            "phrases": PHRASES,
            "phrases_sha256": self._phrases.sha256,
            **self._config.model_dump(),
        }
        self._settings = TextSettings(kind="bank", maker=maker)

    @property
    def settings(self) -> TextSettings:
        """The list, its hash, the backbone that scores it and how captions are composed."""
        return self._settings

    @torch.no_grad()
    def caption(self, paths: Sequence[Path]) -> list[str]:
        """Encode image files and compose a caption for each.

        Raises:
            ImageReadError: If a file cannot be read.
            OutOfMemoryError: If a batch does not fit the device.
        """
        size = self._clip.config.image.image_size
        captions = []
        for start in range(0, len(paths), self._batch_size):
            batch = [preprocess(read_image(p), size) for p in paths[start:][: self._batch_size]]
            with (
                explain_out_of_memory(f"--batch-size {self._batch_size}"),
                autocast(self._clip.device, self._dtype),
            ):
                embeddings = self._clip.encode_image(torch.stack(batch).to(self._clip.device))
            captions += self.caption_embeddings(embeddings)
        return captions

    def caption_embeddings(self, embeddings: Tensor) -> list[str]:
        """Compose a caption for each image embedding of the same backbone, unit length, [N, D]."""
        similarity = embeddings.detach().float().cpu() @ self._embeddings.T  # [N, P]
        return [self._compose(row) for row in similarity]

    def _compose(self, similarity: Tensor) -> str:
        """Join the nearest phrases, at most one of a group, the nearest first; [P] to a text."""
        chosen: dict[int, str] = {}
        for index in similarity.argsort(descending=True, stable=True).tolist():
            chosen.setdefault(self._phrases.groups[index], self._phrases.texts[index])
            if len(chosen) == self._config.top_k:
                break
        return sentence(list(chosen.values()))


def sentence(phrases: Sequence[str]) -> str:
    """Join phrases into one sentence.

    >>> sentence(["grey roofs", "a narrow road", "scattered trees"])
    'an aerial image of grey roofs, a narrow road and scattered trees.'
    """
    *first, last = phrases
    return f"an aerial image of {', '.join(first)}{' and ' if first else ''}{last}."


def load_phrases(name: str = PHRASES) -> Phrases:
    """Read a list of phrases from the package."""
    file = resources.files("skycue.backbones") / "phrases" / f"{name}.txt"
    texts: list[str] = []
    groups: list[int] = []
    group = -1
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            group += 1
        elif line and not line.startswith("#"):
            texts.append(line)
            groups.append(group)
    content = "\n".join(f"{group} {text}" for group, text in zip(groups, texts, strict=True))
    return Phrases(tuple(texts), tuple(groups), sha256(content.encode()).hexdigest())
