"""Encoded images of region models that are kept: the same answers, without the encoders."""

from pathlib import Path

import pytest

from skycue.region_describer import RegionDescriber
from skycue.region_store import image_fingerprint
from skycue.regions.clvnet import ClvNet, ClvNetConfig
from skycue.store import EncodingStore, WindowKey
from tests.tiny_clvnet import SAM_WHOLE, TINY, WHOLE, build_network, picture

BOX = (10.0, 10.0, 40.0, 30.0)
KEY = WindowKey("0123", 256, 9000, 90, 60, (60, 90))


def stop_encoders(network: ClvNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the encoders of whole images fail when they are called."""
    monkeypatch.setattr(network, "encode_images", None)
    if not network.config.windows:
        monkeypatch.setattr(network.segmenter, "encode", None)


@pytest.mark.parametrize("config", [TINY, WHOLE, SAM_WHOLE], ids=["windows", "whole", "sam"])
@pytest.mark.parametrize("key", [None, KEY], ids=["pixels", "window"])
def test_a_kept_image_gives_the_same_answer_without_the_encoders(
    config: ClvNetConfig, key: WindowKey | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(config)
    expected = RegionDescriber(network).encode(picture()).describe(BOX)
    first = RegionDescriber(network, store=EncodingStore(tmp_path))
    assert first.encode(picture(), key=key).describe(BOX).to_json() == expected.to_json()
    stop_encoders(network, monkeypatch)
    again = RegionDescriber(network, store=EncodingStore(tmp_path))
    assert again.encode(picture(), key=key).describe(BOX).to_json() == expected.to_json()
    assert again.kept is not None
    assert (again.kept.reused, again.kept.computed) == (1, 0)


def test_another_image_window_or_number_of_pixels_is_encoded_anew(tmp_path: Path) -> None:
    describer = RegionDescriber(build_network(WHOLE), store=EncodingStore(tmp_path))
    assert describer.kept is not None
    describer.encode(picture(1))
    describer.encode(picture(2))
    describer.encode(picture(1)[:, :50])
    for key in (KEY, KEY._replace(x=257), KEY._replace(size=(30, 45)), KEY._replace(source="4")):
        describer.encode(picture(1), key=key)
    assert (describer.kept.reused, describer.kept.computed) == (0, 7)


def test_what_is_learned_beside_the_encoders_does_not_matter() -> None:
    network = build_network(WHOLE)
    before = image_fingerprint(network)
    next(network.reasoner.parameters()).data += 1
    assert image_fingerprint(network) == before
    next(network.segmenter.parameters()).data += 1
    changed = image_fingerprint(network)
    assert changed != before
    assert image_fingerprint(build_network(TINY)) not in (before, changed)
