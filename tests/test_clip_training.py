"""Training a CLIP: it learns, it resumes, and what it reads is what the recipe says."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from skycue import clip_trainer
from skycue.backbones.clip_folder import load_clip_folder
from skycue.backbones.pretrained import trained_on
from skycue.clip_augmentation import AugmentConfig, random_views
from skycue.clip_pairs import fill_templates, is_held_out, load_pairs, read_pairs
from skycue.clip_recipe import ClipTrainingConfig
from skycue.clip_training import LOG_FILE, train_clip
from skycue.config import load_config
from skycue.errors import ConfigError, DatasetError

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
CPU = torch.device("cpu")


class WordCounts:
    """A sentence encoder that counts letters: texts of other letters get other vectors."""

    def __init__(self, name: str, device: torch.device) -> None:
        pass

    def encode(self, texts: Sequence[str]) -> Tensor:
        letters = "abcdefghijklmnopqrstuvwxyz "
        return torch.tensor([[1.0 + text.count(letter) for letter in letters] for text in texts])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a captioned dataset of noisy fields in three colours."""
    chance = np.random.default_rng(0)
    folder = tmp_path / "data" / "fields"
    lines = []
    for number in range(72):
        colour, rgb = list(COLOURS.items())[number % 3]
        pixels = chance.normal(rgb, 20, (24, 24, 3)).clip(0, 255).astype(np.uint8)
        path = folder / "images" / colour / f"{colour}{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        split = "test" if number >= 66 else "train"
        captions = [f"a {colour} field .", f"it is {colour} ."]
        record = {"image": str(path.relative_to(folder)), "captions": captions, "split": split}
        lines.append(json.dumps(record))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "phrases.txt").write_text("# colours\nred\ngreen\nblue\nyellow\n")
    return tmp_path / "data"


@pytest.fixture
def recipe(root: Path, monkeypatch: pytest.MonkeyPatch) -> ClipTrainingConfig:
    monkeypatch.setattr(clip_trainer, "SentenceEncoder", WordCounts)
    schedule = {
        "optimizer": "adamw", "lr": 0.003, "schedule": "step_cosine", "warmup_epochs": 0.5,
        "save_every_s": 0,
    }  # fmt: skip
    settings = {
        "datasets": ["fields"],
        "held_out_percent": 25,
        "stored_size": 32,
        "phrases": str(root.parent / "phrases.txt"),
        "templates": ["{}", "a {} field .", "{} and {}"],
        "teacher": "letters",
        "model": {
            "embed_dim": 16,
            "image": {"image_size": 32, "patch_size": 16, "width": 16, "layers": 1, "heads": 2},
            "text": {"context_length": 12, "vocab_size": 600, "width": 16, "layers": 1, "heads": 2},
        },
        "stages": [
            {
                "name": "texts", "items": "texts", "trains": ["text.*", "teacher.*"],
                "train": schedule | {"epochs": 4, "batch_size": 8},
            },
            {
                "name": "join", "items": "images", "image_size": 32, "phrases_per_step": 4,
                "trains": ["image.*", "text.*", "teacher.*", "logit_scale"],
                "train": schedule | {"epochs": 6, "batch_size": 16},
            },
        ],
    }  # fmt: skip
    return ClipTrainingConfig.model_validate(settings)


def test_training_improves_retrieval_and_leaves_a_backbone_folder(
    root: Path, recipe: ClipTrainingConfig, tmp_path: Path
) -> None:
    clip = train_clip(recipe, root, tmp_path / "out", seed=1, device=CPU)
    log = [json.loads(line) for line in (tmp_path / "out" / LOG_FILE).read_text().splitlines()]
    on_images = [line for line in log if line["stage"] == "join"]
    assert [line["epoch"] for line in on_images] == [1, 2, 3, 4, 5, 6]
    assert on_images[-1]["validation"] > on_images[0]["validation"]
    assert on_images[-1]["loss"] < on_images[0]["loss"]
    loaded = load_clip_folder(tmp_path / "out")
    half = {name: tensor.half().float() for name, tensor in clip.state_dict().items()}
    assert_close(dict(loaded.state_dict()), half, rtol=0, atol=0)
    assert trained_on(str(tmp_path / "out")) == {"fields"}


