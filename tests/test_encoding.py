"""Images to inputs of methods: batches, kept encodings, captions and random crops."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.backbones.phrase_bank import PhraseBank
from skycue.backbones.preprocess import preprocess
from skycue.backbones.sentence import SentenceEncoder, SentenceSettings
from skycue.backbones.text_source import TextSettings
from skycue.data.images import read_image
from skycue.encoding import EncodingCounts, RandomCrops, SceneEncoder
from skycue.errors import EncodingError, ImageReadError, OutOfMemoryError
from skycue.scenes.base import Need
from skycue.store import EncodingStore


class FolderCaptions:
    """Says of each image which folder it lies in."""

    settings = TextSettings(kind="other", maker={"source": "folders"})

    def caption(self, paths: Sequence[Path]) -> list[str]:
        return [f"a picture of {path.parent.name}" for path in paths]


class LetterCounts(SentenceEncoder):
    """Counts the letters a, e and o of a sentence."""

    def __init__(self) -> None:
        self.settings = SentenceSettings(name="letters", revision="1", dim=3)
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Tensor:
        self.asked += texts
        return torch.tensor([[text.count(letter) for letter in "aeo"] for text in texts]).float()


@pytest.fixture
def paths(scene_folder: Path) -> list[Path]:
    return sorted(scene_folder.glob("*/*.png"))


def test_an_image_is_encoded_as_the_clip_encodes_it(tiny_clip: Clip, paths: list[Path]) -> None:
    inputs = SceneEncoder(tiny_clip, batch_size=5).encode(paths, {"embedding", "tokens"})
    for index in (0, 7, 23):
        pixels = preprocess(read_image(paths[index]), 32)
        alone = tiny_clip.encode_image_tokens(pixels[None])
        assert_close(inputs.require("embedding")[index], alone.embedding[0])
        assert_close(inputs.require("tokens")[index], alone.tokens[0].half())


def test_patches_and_moments_are_what_the_tower_gives(tiny_clip: Clip, paths: list[Path]) -> None:
    inputs = SceneEncoder(tiny_clip).encode(paths[:2], {"patches", "moments"})
    pixels = torch.stack([preprocess(read_image(path), 32) for path in paths[:2]])
    assert_close(inputs.require("patches"), tiny_clip.embed_image(pixels).half())
    maps = tiny_clip.encode_image_tokens(pixels, layers=[0, 1]).maps  # [2, 1+N, V] each
    for block, tokens in enumerate(maps):
        mean = tokens.mean(dim=1)
        deviation = (tokens - mean[:, None]).square().mean(dim=1).sqrt()
        assert_close(inputs.require("moments")[:, block, 0], mean.half())
        assert_close(inputs.require("moments")[:, block, 1], deviation.half())


def test_patches_alone_run_no_block(
    tiny_clip: Clip, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_clip.image, "blocks", None)
    inputs = SceneEncoder(tiny_clip).encode(paths[:1], {"patches"})
    assert inputs.embedding is None
    assert inputs.require("patches").shape == (1, 5, 32)


def test_kept_encodings_equal_fresh_ones(
    tiny_clip: Clip, paths: list[Path], tmp_path: Path
) -> None:
    needs: tuple[Need, ...] = ("patches", "embedding", "tokens", "moments")
    fresh = SceneEncoder(tiny_clip).encode(paths, needs)
    store = EncodingStore(tmp_path / "store")
    SceneEncoder(tiny_clip, store=store).encode(paths, needs)
    again = SceneEncoder(tiny_clip, store=EncodingStore(tmp_path / "store"))
    kept = again.encode(list(reversed(paths)), needs)
    assert again.counts == EncodingCounts(reused=24, computed=0)
    for name in needs:
        assert torch.equal(kept.require(name).flip(0), fresh.require(name))


def test_only_what_is_missing_is_encoded(
    tiny_clip: Clip, paths: list[Path], tmp_path: Path
) -> None:
    encoder = SceneEncoder(tiny_clip, store=EncodingStore(tmp_path / "store"))
    encoder.encode(paths[:10], {"embedding"})
    encoder.encode(paths[:12], {"embedding"})
    assert encoder.counts == EncodingCounts(reused=10, computed=12)
    encoder.encode(paths[:12], {"embedding", "tokens"})
    assert encoder.counts == EncodingCounts(reused=10, computed=24)


def test_a_file_that_changed_is_encoded_anew(
    tiny_clip: Clip, paths: list[Path], tmp_path: Path
) -> None:
    encoder = SceneEncoder(tiny_clip, store=EncodingStore(tmp_path / "store"))
    before = encoder.encode(paths[:1], {"embedding"}).require("embedding")
    paths[0].write_bytes(paths[-1].read_bytes())
    after = encoder.encode(paths[:1], {"embedding"}).require("embedding")
    expected = SceneEncoder(tiny_clip).encode(paths[-1:], {"embedding"}).require("embedding")
    assert_close(after, expected)
    assert not torch.allclose(after, before)


def test_another_backbone_does_not_find_the_encodings_of_the_first(
    tiny_clip: Clip, paths: list[Path], tmp_path: Path
) -> None:
    store = EncodingStore(tmp_path / "store")
    SceneEncoder(tiny_clip, store=store).encode(paths[:2], {"embedding"})
    torch.manual_seed(5)
    other = Clip(tiny_clip.config, tiny_clip.tokenizer).eval()
    encoder = SceneEncoder(other, store=store)
    encoder.encode(paths[:2], {"embedding"})
    assert encoder.counts == EncodingCounts(reused=0, computed=2)


def test_captions_become_vectors_and_each_text_is_encoded_once(
    tiny_clip: Clip, paths: list[Path], tmp_path: Path
) -> None:
    sentence = LetterCounts()
    encoder = SceneEncoder(
        tiny_clip,
        store=EncodingStore(tmp_path / "store"),
        captions=FolderCaptions(),
        sentence=sentence,
    )
    inputs = encoder.encode([paths[0], paths[1], paths[8]], {"caption"})
    # "a picture of bare_soil", twice, and "a picture of forest"
    assert inputs.require("caption").tolist() == [[2, 2, 2], [2, 2, 2], [1, 2, 2]]
    assert inputs.embedding is None
    encoder.encode([paths[8]], {"caption"})
    assert sentence.asked == ["a picture of bare_soil", "a picture of forest"]


def test_a_phrase_bank_reads_the_embeddings_that_are_there(
    tiny_clip: Clip, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, sentence = PhraseBank(tiny_clip), LetterCounts()
    expected = bank.caption(paths[:3])
    monkeypatch.setattr(bank, "caption", None)  # must not be called
    SceneEncoder(tiny_clip, captions=bank, sentence=sentence).encode(paths[:3], {"caption"})
    assert sentence.asked == list(dict.fromkeys(expected))


def test_captions_describe_the_whole_image_under_random_crops(
    tiny_clip: Clip, paths: list[Path]
) -> None:
    bank = PhraseBank(tiny_clip)
    encoder = SceneEncoder(tiny_clip, captions=bank, sentence=LetterCounts())
    cropped = encoder.encode(paths, {"embedding", "caption"}, crops=RandomCrops(1, 1))
    assert_close(cropped.require("caption"), encoder.encode(paths, {"caption"}).require("caption"))


def test_a_missing_file_is_named(tiny_clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match=r"absent\.png: No such file"):
        SceneEncoder(tiny_clip).encode([tmp_path / "absent.png"], {"embedding"})


def test_running_out_of_memory_names_the_setting_to_lower(
    tiny_clip: Clip, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pixels: Tensor) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(tiny_clip, "embed_image", fail)
    with pytest.raises(OutOfMemoryError, match=r"lower encoding_batch or --batch-size \(now 7\)"):
        SceneEncoder(tiny_clip, batch_size=7).encode(paths, {"embedding"})


def test_captions_without_a_source_are_an_error(tiny_clip: Clip, paths: list[Path]) -> None:
    with pytest.raises(EncodingError, match="reads captions"):
        SceneEncoder(tiny_clip).encode(paths[:1], {"caption"})


def test_kept_encodings_under_random_crops_are_an_error(
    tiny_clip: Clip, paths: list[Path], tmp_path: Path
) -> None:
    encoder = SceneEncoder(tiny_clip, store=EncodingStore(tmp_path / "store"))
    with pytest.raises(EncodingError, match="cannot be kept under random crops"):
        encoder.encode(paths, {"embedding"}, crops=RandomCrops(seed=1, epoch=1))


def test_random_crops_are_a_function_of_seed_epoch_and_image(
    tiny_clip: Clip, paths: list[Path]
) -> None:
    encoder = SceneEncoder(tiny_clip)

    def crops(some: list[Path], seed: int, epoch: int) -> Tensor:
        return encoder.encode(some, {"pixels"}, crops=RandomCrops(seed, epoch)).require("pixels")

    first = crops(paths[:2], 1, 1)
    assert torch.equal(crops([paths[1], paths[0]], 1, 1), first.flip(0))
    assert not torch.equal(crops(paths[:2], 1, 2), first)
    assert not torch.equal(crops(paths[:2], 2, 1), first)


def windows_of(paths: list[Path]) -> tuple[list[str], list[Tensor]]:
    """The images of files as if they were windows of a raster: keys and pixels."""
    return [path.name for path in paths], [preprocess(read_image(path), 32) for path in paths]


@pytest.mark.parametrize("captions", ["bank", None])
def test_pixels_are_encoded_as_their_files_and_kept(
    captions: str | None, tiny_clip: Clip, paths: list[Path], tmp_path: Path
) -> None:
    needs: set[Need] = {"embedding", "tokens"}
    bank = None
    if captions:
        needs.add("caption")
        bank = PhraseBank(tiny_clip)
    expected = SceneEncoder(tiny_clip, captions=bank, sentence=LetterCounts()).encode(paths, needs)
    keys, pixels = windows_of(paths)
    store = EncodingStore(tmp_path / "store")
    encoder = SceneEncoder(tiny_clip, store=store, captions=bank, sentence=LetterCounts())
    first = encoder.find_kept(keys[:9], needs, part="raster-0")
    assert first.missing == tuple(range(9))
    encoder.encode_missing(first, pixels[:9], needs)
    kept = encoder.find_kept(keys, needs, part="raster-0")
    assert kept.missing == tuple(range(9, 24))
    found = encoder.encode_missing(kept, pixels[9:], needs)
    for name in needs:
        assert_close(found.require(name), expected.require(name))
    assert encoder.find_kept(keys, needs, part="raster-1").missing == tuple(range(24))
    assert encoder.counts == EncodingCounts(reused=9, computed=24)


def test_an_image_that_stands_twice_is_encoded_once(tiny_clip: Clip, paths: list[Path]) -> None:
    keys, pixels = windows_of(paths[:3])
    encoder = SceneEncoder(tiny_clip)
    kept = encoder.find_kept([keys[0], keys[1], keys[0], keys[2]], {"embedding"})
    assert kept.missing == (0, 1, 3)
    found = encoder.encode_missing(kept, pixels, {"embedding"}).require("embedding")
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], found[3])


def test_windows_have_no_captions_that_belong_to_files(tiny_clip: Clip) -> None:
    encoder = SceneEncoder(tiny_clip, captions=FolderCaptions(), sentence=LetterCounts())
    with pytest.raises(EncodingError, match="no captions of the source 'other', which reads files"):
        encoder.find_kept(["a"], {"caption"})
