"""Tests of the text source `bank`."""

import importlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.backbones.phrase_bank import BankConfig, PhraseBank, load_phrases, sentence
from skycue.backbones.preprocess import preprocess
from skycue.data.images import read_image
from tests.conftest import build_tiny_clip


@pytest.fixture
def images(scene_folder: Path) -> list[Path]:
    """Six tiles of three classes."""
    return sorted(scene_folder.rglob("*.png"))[::4]


def embed(clip: Clip, images: list[Path]) -> Tensor:
    """Encode tiles by hand, [N, D]."""
    return clip.encode_image(torch.stack([preprocess(read_image(path), 32) for path in images]))


def test_a_caption_holds_the_nearest_phrase_of_the_nearest_groups(
    tiny_clip: Clip, images: list[Path]
) -> None:
    config = BankConfig(top_k=3, template="over {}")
    captions = PhraseBank(tiny_clip, config).caption(images)
    phrases = load_phrases()
    prompts = [f"over {text}" for text in phrases.texts]
    similarity = embed(tiny_clip, images) @ tiny_clip.encode_text(tiny_clip.tokenize(prompts)).T
    for caption, row in zip(captions, similarity.tolist(), strict=True):
        best: dict[int, tuple[float, str]] = {}
        for value, group, text in zip(row, phrases.groups, phrases.texts, strict=True):
            best[group] = max(best.get(group, (-2.0, "")), (value, text))
        assert caption == sentence([text for _, text in sorted(best.values(), reverse=True)[:3]])


def test_kept_embeddings_give_the_captions_of_the_files(
    tiny_clip: Clip, images: list[Path]
) -> None:
    bank = PhraseBank(tiny_clip, batch_size=4)
    assert bank.caption_embeddings(embed(tiny_clip, images)) == bank.caption(images)


def test_captions_do_not_depend_on_the_batch(tiny_clip: Clip, images: list[Path]) -> None:
    whole = PhraseBank(tiny_clip).caption(images)
    assert PhraseBank(tiny_clip, batch_size=1).caption(images) == whole


def test_settings_name_the_list_its_hash_and_the_backbone(tiny_clip: Clip) -> None:
    settings = PhraseBank(tiny_clip, BankConfig(top_k=2)).settings
    assert settings.kind == settings.maker["source"] == "bank"
    assert not settings.oracle
    assert settings.maker["backbone"] == tiny_clip.fingerprint
    assert settings.maker["phrases"] == "remote_sensing_v1"
    assert settings.maker["top_k"] == 2
    other = PhraseBank(build_tiny_clip(seed=1), BankConfig(top_k=2)).settings
    assert not settings.same_maker(other)


def test_one_phrase_and_several_read_as_a_sentence() -> None:
    assert sentence(["grey roofs"]) == "an aerial image of grey roofs."
    assert sentence(["a", "b", "c"]) == "an aerial image of a, b and c."


def test_the_list_has_not_changed_since_it_was_published() -> None:
    phrases = load_phrases()
    published = "7c740d913c104609bc18cdd2974552ec58a133f3ff08ecdecb3a9770aa30d745"
    assert phrases.sha256 == published, "add a new version; results rest on this one"


def test_the_list_is_of_a_fair_size_and_holds_no_phrase_twice() -> None:
    phrases = load_phrases()
    assert 200 <= len(phrases.texts) <= 300
    assert len(set(phrases.texts)) == len(phrases.texts)
    assert list(phrases.groups) == sorted(phrases.groups)
    assert set(phrases.groups) == set(range(max(phrases.groups) + 1))


def test_no_phrase_holds_the_name_of_a_class() -> None:
    facts = importlib.import_module("skycue.data.datasets").FACTS
    names = {
        name.lower()
        for each in facts.values()
        for pair in each.class_names.items()
        for name in pair
    }
    assert len(names) > 100
    words_of = [text.lower().split() for text in load_phrases().texts]
    guilty = [
        (name, " ".join(words))
        for name in names
        for words in words_of
        if f" {name} " in f" {' '.join(words)} "
    ]
    assert guilty == []
