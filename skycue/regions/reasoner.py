"""The reasoner: image tokens, a region token and a question go in, a caption with [SEG] comes out.

CLV-Net's first part on the GLaMM stack: `<image>` in the prompt is replaced by the projected image
tokens, `<bbox>` by the region token (GLaMM, Rasheed et al., CVPR 2024, section 3.1 - 3.2). While it
writes, the keys and values of what was read are kept; the states of all [SEG] are read afterwards
in one pass over the finished text.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.decoding import start_decoding
from skycue.backbones.language import LanguageModel
from skycue.config import Config
from skycue.errors import ConfigError, PromptTooLongError
from skycue.regions.grounded_text import (
    BOX,
    IMAGE,
    Grammar,
    TokenNumbers,
    keep_likely,
    token_numbers,
)

IGNORED = -100
"""Label of a position whose next token is not learned."""


class ReasonerConfig(Config):
    """What is asked and how the box enters, under `model.reasoner`."""

    prompt: str = "<image>{question}"
    """What the language model reads; {question} and `<image>` must occur."""
    question: str = "<bbox>"
    """What is asked where a user asks nothing; `<bbox>` stands for the region token."""
    takes_questions: bool = False
    """The model was trained on more than one question, so that a user may ask another; the words
    about the region stand before one that lacks `<bbox>`."""
    box_input: Literal["token", "text", "none"] = "token"
    """How the box enters: as a region token, as its coordinates in text, or not at all."""
    seg_state: Literal["before", "at"] = "before"
    """The state that asks for a mask: the one that predicts [SEG] (GLaMM), or [SEG]'s own."""
    max_tokens: int = Field(default=96, ge=8)
    """Longest answer."""
    max_phrases: int = Field(default=8, ge=1)
    """Most phrases of an answer."""
    least_chance: float = Field(default=0.0, ge=0, lt=1)
    """Leave out a sentence, but the first, whose words have together a smaller chance: a small
    model that guesses a number or a side says nothing of it instead. 0 keeps all."""


class Written(NamedTuple):
    """Answers as tokens.

    Attributes:
        ids: Tokens of each answer, without what follows its end.
        log_probabilities: Of each token, as chosen among those that the grammar allowed.
        is_cut: Which answers the bound of their length ended.
    """

    ids: list[list[int]]
    log_probabilities: list[list[float]]
    is_cut: list[bool]


class Read(NamedTuple):
    """What a pass over prompts and answers gives.

    Attributes:
        states: Last-layer states of the answer positions, [R, L, W]: the state at position i has
            read token i of the answer.
        before: The states that predict each answer token, [R, L, W].
        loss_sum: Sum of the cross-entropy over the answers' tokens.
        n_tokens: How many tokens that sum holds.
    """

    states: Tensor
    before: Tensor
    loss_sum: Tensor
    n_tokens: int


