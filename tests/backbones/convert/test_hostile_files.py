"""Damaged, mistaken and hostile files are refused in one line, and nothing in them runs."""

import json
import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from skycue.backbones.convert import convert
from tests.backbones.convert.foreign import (
    SMALL,
    SMALL_TORCHSCRIPT,
    Hostile,
    openai_state,
    refused,
    save_hugging_face,
    save_torchscript,
    tiny_architecture,
    tiny_reference,
)


@pytest.mark.parametrize("kind", ["torchscript", "zip", "legacy"])
def test_a_truncated_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    if kind == "torchscript":
        save_torchscript(SMALL_TORCHSCRIPT, path)
    else:
        torch.save(SMALL, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    for length in (len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        refused(path, "damaged")


def test_a_hostile_pickle_is_refused_by_name_and_not_run(tmp_path: Path) -> None:
    evidence, path = tmp_path / "evidence", tmp_path / "model.bin"
    torch.save({"state_dict": Hostile(evidence)}, path)
    refused(path, rf"asks for {os.system.__module__}\.system, which is refused")
    path.write_bytes(pickle.dumps(Hostile(evidence), protocol=2))
    refused(path, "damaged|refused")
    assert not evidence.exists()


def test_a_pickle_named_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save(SMALL, path)
    refused(path, "it begins as a pickle")


def test_safetensors_named_as_a_pickle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_file(SMALL, path)
    refused(path, r"rename it to model\.safetensors")


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file with any header and any stated length of it."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        safetensors(b"{}", length=(1 << 63) - 1),
        safetensors(b"not json"),
        safetensors(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', b"\0" * 8),
        safetensors(
            b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}', b"\0" * 4
        ),
        safetensors(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
            b'"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"\0" * 4,
        ),
    ],
    ids=["empty", "short", "huge header", "no JSON", "truncated", "huge shape", "overlap"],
)
def test_damaged_safetensors_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(path, "is damaged or no safetensors file")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"version https://git-lfs.github"])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    refused(path, "is no weights file")


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        ([torch.ones(1)], "holds no state dict but list"),
        ({}, "holds no state dict"),
        ({"epoch": 3, "model": {}}, "'epoch' is int, not a tensor"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(
    loaded: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    torch.save(loaded, path)
    refused(path, message)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("visual.layer1.0.conv1.weight", "a ResNet"),
        ("visual.trunk.blocks.0.attn.qkv.weight", "from timm"),
        ("visual.blocks.0.attn.q_proj.weight", "an EVA"),
        ("visual.attn_pool.query", "CoCa"),
        ("text_decoder.resblocks.0.ln_1.weight", "CoCa"),
        ("text.cls_emb", "CoCa"),
        ("text.transformer.embeddings.word_embeddings.weight", "a BERT"),
        ("text.positional_embedding", "a text tower of its own"),
        ("logit_bias", "SigLIP"),
        ("vision_model.post_layernorm.weight", "give its folder"),
        ("image.stem.weight", "give its folder to --backbone"),
    ],
)
def test_other_networks_are_refused_by_name(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(SMALL | {name: torch.ones(1)}, path)
    refused(path, f"is not supported: .*{reason}.* \\({re.escape(name)}\\)")


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__delitem__(name)


def with_tensor(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__setitem__(name, tensor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("ln_final.bias"), r"misses ln_final\.bias\."),
        (without("visual.conv1.weight"), r"misses visual\.conv1\.weight"),
        (without("visual.transformer.resblocks.0.ln_1.weight"), r"visual\.transformer\.resblocks"),
        (with_tensor("extra", torch.ones(1)), "has unexpected extra"),
        (
            with_tensor("visual.proj", torch.ones(40, 64)),
            r"has visual\.proj of shape \[40, 64\] where \[64, 40\] is wanted",
        ),
        (with_tensor("visual.conv1.weight", torch.ones(64)), r"conv1\.weight of shape \[64\]"),
        (with_tensor("visual.positional_embedding", torch.ones(16, 64)), "15 patch positions"),
        (with_tensor("token_embedding.weight", torch.ones(9, 48)), "a token table of 9 rows"),
        (with_tensor("ln_final.bias", torch.full((48,), torch.nan)), r"NaN.* in ln_final\.bias"),
        (with_tensor("ln_final.bias", torch.ones(48, dtype=torch.int8)), "as torch.int8"),
        (with_tensor("input_resolution", torch.tensor(224)), "input_resolution .*224.* for 32"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    change: Callable[[dict[str, Tensor]], None], message: str, tmp_path: Path
) -> None:
    state = openai_state(tiny_reference())
    change(state)
    path = tmp_path / "model.pt"
    torch.save(state, path)
    refused(path, message)


def rewrite(path: Path, **changes: object) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "siglip"}, r"model_type: Input should be 'clip' \(found 'siglip'\)"),
        ({"vision_config": {"hidden_act": "relu"}}, r"vision_config\.hidden_act.*'relu'"),
        ({"vision_config": {"hidden_act": "gelu"}}, "hidden_act differs between the towers"),
        ({"projection_dim": 41}, "says embed_dim 41 where the weights have 40"),
        ({"text_config": []}, r"text_config: Input should be"),
    ],
)
def test_a_hugging_face_folder_that_is_not_supported_is_named(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    save_hugging_face(tiny_reference(), folder)
    rewrite(folder / "config.json", **change)
    refused(folder, message)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", r"expected config\.json or open_clip_config\.json"),
        ("preprocessor_config.json", "the normalisation is unknown"),
        ("tokenizer.json", r"expected tokenizer\.json, or vocab\.json and merges\.txt"),
        ("model.safetensors", r"no weights in .*expected model\.safetensors or"),
    ],
)
def test_a_file_missing_in_a_hugging_face_folder_is_named(
    missing: str, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    save_hugging_face(tiny_reference(), folder)
    (folder / missing).unlink()
    refused(folder, message)


def test_other_preprocessing_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    save_hugging_face(tiny_reference(), folder)
    rewrite(folder / "preprocessor_config.json", resample=2)
    refused(folder, r"resample: Input should be 3 \(found 2\)")


def test_an_index_that_leaves_its_folder_or_its_kind_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    save_hugging_face(tiny_reference(), folder)
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    for name in ("../model.safetensors", "model.bin"):
        index = {"weight_map": {"logit_scale": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        refused(folder, f"names '{re.escape(name)}', which is no .safetensors file beside it")


@pytest.mark.parametrize(
    ("tower", "change", "message"),
    [
        ("vision_cfg", {"timm_model_name": "vit_base"}, r"vision_cfg\.timm_model_name"),
        ("vision_cfg", {"attentional_pool": True}, r"vision_cfg\.attentional_pool"),
        ("vision_cfg", {"layers": [3, 4, 6, 3]}, r"vision_cfg\.layers.*found \[3, 4, 6, 3\]"),
        ("text_cfg", {"no_causal_mask": True}, r"text_cfg\.no_causal_mask"),
        ("text_cfg", {"pool_type": "last"}, r"text_cfg\.pool_type.*'argmax' \(found 'last'\)"),
        ("text_cfg", {"hf_model_name": "roberta-base"}, r"text_cfg\.hf_model_name"),
        ("text_cfg", {"novelty": 1}, r"text_cfg\.novelty: Extra inputs are not permitted"),
    ],
)
def test_an_openclip_folder_that_is_not_supported_is_named(
    tower: str, change: dict[str, object], message: str, tmp_path: Path
) -> None:
    config: dict[str, dict[str, object]] = {
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"width": 48, "heads": 3, "layers": 3},
    }
    config[tower] |= change
    folder = tmp_path / "source"
    folder.mkdir()
    content = {"model_cfg": {"embed_dim": 40, **config}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    refused(folder, message)


def test_a_backbone_of_skycue_needs_no_conversion(tmp_path: Path) -> None:
    path, folder = tmp_path / "model.pt", tmp_path / "source"
    torch.save(openai_state(tiny_reference()), path)
    convert(path, folder, tiny_architecture())
    refused(folder, "is a backbone of Skycue already")
