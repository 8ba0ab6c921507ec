"""Training by a recipe of stages: what is left on disk, and that killed runs end the same."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from skycue import region_training
from skycue.region_network import Calibration
from skycue.region_recipe import RegionStageConfig, RegionTrainingConfig
from skycue.region_training import Watch, train_regions
from skycue.training import Batch
from skycue.training_stages import unfinished_states

CPU = torch.device("cpu")
SCHEDULE = {
    "epochs": 3, "batch_size": 2, "accumulate": 2, "optimizer": "adamw", "lr": 0.1,
    "schedule": "step_linear", "warmup_epochs": 0.5, "save_every_s": 0,
}  # fmt: skip
RECIPE = RegionTrainingConfig.model_validate(
    {
        "data": {},
        "stages": [
            {"name": "masks", "kind": "masks", "trains": ["net.weight"], "train": SCHEDULE},
            {"name": "full", "trains": ["net.*", "align.*"], "align_after": 4, "train": SCHEDULE},
        ],
    }
)
INPUTS = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))


class Toy:
    """Stands for a `RegionTrainer`: a linear layer, with one term that begins late."""

    stop_at: int | None = None
    """Number of the loss, over all stages, at which the process dies."""
    losses = 0

    def __init__(
        self,
        config: RegionTrainingConfig,
        root: Path,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        beside: Path | None,
    ) -> None:
        torch.manual_seed(seed)
        self.network, self.alignments = nn.Linear(3, 1), nn.Linear(3, 1)
        self.held_out = SimpleNamespace(items=[0, 1])

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"net": self.network, "align": self.alignments}

    def parameters(self, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
        named = {f"{k}.{n}": p for k, m in self.modules.items() for n, p in m.named_parameters()}
        return {n: p for n, p in named.items() if any(fnmatchcase(n, x) for x in patterns)}

    def state(self) -> dict[str, Tensor]:
        return {f"{k}.{n}": t for k, m in self.modules.items() for n, t in m.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    def items(self, stage: RegionStageConfig) -> list[int]:
        return list(range(len(INPUTS)))

    def counts(self, batch: Batch, stage: RegionStageConfig) -> dict[str, float]:
        return {"phrases": float(sum(1 + i % 3 for i in batch.indices.tolist()))}

    def loss(self, batch: Batch, stage: RegionStageConfig) -> dict[str, Tensor]:
        Toy.losses += 1
        if Toy.losses == Toy.stop_at:
            raise KeyboardInterrupt
        noise = [torch.rand(3, generator=batch.item_generator(i)) for i in batch.indices.tolist()]
        inputs = INPUTS[batch.indices] + 0.1 * torch.stack(noise)
        weight = torch.tensor([1.0 + i % 3 for i in batch.indices.tolist()])
        error = (self.network(inputs)[:, 0] - 1) ** 2
        late = self.alignments(inputs).square().sum() * (batch.step >= stage.align_after)
        total = batch.totals["phrases"]
        return {"mask": (weight * error).sum() / total, "align": late / total}

    def validate(self, stage: RegionStageConfig) -> float:
        return -float(self.network(INPUTS).sub(1).square().mean().item())

    def calibrate(self) -> Calibration:
        return Calibration(scale=2.0)

    def pictures(self, count: int) -> list[bytes]:
        return [b"picture %d" % number for number in range(count)]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(
        network: nn.Module, folder: Path, *, calibration: Calibration, trained_on: Mapping[str, str]
    ) -> None:
        (folder / "config.json").write_text(calibration.model_dump_json())

    monkeypatch.setattr(region_training, "RegionTrainer", Toy)
    monkeypatch.setattr(region_training, "save_network", save)
    monkeypatch.setattr(Toy, "stop_at", None)
    monkeypatch.setattr(Toy, "losses", 0)


def lines_of(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_speed(path: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "images_per_s"} for line in lines_of(path)]


def train_toy(output: Path, *, recipe: RegionTrainingConfig = RECIPE) -> dict[str, Tensor]:
    """Train and return what the last stage left."""
    watch = Watch(log_every=1, pictures_every=2, pictures=2)
    train_regions(recipe, output, output, seed=1, device=CPU, watch=watch)
    (last,) = (output / "stages").glob("full-*.safetensors")
    return load_file(last)


def test_a_run_leaves_recipe_model_stages_logs_and_pictures(tmp_path: Path) -> None:
    train_toy(tmp_path)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    stages = [name for name in found if name.startswith("stages/")]
    assert [name.split("-")[0] for name in stages] == ["stages/full", "stages/masks"]
    assert [name for name in found if name not in stages] == [
        "config.json",
        "logs/full.jsonl",
        "logs/masks.jsonl",
        "pictures/full/epoch002/00.png",
        "pictures/full/epoch002/01.png",
        "recipe.json",
    ]
    assert (
        RegionTrainingConfig.model_validate_json((tmp_path / "recipe.json").read_text()) == RECIPE
    )


def test_a_stage_trains_what_it_names_and_terms_begin_when_they_are_told(tmp_path: Path) -> None:
    last = train_toy(tmp_path)
    (first,) = (tmp_path / "stages").glob("masks-*.safetensors")
    start = Toy(RECIPE, tmp_path, seed=1, device=CPU, dtype=torch.float32, beside=None).state()
    masks = load_file(first)
    changed = {name for name in start if not torch.equal(start[name], masks[name])}
    assert changed == {"net.weight"}
    assert {name for name in start if not torch.equal(masks[name], last[name])} == set(start)
    steps = [line for line in lines_of(tmp_path / "logs" / "full.jsonl") if "align" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert [line["align"] > 0 for line in steps] == [False] * 4 + [True] * 2
    assert steps[-1]["mask"] < steps[0]["mask"]


@pytest.mark.parametrize("stop_at", [1, 8, 12, 13, 17, 24])
def test_a_killed_run_ends_with_the_same_weights_and_the_same_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    whole = train_toy(tmp_path / "whole")
    monkeypatch.setattr(Toy, "losses", 0)
    monkeypatch.setattr(Toy, "stop_at", stop_at)
    with pytest.raises(KeyboardInterrupt):
        train_toy(tmp_path / "killed")
    resumed = train_toy(tmp_path / "killed")
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
    for name in ("masks.jsonl", "full.jsonl"):
        log = Path("logs") / name
        assert without_speed(tmp_path / "killed" / log) == without_speed(tmp_path / "whole" / log)
    assert not unfinished_states(tmp_path / "killed")


def test_a_run_killed_between_two_stages_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_toy(tmp_path / "whole")

    def die(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr(Path, "unlink", die)  # the first stage is finished, its state still there
        with pytest.raises(KeyboardInterrupt):
            train_toy(tmp_path / "killed")
    assert [path.name for path in unfinished_states(tmp_path / "killed")] == [
        "masks.state.safetensors"
    ]
    resumed = train_toy(tmp_path / "killed")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert not unfinished_states(tmp_path / "killed")


def test_a_changed_last_stage_keeps_the_first_one(tmp_path: Path) -> None:
    train_toy(tmp_path)
    done = Toy.losses
    changed = RECIPE.stages[1].model_copy(update={"align_after": 0})
    other = RECIPE.model_copy(update={"stages": (RECIPE.stages[0], changed)})
    train_regions(other, tmp_path, tmp_path, seed=1, device=CPU)
    assert Toy.losses - done == done // 2
    assert len(list((tmp_path / "stages").glob("full-*"))) == 2
