"""The training loop: its schedule, its batches, its averages, and runs that are killed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from skycue.errors import ConfigError, TrainingError
from skycue.training import Batch, batches_of, train
from skycue.training_config import EpochWeights, GroupConfig, TrainConfig, learning_rate
from skycue.training_state import EpochRecord

INPUTS = torch.rand(10, 3, generator=torch.Generator().manual_seed(1))
TARGETS = INPUTS @ torch.tensor([1.0, -2.0, 0.5])


class Line:
    """A linear regression with dropout, so that chance inside a step counts too."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.zeros(3))
        self.bias = nn.Parameter(torch.zeros(1))

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {"line.weight": self.weight, "line.bias": self.bias}

    def loss(self, batch: Batch) -> Tensor:
        noise = 0.01 * torch.rand(len(batch.indices), 3, generator=batch.generator)
        inputs = F.dropout(INPUTS[batch.indices] + noise, p=0.1)
        return F.mse_loss(inputs @ self.weight + self.bias, TARGETS[batch.indices])


def run(
    config: TrainConfig, state: Path | None = None, seed: int = 3
) -> tuple[Line, list[EpochRecord]]:
    line = Line()
    records = train(line.parameters, line.loss, len(INPUTS), config, seed=seed, state=state)
    return line, records


def test_epoch_cosine_gives_the_rates_of_the_released_run() -> None:
    config = TrainConfig(lr=0.009, epochs=10)
    rates = [learning_rate(config, epoch=e, step=0, steps=5) for e in range(1, 11)]
    # bimors.md section 4: confirmed against a log of Dassl.
    expected = [1e-5, 0.009, 0.00878, 0.00814, 0.00715, 0.00589, 0.0045, 0.00311, 0.00186, 0.00086]
    assert rates == pytest.approx(expected, abs=6e-6)


def test_step_cosine_rises_along_a_line_and_ends_at_zero() -> None:
    config = TrainConfig(lr=1.0, epochs=3, schedule="step_cosine", warmup_epochs=1)
    rates = [learning_rate(config, epoch=e, step=s, steps=2) for e in (1, 2, 3) for s in (0, 1)]
    assert rates == pytest.approx([0.5, 1.0, 0.853553, 0.5, 0.146447, 0.0], abs=1e-6)


def test_an_epoch_without_its_odd_batch_draws_each_item_at_most_once() -> None:
    batches = batches_of(10, TrainConfig(batch_size=4), seed=1, epoch=1)
    assert [len(batch) for batch in batches] == [4, 4]
    assert len(set(torch.cat(batches).tolist())) == 8


def test_batches_change_with_the_epoch_and_the_seed_only() -> None:
    config = TrainConfig(batch_size=10)
    first = batches_of(10, config, seed=1, epoch=1)[0]
    assert first.tolist() == batches_of(10, config, seed=1, epoch=1)[0].tolist()
    assert first.tolist() != batches_of(10, config, seed=1, epoch=2)[0].tolist()
    assert first.tolist() != batches_of(10, config, seed=2, epoch=1)[0].tolist()


def test_fewer_items_than_a_batch_make_one_batch() -> None:
    assert [len(batch) for batch in batches_of(3, TrainConfig(batch_size=4), seed=1, epoch=1)] == [
        3
    ]


def test_one_step_of_sgd_equals_the_formula() -> None:
    parameter = nn.Parameter(torch.tensor([2.0]))
    config = TrainConfig(epochs=1, batch_size=1, lr=0.1, warmup_epochs=0, weight_decay=0.5)
    records = train({"x": parameter}, lambda batch: (parameter**2).sum(), 1, config, seed=1)
    assert parameter.item() == pytest.approx(2.0 - 0.1 * (2 * 2.0 + 0.5 * 2.0))
    assert records == [EpochRecord(epoch=1, loss=4.0, lr=0.1, validation=None)]


