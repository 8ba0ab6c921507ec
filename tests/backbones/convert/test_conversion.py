"""Each foreign layout, made from the same random weights, gives the logits of transformers."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from skycue.backbones.clip_folder import load_clip_folder
from skycue.backbones.convert import convert, read_foreign
from skycue.backbones.convert.architectures import ARCHITECTURES, INCEPTION
from skycue.backbones.pretrained import load_clip
from skycue.backbones.transformer import Activation
from skycue.errors import CheckpointError, OutputExistsError
from skycue.files import sha256_of
from tests.backbones.convert.foreign import (
    assert_same_logits,
    build_reference,
    openai_state,
    save_hugging_face,
    save_torchscript,
    tiny_architecture,
    tiny_reference,
)

ACTIVATIONS = pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
OPENCLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 40,
        "vision_cfg": {
            **{"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
            "mlp_ratio": 2.0,
        },
        "text_cfg": {
            **{"context_length": 20, "vocab_size": 49408, "width": 48, "heads": 3, "layers": 3},
            "mlp_ratio": 2.0,
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@ACTIVATIONS
def test_openais_state_dict_gives_the_logits_of_transformers(
    activation: Activation, tmp_path: Path
) -> None:
    reference = tiny_reference(activation)
    torch.save(openai_state(reference), tmp_path / "weights.pt")
    convert(tmp_path / "weights.pt", tmp_path / "out", tiny_architecture(activation))
    assert_same_logits(load_clip_folder(tmp_path / "out"), reference)


def test_openais_torchscript_archive_gives_the_logits_of_transformers(tmp_path: Path) -> None:
    reference = tiny_reference()
    nn.Module.half(reference)
    save_torchscript(openai_state(reference), tmp_path / "weights.pt")
    done = convert(tmp_path / "weights.pt", tmp_path / "out", tiny_architecture())
    clip = load_clip_folder(tmp_path / "out")
    assert_same_logits(clip, nn.Module.float(reference))
    assert done.fingerprint == clip.fingerprint
    assert done.parameters == sum(tensor.numel() for tensor in reference.parameters())
    assert done.sha256 == {"weights.pt": sha256_of(tmp_path / "weights.pt")}


@pytest.mark.parametrize("name", ["plain.bin", "checkpoint.pt", "weights.safetensors"])
def test_openclips_files_give_the_logits_of_transformers(name: str, tmp_path: Path) -> None:
    reference = tiny_reference("gelu")
    state = openai_state(reference)
    if name.startswith("plain"):
        torch.save(state, tmp_path / name)
    elif name.startswith("checkpoint"):
        distributed = {f"module.{key}": tensor for key, tensor in state.items()}
        torch.save({"epoch": 3, "name": "run", "state_dict": distributed}, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    convert(tmp_path / name, tmp_path / "out", tiny_architecture("gelu"))
    assert_same_logits(load_clip_folder(tmp_path / "out"), reference)


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_openclips_folder_says_heads_activation_and_normalisation(
    name: str, tmp_path: Path
) -> None:
    reference = tiny_reference("gelu")
    source = tmp_path / "source"
    source.mkdir()
    (source / "open_clip_config.json").write_text(json.dumps(OPENCLIP_CONFIG))
    if name.endswith(".bin"):
        torch.save(openai_state(reference), source / name)
    else:
        save_file(openai_state(reference), source / name)
    convert(source, tmp_path / "out")
    clip = load_clip_folder(tmp_path / "out")
    assert_same_logits(clip, reference, mean=INCEPTION, std=INCEPTION)


@ACTIVATIONS
def test_a_hugging_face_folder_gives_the_logits_of_transformers(
    activation: Activation, tmp_path: Path
) -> None:
    reference = tiny_reference(activation)
    save_hugging_face(reference, tmp_path / "source")
    done = convert(tmp_path / "source", tmp_path / "out")
    clip = load_clip_folder(tmp_path / "out")
    assert_same_logits(clip, reference)
    assert done.architecture == "custom"
    assert load_clip(str(tmp_path / "source")).fingerprint == clip.fingerprint


def test_a_hugging_face_folder_in_shards_reads_as_one(tmp_path: Path) -> None:
    reference = tiny_reference()
    save_hugging_face(reference, tmp_path / "source", max_shard_size="1MB")
    done = convert(tmp_path / "source", tmp_path / "out")
    assert len(done.sha256) > 1
    assert_same_logits(load_clip_folder(tmp_path / "out"), reference)


def test_a_folder_with_pickled_weights_only_must_be_converted(tmp_path: Path) -> None:
    reference = tiny_reference()
    save_hugging_face(reference, tmp_path / "source")
    (tmp_path / "source" / "model.safetensors").unlink()
    old_buffer = {"text_model.embeddings.position_ids": torch.arange(20)[None]}
    torch.save(reference.state_dict() | old_buffer, tmp_path / "source" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="run `skycue convert` on it once"):
        load_clip(str(tmp_path / "source"))
    convert(tmp_path / "source", tmp_path / "out")
    assert_same_logits(load_clip_folder(tmp_path / "out"), reference)


def test_the_older_vocabulary_files_are_read(tmp_path: Path) -> None:
    save_hugging_face(tiny_reference(), tmp_path / "source")
    expected = read_foreign(tmp_path / "source", allow_pickle=False).clip.fingerprint
    tokenizer = tmp_path / "source" / "tokenizer.json"
    model = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]
    tokenizer.unlink()
    (tmp_path / "source" / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (tmp_path / "source" / "merges.txt").write_text(merges, encoding="utf-8")
    assert read_foreign(tmp_path / "source", allow_pickle=False).clip.fingerprint == expected


@pytest.mark.slow
@ACTIVATIONS
@pytest.mark.parametrize("patch_size", [32, 16])
def test_full_base_shapes_give_the_logits_of_transformers(
    patch_size: int, activation: Activation, tmp_path: Path
) -> None:
    reference = build_reference({"patch_size": patch_size}, {}, 512, activation)
    save_file(openai_state(reference), tmp_path / "weights.safetensors")
    name = f"ViT-B-{patch_size}" + ("-quickgelu" if activation == "quick_gelu" else "")
    foreign = read_foreign(tmp_path / "weights.safetensors", name, allow_pickle=False)
    assert foreign.architecture == name
    assert_same_logits(foreign.clip, reference)


def test_a_folder_that_holds_something_is_replaced_only_by_force(tmp_path: Path) -> None:
    torch.save(openai_state(tiny_reference()), tmp_path / "weights.pt")
    convert(tmp_path / "weights.pt", tmp_path / "out", tiny_architecture())
    with pytest.raises(OutputExistsError, match="--force"):
        convert(tmp_path / "weights.pt", tmp_path / "out", tiny_architecture("gelu"))
    convert(tmp_path / "weights.pt", tmp_path / "out", tiny_architecture("gelu"), force=True)
    assert load_clip_folder(tmp_path / "out").config.activation == "gelu"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "weights.pt"]


def test_the_source_folder_is_never_overwritten(tmp_path: Path) -> None:
    save_hugging_face(tiny_reference(), tmp_path / "source")
    with pytest.raises(OutputExistsError, match="is the source itself"):
        convert(tmp_path / "source", tmp_path / "source", force=True)


def test_a_missing_architecture_is_asked_for_with_the_choices(tmp_path: Path) -> None:
    state = openai_state(tiny_reference())
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"--arch, one of ViT-B-32, .*none of them fits"):
        convert(tmp_path / "weights.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_choices_are_those_that_fit_the_weights(tmp_path: Path) -> None:
    torch.save(hollow_state("ViT-L-14"), tmp_path / "weights.pt")
    choices = "ViT-L-14, ViT-L-14-quickgelu, ViT-L-14-336, ViT-L-14-336-quickgelu, ViT-L-14-laion2b"
    with pytest.raises(CheckpointError, match=f"one of {choices} "):
        convert(tmp_path / "weights.pt", tmp_path / "out")


def test_an_architecture_of_other_shapes_is_refused_with_the_difference(tmp_path: Path) -> None:
    torch.save(hollow_state("ViT-L-14"), tmp_path / "weights.pt")
    message = "is no ViT-H-14, which has image_width 1280 where the file has 1024"
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "weights.pt", tmp_path / "out", "ViT-H-14")


def test_a_known_file_needs_no_architecture_and_takes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(openai_state(tiny_reference("gelu")), path)
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_architecture("gelu"))
    monkeypatch.setattr(
        "skycue.backbones.convert.conversion.KNOWN_FILES", {sha256_of(path): "tiny"}
    )
    assert convert(path, tmp_path / "out").architecture == "tiny"
    with pytest.raises(CheckpointError, match="is known to be tiny, not ViT-B-32"):
        convert(path, tmp_path / "other", "ViT-B-32")


def test_an_unknown_architecture_is_refused_with_the_choices(tmp_path: Path) -> None:
    torch.save(openai_state(tiny_reference()), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"unknown architecture 'ViT-B-33'.*ViT-B-32"):
        convert(tmp_path / "weights.pt", tmp_path / "out", "ViT-B-33")


def test_a_folder_takes_no_architecture(tmp_path: Path) -> None:
    save_hugging_face(tiny_reference(), tmp_path / "source")
    with pytest.raises(CheckpointError, match="--arch is for a file of weights"):
        convert(tmp_path / "source", tmp_path / "out", "ViT-B-32")


def hollow_state(name: str) -> dict[str, Tensor]:
    """Return weights with the shapes that tell an architecture, and little else."""
    shapes = ARCHITECTURES[name].shapes
    sizes = {
        "visual.conv1.weight": (shapes.image_width, 3, shapes.patch_size, shapes.patch_size),
        "visual.positional_embedding": (5, shapes.image_width),
        "visual.transformer.resblocks.0.mlp.c_fc.weight": (4, shapes.image_width),
        "token_embedding.weight": (9, shapes.text_width),
        "positional_embedding": (7, shapes.text_width),
        "transformer.resblocks.0.mlp.c_fc.weight": (4, shapes.text_width),
        "text_projection": (shapes.text_width, shapes.embed_dim),
    }
    blocks = [("visual.", shapes.image_layers), ("", shapes.text_layers)]
    norms = [
        f"{tower}transformer.resblocks.{layer}.ln_1.weight"
        for tower, layers in blocks
        for layer in range(layers)
    ]
    return {name: torch.zeros(size) for name, size in sizes.items()} | {
        name: torch.zeros(1) for name in norms
    }