class Reasoner(nn.Module):
    """A causal language model that reads image tokens and a region token."""

    def __init__(self, language: LanguageModel, image_width: int, config: ReasonerConfig) -> None:
        super().__init__()
        self.config = config
        self.language = language
        width = language.width
        self.projector = nn.Sequential(
            nn.Linear(image_width, width), nn.GELU(), nn.Linear(width, width)
        )
        for part in (IMAGE, "{question}"):
            if part not in config.prompt:
                raise ConfigError(f"reasoner.prompt {config.prompt!r} lacks {part!r}.")
        if config.box_input != "none" and BOX not in config.question:
            raise ConfigError(f"reasoner.question {config.question!r} lacks {BOX!r}.")

    @property
    def numbers(self) -> TokenNumbers:
        """Ids of the tokens of the grammar."""
        return token_numbers(self.language.tokenizer)  # type: ignore[arg-type]

    def embed_prompts(
        self,
        image_tokens: Tensor,
        region_tokens: Tensor,
        boxes: Tensor,
        question: str | None = None,
    ) -> Tensor:
        """Return what the language model reads before it answers.

        Args:
            image_tokens: Of each prompt's image, before their projection, [R, N, V].
            region_tokens: One a prompt, [R, W].
            boxes: Shares of the image, [R, 4], for prompts that name coordinates.
            question: Asked in place of the configured one; where it lacks `<bbox>`, the words that
                stand for the region in the configured one go before it.

        Returns:
            Token embeddings, [R, P, W].

        Raises:
            ConfigError: If the model answers its own question only.
        """
        if question is not None and not self.config.takes_questions:
            raise ConfigError(
                "this model was trained on one question and takes no other: leave `ask` out, or "
                "use a model trained on questions, such as GLaMM's."
            )
        words = self.config.prompt.replace("{question}", self._question(question))
        if self.config.box_input != "token":
            words = words.replace(BOX, "{box}" if self.config.box_input == "text" else "")
        rows = [self._ids(words, box) for box in boxes.tolist()]
        ids = torch.tensor(rows, device=region_tokens.device)  # [R, P0]
        embedded = self.language.embed(ids)  # [R, P0, W]
        is_box = ids == self.language.id_of(BOX)
        embedded = torch.where(is_box[..., None], region_tokens[:, None], embedded)
        place = int((ids[0] == self.language.id_of(IMAGE)).int().argmax())
        images = self.projector(image_tokens).to(embedded.dtype)
        return torch.cat([embedded[:, :place], images, embedded[:, place + 1 :]], dim=1)

    def _question(self, asked: str | None) -> str:
        """Return the question, with the model's own words about the region if it has none."""
        own = self.config.question
        if asked is None or self.config.box_input == "none" or BOX in asked:
            return own if asked is None else asked
        return f"{own[: own.index(BOX)].split(' ')[-1]}{BOX} {asked}"

    def _ids(self, words: str, box: Sequence[float]) -> list[int]:
        """Return the prompt's ids.

        Coordinates are two digits each and a digit is one token, whatever words the vocabulary
        holds, so that rows are equal long.
        """
        tokenizer = self.language.tokenizer
        encode = partial(tokenizer.encode, add_special_tokens=False)
        digits = "".join(f"{min(99, max(0, int(100 * share))):02d}" for share in box)
        spelled = [encode(digits[0])[-1]]
        for digit in digits[1:]:
            spelled += [*encode(" "), encode(digit)[-1]]
        first, *others = words.split("{box}")
        ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        ids += encode(first)
        for part in others:
            ids += [*spelled, *encode(part)]
        return ids

    def read(self, prompts: Tensor, answers: Sequence[Sequence[int]]) -> Read:
        """Read finished answers in one pass.

        Args:
            prompts: From `embed_prompts`, [R, P, W].
            answers: Tokens of each.

        Raises:
            PromptTooLongError: If a prompt with its answer is longer than the model allows.
        """
        device, n_prompt = prompts.device, prompts.shape[1]
        longest = max(len(ids) for ids in answers)
        self._check_length(n_prompt + longest)
        ids = torch.full((len(answers), longest), IGNORED, device=device)
        for row, answer in enumerate(answers):
            ids[row, : len(answer)] = torch.tensor(answer, device=device)
        embedded = torch.cat([prompts, self.language.embed(ids.clamp(min=0))], dim=1)
        states = self._decoder(inputs_embeds=embedded, use_cache=False)  # [R, P + L, W]
        before = states[:, n_prompt - 1 : -1]
        known = ids != IGNORED
        logits = self._head(before[known]).float()
        loss = F.cross_entropy(logits, ids[known], reduction="sum")
        return Read(states[:, n_prompt:], before, loss, int(known.sum()))

    @torch.no_grad()
    def write(
        self,
        prompts: Tensor,
        *,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        use_cache: bool = True,
        watch: Callable[[Sequence[int]], None] | None = None,
    ) -> Written:
        """Write answers under the grammar, many at once.

        Args:
            prompts: From `embed_prompts`, [R, P, W].
            temperature: 0 takes the likeliest token; above, tokens are drawn.
            generator: Where chance comes from; on the CPU.
            use_cache: Keep keys and values; without, all is read again for each token.
            watch: Called with the newest token of each answer as soon as it is written; a sentence
                that `least_chance` leaves out in the end is seen here all the same.

        Raises:
            PromptTooLongError: If a prompt and the longest answer exceed what the model allows.
        """
        rows, limit, end = len(prompts), self.config.max_tokens, self.numbers.end
        self._check_length(prompts.shape[1] + limit)
        grammar = Grammar(
            self.numbers,
            rows,
            self.language.embeddings.num_embeddings,
            max_tokens=limit,
            max_phrases=self.config.max_phrases,
        )
        model = self.language.model.base_model
        text = start_decoding(model, prompts, limit, keep=use_cache)
        tokens: list[Tensor] = []
        chances: list[Tensor] = []
        while True:
            logits = grammar.forbid(self._head(text.states).float())  # [R, vocabulary]
            chosen = _choose(logits, temperature, generator)  # [R]
            chances.append(logits.log_softmax(-1).gather(-1, chosen[:, None])[:, 0])
            tokens.append(chosen)
            newest = chosen.tolist()
            grammar.advance(newest)
            if watch is not None:
                watch(newest)
            if grammar.has_ended or len(tokens) == limit:
                break
            text.advance(self.language.embed(chosen))
        columns = torch.stack(tokens, dim=1).tolist()
        odds = torch.stack(chances, dim=1).tolist()
        lengths = [ids.index(end) + 1 if end in ids else len(ids) for ids in columns]
        written = Written(
            [ids[:n] for ids, n in zip(columns, lengths, strict=True)],
            [row[:n] for row, n in zip(odds, lengths, strict=True)],
            [n == limit for n in lengths],
        )
        return self._without_guesses(written) if self.config.least_chance else written

    def _without_guesses(self, written: Written) -> Written:
        """Leave out sentences below the least chance."""
        tokenizer, least = self.language.tokenizer, self.config.least_chance
        ids, chances = [], []
        for answer, odds in zip(written.ids, written.log_probabilities, strict=True):
            kept = keep_likely(tokenizer, answer, odds, least)  # type: ignore[arg-type]
            ids.append([answer[position] for position in kept])
            chances.append([odds[position] for position in kept])
        return Written(ids, chances, written.is_cut)

    def _decoder(self, **inputs: object) -> Tensor:
        """Run the language model without its head and return the last layer's states."""
        return cast(Tensor, self.language.model.base_model(**inputs).last_hidden_state)

    def _head(self, states: Tensor) -> Tensor:
        head = self.language.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        return cast(Tensor, head(states))

    def _check_length(self, length: int) -> None:
        if length > self.language.max_positions:
            raise PromptTooLongError(
                f"a prompt with its answer needs {length} tokens; the language model holds "
                f"{self.language.max_positions}: lower reasoner.max_tokens or the image tokens."
            )


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature <= 0:
        return logits.argmax(dim=-1)
    shares = (logits / temperature).softmax(dim=-1).cpu()
    return torch.multinomial(shares, 1, generator=generator)[:, 0].to(logits.device)
