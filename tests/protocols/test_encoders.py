"""Encoders of a benchmark: nothing twice, and captions that change hands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.data.scenes import scan_folder
from skycue.encoding import RandomCrops, SceneEncoder
from skycue.protocols.encoders import ReassignedCaptions, RememberingEncoder, reassign
from skycue.scenes.base import ImageInputs, Need
from tests.protocols.made_up import made_up_data

DATA = made_up_data("ucm", ("forest", "river"))


@pytest.fixture
def paths(scene_folder: Path) -> list[Path]:
    _, items = scan_folder(scene_folder)
    return [item.path for item in items[:4]]


def test_shuffling_hands_on_every_caption_and_keeps_parts_apart() -> None:
    caption_of = reassign(DATA, "shuffled")
    for part in (DATA.split.train, DATA.split.val, DATA.test):
        images = [item.path for item in part]
        donors = [caption_of[path] for path in images]
        assert sorted(donors) == sorted(images)
        assert all(donor != image for donor, image in zip(donors, images, strict=True))
    classes = {(p.parent.name, d.parent.name) for p, d in caption_of.items()}
    assert ("forest", "river") in classes  # captions cross classes


def test_equal_captions_are_those_of_one_training_image() -> None:
    assert set(reassign(DATA, "equal").values()) == {DATA.split.train[0].path}


def test_remembered_encodings_are_the_same_in_any_order(tiny_clip: Clip, paths: list[Path]) -> None:
    plain = SceneEncoder(tiny_clip)
    remembering = RememberingEncoder(plain, {})
    remembering.encode(paths[:2], ["embedding"])
    mixed = [paths[3], paths[0], paths[0]]
    found = remembering.encode(mixed, ["embedding", "tokens"])
    expected = plain.encode(mixed, ["embedding", "tokens"])
    assert_close(found.require("embedding"), expected.require("embedding"))
    assert_close(found.require("tokens"), expected.require("tokens"))


def test_remembered_images_are_not_read_again(tiny_clip: Clip, paths: list[Path]) -> None:
    remembering = RememberingEncoder(SceneEncoder(tiny_clip), {})
    first = remembering.encode(paths, ["embedding"]).require("embedding")
    paths[0].unlink()
    assert torch.equal(remembering.encode(paths, ["embedding"]).require("embedding"), first)


class _NumberedCaptions(SceneEncoder):
    """Gives each image the number in its name as its caption's vector."""

    def encode(
        self,
        paths: Sequence[Path],
        needs: Collection[Need],
        *,
        crops: RandomCrops | None = None,
    ) -> ImageInputs:
        inputs = super().encode(paths, [n for n in needs if n != "caption"], crops=crops)
        numbers = torch.tensor([[float(path.stem.rpartition("_")[2])] for path in paths])
        return inputs._replace(caption=numbers if "caption" in needs else None)


def test_reassigned_images_keep_their_pixels_and_change_their_captions(
    tiny_clip: Clip, paths: list[Path]
) -> None:
    inner = _NumberedCaptions(tiny_clip)
    encoder = ReassignedCaptions(inner, {paths[0]: paths[2], paths[1]: paths[0]})
    found = encoder.encode(paths[:2], ["embedding", "caption"])
    assert found.require("caption").flatten().tolist() == [2, 0]
    own = inner.encode(paths[:2], ["embedding"]).require("embedding")
    assert_close(found.require("embedding"), own)
