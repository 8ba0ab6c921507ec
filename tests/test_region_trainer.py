"""Data, network and losses of a region training, with a tiny network and images of 64 pixels."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from skycue import region_network
from skycue.errors import ConfigError
from skycue.region_losses import counts_of
from skycue.region_recipe import RegionStageConfig, RegionTrainingConfig
from skycue.region_samples import WHOLE
from skycue.region_trainer import RegionTrainer
from skycue.seeds import generator_at
from skycue.training import Batch
from tests.conftest import build_tiny_clip
from tests.tiny_regions import CLASSES, RECIPE, write_dataset

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
MASKS, FULL = RECIPE.stages


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with five boxes to train on and two that are held out."""
    root = tmp_path_factory.mktemp("data")
    write_dataset(root)
    (root / "held_out.txt").write_text("shore.png\n")
    return root


def build(
    root: Path,
    *,
    seed: int = 1,
    recipe: RegionTrainingConfig = RECIPE,
    dtype: torch.dtype = torch.float32,
) -> RegionTrainer:
    """Build a trainer whose image encoder is the tiny CLIP."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_network, "load_clip", lambda name, device: build_tiny_clip())
        return RegionTrainer(recipe, root, seed=seed, device=CPU, dtype=dtype, beside=root)


@pytest.fixture(scope="module")
def trainer(data: Path) -> RegionTrainer:
    return build(data)


def batch_of(
    trainer: RegionTrainer, stage: RegionStageConfig, indices: Sequence[int], *, step: int = 0
) -> Batch:
    """A batch that is the whole step."""
    batch = Batch(torch.tensor(indices), 1, generator_at(0), step, {}, seed=5)
    return batch._replace(totals=trainer.counts(batch, stage))


def test_a_stage_of_masks_trains_on_objects_and_a_full_one_on_whole_images_too(
    trainer: RegionTrainer,
) -> None:
    assert len(trainer.items(MASKS)) == 5
    assert [item.instance for item in trainer.items(FULL)[5:]] == [WHOLE, WHOLE]
    assert trainer.class_names == CLASSES
    assert len(trainer.held_out.items) == 2


def test_patterns_choose_what_learns_and_the_last_one_decides(trainer: RegionTrainer) -> None:
    everything = trainer.parameters(["*"])
    assert {name.split(".")[0] for name in everything} == {"net", "align", "pretrain"}
    assert not any(name.startswith("net.clip.") for name in everything)
    own = [name for name in everything if name.startswith("pretrain.")]
    assert sorted({name.split(".")[1] for name in own}) == ["name_box", "name_cells", "query"]
    chosen = trainer.parameters(
        ["net.*", "!net.segmenter.backbone.*", "net.segmenter.backbone.blocks.15.*"]
    )
    assert set(chosen) == {
        name
        for name in everything
        if name.startswith("net.") and ("segmenter.backbone" not in name or "blocks.15." in name)
    }
    for prefix, module in trainer.modules.items():
        for name, parameter in module.named_parameters():
            if prefix != "pretrain" or not name.startswith("segmenter."):
                assert parameter.requires_grad == (f"{prefix}.{name}" in chosen), name


@pytest.mark.parametrize("pattern", ["net.segmentor.*", "!align.none", "net.clip.*"])
def test_a_pattern_that_fits_nothing_is_refused(trainer: RegionTrainer, pattern: str) -> None:
    with pytest.raises(ConfigError, match="no parameter fits"):
        trainer.parameters(["net.*", pattern])


def test_the_state_brings_another_trainer_to_the_same_weights(
    data: Path, trainer: RegionTrainer
) -> None:
    other = build(data, seed=2)
    state = trainer.state()
    assert not any(name.startswith(("net.clip.", "pretrain.segmenter.")) for name in state)
    assert any(not torch.equal(state[name], tensor) for name, tensor in other.state().items())
    other.load_state(state)
    assert other.state().keys() == state.keys()
    for name, tensor in other.state().items():
        assert torch.equal(tensor, state[name]), name
    batch = batch_of(trainer, FULL, [0, 3, 6])
    with torch.no_grad():
        one, two = trainer.loss(batch, FULL), other.loss(batch, FULL)
    assert {k: v.item() for k, v in one.items()} == {k: v.item() for k, v in two.items()}


def test_counts_are_of_the_samples_that_the_loss_sees(trainer: RegionTrainer) -> None:
    batch = batch_of(trainer, FULL, [0, 2, 5])
    assert trainer.counts(batch, MASKS) == {"samples": 3.0}
    samples = trainer._samples(batch, FULL)
    assert [sample.image for sample in samples] == [0, 0, 0]
    assert trainer.counts(batch, FULL) == counts_of(trainer.network, samples)
    trainer.loss(batch, FULL)
    again = trainer._samples(batch, FULL)
    for one, two in zip(samples, again, strict=True):
        assert torch.equal(one.pixels, two.pixels)
    other_epoch = trainer._samples(batch._replace(epoch=2), FULL)
    assert not torch.equal(other_epoch[0].pixels, samples[0].pixels)


@pytest.mark.parametrize("stage", [MASKS, FULL], ids=["masks", "full"])
def test_batches_of_a_step_add_up(trainer: RegionTrainer, stage: RegionStageConfig) -> None:
    whole = batch_of(trainer, stage, [0, 1, 2, 4])
    parts = [whole._replace(indices=torch.tensor(part)) for part in ([0], [1, 2, 4])]
    with torch.no_grad():
        wanted = trainer.loss(whole, stage)
        found = [trainer.loss(part, stage) for part in parts]
    for name, value in wanted.items():
        if name not in ("semantic", "relation"):  # contrasts of fewer phrases
            assert_close(value, found[0][name] + found[1][name], rtol=1e-4, atol=1e-6)


def test_in_bfloat16_with_activations_computed_again_the_loss_is_nearly_the_same(
    data: Path, trainer: RegionTrainer
) -> None:
    recipe = RECIPE.model_copy(update={"checkpointing": True})
    halved = build(data, recipe=recipe, dtype=torch.bfloat16)
    assert halved.network.reasoner.language.model.is_activation_checkpointing
    assert not trainer.network.reasoner.language.model.is_activation_checkpointing
    halved.load_state(trainer.state())
    batch = batch_of(trainer, FULL, [0, 1, 4], step=2)
    found, wanted = halved.loss(batch, FULL), trainer.loss(batch, FULL)
    for name, value in wanted.items():
        # The contrast of a pair or two divides cosines, which bfloat16 rounds, by 0.1.
        rel = 0.25 if name == "relation" else 0.1
        assert found[name].item() == pytest.approx(value.item(), rel=rel, abs=0.01)
    torch.stack(list(found.values())).sum().backward()  # type: ignore[no-untyped-call]
    head = halved.network.query_projection[0].weight.grad
    assert isinstance(head, Tensor)
    assert head.abs().sum() > 0


def test_alignments_begin_at_their_step(trainer: RegionTrainer) -> None:
    with torch.no_grad():
        early = trainer.loss(batch_of(trainer, FULL, [0, 1, 4], step=1), FULL)
        late = trainer.loss(batch_of(trainer, FULL, [0, 1, 4], step=2), FULL)
    assert early.keys() == late.keys()
    assert early["semantic"].item() == early["relation"].item() == 0
    assert late["semantic"].item() > 0
    assert late["relation"].item() > 0


def test_a_stage_of_masks_needs_the_small_segmenter(
    trainer: RegionTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "pretraining", None)
    with pytest.raises(ConfigError, match="trains the small segmenter only"):
        trainer.loss(batch_of(trainer, MASKS, [0]), MASKS)


@pytest.mark.parametrize("stage", [MASKS, FULL], ids=["masks", "full"])
def test_validation_is_an_overlap_and_leaves_the_network_learning(
    trainer: RegionTrainer, stage: RegionStageConfig
) -> None:
    first = trainer.validate(stage)
    assert 0 < first < 1
    assert trainer.validate(stage) == first
    assert trainer.network.segmenter.training
    assert not trainer.network.clip.training


@pytest.mark.slow
@pytest.mark.parametrize("stage", [MASKS, FULL], ids=["masks", "full"])
def test_what_is_learned_by_heart_costs_less_and_the_frozen_stays(
    data: Path, stage: RegionStageConfig
) -> None:
    trainer = build(data)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    learned = trainer.parameters(stage.trains)
    optimizer = torch.optim.AdamW(learned.values(), lr=3e-3)
    batch = batch_of(trainer, stage, range(len(trainer.items(stage))), step=100)
    losses = []
    for _ in range(30):
        terms = trainer.loss(batch, stage)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append({name: term.item() for name, term in terms.items()})
    assert sum(losses[-1].values()) < 0.7 * sum(losses[0].values())
    for name in ("dice", "text" if stage is FULL else "class"):
        assert losses[-1][name] < 0.9 * losses[0][name]
    for name, tensor in trainer.network.state_dict().items():
        if f"net.{name}" not in learned and "lm_head" not in name:
            assert torch.equal(tensor, before[name]), name


KILLED = """
import sys
from pathlib import Path
import torch
from skycue import region_network
from skycue.region_trainer import RegionTrainer
from skycue.region_training import Watch, train_regions
from tests.conftest import build_tiny_clip
from tests.killing import kill_at
from tests.tiny_regions import RECIPE

