"""What processes tell each other: two of them against the same thing done in one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from skycue.distributed import (
    all_gather_rows,
    gather_equal,
    n_processes,
    process_index,
    sum_over_processes,
)

ROWS = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))


def test_one_process_is_all_there_is() -> None:
    rows = ROWS.clone().requires_grad_()
    gathered, own = all_gather_rows(rows)
    assert gathered is rows
    assert own == slice(0, 5)
    assert (n_processes(), process_index()) == (1, 0)
    assert sum_over_processes(3) == 3
    assert not sum_over_processes(rows).requires_grad
    assert gather_equal(rows) == [rows]


TWO = """
import sys
import torch
from safetensors.torch import save_file
from torch import distributed
from skycue.distributed import *
from skycue.distributed import gather_equal, sum_over_processes

rank, cut = int(sys.argv[1]), int(sys.argv[2])
distributed.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=2)
rows = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
mine = rows[:cut] if rank == 0 else rows[cut:]
weight = torch.ones(3, requires_grad=True)
gathered, own = all_gather_rows(mine * weight)
share = -(gathered @ gathered.T)[own].softmax(-1).log().diagonal(own.start).sum()
share.backward()
save_file(
    {"gathered": gathered.detach(), "gradient": sum_over_processes(weight.grad),
     "loss": sum_over_processes(share), "parts": torch.cat(gather_equal(torch.tensor([rank])))},
    f"{rank}.safetensors",
)
assert sum_over_processes(rank + 1) == 3
assert isinstance(sum_over_processes(1), int)
distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("cut", [2, 0])
def test_two_processes_share_a_loss_over_all_rows(tmp_path: Path, cut: int) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TWO, str(rank), str(cut), str(tmp_path / "store")], cwd=tmp_path
        )
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    weight = torch.ones(3, requires_grad=True)
    embedded = ROWS * weight
    loss = -(embedded @ embedded.T).softmax(-1).log().diagonal().sum()
    torch.autograd.backward(loss)
    for rank in (0, 1):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert torch.equal(found["gathered"], ROWS)
        assert found["parts"].tolist() == [0, 1]
        torch.testing.assert_close(found["loss"], loss.detach())
        torch.testing.assert_close(found["gradient"], weight.grad)
