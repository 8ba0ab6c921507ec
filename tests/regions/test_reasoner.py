"""The reasoner on a tiny random language model: prompts, writing, reading."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.language import LanguageConfig
from skycue.backbones.vocabulary import train_bpe_tokenizer
from skycue.errors import ConfigError, PromptTooLongError
from skycue.regions.grounded_text import encode_caption, keep_likely
from skycue.regions.reasoner import Reasoner, ReasonerConfig
from tests.tiny_clvnet import TINY, tiny_language

R, N, V, W = 4, 3, 12, 32
GENERATOR = torch.Generator().manual_seed(7)
IMAGES = torch.randn(R, N, V, generator=GENERATOR)
REGIONS = torch.randn(R, W, generator=GENERATOR)
BOXES = torch.tensor(
    [[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.31, 0.77], [0.5, 0.0, 0.9, 0.2]]
)
CONFIG = TINY.reasoner


def build(language: LanguageConfig = TINY.language, **changes: object) -> Reasoner:
    """Build a reasoner whose image tokens matter."""
    config = ReasonerConfig.model_validate(CONFIG.model_dump() | changes)
    reasoner = Reasoner(tiny_language(language), V, config)
    torch.manual_seed(8)
    for weight in reasoner.projector.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    return reasoner.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def reasoner() -> Reasoner:
    """A reasoner as `CONFIG` says."""
    return build()


def prompts_of(reasoner: Reasoner, rows: slice = slice(None)) -> Tensor:
    return reasoner.embed_prompts(IMAGES[rows], REGIONS[rows], BOXES[rows])


def marks_of(reasoner: Reasoner, ids: list[int]) -> str:
    """Show tokens as `<`, `>`, `S`, `.` and `w` for words."""
    numbers = reasoner.numbers
    marks = {numbers.phrase_start: "<", numbers.phrase_end: ">", numbers.seg: "S", numbers.end: "."}
    assert not set(ids) & set(numbers.never)
    return "".join(marks.get(token, "w") for token in ids)


def test_a_prompt_is_its_words_with_image_and_region_tokens_in_their_places() -> None:
    reasoner = build(prompt="Look: <image> {question}", question="what is <bbox> here?")
    tokenizer: Any = reasoner.language.tokenizer
    prompts = prompts_of(reasoner)
    ids = tokenizer.encode("<s>Look: <image> what is <bbox> here?", add_special_tokens=False)
    image, box = (ids.index(reasoner.language.id_of(token)) for token in ("<image>", "<bbox>"))
    for row in range(R):
        expected = []
        for place, token in enumerate(ids):
            if place == image:
                expected += list(reasoner.projector(IMAGES[row]))
            elif place == box:
                expected.append(REGIONS[row])
            else:
                expected.append(reasoner.language.embeddings.weight[token])
        assert_close(prompts[row], torch.stack(expected))


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_what_is_written_obeys_the_grammar(reasoner: Reasoner, temperature: float) -> None:
    lines = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        written = reasoner.write(prompts_of(reasoner), temperature=temperature, generator=generator)
        for ids, odds in zip(written.ids, written.log_probabilities, strict=True):
            lines.append(marks_of(reasoner, ids))
            assert re.fullmatch(r"(w|<w+>S)*\.", lines[-1]), lines[-1]
            assert len(ids) == len(odds) <= CONFIG.max_tokens
            assert lines[-1].count("<") <= CONFIG.max_phrases
            assert max(odds) <= 0
            forced = [odds[place] for place, mark in enumerate(lines[-1]) if mark == "S"]
            assert forced == [0.0] * len(forced)  # [SEG] behind </p> is sure
    assert any("S" in line for line in lines)


def test_guesses_are_left_out_where_a_sentence_needs_a_chance(reasoner: Reasoner) -> None:
    sure = build(least_chance=0.5)
    sure.load_state_dict(reasoner.state_dict())
    all_said, said = (each.write(prompts_of(each)) for each in (reasoner, sure))
    tokenizer: Any = reasoner.language.tokenizer
    assert said.is_cut == all_said.is_cut
    for ids, odds, kept, kept_odds in zip(*all_said[:2], *said[:2], strict=True):
        places = keep_likely(tokenizer, ids, odds, 0.5)
        assert kept == [ids[place] for place in places]
        assert kept_odds == [odds[place] for place in places]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cached_and_uncached_writing_are_the_same(reasoner: Reasoner, temperature: float) -> None:
    answers = [
        reasoner.write(
            prompts_of(reasoner),
            temperature=temperature,
            generator=torch.Generator().manual_seed(1),
            use_cache=use_cache,
        )
        for use_cache in (True, False)
    ]
    assert answers[0].ids == answers[1].ids
    for one, other in zip(*(a.log_probabilities for a in answers), strict=True):
        assert_close(torch.tensor(one), torch.tensor(other), rtol=1e-3, atol=1e-4)


def test_a_batch_writes_what_each_row_writes_alone(reasoner: Reasoner) -> None:
    together = reasoner.write(prompts_of(reasoner))
    alone = [reasoner.write(prompts_of(reasoner, slice(r, r + 1))).ids[0] for r in range(R)]
    assert together.ids == alone
    assert len({tuple(ids) for ids in alone}) > 1
    assert len({len(ids) for ids in alone}) > 1  # some rows waited for others


def test_drawn_words_depend_on_the_seed_alone(reasoner: Reasoner) -> None:
    drawn = [
        reasoner.write(
            prompts_of(reasoner), temperature=1.0, generator=torch.Generator().manual_seed(seed)
        ).ids
        for seed in (3, 3, 4)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    cold = reasoner.write(
        prompts_of(reasoner), temperature=1e-4, generator=torch.Generator().manual_seed(3)
    )
    assert cold.ids == reasoner.write(prompts_of(reasoner)).ids


def test_states_that_are_read_are_those_that_writing_saw(reasoner: Reasoner) -> None:
    prompts = prompts_of(reasoner)
    answers = reasoner.write(prompts).ids
    read = reasoner.read(prompts, answers)
    for row, ids in enumerate(answers):
        known = prompts[row : row + 1]
        for place, token in enumerate(ids):  # step by step, without a cache, as when writing
            states = reasoner.language.model.base_model(inputs_embeds=known).last_hidden_state
            assert_close(read.before[row, place], states[0, -1], rtol=1e-3, atol=1e-4)
            known = torch.cat([known, reasoner.language.embed(torch.tensor([[token]]))], dim=1)
        states = reasoner.language.model.base_model(inputs_embeds=known).last_hidden_state
        assert_close(read.states[row, len(ids) - 1], states[0, -1], rtol=1e-3, atol=1e-4)
        n = len(ids)
        assert_close(read.states[row, : n - 1], read.before[row, 1:n], rtol=0, atol=0)


def test_the_loss_is_the_sum_over_tokens_and_padding_adds_nothing(reasoner: Reasoner) -> None:
    tokenizer: Any = reasoner.language.tokenizer
    texts = ("A large ship lies here.", "A ship", "A road near the upper edge", "A tank.")
    answers = [encode_caption(tokenizer, text, [(0, 6)]).ids for text in texts]
    prompts = prompts_of(reasoner)
    together = reasoner.read(prompts, answers)
    assert together.n_tokens == sum(len(ids) for ids in answers)
    total = 0.0
    for row, ids in enumerate(answers):
        known = torch.cat([prompts[row], reasoner.language.embed(torch.tensor(ids))])
        model: Any = reasoner.language.model
        logits = model(inputs_embeds=known[None]).logits[0].log_softmax(-1)
        for place, token in enumerate(ids):
            total -= float(logits[prompts.shape[1] + place - 1, token])
        alone = reasoner.read(prompts[row : row + 1], [ids])
        assert_close(alone.states[0], together.states[row, : len(ids)], rtol=1e-3, atol=1e-4)
    assert_close(float(together.loss_sum), total, rtol=1e-4, atol=0)


def test_coordinates_in_text_tell_boxes_apart_and_no_box_does_not() -> None:
    for box_input, differs in (("text", True), ("none", False)):
        reasoner = build(box_input=box_input)
        same = IMAGES[:1].expand(R, -1, -1)
        prompts = reasoner.embed_prompts(same, REGIONS, BOXES)
        for row in range(1, R):
            assert torch.equal(prompts[0], prompts[row]) != differs


def test_coordinates_are_two_digits_of_one_token_each() -> None:
    reasoner = build(box_input="text", question="box <bbox>")
    tokenizer: Any = reasoner.language.tokenizer
    ids = reasoner._ids("box {box}!", (0.0, 0.257, 0.999, 1.0))
    assert tokenizer.decode(ids[1:]) == "box 0 0 2 5 9 9 9 9!"
    assert ids[0] == tokenizer.bos_token_id


def test_prompts_are_equally_long_where_some_digits_are_one_token_with_their_space() -> None:
    texts = ["box 1 of 1 , 1 ship 1 tank"] * 20
    tokenizer: Any = train_bpe_tokenizer(texts, 300)
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in (" 1", " 7")]
    assert lengths == [1, 2]
    reasoner = build(box_input="text")
    reasoner.language.tokenizer = tokenizer
    boxes = [(0.11, 0.11, 0.11, 0.11), (0.77, 0.12, 0.97, 0.71)]
    assert len({len(reasoner._ids("{box}", box)) for box in boxes}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "{question}"}, r"reasoner\.prompt '\{question\}' lacks '<image>'"),
        ({"prompt": "<image>"}, r"lacks '\{question\}'"),
        ({"question": "what is there?"}, r"reasoner\.question 'what is there\?' lacks '<bbox>'"),
        ({"question": "what?", "box_input": "text"}, "lacks '<bbox>'"),
    ],
)
def test_a_prompt_without_its_places_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(TINY.language, **changes)


def test_a_question_is_refused_by_a_model_of_one_question_and_used_by_others() -> None:
    one, many = build(), build(takes_questions=True)
    with pytest.raises(ConfigError, match="takes no other: leave `ask` out"):
        one.embed_prompts(IMAGES, REGIONS, BOXES, "what is at <bbox>?")
    asked = many.embed_prompts(IMAGES, REGIONS, BOXES, "what is at <bbox>?")
    plain = many.embed_prompts(IMAGES, REGIONS, BOXES)
    assert_close(plain, one.embed_prompts(IMAGES, REGIONS, BOXES))
    tokenizer: Any = many.language.tokenizer
    n_words = len(tokenizer.encode("what is at <bbox>?", add_special_tokens=False))
    assert asked.shape[1] == plain.shape[1] - 1 + n_words


@pytest.mark.parametrize(
    ("own", "asked", "read"),
    [
        ("<bbox>", "what is this?", "<bbox> what is this?"),
        ("Tell of the region1<bbox>, please.", "what is this?", "region1<bbox> what is this?"),
        ("Tell of <bbox> and <bbox>.", "what is by <bbox>?", "what is by <bbox>?"),
    ],
)
def test_a_question_that_names_no_box_has_the_words_about_the_region_before_it(
    own: str, asked: str, read: str
) -> None:
    reasoner = build(takes_questions=True, question=own)
    found = reasoner.embed_prompts(IMAGES, REGIONS, BOXES, asked)
    assert_close(found, build(question=read).embed_prompts(IMAGES, REGIONS, BOXES))
    assert (found[0] - found[1]).abs().sum(-1).ne(0).sum() == N + 1  # image tokens and the box


def test_a_question_without_a_box_keeps_coordinates_and_a_model_without_boxes_has_none() -> None:
    spelled = build(takes_questions=True, question="at <bbox>", box_input="text")
    found = spelled.embed_prompts(IMAGES, REGIONS, BOXES, "what?")
    named = build(question="<bbox> what?", box_input="text").embed_prompts(IMAGES, REGIONS, BOXES)
    assert_close(found, named)
    blind = build(takes_questions=True, question="what is there?", box_input="none")
    same = build(question="what?", box_input="none").embed_prompts(IMAGES, REGIONS, BOXES)
    assert_close(blind.embed_prompts(IMAGES, REGIONS, BOXES, "what?"), same)


def test_a_prompt_that_leaves_no_room_is_refused_with_the_numbers() -> None:
    reasoner = build(TINY.language.model_copy(update={"max_positions": 28}))
    prompts = prompts_of(reasoner)  # 1 + 3 + 1 tokens
    message = r"needs 29 tokens; the language model holds 28"
    with pytest.raises(PromptTooLongError, match=message):
        reasoner.write(prompts)
    with pytest.raises(PromptTooLongError, match=message):
        reasoner.read(prompts, [[5] * 24] * R)
