"""The weights in the package: small, whole, and able to read any name."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.backbones.pretrained import load_clip, mini_folder, trained_on
from skycue.errors import CheckpointError

MAX_BYTES = 20_000_000


@pytest.fixture(scope="module")
def mini() -> Clip:
    return load_clip("mini")


def test_the_weights_are_half_precision_and_small() -> None:
    weights = mini_folder() / "model.safetensors"
    assert weights.stat().st_size <= MAX_BYTES


def test_licence_and_card_lie_beside_the_weights() -> None:
    licence = (mini_folder() / "LICENCE").read_text(encoding="utf-8")
    assert "research and evaluation" in licence
    assert "docs/mini.md" in (mini_folder() / "README.md").read_text(encoding="utf-8")


def test_the_folder_says_what_it_was_trained_on(tmp_path: Path) -> None:
    assert trained_on("mini") == {"rsicd", "ucm"}
    assert trained_on(str(tmp_path)) == frozenset()
    assert trained_on("openai/clip-vit-base-patch16") == frozenset()
    (tmp_path / "trained_on.json").write_text('{"rsicd": 1}')
    with pytest.raises(CheckpointError, match=r'no list of dataset names: write one, .*"rsicd"'):
        trained_on(str(tmp_path))


def test_there_are_enough_tokens_for_methods_that_read_the_token_map(mini: Clip) -> None:
    size = mini.config.image.image_size
    encoding = mini.encode_image_tokens(torch.rand(1, 3, size, size))
    assert encoding.tokens.shape[1] == 1 + 36
    assert_close(encoding.embedding.norm(dim=-1), torch.ones(1))


@pytest.mark.parametrize("name", ["Ferris wheel", "Straße", "river & lake", "养鱼池", "zqxj"])
def test_any_name_can_be_spelled_and_read(mini: Clip, name: str) -> None:
    embedding = mini.encode_text(mini.tokenize([f"a photo of a {name}."]))
    assert_close(embedding.norm(dim=-1), torch.ones(1))


def test_words_of_like_meaning_lie_closer_than_others(mini: Clip) -> None:
    names = ["a dock for yachts", "a harbor", "a desert", "dunes of sand"]
    embeddings = mini.encode_text(mini.tokenize(names))
    similarity = embeddings @ embeddings.T
    assert similarity[0, 1] > similarity[0, 2:].max()
    assert similarity[2, 3] > similarity[2, :2].max()
