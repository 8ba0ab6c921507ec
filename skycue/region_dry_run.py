"""Try a recipe of a region model before it is trained: one batch a stage, and the memory it needs.

With fake weights nothing is read from disk or hub: pretrained parts stand as random ones of the
sizes that the recipe writes beside their names, but two layers deep, the frozen image encoder
stands as `mini` and counts as such, and images are drawn. Memory is told for the full depth and
vocabulary all the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skycue.backbones.language import SCRATCH
from skycue.backbones.sam import SamSettings
from skycue.region_recipe import (
    RegionDataConfig,
    RegionStageConfig,
    RegionTrainingConfig,
    RenderedSource,
)
from skycue.region_trainer import RegionTrainer
from skycue.seeds import generator_at
from skycue.training import Batch, batches_of
from skycue.training_config import TrainConfig

FAKE_LAYERS = 2
FAKE_IMAGES = RenderedSource(count=4, size=256, boxes=2)
BYTES = 4
"""Of a number in weights, gradients and optimiser: all are float32."""
GIB = 2**30


class DryStage(NamedTuple):
    """What one stage would train, and what it needs; activations are not counted.

    Attributes:
        stage: Its name.
        parameters: Numbers in all weights of the network.
        trained: How many of them learn.
        weights_gib: Memory of the weights.
        gradients_gib: Memory of their gradients.
        optimizer_gib: Memory of the optimiser, and of the average where one is kept.
        batch_size: Items of the batch that was tried.
        terms: Terms of the loss of that batch.
    """

    stage: str
    parameters: int
    trained: int
    weights_gib: float
    gradients_gib: float
    optimizer_gib: float
    batch_size: int
    terms: dict[str, float]


def with_fake_weights(config: RegionTrainingConfig) -> RegionTrainingConfig:
    """Return a recipe that needs no file: random weights two layers deep, and drawn images."""
    model = config.model
    language = model.language.model_copy(
        update={"source": SCRATCH, "layers": min(FAKE_LAYERS, model.language.layers)}
    )
    changes: dict[str, object] = {"clip": "mini", "image_layer": None, "language": language}
    changes["region_layers"] = tuple(n % FAKE_LAYERS for n in range(len(model.region_layers)))
    if isinstance(model.segmenter, SamSettings):
        layers = min(FAKE_LAYERS, model.segmenter.layers)
        changes["segmenter"] = model.segmenter.model_copy(
            update={"source": SCRATCH, "layers": layers, "global_layers": (layers - 1,)}
        )
    data = RegionDataConfig(rendered=FAKE_IMAGES, mask_cells=config.data.mask_cells)
    return config.model_copy(
        update={"model": model.model_copy(update=changes), "data": data, "start": None}
    )


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
    return [_try_stage(trainer, stage, config, seed) for stage in tried.stages]


def _try_stage(
    trainer: RegionTrainer, stage: RegionStageConfig, config: RegionTrainingConfig, seed: int
) -> DryStage:
    """Compute one batch of a stage, and count."""
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
    parameters = sum(p.numel() for p in trainer.network.parameters())
    learning = sum(p.numel() for p in trained.values())
    parameters += _left_out(trainer, config, lambda p: True)
    learning += _left_out(trainer, config, lambda p: p.requires_grad)
    return DryStage(
        stage.name,
        parameters,
        learning,
        weights_gib=round(BYTES * parameters / GIB, 3),
        gradients_gib=round(BYTES * learning / GIB, 3),
        optimizer_gib=round(BYTES * learning * _copies(stage.train) / GIB, 3),
        batch_size=len(indices),
        terms={name: float(term.item()) for name, term in terms.items()},
    )


def _copies(train: TrainConfig) -> int:
    """Return how many numbers the optimiser and the average keep for each that learns."""
    return {"adamw": 2, "sgd": 1}[train.optimizer] + (train.average_decay is not None)


def _left_out(
    trainer: RegionTrainer, config: RegionTrainingConfig, counts: Callable[[Tensor], bool]
) -> int:
    """Count the parameters that fake weights leave out: copies of the last layer, rare tokens."""
    whole, tried = config.model, trainer.config.model
    language = trainer.network.reasoner.language
    missing = _missing_layers(language, tried.language.layers, whole.language.layers, counts)
    if isinstance(whole.segmenter, SamSettings) and isinstance(tried.segmenter, SamSettings):
        layers = whole.segmenter.layers
        missing += _missing_layers(
            trainer.network.segmenter, tried.segmenter.layers, layers, counts
        )
    if whole.language.source != tried.language.source and counts(language.embeddings.weight):
        tables = 1 if whole.language.tie_embeddings else 2
        rows = whole.language.vocab_size - language.embeddings.num_embeddings
        missing += tables * rows * language.width
    return missing


def _missing_layers(
    module: nn.Module, kept: int, layers: int, counts: Callable[[Tensor], bool]
) -> int:
    """Count the parameters of the layers that a stack in `module` has too few."""
    if kept == layers:
        return 0
    stack = max(
        (m for m in module.modules() if isinstance(m, nn.ModuleList) and len(m) == kept),
        key=lambda m: sum(p.numel() for p in m.parameters()),
    )
    return (layers - kept) * sum(p.numel() for p in stack[-1].parameters() if counts(p))
