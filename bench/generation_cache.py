"""How much faster does a caption come with the keys and values of earlier tokens kept?

    python -m bench.generation_cache

A language model of the size of SmolLM2-135M with random weights writes 64 tokens under the grammar
of grounded text, greedily, after a prompt of the image tokens of a CLIP ViT-B/16 at 224 px and a
few words; after longer prompts, such as GLaMM's of 576 image tokens, the cache saves more. Without
it all is read again for each token. Both ways write the same tokens with the same probabilities.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from bench.peak_memory import peaks, run_alone
from bench.timing import Options, Result, largest_difference, read_options, report, speedup
from skycue.backbones.language import LanguageModel, language_model_from_hf_config
from skycue.backbones.vocabulary import add_region_words, train_bpe_tokenizer
from skycue.regions.reasoner import Reasoner, ReasonerConfig, Written

TARGET = 5.0
N_TOKENS = 64
WORDS = 24
"""Tokens of a prompt beside those of the image."""
N_PROMPT = 196 + WORDS
Size = Literal["SmolLM2-135M", "tiny"]
SHAPES: dict[Size, dict[str, object]] = {
    "SmolLM2-135M": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
    },
    "tiny": {
        "vocab_size": 400,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
    },
}
"""SmolLM2-135M's is that of its published `config.json`."""
IMAGE_WIDTH = 768


def measure(
    options: Options, *, size: Size = "SmolLM2-135M", n_tokens: int = N_TOKENS
) -> list[Result]:
    """Compare both ways, then time them and ask for their memory."""
    write = writer(size, N_PROMPT, n_tokens)
    difference = largest_difference(_outputs(write(True)), _outputs(write(False)))
    sides = {"reference": lambda: write(False), "ours": lambda: write(True)}
    question = f"generation with cache against without, {size}, {n_tokens} tokens after "
    question += f"{N_PROMPT} (image tokens of ViT-B/16 at 224 px)"
    return [speedup(question, sides, options, target=TARGET, difference=difference)]


def writer(size: Size, n_prompt: int, n_tokens: int) -> Callable[[bool], Written]:
    """Return what writes an answer of exactly so many tokens, with or without the cache."""
    torch.manual_seed(1)
    tokenizer = train_bpe_tokenizer(["a ship next to two storage tanks."], 300)
    add_region_words(tokenizer)
    shape = {"model_type": "llama", "tie_word_embeddings": True, "max_position_embeddings": 2048}
    model = language_model_from_hf_config({**shape, **SHAPES[size]})
    language = LanguageModel(model, tokenizer)
    config = ReasonerConfig(max_tokens=n_tokens)
    reasoner = Reasoner(language, IMAGE_WIDTH, config).eval().requires_grad_(False)
    # The end has logit 0, which is never the largest: an answer is as long as it may be.
    language.embeddings.weight[reasoner.numbers.end] = 0
    prompts = torch.randn(1, n_prompt, language.width)  # [1, P, W]
    return lambda use_cache: reasoner.write(prompts, use_cache=use_cache)


def _outputs(written: Written) -> tuple[Tensor, ...]:
    """Return the tokens and their probabilities as tensors, [1, L] each."""
    return torch.tensor(written.ids).float(), torch.tensor(written.log_probabilities)


def write_once(size: Size, n_prompt: int, use_cache: bool) -> None:
    """Write one answer, in a process of its own."""
    writer(size, n_prompt, N_TOKENS)(use_cache)


def measure_memory(options: Options) -> Result:
    """Let each way write an answer in a process of its own."""
    size: Size = "SmolLM2-135M"
    found = {
        name: run_alone(write_once, size, N_PROMPT, use_cache, options=options)[1]
        for name, use_cache in (("with cache", True), ("without", False))
    }
    return peaks(f"generation, {size} in float32, {N_TOKENS} tokens after {N_PROMPT}", found)


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report([*measure(chosen), measure_memory(chosen)], chosen)
