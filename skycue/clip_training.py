"""Train a small CLIP on captioned aerial images, from a recipe to a backbone folder.

Stages follow each other, each with its own trained parameters, image size and schedule. Every stage
runs in the one training loop: a run that was killed goes on where it was and ends with the same
weights. A finished stage is one safetensors file, from which the next one starts.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch.nn.attention import SDPBackend, sdpa_kernel

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.backbones.pretrained import TRAINED_ON_FILE
from skycue.clip_recipe import ClipTrainingConfig, StageConfig
from skycue.clip_trainer import ClipTrainer
from skycue.data.captions import CAPTIONS_FILE
from skycue.files import sha256_of, write_atomically
from skycue.training import train
from skycue.training_stages import RECIPE_FILE, stage_file, state_file
from skycue.training_state import EpochRecord

log = logging.getLogger(__name__)

LOG_FILE = "log.jsonl"


def train_clip(
    config: ClipTrainingConfig,
    root: Path,
    output: Path,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Clip:
    """Train a CLIP and write it as a backbone folder; a run that was killed goes on.

    Args:
        config: The recipe.
        root: Folder of the datasets.
        output: Backbone folder to write, with `log.jsonl` and the finished stages beside it.
        seed: Of the start, the batches and all views.
        device: Where to train.
        dtype: Number format of the towers' products; weights and losses are float32.

    Returns:
        The trained network, the same that stands in `output`.

    Raises:
        SkycueError: If data, recipe or an earlier state in `output` do not fit.
    """
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / RECIPE_FILE, config.model_dump_json(indent=1) + "\n")
    trainer = ClipTrainer(config, root, output, seed=seed, device=device, dtype=dtype)
    run = {name: sha256_of(root / name / CAPTIONS_FILE) for name in config.datasets}
    run["phrases"] = sha256_of(config.phrases)
    run["recipe"] = config.model_dump_json(exclude={"stages", "phrases"})
    for number, stage in enumerate(config.stages):
        run[f"stage {number}"] = stage.model_dump_json()
        finished = stage_file(output, stage.name, run, seed=seed)
        if finished.is_file():
            trainer.load_state(load_file(finished))
            state_file(output, stage.name).unlink(missing_ok=True)  # killed before it could
            continue
        with _short_attention(device):
            _run_stage(trainer, stage, output, seed=seed, run=run)
        finished.parent.mkdir(exist_ok=True)
        write_atomically(finished, safetensors_bytes(trainer.state()))
        state_file(output, stage.name).unlink(missing_ok=True)
    save_clip(trainer.clip, output, torch.float16)
    write_atomically(output / TRAINED_ON_FILE, json.dumps(config.datasets) + "\n")
    return trainer.clip.eval().requires_grad_(False)


def _run_stage(
    trainer: ClipTrainer, stage: StageConfig, output: Path, *, seed: int, run: dict[str, str]
) -> None:
    """Train one stage in place and log its epochs."""
    on_images = stage.items == "images"

    def note(record: EpochRecord) -> None:
        line = {"stage": stage.name, **record._asdict()}
        with (output / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info("%s epoch %d: loss %.3f, held-out recall %s", stage.name, *record[:2], record[3])

    train(
        trainer.parameters(stage.trains),
        (lambda batch: trainer.image_loss(batch, stage))
        if on_images
        else (lambda batch: trainer.text_loss(batch.indices)),
        len(trainer.pairs.images) if on_images else len(trainer.texts),
        stage.train,
        seed=seed,
        state=state_file(output, stage.name),
        run=run,
        validate=trainer.validate_retrieval if on_images else None,
        after_epoch=note,
    )


@contextmanager
def _short_attention(device: torch.device) -> Iterator[None]:
    """On a CPU compute attention as plain matrix products, faster for few tokens."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield
