"""Train a region model, from a recipe to a model folder, in one process or several.

Stages follow each other in the one training loop: a run that was killed goes on where it was and
ends with the same weights. A finished stage is one safetensors file, from which the next one
starts. Beside them stand the logs, and pictures of what the model says about held-out boxes.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from skycue.distributed import process_index, wait_for_all, whole
from skycue.files import sha256_of, write_atomically
from skycue.region_network import WEIGHTS_FILE, save_network
from skycue.region_recipe import RegionStageConfig, RegionTrainingConfig
from skycue.region_trainer import RegionTrainer
from skycue.regions.clvnet import ClvNet
from skycue.shared_network import SharedNetwork
from skycue.training import train
from skycue.training_log import TrainingLog
from skycue.training_stages import RECIPE_FILE, stage_file, state_file
from skycue.training_state import EpochRecord

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger(__name__)

LOGS_FOLDER = "logs"
PICTURES_FOLDER = "pictures"


class Watch(NamedTuple):
    """What a run shows while it runs; no result depends on it.

    Attributes:
        log_every: Steps a line of the log.
        tensorboard: Whether to write curves for TensorBoard too.
        pictures_every: Epochs between pictures of sample predictions; 0 draws none.
        pictures: How many to draw.
    """

    log_every: int = 10
    tensorboard: bool = False
    pictures_every: int = 1
    pictures: int = 8


def train_regions(
    config: RegionTrainingConfig,
    root: Path,
    output: Path,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    beside: Path | None = None,
    accelerator: "Accelerator | None" = None,
    watch: Watch = Watch(),  # noqa: B008  (immutable)
) -> ClvNet:
    """Train a region model and write it as a model folder; a run that was killed goes on.

    Args:
        config: The recipe.
        root: Folder of the datasets.
        output: Model folder to write, with logs, pictures and the finished stages beside it.
        seed: Of the start, the batches and all chance.
        device: Where to train.
        dtype: Number format of products; weights and losses are float32.
        beside: Folder of the recipe, where lists that it names are looked for.
        accelerator: Of the processes that train together; None trains in this one.
        watch: What to log and draw.

    Returns:
        The trained network, the same that stands in `output`.

    Raises:
        SkycueError: If data, recipe or an earlier state in `output` do not fit.
    """
    if process_index() == 0:
        write_atomically(output / RECIPE_FILE, config.model_dump_json(indent=1) + "\n")

    def start() -> RegionTrainer:
        return RegionTrainer(config, root, seed=seed, device=device, dtype=dtype, beside=beside)

    trainer = start()
    run = _identity(config, root, beside)
    for number, stage in enumerate(config.stages):
        run[f"stage {number}"] = stage.model_dump_json()
        finished = stage_file(output, stage.name, run, seed=seed)
        if not finished.is_file():
            state = _run_stage(trainer, stage, output, seed, run, accelerator, watch)
            if process_index() == 0:
                write_atomically(finished, safetensors_bytes(state))
            if accelerator is not None and accelerator.is_fsdp2:
                trainer = start()  # the network of the old one is in shards
        wait_for_all()
        if process_index() == 0:
            state_file(output, stage.name).unlink(missing_ok=True)
        trainer.load_state(load_file(finished))
        if process_index() == 0 and stage.kind != "masks" and number < len(config.stages) - 1:
            # A model folder of its own, for other recipes to start from.
            save_network(trainer.network, finished.parent / stage.name, trained_on=run)
    if process_index() == 0:
        save_network(
            trainer.network,
            output,
            calibration=trainer.calibrate() if trainer.held_out.items else None,
            trained_on={"seed": str(seed)} | run,
        )
    return trainer.network.eval().requires_grad_(False)


def _run_stage(
    trainer: RegionTrainer,
    stage: RegionStageConfig,
    output: Path,
    seed: int,
    run: dict[str, str],
    accelerator: "Accelerator | None",
    watch: Watch,
) -> dict[str, Tensor]:
    """Train one stage in place and return all weights as they end, whole."""
    shared = None
    if accelerator is not None:
        shared = SharedNetwork(nn.ModuleDict(trainer.modules), accelerator)
    lines = TrainingLog(
        output / LOGS_FOLDER, stage.name, every=watch.log_every, tensorboard=watch.tensorboard
    )

    def note(record: EpochRecord) -> None:
        lines.note_epoch(record)
        log.info("%s epoch %d: loss %.3f, validation %s", stage.name, *record[:2], record[3])
        wanted = watch.pictures_every and record.epoch % watch.pictures_every == 0
        if wanted and stage.kind == "full":  # the captions of a `masks` stage are noise
            folder = output / PICTURES_FOLDER / stage.name / f"epoch{record.epoch:03d}"
            _draw(trainer, folder, watch.pictures, shared)

    train(
        trainer.parameters(stage.trains),
        lambda batch: trainer.loss(batch, stage),
        len(trainer.items(stage)),
        stage.train,
        seed=seed,
        state=state_file(output, stage.name),
        run=run,
        counts_of=lambda batch: trainer.counts(batch, stage),
        validate=(lambda: trainer.validate(stage)) if trainer.held_out.items else None,
        after_step=lines.note_step,
        after_epoch=note,
        shared=shared,
    )
    lines.close()
    state = {name: whole(tensor).contiguous() for name, tensor in trainer.state().items()}
    if shared is not None:
        shared.release()
    return state


def _draw(trainer: RegionTrainer, folder: Path, count: int, shared: SharedNetwork | None) -> None:
    """Write pictures of what the model says about held-out boxes."""

    def draw() -> list[bytes]:
        return trainer.pictures(count)

    with torch.no_grad():
        pictures = shared.inside(draw) if shared else draw()
    if process_index() == 0:
        for number, picture in enumerate(pictures):
            write_atomically(folder / f"{number:02d}.png", picture)


def _identity(config: RegionTrainingConfig, root: Path, beside: Path | None) -> dict[str, str]:
    """Return what the first stage depends on: the recipe without its stages, and all files."""
    data = config.data
    files = {str(source.annotations): root / source.annotations for source in data.outlined}
    files |= {str(source.records): root / source.records for source in data.records}
    if data.held_out is not None:
        files["held out"] = (beside or Path()) / data.held_out
    if config.start is not None:
        files["start"] = Path(config.start) / WEIGHTS_FILE
    run = {name: sha256_of(path) for name, path in files.items()}
    return run | {"recipe": config.model_dump_json(exclude={"stages"})}