@pytest.mark.parametrize("killed_after", [1, 5, 12])
def test_a_killed_run_ends_with_the_same_weights(
    root: Path,
    recipe: ClipTrainingConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_after: int,
) -> None:
    whole = train_clip(recipe, root, tmp_path / "whole", seed=1, device=CPU)
    steps = 0
    original = clip_trainer.ClipTrainer._distil

    def killing(self: clip_trainer.ClipTrainer, embeddings: Tensor, rows: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == killed_after:
            raise KeyboardInterrupt
        return original(self, embeddings, rows)

    monkeypatch.setattr(clip_trainer.ClipTrainer, "_distil", killing)
    with pytest.raises(KeyboardInterrupt):
        train_clip(recipe, root, tmp_path / "killed", seed=1, device=CPU)
    resumed = train_clip(recipe, root, tmp_path / "killed", seed=1, device=CPU)
    assert_close(dict(resumed.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)


def test_parameters_that_a_stage_does_not_name_stay_as_they_are(
    root: Path, recipe: ClipTrainingConfig, tmp_path: Path
) -> None:
    trainer = clip_trainer.ClipTrainer(recipe, root, tmp_path, seed=1, device=CPU)
    assert set(trainer.parameters(["image.stem.*"])) == {"image.stem.weight"}
    assert not trainer.clip.logit_scale.requires_grad
    with pytest.raises(ConfigError, match="no parameter fits 'imgae"):
        trainer.parameters(["imgae.*"])


def test_texts_are_encoded_in_the_order_they_are_asked_for(
    root: Path, recipe: ClipTrainingConfig, tmp_path: Path
) -> None:
    trainer = clip_trainer.ClipTrainer(recipe, root, tmp_path, seed=1, device=CPU)
    rows = torch.tensor([7, 0, 3, 7])
    one_by_one = [trainer.clip.encode_text(trainer.token_ids[row][None]) for row in rows]
    assert_close(trainer.encode_texts(rows), torch.cat(one_by_one))


def test_test_images_and_excluded_ones_are_not_trained_on(root: Path) -> None:
    pairs = read_pairs(root, ["fields"], "train", ["fields/images/red/red0.png"])
    names = {pair.path.name for pair in pairs}
    assert len(names) == 65
    assert not {"red0.png", "red66.png"} & names
    with pytest.raises(DatasetError, match=r"no image fields/red\.png to exclude"):
        read_pairs(root, ["fields"], "train", ["fields/red.png"])


def test_held_out_images_do_not_depend_on_where_the_data_lie() -> None:
    names = [f"set/images/a/{i}.jpg" for i in range(500)]
    here = [is_held_out(Path("/here") / name, Path("/here"), 10) for name in names]
    there = [is_held_out(Path("/there/x") / name, Path("/there/x"), 10) for name in names]
    assert here == there
    assert 25 <= sum(here) <= 75


def test_images_are_squeezed_to_one_size(root: Path) -> None:
    pairs = load_pairs(read_pairs(root, ["fields"], "test"), 16)
    assert pairs.images.shape == (6, 3, 16, 16)
    red = pairs.images[0].float().mean(dim=(1, 2))
    assert_close(red, torch.tensor(COLOURS["red"]).float(), rtol=0, atol=6)


def test_templates_hold_each_phrase_and_a_second_one_where_they_ask() -> None:
    assert fill_templates(["a", "b", "c"], ["the {}", "{} by {}"]) == [
        "the a", "the b", "the c", "a by b", "b by b", "c by b",
    ]  # fmt: skip


def test_views_without_crop_and_jitter_are_the_eight_orientations() -> None:
    image = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4)
    still = AugmentConfig(min_area=1, max_stretch=1, jitter=0)
    views = random_views(image.expand(64, -1, -1, -1), 4, still, torch.Generator().manual_seed(0))
    turned = [torch.rot90(image[0], k, (1, 2)) for k in range(4)]
    expected = {tuple(v.flatten().tolist()) for t in turned for v in (t, t.flip(2))}
    found = {tuple((view * 255).round().int().flatten().tolist()) for view in views}
    assert found == expected


def test_the_recipe_of_mini_is_sound() -> None:
    folder = Path(__file__).parents[1] / "configs"
    recipe = load_config(ClipTrainingConfig, folder / "mini_clip.yaml")
    assert [stage.items for stage in recipe.stages] == ["texts", "images", "images"]