def test_groups_scale_the_rate_and_replace_the_decay() -> None:
    slow, still, free = (nn.Parameter(torch.tensor([[1.0]])) for _ in range(3))
    config = TrainConfig(
        epochs=1,
        batch_size=1,
        lr=0.1,
        warmup_epochs=0,
        weight_decay=1.0,
        groups=(
            GroupConfig(names="stem.*", lr_scale=0.5),
            GroupConfig(names="*.still", lr_scale=0, weight_decay=0),
        ),
    )
    parameters = {"stem.slow": slow, "stem.still": still, "free": free}
    train(parameters, lambda batch: slow.sum() + still.sum() + free.sum(), 1, config, seed=1)
    values = [p.item() for p in (slow, still, free)]
    assert values == pytest.approx([1 - 0.05 * 2, 1.0, 1 - 0.1 * 2])


def test_only_matrices_decay_where_asked() -> None:
    matrix, vector = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1))
    config = TrainConfig(
        epochs=1, lr=0.1, warmup_epochs=0, weight_decay=0.5, optimizer="adamw", decay="matrices"
    )
    train(
        {"m": matrix, "v": vector},
        lambda batch: 0 * (matrix.sum() + vector.sum()),
        1,
        config,
        seed=1,
    )
    assert [matrix.item(), vector.item()] == pytest.approx([0.95, 1.0])


def test_a_group_that_fits_nothing_is_refused() -> None:
    config = TrainConfig(groups=(GroupConfig(names="imgae.*"),))
    with pytest.raises(ConfigError, match=r"no parameter fits 'imgae\.\*'"):
        run(config)


def test_long_gradients_are_cut_over_all_parameters() -> None:
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    config = TrainConfig(
        epochs=1, lr=1.0, warmup_epochs=0, weight_decay=0, momentum=0, max_gradient_norm=1.0
    )
    train({"a": a, "b": b}, lambda batch: (3 * a + 4 * b).sum(), 1, config, seed=1)
    assert [a.item(), b.item()] == pytest.approx([-0.6, -0.8], abs=1e-5)


def test_the_run_ends_with_its_average() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    config = TrainConfig(
        epochs=2,
        lr=1.0,
        schedule="step_cosine",
        warmup_epochs=0,
        weight_decay=0,
        momentum=0,
        average_decay=0.5,
    )
    train({"x": parameter}, lambda batch: -parameter.sum(), 1, config, seed=1)
    # Rates 0.5 and 0: x = 0.5, 0.5. Decays min(0.5, 2/11) and min(0.5, 3/12).
    first = 0.5 * (1 - 2 / 11)
    assert parameter.item() == pytest.approx(first + (0.5 - first) * (1 - 3 / 12))


def test_the_run_ends_with_its_mean_over_epochs() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    config = TrainConfig(
        epochs=3,
        lr=1.0,
        warmup_epochs=0,
        weight_decay=0,
        momentum=0,
        epoch_average=EpochWeights(mean=2, std=1),
    )
    train({"x": parameter}, lambda batch: -parameter.sum(), 1, config, seed=1)
    # Rates 1, 0.75, 0.25: x = 1, 1.75, 2 after the epochs; weights e^-0.5, 1, e^-0.5, scaled.
    side = 0.6065306597
    expected = (side * 1 + 1.75 + side * 2) / (1 + 2 * side)
    assert parameter.item() == pytest.approx(expected, abs=1e-6)


def test_two_ends_of_one_run_are_refused() -> None:
    weights = EpochWeights(mean=2, std=1)
    with pytest.raises(ValueError, match="epoch_average already says what the run ends with"):
        TrainConfig(epoch_average=weights, average_decay=0.9)
    with pytest.raises(ValueError, match="lies far behind the last of 2 epochs"):
        TrainConfig(epochs=2, epoch_average=EpochWeights(mean=15, std=1))


def test_the_first_best_epoch_is_kept() -> None:
    line = Line()
    seen: list[Tensor] = []
    scores = iter([0.5, 0.9, 0.9, 0.1])

    def validate() -> float:
        seen.append(line.weight.detach().clone())
        return next(scores)

    config = TrainConfig(epochs=4, keep="best_validation")
    records = train(line.parameters, line.loss, 10, config, seed=1, validate=validate)
    assert [record.validation for record in records] == [0.5, 0.9, 0.9, 0.1]
    assert_close(line.weight.detach(), seen[1], rtol=0, atol=0)


