"""Captions whose phrases own masks, as the tokens that a language model reads and writes.

A phrase is written `<p> phrase </p> [SEG]` (GLaMM, Rasheed et al., CVPR 2024,
https://arxiv.org/abs/2311.03356, section 4); the state that predicts [SEG] asks for its mask. The
grammar of what may follow what is enforced while a model writes.
"""

import math
import re
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from skycue.backbones.vocabulary import REGION_TOKENS
from skycue.errors import GroundedTextError

IMAGE, BOX, SEG = "<image>", "<bbox>", "[SEG]"
PHRASE_START, PHRASE_END = "<p>", "</p>"
SENTENCE_END = re.compile(r"[.!?](\s|$)")
SPACE_BEFORE_MARK = re.compile(r"\s+([.,;:!?)])")

Span = tuple[int, int]
"""First character and the one behind the last."""


class TextCoder(Protocol):
    """What is needed of a tokenizer; those of `transformers` have it."""

    eos_token_id: int
    all_special_ids: list[int]

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Turn text into ids."""
        ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """Turn ids into text."""
        ...

    def convert_tokens_to_ids(self, tokens: str) -> int:
        """Return the id of one token."""
        ...


class TokenNumbers(NamedTuple):
    """Ids of the tokens that the grammar knows."""

    seg: int
    phrase_start: int
    phrase_end: int
    end: int
    never: tuple[int, ...]
    """Tokens that an answer never holds."""


def token_numbers(tokenizer: TextCoder) -> TokenNumbers:
    """Look up the tokens of the grammar."""
    seg, start, end = (
        tokenizer.convert_tokens_to_ids(token) for token in (SEG, PHRASE_START, PHRASE_END)
    )
    special = {tokenizer.convert_tokens_to_ids(token) for token in REGION_TOKENS}
    special.update(tokenizer.all_special_ids)
    never = tuple(sorted(special - {seg, start, end, tokenizer.eos_token_id}))
    return TokenNumbers(seg, start, end, tokenizer.eos_token_id, never)


class TextTargets(NamedTuple):
    """A caption as tokens, with the places that matter.

    Attributes:
        ids: Tokens of the answer, the end included, [L].
        seg: Position of each phrase's [SEG], [K].
        phrases: Positions of each phrase's tokens: first, and one behind the last.
        between: What is said between two phrases: their numbers, and the positions of the words.
            In one sentence, those between the phrases; a phrase that is the first of a later
            sentence relates to the caption's first phrase, for which "it" stands, by the words
            from the start of the sentence on.
    """

    ids: list[int]
    seg: list[int]
    phrases: list[Span]
    between: list[tuple[int, int, Span]]


def encode_caption(tokenizer: TextCoder, caption: str, spans: Sequence[Span]) -> TextTargets:
    """Turn a caption into tokens, each span into `<p> phrase </p> [SEG]`.

    A blank before a phrase belongs to the phrase's tokens, so that words are the same tokens inside
    and outside of phrases.

    Args:
        tokenizer: Of the language model, with the region tokens.
        caption: Its text.
        spans: Of the phrases, in order, apart from each other.
    """
    numbers = token_numbers(tokenizer)
    ids: list[int] = []
    seg: list[int] = []
    phrases: list[Span] = []
    between: list[tuple[int, int, Span]] = []
    done = 0
    for number, (start, end) in enumerate(spans):
        blank = start - 1 if start > done and caption[start - 1] == " " else start
        text = caption[done:blank]
        ends = [match.start() + 1 for match in SENTENCE_END.finditer(text)]
        cut = ends[-1] if ends else 0
        ids += _words(tokenizer, text[:cut])
        first = len(ids)
        ids += _words(tokenizer, text[cut:])
        if number and len(ids) > first:
            between.append((0 if ends else number - 1, number, (first, len(ids))))
        ids.append(numbers.phrase_start)
        words = _words(tokenizer, caption[blank:end])
        phrases.append((len(ids), len(ids) + len(words)))
        ids += [*words, numbers.phrase_end, numbers.seg]
        seg.append(len(ids) - 1)
        done = end
    ids += [*_words(tokenizer, caption[done:]), numbers.end]
    return TextTargets(ids, seg, phrases, between)


def _words(tokenizer: TextCoder, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False) if text else []


class GroundedText(NamedTuple):
    """What a model wrote.

    Attributes:
        caption: The text without any token of the grammar.
        spans: Of the phrases, in order.
        seg: Position of each phrase's [SEG] among the tokens, or None where it has none.
        tokens: Positions of each phrase's tokens: first, and one behind the last.
        is_cut: It ran into the bound of its length.
    """

    caption: str
    spans: list[Span]
    seg: list[int | None]
    tokens: list[Span]
    is_cut: bool


def decode_caption(tokenizer: TextCoder, ids: Sequence[int]) -> GroundedText:
    """Read the tokens of an answer back into a caption with phrases.

    Args:
        tokenizer: Of the language model.
        ids: What it wrote, with or without the end; what follows the end is not read.

    Raises:
        GroundedTextError: If phrases are not balanced, or a [SEG] belongs to no phrase.
    """
    numbers = token_numbers(tokenizer)
    caption, run = "", []
    spans: list[Span] = []
    seg: list[int | None] = []
    tokens: list[Span] = []
    opened: int | None = None
    finished = False
    for position, token in enumerate(ids):
        if token == numbers.end:
            finished = True
            break
        if token not in (numbers.phrase_start, numbers.phrase_end, numbers.seg):
            run.append(token)
            continue
        caption, run, words = _append(tokenizer, caption, run), [], (len(caption), position)
        if token == numbers.phrase_start:
            _require(opened is None, "a phrase opens inside a phrase", position)
            opened = position
        elif token == numbers.phrase_end:
            _require(opened is not None, "a phrase closes that was not opened", position)
            assert opened is not None
            start = words[0] + (caption[words[0] : words[0] + 1] == " ")
            spans.append((start, len(caption)))
            tokens.append((opened + 1, position))
            seg.append(None)
            opened = None
        else:
            is_next = bool(seg) and seg[-1] is None and tokens[-1][1] == position - 1
            _require(is_next, "a [SEG] follows no phrase", position)
            seg[-1] = position
    _require(opened is None, "a phrase is not closed", len(ids))
    caption = _append(tokenizer, caption, run)
    return GroundedText(caption, spans, seg, tokens, not finished)


class UnfinishedCaptions:
    """Captions while they are written, a token of each at a time.

    They change only at their end; the finished caption may lack their last sentences, where those
    are left out for being unlikely.
    """

    def __init__(self, tokenizer: TextCoder, rows: int) -> None:
        """Begin as many captions."""
        self._tokenizer, self._numbers = tokenizer, token_numbers(tokenizer)
        self._done = [""] * rows  # the text before the run of tokens that still grows
        self._runs: list[list[int]] = [[] for _ in range(rows)]
        self._has_ended = [False] * rows
        self._last = [""] * rows

    def advance(self, tokens: Sequence[int]) -> list[str | None]:
        """Take the newest token of each, and return the captions that it changed.

        Args:
            tokens: One of each caption; what follows a caption's end is not read.

        Returns:
            For each the whole text so far, or None where it has not changed.
        """
        numbers, changed = self._numbers, list[str | None]()
        grammar = (numbers.phrase_start, numbers.phrase_end, numbers.seg)
        for row, token in enumerate(tokens):
            self._has_ended[row] |= token == numbers.end
            if self._has_ended[row]:
                changed.append(None)
            elif token in grammar:
                self._done[row] = _append(self._tokenizer, self._done[row], self._runs[row])
                self._runs[row] = []
                changed.append(None)
            else:
                self._runs[row].append(token)
                text = _append(self._tokenizer, self._done[row], self._runs[row])
                changed.append(text if text != self._last[row] else None)
                self._last[row] = text
        return changed


def _append(tokenizer: TextCoder, caption: str, run: list[int]) -> str:
    """Add the text of some tokens, with one blank between words and none before a mark."""
    if not run:
        return caption
    text = " ".join(tokenizer.decode(run, skip_special_tokens=True).split())
    text = SPACE_BEFORE_MARK.sub(r"\1", text)
    joins = not caption or not text or text[0] in ".,;:!?)'" or caption[-1] == "("
    return caption + ("" if joins else " ") + text


def _require(fact: bool, problem: str, position: int) -> None:
    if not fact:
        raise GroundedTextError(
            f"the model's text breaks the grammar: {problem} (token {position})."
        )


def relations_in(tokenizer: TextCoder, ids: Sequence[int]) -> list[tuple[int, int, Span]]:
    """Find what an answer says between its phrases, as `TextTargets.between` holds it.

    Args:
        tokenizer: Of the language model.
        ids: An answer that keeps to the grammar.
    """
    numbers = token_numbers(tokenizer)
    found: list[tuple[int, int, Span]] = []
    phrases = start = other = 0
    in_phrase = False
    for position, token in enumerate(ids):
        if token == numbers.phrase_start:
            in_phrase = True
            if phrases and position > start:
                found.append((other, phrases, (start, position)))
        elif token == numbers.seg:
            in_phrase, start, other = False, position + 1, phrases
            phrases += 1
        elif not in_phrase and SENTENCE_END.search(tokenizer.decode([token])):
            start, other = position + 1, 0
    return found


def keep_likely(
    tokenizer: TextCoder, ids: Sequence[int], log_probabilities: Sequence[float], least: float
) -> list[int]:
    """Choose the tokens of an answer that stay where sentences need a chance.

    The chance of a sentence is the product of its tokens', each given what stands before it. The
    first sentence and the end always stay.

    Args:
        tokenizer: Of the language model.
        ids: A whole answer.
        log_probabilities: Of each token.
        least: Chance from which on a later sentence stays.

    Returns:
        Positions, in order.
    """
    numbers = token_numbers(tokenizer)
    sentences: list[list[int]] = [[]]
    in_phrase = False
    for position, token in enumerate(ids):
        if token == numbers.end:
            break
        sentences[-1].append(position)
        if token in (numbers.phrase_start, numbers.phrase_end):
            in_phrase = token == numbers.phrase_start
        elif not in_phrase and SENTENCE_END.search(tokenizer.decode([token])):
            sentences.append([])
    first, *others = sentences
    kept = list(first)
    for sentence in others:
        if math.exp(sum(log_probabilities[position] for position in sentence)) >= least:
            kept += sentence
    return kept + [position for position, token in enumerate(ids) if token == numbers.end]


class _State(IntEnum):
    TEXT = 0
    PHRASE = 1
    CLOSED = 2
    ENDED = 3


class Grammar:
    """Says for each row of a batch which tokens may come next.

    Text, then `<p>`, one or more tokens, `</p>`, and at once `[SEG]`; an answer ends outside of
    phrases, and at the latest with its last allowed token.
    """

    def __init__(
        self,
        numbers: TokenNumbers,
        rows: int,
        vocab_size: int,
        *,
        max_tokens: int,
        max_phrases: int,
    ) -> None:
        self._numbers = numbers
        self._state = [_State.TEXT] * rows
        self._words = [0] * rows
        self._phrases = [0] * rows
        self._left = max_tokens
        self._max_phrases = max_phrases
        self._forbidden = torch.zeros(vocab_size, dtype=torch.bool)
        special = (numbers.seg, numbers.phrase_start, numbers.phrase_end, numbers.end)
        self._forbidden[list(special + numbers.never)] = True

    @property
    def has_ended(self) -> bool:
        """All rows have ended."""
        return all(state == _State.ENDED for state in self._state)

    def forbid(self, logits: Tensor) -> Tensor:
        """Return logits [R, vocabulary] with minus infinity where a token may not come."""
        forbidden = self._forbidden.to(logits.device).expand(len(self._state), -1).clone()
        for row, state in enumerate(self._state):
            allowed, only = self._choices(row, state)
            if only:
                forbidden[row] = True
            forbidden[row, allowed] = False
        return logits.masked_fill(forbidden, float("-inf"))

    def _choices(self, row: int, state: _State) -> tuple[list[int], bool]:
        """Return tokens of the grammar that may come, and whether no others may."""
        numbers = self._numbers
        if state == _State.CLOSED:
            return [numbers.seg], True
        if state == _State.ENDED:
            return [numbers.end], True
        if state == _State.PHRASE:
            # A phrase must be closed while there is room for </p>, [SEG] and the end.
            return ([numbers.phrase_end], self._left <= 3) if self._words[row] else ([], False)
        may_open = self._left >= 5 and self._phrases[row] < self._max_phrases
        start = [numbers.phrase_start] if may_open else []
        return [numbers.end, *start], self._left <= 1

    def advance(self, tokens: Sequence[int]) -> None:
        """Take note of the token that each row wrote."""
        self._left -= 1
        numbers = self._numbers
        for row, token in enumerate(tokens):
            if token == numbers.phrase_start:
                self._state[row], self._words[row] = _State.PHRASE, 0
                self._phrases[row] += 1
            elif token == numbers.phrase_end:
                self._state[row] = _State.CLOSED
            elif token == numbers.seg:
                self._state[row] = _State.TEXT
            elif token == numbers.end:
                self._state[row] = _State.ENDED
            else:
                self._words[row] += 1
