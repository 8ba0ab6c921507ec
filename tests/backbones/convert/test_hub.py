"""A hub name is read as the folder that it stands for, safetensors first."""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from skycue.backbones.convert import convert, read_foreign
from skycue.backbones.convert.hub import fetch
from skycue.backbones.pretrained import load_clip
from skycue.errors import CheckpointError
from tests.backbones.convert.foreign import (
    assert_same_logits,
    openai_state,
    save_hugging_face,
    tiny_reference,
)

NAME = "someone/tiny-clip"


class Hub:
    """A hub of one repository, which copies what is asked for into a cache."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository"
        self.cache = folder / "cache"
        self.repository.mkdir()
        self.cache.mkdir()

    def download(self, name: str, *, allow_patterns: list[str]) -> str:
        assert name == NAME
        for path in self.repository.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, self.cache)
        return str(self.cache)

    def cached(self) -> set[str]:
        return {path.name for path in self.cache.iterdir()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.download)
    return hub


def test_a_hub_name_loads_as_a_backbone_from_safetensors_only(hub: Hub) -> None:
    reference = tiny_reference()
    save_hugging_face(reference, hub.repository)
    (hub.repository / "pytorch_model.bin").write_bytes(b"never fetched")
    (hub.repository / "modeling_custom.py").write_text("raise SystemExit")
    assert_same_logits(load_clip(NAME), reference)
    described = {"config.json", "preprocessor_config.json", "tokenizer.json"}
    assert hub.cached() == described | {"model.safetensors"}


def test_a_repository_of_pickles_passes_convert_and_is_no_backbone_before(
    hub: Hub, tmp_path: Path
) -> None:
    reference = tiny_reference()
    save_hugging_face(reference, hub.repository)
    (hub.repository / "model.safetensors").unlink()
    torch.save(reference.state_dict(), hub.repository / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=f"`skycue convert {NAME} -o DIR`"):
        load_clip(NAME)
    assert "pytorch_model.bin" not in hub.cached()
    convert(NAME, tmp_path / "out")
    assert_same_logits(load_clip(str(tmp_path / "out")), reference)


def test_openclips_repository_is_read_by_its_own_configuration(hub: Hub) -> None:
    reference = tiny_reference("gelu")
    image = {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8}
    text = {"context_length": 20, "width": 48, "heads": 3, "layers": 3, "mlp_ratio": 2.0}
    model = {"embed_dim": 40, "vision_cfg": image | {"mlp_ratio": 2.0}, "text_cfg": text}
    content = json.dumps({"model_cfg": model, "preprocess_cfg": {}})
    (hub.repository / "open_clip_config.json").write_text(content)
    save_file(openai_state(reference), hub.repository / "open_clip_model.safetensors")
    assert_same_logits(read_foreign(NAME, allow_pickle=False).clip, reference)


def test_an_unknown_name_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, *, allow_patterns: list[str]) -> str:
        raise FileNotFoundError("404: no such repository.\nA long explanation.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    message = "cannot get 'someone/else' from the Hugging Face hub: 404: no such repository"
    with pytest.raises(CheckpointError, match=message) as raised:
        fetch("someone/else", allow_pickle=True)
    assert "\n" not in str(raised.value)
