"""Tests of opening text sources by name."""

from pathlib import Path

import pytest

from skycue.backbones.captioner import TextConfig, open_text_source
from skycue.backbones.clip import Clip
from skycue.backbones.phrase_bank import BankConfig
from skycue.data.captions import CaptionRecord, append_captions
from skycue.errors import CaptionError


def test_bank_is_opened_with_its_options(tiny_clip: Clip) -> None:
    config = TextConfig(bank=BankConfig(top_k=5))
    assert open_text_source("bank", tiny_clip, config=config).settings.maker["top_k"] == 5


def test_bank_without_a_backbone_is_refused() -> None:
    with pytest.raises(CaptionError, match="needs a backbone"):
        open_text_source("bank")


@pytest.mark.parametrize("spec", ["", "blip2", "hf:", "file:", "bank:5", "http://captions"])
def test_an_unknown_source_is_refused_with_what_is_allowed(spec: str, tiny_clip: Clip) -> None:
    with pytest.raises(CaptionError, match=r"no text source .*bank, hf:NAME .*oracle:"):
        open_text_source(spec, tiny_clip)


def test_files_and_oracles_are_told_apart_by_name(tmp_path: Path) -> None:
    made, people = tmp_path / "made.jsonl", tmp_path / "people.jsonl"
    record = CaptionRecord(image="1.png", captions=("water",), settings={"source": "bank"})
    append_captions(made, [record])
    append_captions(people, [record.model_copy(update={"settings": {}})])
    assert open_text_source(f"file:{made}").settings.kind == "bank"
    assert open_text_source(f"oracle:{people}").settings.oracle
    with pytest.raises(CaptionError, match="Use oracle:"):
        open_text_source(f"file:{people}")
