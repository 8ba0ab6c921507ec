"""Region models in folders: written, read back, and refused where something is wrong."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch.testing import assert_close

from skycue.answers import Answer
from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.backbones.language import LoraSettings
from skycue.backbones.pretrained import load_clip
from skycue.backbones.vocabulary import train_bpe_tokenizer
from skycue.errors import BackboneMismatchError, CheckpointError
from skycue.region_describer import RegionDescriber
from skycue.region_network import (
    Calibration,
    build_network,
    find_region_model,
    load_network,
    mini_folder,
    save_network,
)
from skycue.regions.clvnet import ClvNet, ClvNetConfig
from tests.tiny_clvnet import (
    SAM_WHOLE,
    TEXTS,
    TINY,
    VOCABULARY,
    picture,
    shared_network,
    tiny_clip,
)
from tests.tiny_clvnet import build_network as tiny_network

BOXES = [(10.0, 10.0, 40.0, 30.0), (40.0, 20.0, 80.0, 50.0)]
CALIBRATION = Calibration(scale=1.5, bias=-0.25)


@pytest.fixture(autouse=True)
def clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep image encoders in memory: reading one takes a second."""

    def load(name: str, device: str) -> Clip:
        return tiny_clip(seed=int(name == "other"))

    monkeypatch.setattr("skycue.region_network.load_clip", load)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny region model; change nothing in it."""
    folder = tmp_path_factory.mktemp("region")
    save_network(shared_network(), folder, calibration=CALIBRATION, trained_on={"data": "made up"})
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "region"))


def answers_of(network: ClvNet) -> Sequence[Answer]:
    return RegionDescriber(network).encode(picture()).describe_all(BOXES)


def learned(network: ClvNet) -> dict[str, torch.Tensor]:
    return {k: v for k, v in network.state_dict().items() if not k.startswith("clip.")}


@pytest.mark.parametrize("config", [TINY, SAM_WHOLE], ids=["small", "sam"])
def test_a_network_is_read_back_as_it_was_but_for_half_precision(
    config: ClvNetConfig, tmp_path: Path
) -> None:
    network = tiny_network(config)
    for dtype, step in ((torch.float32, 0.0), (torch.float16, 2.0**-11)):
        save_network(network, tmp_path, dtype=dtype)
        again = load_network(tmp_path)
        assert again.record.model == network.config
        for name, weight in learned(network).items():
            found = again.network.state_dict()[name]
            assert found.dtype == weight.dtype
            assert_close(found, weight, rtol=step, atol=2.0**-24 if step else 0.0)
        assert not again.network.training
        assert not any(weight.requires_grad for weight in again.network.parameters())


def test_a_folder_holds_the_sizes_of_a_sam_and_needs_not_where_it_came_from(
    tmp_path: Path,
) -> None:
    network = tiny_network(SAM_WHOLE)
    named = SAM_WHOLE.segmenter.model_copy(update={"source": "facebook/sam-vit-base"})
    network.config = SAM_WHOLE.model_copy(update={"segmenter": named})
    save_network(network, tmp_path)
    assert load_network(tmp_path).record.model == SAM_WHOLE


def test_a_network_in_float32_gives_the_same_answers_after_it_was_saved(tmp_path: Path) -> None:
    network = shared_network()
    save_network(network, tmp_path, dtype=torch.float32)
    for one, other in zip(
        answers_of(network), answers_of(load_network(tmp_path).network), strict=True
    ):
        assert one.caption == other.caption
        assert [p.score for p in one.phrases] == [p.score for p in other.phrases]
        for phrase, same in zip(one.phrases, other.phrases, strict=True):
            assert phrase.mask is not None
            assert same.mask is not None
            np.testing.assert_array_equal(phrase.mask.full(), same.mask.full())
    assert any(answer.phrases for answer in answers_of(network))


def test_half_precision_is_rounded_once(saved: Path, tmp_path: Path) -> None:
    first = load_network(saved).network
    save_network(first, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (
        saved / "model.safetensors"
    ).read_bytes()
    for one, other in zip(
        answers_of(first), answers_of(load_network(tmp_path).network), strict=True
    ):
        assert one.to_json() == other.to_json()


def test_the_folder_says_what_the_model_is(saved: Path) -> None:
    record = load_network(saved).record
    assert record.calibration == CALIBRATION
    assert record.trained_on == {"data": "made up"}
    assert record.clip_fingerprint == tiny_clip().fingerprint
    weights = load_file(saved / "model.safetensors")
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.float16"}
    assert not any(name.startswith("clip.") for name in weights)
    heads = [name for name in weights if "lm_head" in name or "embed_tokens" in name]
    assert len(heads) == 1  # a table that is shared is kept once


def test_updates_of_low_rank_are_kept(tmp_path: Path) -> None:
    language = TINY.language.model_copy(update={"lora": LoraSettings(rank=2)})
    network = tiny_network(TINY.model_copy(update={"language": language}))
    names = [name for name, _ in network.named_parameters() if ".lora_B." in name]
    assert len(names) == 4  # q_proj and v_proj of two layers
    save_network(network, tmp_path, dtype=torch.float32)
    again = load_network(tmp_path).network.state_dict()
    for name in names:
        assert again[name].any()
        assert torch.equal(again[name], network.state_dict()[name])


def test_a_network_is_built_from_its_configuration() -> None:
    tiny_clip()  # its own seed, before ours
    networks = []
    for _ in range(2):
        tokenizer = train_bpe_tokenizer(TEXTS, VOCABULARY)
        torch.manual_seed(4)
        networks.append(build_network(TINY, tokenizer))
    one, other = networks
    assert one.clip.fingerprint == tiny_clip().fingerprint
    for name, weight in learned(one).items():
        assert torch.equal(weight, other.state_dict()[name])


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return what changes `config.json` of a folder."""

    def damage(folder: Path) -> None:
        path = folder / "config.json"
        fields = json.loads(path.read_text(encoding="utf-8"))
        change(fields)
        path.write_text(json.dumps(fields), encoding="utf-8")

    return damage


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def drop_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["query_projection.0.bias"]
    weights["query_projection.2.bias"] = torch.zeros(3)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(weights))


