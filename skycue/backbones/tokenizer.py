"""Text to token ids: CLIP's byte-pair tokenizer, with any vocabulary.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4, https://arxiv.org/abs/2103.00020. The steps are those of `transformers.CLIPTokenizer`:
NFC, white space to single spaces, lower case, words and punctuation apart, bytes, merges. They are
fixed here; a file only brings the vocabulary and its merges. Vocabularies are laid out as CLIP's:
256 byte symbols, the same ending a word, one token a merge, SOS, EOT.
"""

import gzip
import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Self

import tokenizers
import torch
from pydantic import BaseModel, Field, ValidationError
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from skycue.errors import CheckpointError, PromptTooLongError

SOS = "<|startoftext|>"
EOT = "<|endoftext|>"
WORD_END = "</w>"
CLIP_MERGES_FILE = Path(__file__).parent / "clip_vocabulary" / "bpe_simple_vocab_16e6.txt.gz"
CLIP_MERGES = 48_894  # 49,408 tokens less 512 byte symbols, SOS and EOT
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
SHOWN_CHARACTERS = 60  # of a text in an error message

Merge = tuple[str, str]


class Tokenizer:
    """Maps texts to the ids that a text encoder was trained on.

    Words are only words: a text that spells out "<|endoftext|>" gets the ids of its letters, so
    each encoded text holds exactly one SOS and one EOT.
    """

    def __init__(self, vocabulary: dict[str, int], merges: Sequence[Merge]) -> None:
        """Build the tokenizer of a vocabulary (token to id) and its merges, most frequent first.

        Raises:
            CheckpointError: If the vocabulary lacks SOS, EOT, a byte or a part of a merge, or its
                ids are not 0, 1, 2 ...
        """
        _check_vocabulary(vocabulary, merges)
        self.sos_id = vocabulary[SOS]
        self.eot_id = vocabulary[EOT]
        self.vocab_size = len(vocabulary)
        self._tokenizer = _build(vocabulary, merges)

    @classmethod
    def clip(cls) -> Self:
        """Build CLIP's own tokenizer of 49,408 tokens, from the merges in the package."""
        lines = gzip.decompress(CLIP_MERGES_FILE.read_bytes()).decode("utf-8").splitlines()
        return cls.from_merges([_as_merge(line) for line in lines[1 : 1 + CLIP_MERGES]])

    @classmethod
    def from_merges(cls, merges: Sequence[Merge]) -> Self:
        """Build a tokenizer whose vocabulary follows from its merges, laid out as CLIP's."""
        letters = _byte_symbols()
        ends = [letter + WORD_END for letter in letters]
        tokens = chain(letters, ends, map("".join, merges), (SOS, EOT))
        return cls({token: id for id, token in enumerate(dict.fromkeys(tokens))}, merges)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Learn merges from texts until the vocabulary holds at most `vocab_size` tokens."""
        learner = _build({SOS: 0, EOT: 1}, [])
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 2,  # SOS and EOT come on top
            min_frequency=2,
            show_progress=False,
            initial_alphabet=_byte_symbols(),
            # Numbered here, not in the order of a hash map: equal texts give equal merges.
            special_tokens=[letter + WORD_END for letter in _byte_symbols()],
            end_of_word_suffix=WORD_END,
        )
        learner.train_from_iterator(texts, trainer)
        learned = json.loads(learner.to_str())["model"]["merges"]
        room = vocab_size - 2 - 2 * len(_byte_symbols())
        return cls.from_merges([_as_merge(merge) for merge in learned[: max(room, 0)]])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a `tokenizer.json` of ours or of a CLIP on the Hugging Face hub.

        Raises:
            CheckpointError: If the file is damaged or describes another kind of tokenizer.
        """
        try:
            file = _TokenizerFile.model_validate_json(path.read_bytes())
        except OSError as error:
            raise CheckpointError(f"cannot read the tokenizer {path}: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise CheckpointError(
                f"{path} is no CLIP tokenizer: {place}: {first['msg']}. Expected a tokenizer.json "
                "of type BPE as `skycue convert` or Hugging Face CLIP repositories hold it."
            ) from error
        file.check_steps(path)
        vocabulary = file.model.vocab | {added.content: added.id for added in file.added_tokens}
        try:
            return cls(vocabulary, [_as_merge(merge) for merge in file.model.merges])
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    @classmethod
    def load_vocabulary(cls, vocabulary: Path, merges: Path) -> Self:
        """Read the older pair of Hugging Face files, `vocab.json` and `merges.txt`.

        Raises:
            CheckpointError: If one of them is damaged or they do not fit each other.
        """
        try:
            file = _Vocabulary.model_validate({"ids": json.loads(vocabulary.read_bytes())})
            lines = merges.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise CheckpointError(f"cannot read {error.filename}: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, wrong types
            raise CheckpointError(
                f"{vocabulary.name} and {merges.name} in {vocabulary.parent} are no CLIP "
                "vocabulary: expected a JSON object of token to id, and two tokens a line."
            ) from error
        pairs = [_as_merge(line) for line in lines if line and not line.startswith("#version")]
        try:
            return cls(file.ids, pairs)
        except CheckpointError as error:
            raise CheckpointError(f"{vocabulary}: {error}") from error

    def save(self, path: Path) -> None:
        """Write the tokenizer as a `tokenizer.json` that the library tokenizers reads too."""
        path.write_text(self._tokenizer.to_str(), encoding="utf-8")

    def vocabulary(self) -> dict[str, int]:
        """Return the id of every token."""
        return self._tokenizer.get_vocab()

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, SOS and EOT not counted."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(
        self, texts: Sequence[str], context_length: int, *, truncate: bool = False
    ) -> Tensor:
        """Encode each text as SOS, its tokens, EOT, then zeros.

        Args:
            texts: C texts.
            context_length: L, the tokens of a row.
            truncate: Cut texts that do not fit, keeping EOT as the last token.

        Returns:
            Token ids, int64 [C, L].

        Raises:
            PromptTooLongError: If a text does not fit and `truncate` is false.
        """
        ids = torch.zeros(len(texts), context_length, dtype=torch.int64)  # [C, L]
        for row, text, encoding in zip(
            ids, texts, self._tokenizer.encode_batch(list(texts)), strict=True
        ):
            tokens = encoding.ids
            if len(tokens) > context_length:
                if not truncate:
                    raise PromptTooLongError(
                        f"{_shown(text)} needs {len(tokens)} tokens; the text encoder holds "
                        f"{context_length}. Use fewer words."
                    )
                tokens = [*tokens[: context_length - 1], self.eot_id]
            row[: len(tokens)] = torch.tensor(tokens)
        return ids