def test_best_validation_needs_a_validation() -> None:
    with pytest.raises(ConfigError, match="no validation images"):
        run(TrainConfig(keep="best_validation"))


def test_a_loss_that_is_no_number_stops_the_run_with_the_rate() -> None:
    parameter = nn.Parameter(torch.ones(1))
    with pytest.raises(TrainingError, match="loss is nan in epoch 1 at learning rate 1e-05"):
        train({"x": parameter}, lambda batch: parameter.sum() * torch.nan, 4, TrainConfig(), seed=1)


def test_a_state_of_other_settings_is_refused_by_name(tmp_path: Path) -> None:
    run(TrainConfig(lr=0.1), tmp_path / "state.safetensors")
    with pytest.raises(
        TrainingError, match=r"train\.lr = 0\.1, now it is 0\.2: finish that run first"
    ):
        run(TrainConfig(lr=0.2), tmp_path / "state.safetensors")


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(TrainingError, match="no training state"):
        run(TrainConfig(), tmp_path / "state.safetensors")


KILLED_RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from killing import kill_at
from test_training import RESUMABLE, Line, INPUTS
RESUMABLE = RESUMABLE[sys.argv[3]]
from skycue.training import train
from safetensors.torch import save_file

moment, count = sys.argv[1], int(sys.argv[2])
STATE = Path("run/state.safetensors")
line = Line()
kill_at(moment, count, (line, "loss"))
train(line.parameters, line.loss, len(INPUTS), RESUMABLE, seed=3, state=STATE)
save_file({{k: v.detach() for k, v in line.parameters.items()}}, "result.safetensors")
"""

RESUMABLE = {
    "average": TrainConfig(
        epochs=4, lr=0.05, optimizer="adamw", average_decay=0.9, save_every_s=0, keep="last"
    ),
    "epochs": TrainConfig(
        epochs=4, lr=0.05, save_every_s=0, epoch_average=EpochWeights(mean=3, std=1)
    ),
}


@pytest.mark.parametrize(
    ("moment", "counts", "averaging"),
    [
        ("step", (1, 4, 3), "average"),
        ("sync", (1, 2, 7), "average"),
        ("rename", (1, 5), "average"),
        ("rename", (12,), "average"),
        ("step", (4, 3), "epochs"),
    ],
)
def test_a_run_killed_anywhere_ends_like_one_that_was_not(
    moment: str, counts: tuple[int, ...], averaging: str, tmp_path: Path
) -> None:
    script = KILLED_RUN.format(tests=str(Path(__file__).parent))
    for count in counts:
        killed = subprocess.run(
            [sys.executable, "-c", script, moment, str(count), averaging], cwd=tmp_path, check=False
        )
        assert killed.returncode == -9
    subprocess.run(
        [sys.executable, "-c", script, "never", "0", averaging], cwd=tmp_path, check=True
    )
    resumed = load_file(tmp_path / "result.safetensors")
    for name, parameter in run(RESUMABLE[averaging])[0].parameters.items():
        assert torch.equal(resumed[name], parameter), name


def test_a_resumed_run_reports_all_epochs_and_the_same_best(tmp_path: Path) -> None:
    config = TrainConfig(epochs=5, keep="best_validation", lr=0.05)
    state = tmp_path / "state.safetensors"

    def fit(path: Path | None, stop_after: int | None) -> tuple[Line, list[EpochRecord]]:
        line = Line()

        def stop(record: EpochRecord) -> None:
            if record.epoch == stop_after:
                raise KeyboardInterrupt

        records = train(
            line.parameters,
            line.loss,
            10,
            config,
            seed=1,
            state=path,
            validate=lambda: -abs(line.weight[0].item() - 0.2),
            after_epoch=stop,
        )
        return line, records

    with pytest.raises(KeyboardInterrupt):
        fit(state, stop_after=3)
    whole, resumed = fit(None, None), fit(state, None)
    assert resumed[1] == whole[1]
    assert torch.equal(resumed[0].weight, whole[0].weight)
