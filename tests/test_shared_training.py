"""Training in two processes against one: the same weights, whole and sharded, killed and not."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.testing import assert_close

from skycue.distributed import all_gather_rows
from skycue.training import Batch, StepRecord, train
from skycue.training_config import TrainConfig

N_ITEMS = 10
CHANCE = torch.Generator().manual_seed(1)
PHRASES = [torch.rand(k, 4, generator=CHANCE) for k in (0, 3, 1, 0, 2, 0, 0, 4, 1, 0)]
"""Phrases of each item, [K, 4], so many that some process of a batch has none."""
CONFIG = TrainConfig(
    epochs=3,
    batch_size=4,
    accumulate=2,
    drop_last=False,
    optimizer="adamw",
    lr=0.02,
    schedule="step_linear",
    warmup_epochs=0.5,
    weight_decay=0.1,
    max_gradient_norm=0.3,
    average_decay=0.8,
    save_every_s=0,
)


class Phrases(nn.Module):
    """Embeds phrases twice; a loss of each phrase, and a contrast of all phrases of a batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.words = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
        self.masks = nn.Linear(6, 3)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.skips_masks = True

    @property
    def learned(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"phrases": sum(len(PHRASES[i]) for i in batch.indices.tolist())}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        items = [PHRASES[i] for i in batch.indices.tolist()]
        words = self.words(torch.cat(items))  # [K, 6]
        total = max(batch.totals["phrases"], 1)
        everyone, own = all_gather_rows(words)
        logits = words @ everyone.T / 0.2  # [K, sum of K]
        contrast = nn.functional.cross_entropy(
            logits, torch.arange(own.start, own.stop), reduction="sum"
        )
        terms = {"contrast": contrast / total, "mask": 0 * words.sum()}
        if len(words) or not self.skips_masks:  # a process without phrases may leave the head alone
            terms["mask"] = ((self.masks(words) - 1) ** 2).sum() / total
        return terms

    def validate(self) -> float:
        return -float(((self.masks(self.words(torch.cat(PHRASES))) - 1) ** 2).mean().item())


def run_alone(*, skips_masks: bool) -> tuple[Phrases, list[float], list[StepRecord]]:
    network, steps = Phrases(), list[StepRecord]()
    network.skips_masks = skips_masks
    records = train(
        network.learned,
        network.loss,
        N_ITEMS,
        CONFIG,
        seed=3,
        counts_of=network.counts,
        validate=network.validate,
        after_step=steps.append,
    )
    return network, [record.validation or 0.0 for record in records], steps


SHARED_RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from killing import kill_at
from safetensors.torch import save_file
from accelerate import Accelerator, PartialState, FullyShardedDataParallelPlugin
from accelerate.utils import DistributedType
from test_shared_training import CONFIG, N_ITEMS, Phrases
from skycue.distributed import agree, n_processes, process_index, whole
from skycue.shared_network import SharedNetwork, start_accelerator
from torch.distributed.tensor import DTensor
from skycue.training import train

kind, moment, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "fsdp":
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="size_based_wrap", min_num_params=20
    )
    accelerator = Accelerator(cpu=True, fsdp_plugin=plugin)
    # Accelerate leaves FSDP aside on a CPU, where PyTorch would run it.
    for state in (PartialState(), accelerator.state):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    accelerator.state._shared_state["fsdp_plugin"] = plugin
else:
    accelerator = start_accelerator(cpu=True)
network = Phrases()
network.skips_masks = kind == "ddp"  # shards are gathered by all at once
kill_at(moment, count, (network, "loss"))
steps = []
shared = SharedNetwork(network, accelerator)
records = train(
    network.learned, network.loss, N_ITEMS, CONFIG, seed=3, counts_of=network.counts,
    validate=network.validate, after_step=steps.append, shared=shared,
    state=Path("run/state.safetensors"),
)
assert n_processes() == 2
tensors = {{k: whole(v.detach()).contiguous() for k, v in network.state_dict().items()}}
tensors["validations"] = torch.tensor([r.validation for r in records])
tensors["losses"] = torch.tensor([list(s.terms.values()) for s in steps])
if kind == "fsdp":
    assert isinstance(network.words[0].weight, DTensor), network.words
    assert shared.is_sharded
save_file(tensors, f"{{process_index()}}.safetensors")
shared.release()
torch.distributed.destroy_process_group()
"""


def start_two(
    folder: Path, kind: str, moment: str = "never", counts: Sequence[int] = (0, 0)
) -> list[int]:
    """Run the script in two processes; return how they ended, the second stopped with the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = SHARED_RUN.format(tests=str(Path(__file__).parent))
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, kind, moment, str(count)],
            cwd=folder,
            env=os.environ
            | {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            },
        )
        for rank, count in enumerate(counts)
    ]
    try:
        if moment != "never":
            victim = next(rank for rank, count in enumerate(counts) if count)
            processes[victim].wait(timeout=300)
            processes[1 - victim].kill()
        return [process.wait(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def assert_like_alone(folder: Path, kind: str) -> None:
    """Compare both processes' results with those of one process."""
    network, validations, steps = run_alone(skips_masks=kind == "ddp")
    for rank in (0, 1):
        found = load_file(folder / f"{rank}.safetensors")
        for name, value in network.state_dict().items():
            assert_close(found[name], value)
        assert_close(found["validations"], torch.tensor(validations))
        losses = torch.tensor([list(step.terms.values()) for step in steps])
        assert_close(found["losses"], losses[-len(found["losses"]) :])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_end_with_the_weights_of_one(tmp_path: Path, kind: str) -> None:
    assert start_two(tmp_path, kind) == [0, 0]
    assert_like_alone(tmp_path, kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "moment", "counts"),
    [
        ("ddp", "step", ((3, 0), (5, 0), (0, 2))),
        ("ddp", "sync", ((1, 0), (6, 0))),
        ("ddp", "rename", ((2, 0),)),
        ("fsdp", "step", ((4, 0),)),
        ("fsdp", "sync", ((3, 0),)),
    ],
)
def test_killed_processes_go_on_and_end_with_the_weights_of_one(
    tmp_path: Path, kind: str, moment: str, counts: Sequence[tuple[int, int]]
) -> None:
    for pair in counts:
        assert -9 in start_two(tmp_path, kind, moment, pair)
    assert start_two(tmp_path, kind) == [0, 0]
    assert_like_alone(tmp_path, kind)
