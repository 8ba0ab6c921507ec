"""Vocabularies of language models: trained on captions, read back, and what regions add to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from skycue.backbones.hub import explain_loading, load_part
from skycue.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REGION_TOKENS = (
    *("<im_start>", "<im_end>", "<image>", "<bbox>", "<point>"),
    *("[SEG]", "<p>", "</p>"),
)
"""Tokens of a conversation about regions; the names are GLaMM's, so its vocabulary has them."""
PAD, START, END = "<pad>", "<s>", "</s>"
"""Special tokens of a vocabulary that is trained here."""
N_BYTES = 256
"""A byte-level vocabulary begins with the bytes, so that it can write anything."""


def train_bpe_tokenizer(texts: Sequence[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    """Train a byte-level vocabulary on texts, such as the captions of a training set.

    Every text can be written; words that occur often are one token with the space before them.

    Args:
        texts: What to learn from.
        vocab_size: Most tokens, special ones and the 256 bytes included.

    Raises:
        CheckpointError: If the size leaves no room for the bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, START, END]
    smallest = N_BYTES + len(special)
    if vocab_size < smallest:
        raise CheckpointError(
            f"a vocabulary of {vocab_size} tokens is too small: the bytes and special tokens are "
            f"{smallest}."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        clean_up_tokenization_spaces=False,
    )


def add_region_words(tokenizer: "PreTrainedTokenizerFast") -> int:
    """Add those of `REGION_TOKENS` that a vocabulary lacks, and return how many they were."""
    from tokenizers import AddedToken

    tokens = [AddedToken(token, special=True, normalized=False) for token in REGION_TOKENS]
    return tokenizer.add_tokens(tokens, special_tokens=True)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """Read a tokenizer that its `save_pretrained` wrote.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    from transformers import PreTrainedTokenizerFast

    with explain_loading(str(folder), "tokenizer", "give the folder of a model"):
        loaded = load_part(PreTrainedTokenizerFast.from_pretrained, str(folder))
    return cast("PreTrainedTokenizerFast", loaded)
