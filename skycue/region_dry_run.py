"""Try a recipe of a region model before it is trained: one batch a stage, and the memory it needs.

With fake weights nothing is read from disk or hub, and the batch is computed by a small stand-in
(`region_fake_weights.py`). Memory is told for the full network all the same.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from skycue.backbones.memory_estimate import GIB, count_parameters, estimate_training
from skycue.backbones.small_segmenter import SmallSegmenter
from skycue.region_fake_weights import full_network, with_fake_weights
from skycue.region_losses import Alignments
from skycue.region_memory import region_activations
from skycue.region_parameters import choose_parameters
from skycue.region_pretraining import MaskPretraining
from skycue.region_recipe import RegionStageConfig, RegionTrainingConfig
from skycue.region_trainer import RegionTrainer
from skycue.regions.clvnet import ClvNet
from skycue.seeds import generator_at
from skycue.training import Batch, batches_of
from skycue.training_config import TrainConfig

OPTIMIZER_NUMBERS = {"adamw": 2, "sgd": 1}
"""What each optimiser keeps for a number that learns: two moments, or the momentum."""
WEIGHT_FORMAT = "float32"
"""Number format of all weights while they train, frozen ones too."""


class DryStage(NamedTuple):
    """What one stage would train, and an estimate of the memory it needs on one device.

    Attributes:
        stage: Its name.
        parameters: Numbers in all weights, the layers of its losses included.
        trained: How many of them learn.
        batch_size: Boxes that a device computes at once, by the recipe.
        weight_format: Number format of all weights, frozen ones too.
        weights_gib: Memory of the weights.
        gradients_gib: Memory of the gradients.
        optimizer_gib: Memory of the optimiser, and of the average where one is kept.
        activations_gib: Kept for the backward pass of the longest answers, by the part that keeps
            it, in `region_memory.RegionActivations`.
        total_gib: All of this; work space comes on top.
        terms: Terms of the loss of the batch that was tried.
    """

    stage: str
    parameters: int
    trained: int
    batch_size: int
    weight_format: str
    weights_gib: float
    gradients_gib: float
    optimizer_gib: float
    activations_gib: dict[str, float]
    total_gib: float
    terms: dict[str, float]


def dry_run(
    config: RegionTrainingConfig,
    root: Path,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    beside: Path | None = None,
    fake_weights: bool = False,
) -> list[DryStage]:
    """Compute loss and gradients of one batch of each stage; nothing is written.

    Args:
        config: The recipe.
        root: Folder of the datasets; unused with fake weights.
        seed: Of the start and the batch.
        device: Where to compute.
        dtype: Number format of products.
        beside: Folder of the recipe.
        fake_weights: Whether to stand random weights and drawn images in for real ones.

    Raises:
        SkycueError: If data, recipe or weights do not fit.
    """
    tried = with_fake_weights(config) if fake_weights else config
    trainer = RegionTrainer(tried, root, seed=seed, device=device, dtype=dtype, beside=beside)
    modules = _full_modules(trainer, config) if fake_weights else trainer.modules
    stages = []
    for stage in tried.stages:
        terms = _try_stage(trainer, stage, seed)
        stages.append(_estimate(trainer, modules, stage, terms))
    return stages


def _try_stage(trainer: RegionTrainer, stage: RegionStageConfig, seed: int) -> dict[str, float]:
    """Compute one batch of a stage with its gradients, and return the terms of its loss."""
    trained = trainer.parameters(stage.trains)
    indices = batches_of(len(trainer.items(stage)), stage.train, seed=seed, epoch=1)[0]

    def batch(totals: dict[str, float]) -> Batch:
        # Late in training, so that every term of the loss is there.
        chance = generator_at(seed, 1, 0)
        return Batch(indices, 1, chance, step=stage.align_after, totals=totals, seed=seed)

    totals = {"items": float(len(indices)), **trainer.counts(batch({}), stage)}
    terms = trainer.loss(batch(totals), stage)
    torch.autograd.backward(torch.stack(list(terms.values())).sum())
    for parameter in trained.values():
        parameter.grad = None
    return {name: float(term.item()) for name, term in terms.items()}


def _full_modules(trainer: RegionTrainer, config: RegionTrainingConfig) -> dict[str, nn.Module]:
    """Return what `RegionTrainer.modules` would be at the full size, without memory."""
    network = full_network(config, trainer.network)
    with torch.device("meta"):
        modules: dict[str, nn.Module] = {"net": network, "align": Alignments(network)}
        if isinstance(network.segmenter, SmallSegmenter):
            n_classes = len(trainer.class_names)
            modules["pretrain"] = MaskPretraining(network.segmenter, n_classes)
    return modules


def _estimate(
    trainer: RegionTrainer,
    modules: Mapping[str, nn.Module],
    stage: RegionStageConfig,
    terms: dict[str, float],
) -> DryStage:
    """Count the full network and what a batch of the stage keeps."""
    choose_parameters(modules, stage.trains)
    network, whole = modules["net"], nn.ModuleDict(modules)
    assert isinstance(network, ClvNet)
    kept = region_activations(
        network,
        trainer.network.segmenter,
        stage,
        checkpointing=trainer.config.checkpointing,
        half=trainer.dtype != torch.float32,
    )
    memory = estimate_training(
        whole, optimizer_numbers=_optimizer_numbers(stage.train), activations=sum(kept)
    )
    count = count_parameters(whole)
    return DryStage(
        stage.name,
        count.total,
        count.trained,
        stage.train.batch_size,
        WEIGHT_FORMAT,
        weights_gib=_gib(memory.weights),
        gradients_gib=_gib(memory.gradients),
        optimizer_gib=_gib(memory.optimizer),
        activations_gib={name: _gib(size) for name, size in kept._asdict().items()},
        total_gib=_gib(memory.total),
        terms=terms,
    )


def _optimizer_numbers(train: TrainConfig) -> int:
    """Return how many numbers the optimiser and the average keep for each that learns."""
    return OPTIMIZER_NUMBERS[train.optimizer] + (train.average_decay is not None)


def _gib(size: int) -> float:
    return round(size / GIB, 3)