output, moment, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
kill_at(moment, count, (RegionTrainer, "loss"))
region_network.load_clip = lambda name, device: build_tiny_clip()
train_regions(
    RECIPE, Path.cwd(), output, seed=1, device=torch.device("cpu"), beside=Path.cwd(),
    watch=Watch(log_every=1, pictures_every=0),
)
"""


def train_in_a_process(root: Path, output: str, moment: str = "never", count: int = 0) -> int:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, output, moment, str(count)]
    return subprocess.run(command, cwd=root, env=environment, timeout=600, check=False).returncode


def last_stage(output: Path) -> dict[str, Tensor]:
    (path,) = (output / "stages").glob("full-*.safetensors")
    return load_file(path)


@pytest.mark.slow
def test_a_run_that_was_killed_again_and_again_ends_at_the_same_weights(data: Path) -> None:
    assert train_in_a_process(data, "whole") == 0
    for moment, count in (("step", 3), ("sync", 3), ("step", 3)):
        assert train_in_a_process(data, "killed", moment, count) == -9
    assert train_in_a_process(data, "killed") == 0
    whole, killed = last_stage(data / "whole"), last_stage(data / "killed")
    assert killed.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(killed[name], tensor), name
    model = "model.safetensors"
    assert (data / "killed" / model).read_bytes() == (data / "whole" / model).read_bytes()
