"""Captions to tokens and back, and the grammar of what a model may write."""

import json
import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

from skycue.backbones.vocabulary import REGION_TOKENS, add_region_words, train_bpe_tokenizer
from skycue.errors import GroundedTextError
from skycue.regions.grounded_text import (
    Grammar,
    Span,
    TokenNumbers,
    UnfinishedCaptions,
    decode_caption,
    encode_caption,
    keep_likely,
    relations_in,
    token_numbers,
)
from tests.tiny_clvnet import TEXTS, VOCABULARY

CAPTION = "A large ship, left of two ships. It is near the road; above it a tank."
PHRASES = ("A large ship", "two ships", "the road", "a tank")


def spans_in(caption: str, phrases: Sequence[str]) -> list[Span]:
    return [(caption.index(words), caption.index(words) + len(words)) for words in phrases]


def byte_level() -> Any:
    """A vocabulary as we train it: words with the space before them."""
    tokenizer = train_bpe_tokenizer(TEXTS, VOCABULARY)
    add_region_words(tokenizer)
    return tokenizer


def llama_like() -> Any:
    """A vocabulary as Llama has it: SentencePiece's, which puts a space before every text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=pieces, show_progress=False, max_token_length=12
    )
    words = sorted({word for text in TEXTS for word in text.split()})
    tokenizer.train_from_iterator(words, trainer)
    layout = json.loads(tokenizer.to_str())
    layout["added_tokens"] = layout["added_tokens"][:3]  # bytes are pieces like any other
    wrapped: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(json.dumps(layout)),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    add_region_words(wrapped)
    return wrapped


TOKENIZERS = [pytest.param(make, id=make.__name__) for make in (byte_level, llama_like)]


@pytest.mark.parametrize("make", TOKENIZERS)
@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        (CAPTION, PHRASES),
        (CAPTION, ()),
        (CAPTION, (CAPTION,)),
        ("ship", ("ship",)),
        ("ships tanks", ("ships", "tanks")),
        ("An Ünusual wharf: 12 ships!", ("An Ünusual wharf", "12 ships")),
    ],
)
def test_a_caption_comes_back_from_its_tokens(
    make: Any, caption: str, phrases: tuple[str, ...]
) -> None:
    tokenizer = make()
    spans = spans_in(caption, phrases)
    targets = encode_caption(tokenizer, caption, spans)
    again = decode_caption(tokenizer, targets.ids)
    assert again.caption == caption
    assert again.spans == spans
    assert again.seg == targets.seg
    assert again.tokens == targets.phrases
    assert not again.is_cut
    numbers = token_numbers(tokenizer)
    assert [targets.ids[place] for place in targets.seg] == [numbers.seg] * len(phrases)
    assert targets.ids[-1] == numbers.end
    for (first, last), words in zip(targets.phrases, phrases, strict=True):
        assert tokenizer.decode(targets.ids[first:last]).strip() == words
        assert targets.ids[first - 1] == numbers.phrase_start
        assert targets.ids[last : last + 2] == [numbers.phrase_end, numbers.seg]


def test_a_word_has_the_same_token_inside_and_outside_of_a_phrase() -> None:
    tokenizer = byte_level()
    plain = encode_caption(tokenizer, "the large ship lies", []).ids
    marked = encode_caption(tokenizer, "the large ship lies", [(4, 14)]).ids
    special = set(token_numbers(tokenizer)[:3])
    assert [token for token in marked if token not in special] == plain


def test_the_words_between_phrases_tell_how_they_relate() -> None:
    tokenizer = byte_level()
    targets = encode_caption(tokenizer, CAPTION, spans_in(CAPTION, PHRASES))
    read = [
        (one, other, tokenizer.decode(targets.ids[first:last]))
        for one, other, (first, last) in targets.between
    ]
    # "It" of the second sentence is the caption's first phrase
    assert read == [(0, 1, ", left of"), (0, 2, " It is near"), (2, 3, "; above it")]


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        (CAPTION, PHRASES),
        ("ships tanks", ["ships", "tanks"]),
        (
            "Look. A ship is here. It is quiet. It lies by a tank, near a road.",
            ["A ship", "a tank", "a road"],
        ),
        ("A ship.", ["A ship"]),
        ("It is empty.", []),
    ],
)
def test_relations_are_found_in_the_tokens_as_in_the_text(
    caption: str, phrases: Sequence[str]
) -> None:
    tokenizer = byte_level()
    targets = encode_caption(tokenizer, caption, spans_in(caption, phrases))
    assert relations_in(tokenizer, targets.ids) == targets.between
    assert relations_in(tokenizer, targets.ids[:-1]) == targets.between


def test_phrases_without_words_between_them_relate_to_nothing() -> None:
    targets = encode_caption(byte_level(), "ships tanks", [(0, 5), (6, 11)])
    assert targets.between == []


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """Turn words and marks into ids, `.` the end."""
    marks = {"<": "<p>", ">": "</p>", "S": "[SEG]", ".": tokenizer.eos_token}
    return [
        tokenizer.convert_tokens_to_ids(marks[mark])
        if mark in marks
        else tokenizer.encode(" ship", add_special_tokens=False)[0]
        for mark in text
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<w<w>S.", r"a phrase opens inside a phrase \(token 2\)"),
        ("w>S.", r"a phrase closes that was not opened \(token 1\)"),
        ("wS.", r"a \[SEG\] follows no phrase \(token 1\)"),
        ("<w>SS.", r"a \[SEG\] follows no phrase \(token 4\)"),
        ("<w>wS.", r"a \[SEG\] follows no phrase \(token 4\)"),
        ("<wS>.", r"a \[SEG\] follows no phrase \(token 2\)"),
        ("w<w.", r"a phrase is not closed \(token 4\)"),
        ("w<w", r"a phrase is not closed \(token 3\)"),
    ],
)
def test_tokens_that_break_the_grammar_are_refused(text: str, message: str) -> None:
    tokenizer = byte_level()
    with pytest.raises(GroundedTextError, match=message) as caught:
        decode_caption(tokenizer, ids_of(tokenizer, text))
    assert "\n" not in str(caught.value)


def test_a_phrase_without_seg_has_no_place_and_an_open_end_is_cut() -> None:
    tokenizer = byte_level()
    text = decode_caption(tokenizer, ids_of(tokenizer, "<w>w<w>Sw"))
    assert text.caption == "ship ship ship ship"
    assert text.spans == [(0, 4), (10, 14)]
    assert text.seg == [None, 7]
    assert text.is_cut


def test_what_follows_the_end_is_not_read() -> None:
    tokenizer = byte_level()
    text = decode_caption(tokenizer, ids_of(tokenizer, "w.SS<"))
    assert (text.caption, text.is_cut) == ("ship", False)
    nothing = decode_caption(tokenizer, ids_of(tokenizer, "."))
    assert (nothing.caption, nothing.spans) == ("", [])


@pytest.mark.parametrize("make", TOKENIZERS)
def test_a_sentence_stays_where_its_tokens_together_are_likely(make: Any) -> None:
    tokenizer = make()
    sentences = ("A large ship is here.", " It is left of two tanks.", " Near it is a road.")
    caption = "".join(sentences)
    ids = encode_caption(tokenizer, caption, spans_in(caption, ("two tanks", "a road"))).ids
    first = len(encode_caption(tokenizer, sentences[0], []).ids) - 1
    odds = [0.0] * len(ids)
    odds[0] = math.log(0.01)  # the first sentence stays whatever its chance
    odds[first + 2] = odds[first + 4] = math.log(0.6)  # 0.36 together
    odds[-1] = math.log(0.2)  # the end belongs to no sentence
    assert keep_likely(tokenizer, ids, odds, 0.35) == list(range(len(ids)))
    kept = keep_likely(tokenizer, ids, odds, 0.4)
    said = decode_caption(tokenizer, [ids[position] for position in kept])
    assert said.caption == sentences[0] + sentences[2]
    assert [said.caption[start:end] for start, end in said.spans] == ["a road"]
    assert not said.is_cut
    open_end = keep_likely(tokenizer, ids[:-4], odds[:-4], 0.4)
    assert open_end == kept[: len(open_end)]


@pytest.mark.parametrize("make", TOKENIZERS)
def test_special_tokens_other_than_those_of_the_grammar_are_never_written(make: Any) -> None:
    tokenizer = make()
    numbers = token_numbers(tokenizer)
    written = {"[SEG]", "<p>", "</p>", tokenizer.eos_token}
    special = {*REGION_TOKENS, *tokenizer.all_special_tokens}
    assert set(tokenizer.convert_ids_to_tokens(list(numbers.never))) == special - written
    assert tokenizer.bos_token_id in numbers.never
    assert tokenizer.eos_token_id == numbers.end


NUMBERS = TokenNumbers(seg=3, phrase_start=4, phrase_end=5, end=6, never=(0, 7))
MARKS = {3: "S", 4: "<", 5: ">", 6: "."}


@pytest.mark.parametrize("longest", [1, 4, 5, 6, 8, 30])
@pytest.mark.parametrize("taste", [0.0, 6.0])
def test_whatever_the_logits_what_is_written_obeys_the_grammar(longest: int, taste: float) -> None:
    """Draw from random logits, without and with a taste for marks."""
    generator = torch.Generator().manual_seed(longest)
    rows, vocabulary = 40, 14
    grammar = Grammar(NUMBERS, rows, vocabulary, max_tokens=longest, max_phrases=3)
    columns: list[list[int]] = []
    while not grammar.has_ended:
        logits = 3 * torch.randn(rows, vocabulary, generator=generator)
        logits[:, [3, 4, 5, 0, 7]] += taste
        allowed = grammar.forbid(logits)
        kept = allowed.isfinite()
        assert torch.equal(allowed[kept], logits[kept])  # what is allowed is left as it is
        tokens = torch.multinomial(allowed.softmax(-1), 1, generator=generator)[:, 0].tolist()
        grammar.advance(tokens)
        columns.append(tokens)
    assert len(columns) <= longest
    n_phrases = []
    for ids in zip(*columns, strict=True):
        line = "".join(MARKS.get(token, "w") for token in ids)
        assert not {0, 7} & set(ids)
        assert re.fullmatch(r"(w|<w+>S)*\.+", line), line
        assert line.count("<") <= 3
        n_phrases.append(line.count("<"))
    if longest < 5:  # a phrase and the end need five tokens
        assert max(n_phrases) == 0
    elif taste:
        assert max(n_phrases) == min(3, (longest - 1) // 4)


def test_a_row_that_has_ended_waits_for_the_others() -> None:
    grammar = Grammar(NUMBERS, 2, 14, max_tokens=9, max_phrases=3)
    grammar.advance([6, 9])
    allowed = grammar.forbid(torch.zeros(2, 14)).isfinite()
    assert allowed[0].nonzero()[:, 0].tolist() == [6]
    assert allowed[1].nonzero()[:, 0].tolist() == [1, 2, 4, 6, 8, 9, 10, 11, 12, 13]
    assert not grammar.has_ended
    grammar.advance([6, 6])
    assert grammar.has_ended


@pytest.mark.parametrize("make", TOKENIZERS)
def test_a_caption_grows_word_by_word_until_it_is_whole(make: Any) -> None:
    tokenizer = make()
    ids = encode_caption(tokenizer, CAPTION, spans_in(CAPTION, PHRASES)).ids
    other = encode_caption(tokenizer, "a ship.", [(0, 6)]).ids
    captions = UnfinishedCaptions(tokenizer, 2)
    told: list[list[str]] = [[], []]
    for position, token in enumerate(ids):
        newest = captions.advance([token, other[min(position, len(other) - 1)]])
        for row, text in enumerate(newest):
            told[row] += [] if text is None else [text]
    assert (told[0][-1], told[1][-1]) == (CAPTION, "a ship.")
    for texts in told:
        assert all(later.startswith(text) for text, later in pairwise(texts))
        assert len(set(texts)) == len(texts)
