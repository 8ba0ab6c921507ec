"""The tokenizer gives the ids that CLIP was trained on, and says plainly when it cannot."""

import hashlib
import json
import random
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from skycue.backbones.tokenizer import CLIP_MERGES_FILE, EOT, SOS, Tokenizer
from skycue.errors import CheckpointError, PromptTooLongError

RSICD_CAPTIONS = Path(__file__).parents[3] / "shared" / "data" / "rsicd" / "captions.jsonl"
FRAGMENTS = (
    *("storage tanks", "it's", "They'LL", "we'd've", "rock'n'roll", "U.S.", "e.g.,", "(x,y)"),
    *("3.14", "2024-05-01", "10m²", "½", "٣٤", "x1y2", "#tag", "a_b", "--", "...!?", "'", "''s"),
    *("café", "cafe\u0301", "ÅNGSTRÖM", "İstanbul", "ß", "ﬁeld", "Ω", "北京机场", "мост", "हवाई"),
    *(
        "🛰️",
        "👩‍🌾",
        "&amp;",
        "&lt;b&gt;",
        "<b>",
        "\t",
        "\n\n",
        "\u00a0",
        "\u2003",
        "\u200b",
        "\u0000",
    ),
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.clip()


@pytest.fixture(scope="module")
def reference(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    path = tmp_path_factory.mktemp("reference") / "tokenizer.json"
    tokenizer.save(path)
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges)  # type: ignore[arg-type]  # pairs


def written_captions() -> list[str]:
    choose = random.Random(1)
    return [
        choose.choice((" ", "", "  ")).join(choose.choices(FRAGMENTS, k=choose.randint(0, 12)))
        for _ in range(1000)
    ]


def assert_same_ids(tokenizer: Tokenizer, reference: CLIPTokenizer, texts: list[str]) -> None:
    for text, row in zip(texts, tokenizer.encode(texts, 300).tolist(), strict=True):
        expected = reference(text)["input_ids"]
        assert row == expected + [0] * (300 - len(expected)), text


def test_the_merges_are_the_file_that_openai_published() -> None:
    digest = hashlib.sha256(CLIP_MERGES_FILE.read_bytes()).hexdigest()
    assert digest == "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"


def test_a_known_prompt_has_the_ids_of_clip(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(["a photo of a cat", ""], 9)
    expected = [[49406, 320, 1125, 539, 320, 2368, 49407, 0, 0], [49406, 49407] + [0] * 7]
    assert ids.tolist() == expected
    assert ids.dtype == torch.int64
    assert (tokenizer.sos_id, tokenizer.eot_id, tokenizer.vocab_size) == (49406, 49407, 49408)


def test_a_thousand_odd_texts_have_the_ids_of_transformers(
    tokenizer: Tokenizer, reference: CLIPTokenizer
) -> None:
    assert_same_ids(tokenizer, reference, written_captions())


@pytest.mark.skipif(not RSICD_CAPTIONS.is_file(), reason="needs ../shared/data/rsicd")
def test_a_thousand_real_captions_have_the_ids_of_transformers(
    tokenizer: Tokenizer, reference: CLIPTokenizer
) -> None:
    records = map(json.loads, RSICD_CAPTIONS.read_text(encoding="utf-8").splitlines())
    captions = sorted({caption for record in records for caption in record["captions"]})
    assert_same_ids(tokenizer, reference, random.Random(1).sample(captions, 1000))


def test_a_control_token_spelled_out_in_a_text_is_only_words(tokenizer: Tokenizer) -> None:
    row = tokenizer.encode([f"a {EOT} b {SOS} c"], 32)[0].tolist()
    assert (row.count(tokenizer.eot_id), row.count(tokenizer.sos_id)) == (1, 1)
    assert row[0] == tokenizer.sos_id


def test_too_long_a_text_is_refused_with_the_numbers(tokenizer: Tokenizer) -> None:
    assert tokenizer.count("storage tank " * 8) == 16
    with pytest.raises(PromptTooLongError, match="needs 18 tokens; the text encoder holds 16"):
        tokenizer.encode(["a lake", "storage tank " * 8], 16)


def test_truncation_keeps_the_first_words_and_the_end_of_text(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode(["storage tank by the river"], 16)[0].tolist()
    cut = tokenizer.encode(["storage tank by the river"], 5, truncate=True)[0].tolist()
    assert cut == [*whole[:4], tokenizer.eot_id]


def test_a_saved_tokenizer_loads_with_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    texts = written_captions()[:50]
    assert torch.equal(loaded.encode(texts, 300), tokenizer.encode(texts, 300))


def test_the_files_that_transformers_saves_load_with_the_same_ids(
    tokenizer: Tokenizer, reference: CLIPTokenizer, tmp_path: Path
) -> None:
    reference.save_pretrained(tmp_path)
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    texts = written_captions()[:50]
    assert torch.equal(loaded.encode(texts, 300), tokenizer.encode(texts, 300))


def test_a_vocabulary_and_its_merges_load_with_the_same_ids(
    tokenizer: Tokenizer, reference: CLIPTokenizer, tmp_path: Path
) -> None:
    merges = json.loads(reference.backend_tokenizer.to_str())["model"]["merges"]
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (tmp_path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "vocab.json").write_text(json.dumps(reference.get_vocab()), encoding="utf-8")
    loaded = Tokenizer.load_vocabulary(tmp_path / "vocab.json", tmp_path / "merges.txt")
    texts = written_captions()[:50]
    assert torch.equal(loaded.encode(texts, 300), tokenizer.encode(texts, 300))


def test_training_merges_what_is_frequent_and_spells_the_rest() -> None:
    trained = Tokenizer.train(["the airport"] * 9 + ["a river"] * 9, vocab_size=600)
    assert trained.vocab_size <= 600
    assert trained.count("the airport") == 2
    assert trained.count("Q") == 1
    assert trained.count("北") == 3  # its bytes
    assert trained.eot_id == trained.sos_id + 1 == trained.vocab_size - 1


def test_training_keeps_to_the_size_asked_for() -> None:
    trained = Tokenizer.train(["the airport by a river"] * 9, vocab_size=520)
    assert trained.vocab_size == 520


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no CLIP tokenizer"),
        ('{"model": {"type": "WordPiece"}}', "is no CLIP tokenizer"),
        ("[]", "is no CLIP tokenizer"),
    ],
)
def test_a_file_that_is_no_clip_tokenizer_is_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(path)


def test_other_steps_than_those_of_clip_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    file = json.loads(path.read_text(encoding="utf-8"))
    file["normalizer"] = {"type": "NFKC"}
    path.write_text(json.dumps(file), encoding="utf-8")
    with pytest.raises(CheckpointError, match="its normalizer is NFKC; CLIP's is NFC, Replace"):
        Tokenizer.load(path)


def test_a_vocabulary_without_a_byte_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    file = json.loads(path.read_text(encoding="utf-8"))
    del file["model"]["vocab"]["q</w>"]
    path.write_text(json.dumps(file), encoding="utf-8")
    with pytest.raises(CheckpointError, match="lacks the token 'q</w>'"):
        Tokenizer.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read the tokenizer"):
        Tokenizer.load(tmp_path / "tokenizer.json")