class _AddedToken(BaseModel):
    """A token beside the merges, such as SOS."""

    id: int
    content: str


class _Step(BaseModel):
    """A step of the text's way to tokens; a Sequence holds further ones."""

    type: str
    normalizers: list["_Step"] = []
    pretokenizers: list["_Step"] = []

    def kinds(self) -> list[str]:
        """Return the types of the steps in order, a Sequence opened."""
        if self.type != "Sequence":
            return [self.type]
        return [step.type for step in self.normalizers + self.pretokenizers]


class _Model(BaseModel):
    """The BPE model inside a tokenizer.json."""

    type: str = Field(default="BPE", pattern="^BPE$")  # files of old libraries leave it out
    vocab: dict[str, int]
    merges: list[str | Merge]
    end_of_word_suffix: str | None = Field(pattern=f"^{WORD_END}$")


class _TokenizerFile(BaseModel):
    """What we read of a tokenizer.json."""

    added_tokens: list[_AddedToken] = []
    normalizer: _Step
    pre_tokenizer: _Step
    model: _Model

    def check_steps(self, path: Path) -> None:
        """Refuse a file whose steps are of other kinds than CLIP's."""
        for name, found, expected in (
            ("normalizer", self.normalizer.kinds(), ["NFC", "Replace", "Lowercase"]),
            ("pre_tokenizer", self.pre_tokenizer.kinds(), ["Split", "ByteLevel"]),
        ):
            if found != expected:
                raise CheckpointError(
                    f"{path} is no CLIP tokenizer: its {name} is {', '.join(found)}; "
                    f"CLIP's is {', '.join(expected)}."
                )


class _Vocabulary(BaseModel):
    """The content of a vocab.json."""

    ids: dict[str, int]


def _build(vocabulary: dict[str, int], merges: Sequence[Merge]) -> tokenizers.Tokenizer:
    """Assemble the steps of CLIP's tokenizer around a vocabulary that has been checked."""
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=list(merges), unk_token=EOT, end_of_word_suffix=WORD_END
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([SOS, EOT])
    tokenizer.encode_special_tokens = True  # spelled out in a text, they are words
    tokenizer.post_processor = processors.RobertaProcessing(
        (EOT, vocabulary[EOT]), (SOS, vocabulary[SOS]), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def _check_vocabulary(vocabulary: dict[str, int], merges: Sequence[Merge]) -> None:
    """Raise CheckpointError unless every text can be encoded with ids from 0 up."""
    letters = _byte_symbols()
    needed = chain(
        (SOS, EOT), letters, (f"{letter}{WORD_END}" for letter in letters), chain(*merges)
    )
    for token in chain(needed, map("".join, merges)):
        if token not in vocabulary:
            raise CheckpointError(
                f"the vocabulary lacks the token {token!r} that CLIP's layout needs."
            )
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise CheckpointError(
            f"the ids of the vocabulary's {len(vocabulary)} tokens are not 0 to "
            f"{len(vocabulary) - 1}, each once."
        )


def _byte_symbols() -> list[str]:
    """Return the printable symbol of each of the 256 bytes, in CLIP's order.

    The order is: bytes that print as themselves, then the others, whose symbols begin at U+0100.
    """
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _as_merge(merge: str | Sequence[str]) -> Merge:
    """Return the two tokens of a merge, written as "a b" or as a pair."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if len(parts) != 2:
        raise CheckpointError(f"the merge {merge!r} is not two tokens.")
    return parts[0], parts[1]


def _shown(text: str) -> str:
    """Return a text quoted for a message, on one line and not too long."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")
