"""Captions of whole images as a source of text."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from skycue.errors import CaptionError
from skycue.region_text_source import RegionTextSource
from tests import made_up_describer
from tests.made_up_describer import MadeUpDescriber


def test_whole_images_are_asked_about_and_doubts_are_counted(
    scene_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    describer = MadeUpDescriber()
    images = sorted(scene_folder.rglob("*.png"))[:2]
    with caplog.at_level(logging.WARNING):
        captions = RegionTextSource(describer, ask="what is here?").caption(images)
    assert describer.asked == [((0.0, 0.0, 40.0, 40.0), "what is here?")] * 2
    assert all(caption.startswith(made_up_describer.CAPTION) for caption in captions)
    (line,) = caplog.messages
    assert line == f"2 of 2 are doubtful, first {images[0]}: phrase 2 'a cloud' has no mask"


def test_the_settings_name_the_model_and_the_question() -> None:
    settings = RegionTextSource(MadeUpDescriber("mini 1a2b"), ask=None).settings
    assert settings.kind == "other"
    assert settings.maker == {"source": "regions", "model": "mini 1a2b", "ask": None}


def test_an_empty_caption_is_refused(scene_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = made_up_describer.answer_to
    monkeypatch.setattr(made_up_describer, "answer_to", lambda *a: replace(answer(*a), caption=" "))
    with pytest.raises(CaptionError, match="the model wrote an empty caption"):
        RegionTextSource(MadeUpDescriber()).caption([next(scene_folder.rglob("*.png"))])