Harm = Callable[[Path], object]

DAMAGES: dict[str, tuple[Harm, str]] = {
    "gone": (lambda f: (f / "model.safetensors").unlink(), r"no region model in .*skycue train"),
    "no config": (lambda f: (f / "config.json").unlink(), "no region model in"),
    "no vocabulary": (lambda f: (f / "tokenizer.json").unlink(), "cannot load the tokenizer"),
    "no json": (lambda f: (f / "config.json").write_text("{"), r"config\.json is not JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[1]"), "has format None"),
    "other format": (
        edit(lambda c: c.update(format="skycue-region-9")),
        r"has format 'skycue-region-9'; 'skycue-region-1' is read",
    ),
    "unknown key": (edit(lambda c: c.update(colour="red")), r"config\.json: colour: Extra inputs"),
    "wrong range": (
        edit(lambda c: c["model"].update(view_grid=-1)),
        r"model\.view_grid: Input should be greater than or equal to 0",
    ),
    "no language": (
        edit(lambda c: c["language"].update(model_type="clip")),
        "describes no causal language model",
    ),
    "other widths": (
        edit(lambda c: c["model"].update(view_grid=0)),
        "has unexpected view_positions",
    ),
    "cut weights": (cut_weights, r"model\.safetensors is damaged or no safetensors file"),
    "a weight less": (
        drop_weight,
        r"misses query_projection\.0\.bias; has query_projection\.2\.bias of shape \[3\] where",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line(folder: Path, damage: str) -> None:
    harm, message = DAMAGES[damage]
    harm(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_network(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value) or damage == "no language"


def test_another_image_encoder_is_refused(folder: Path) -> None:
    edit(lambda c: c["model"].update(clip="other"))(folder)
    message = r"was trained with another image encoder than 'other' is now: fingerprint \w{12} "
    with pytest.raises(BackboneMismatchError, match=message):
        load_network(folder)


@pytest.mark.slow
def test_the_image_encoder_is_read_from_where_the_configuration_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skycue.region_network.load_clip", load_clip)
    save_clip(tiny_clip(), tmp_path / "clip")
    edit(lambda c: c["model"].update(clip=str(tmp_path / "clip")))(folder)
    assert load_network(folder).network.clip.fingerprint == tiny_clip().fingerprint


def test_models_are_found_by_name(tmp_path: Path) -> None:
    assert find_region_model("mini") == mini_folder()
    assert find_region_model(str(tmp_path)) == tmp_path
    for name in (str(tmp_path / "gone"), "minni", "./a", "a/b/c"):
        with pytest.raises(
            CheckpointError, match=f"no region model '{name}': give 'mini', a folder"
        ):
            find_region_model(name)


def test_a_name_that_the_hub_cannot_have_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"cannot fetch the region model 'my model/x y'"):
        find_region_model("my model/x y")
