"""Objects as points: targets and losses against loops, and what is found on made-up maps."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from skycue.backbones.object_finder import LEAST_CHANCE, ObjectFinder
from skycue.backbones.segmenter import MaskFeatures

CELLS = 12
GENERATOR = torch.Generator().manual_seed(3)
WINDOWS = (
    # An object in the middle, one at the edge whose centre is outside, one too small to count.
    torch.tensor([[0.3, 0.4, 0.6, 0.9], [0.9, 0.9, 1.3, 1.2], [0.02, 0.02, 0.08, 0.06]]),
    torch.zeros(0, 4),
    torch.tensor([[0.0, 0.0, 0.25, 0.25], [0.5, 0.0, 1.0, 0.5]]),
)


def features_of(n_windows: int) -> MaskFeatures:
    """Random maps: a coarse one of 4 channels, a fine one of 8."""
    coarse = torch.randn(n_windows, 4, 3, 3, generator=GENERATOR)
    return MaskFeatures(coarse, (torch.randn(n_windows, 8, CELLS, CELLS, generator=GENERATOR),))


def build() -> ObjectFinder:
    torch.manual_seed(2)
    return ObjectFinder(8, 2)


class _Fixed(nn.Module):
    """Maps in place of what would be read."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, fine: Tensor) -> Tensor:
        return self.maps


def test_at_the_start_hardly_a_cell_holds_a_centre() -> None:
    features = features_of(2)
    assert build()(features)[:, 0].sigmoid().max() < LEAST_CHANCE
    found = build().find(features, 5, torch.full((2, 2), 0.5))
    assert found.boxes.shape == (2, 5, 4)
    assert found.states.shape == (2, 5, 12)
    assert bool((found.chances == 0).all())


def test_the_loss_is_that_of_loops_over_cells() -> None:
    finder, features = build(), features_of(len(WINDOWS))
    with torch.no_grad():
        finder.read[-1].bias.zero_()  # type: ignore[operator]
        maps = finder(features).double()
        found = finder.loss(features, WINDOWS).item()
    total, n_centres = 0.0, 0
    for window, boxes in zip(maps, WINDOWS, strict=True):
        centres: dict[tuple[int, int], tuple[float, float]] = {}
        bumps: list[tuple[bool, int, int, float, float]] = []
        for x_min, y_min, x_max, y_max in boxes.tolist():
            x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
            if not (0 <= x < 1 and 0 <= y < 1):
                continue
            width, height = x_max - x_min, y_max - y_min
            large = max(width, height) * CELLS >= 1.4
            column, row = int(x * CELLS), int(y * CELLS)
            bumps.append(
                (large, column, row, max(0.1 * width * CELLS, 0.7), max(0.1 * height * CELLS, 0.7))
            )
            if large:
                centres[row, column] = (width, height)
        for row in range(CELLS):
            for column in range(CELLS):
                chance = 1 / (1 + math.exp(-window[0, row, column].item()))
                high = {True: 0.0, False: 0.0}
                for large, x, y, spread_x, spread_y in bumps:
                    away = ((column - x) / spread_x) ** 2 + ((row - y) / spread_y) ** 2
                    high[large] = max(high[large], math.exp(-away / 2))
                if (row, column) in centres:
                    n_centres += 1
                    total -= (1 - chance) ** 2 * math.log(chance)
                    for said, true in zip(
                        window[1:, row, column], centres[row, column], strict=True
                    ):
                        total += 0.1 * abs(said.item() - math.log(true))
                else:
                    miss = (1 - high[True]) ** 4 * chance**2 * math.log(1 - chance)
                    total -= miss * (1 - high[False])
    assert n_centres == 3
    assert found == pytest.approx(total / n_centres, rel=1e-4)


def test_no_object_at_all_has_a_finite_loss() -> None:
    assert 0 < build().loss(features_of(2), [torch.zeros(0, 4)] * 2).item() < 10


def test_peaks_are_found_with_size_and_state_nearest_first() -> None:
    finder, features = build(), features_of(1)
    maps = torch.full((1, 3, CELLS, CELLS), -9.0)
    maps[0, 0, 2, 3], maps[0, 0, 2, 4] = 4.0, 2.0  # a neighbour of a peak is none
    maps[0, 0, 9, 8] = 1.0
    maps[0, 0, 6, 6] = -2.0  # too unsure
    maps[0, 1:, 9, 8] = torch.tensor([0.25, 0.5]).log()
    finder.read = _Fixed(maps)  # type: ignore[assignment]
    found = finder.find(features, 4, torch.tensor([[0.7, 0.8]]))
    assert_close(found.boxes[0, 0], torch.tensor([8.5 / 12, 9.5 / 12, 0.25, 0.5]))
    assert_close(found.boxes[0, 1, :2], torch.tensor([3.5 / 12, 2.5 / 12]))
    assert_close(found.chances[0, :2], torch.tensor([1.0, 4.0]).sigmoid())
    assert found.chances[0, 2:].tolist() == [0, 0]
    assert_close(found.states[0, 0, 4:], features.fine[0][0, :, 9, 8])
    assert_close(found.states[0, 0, :4].shape, (4,))
    other = finder.find(features, 4, torch.tensor([[0.2, 0.2]]))
    assert_close(other.boxes[0, 0], found.boxes[0, 1])


def test_more_objects_are_asked_for_than_there_are_cells() -> None:
    assert build().find(features_of(1), 999, torch.zeros(1, 2)).boxes.shape[1] == CELLS**2


def test_it_learns_where_squares_lie() -> None:
    torch.manual_seed(4)
    fine = torch.zeros(2, 8, CELLS, CELLS)
    fine[0, 1, 3, 4], fine[1, 1, 8, 2] = 3.0, 3.0
    features = MaskFeatures(torch.zeros(2, 4, 3, 3), (fine,))
    boxes = [torch.tensor([[0.25, 0.2, 0.5, 0.4]]), torch.tensor([[0.1, 0.6, 0.3, 0.8]])]
    finder = build()
    optimizer = torch.optim.Adam(finder.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = finder.loss(features, boxes)
        torch.autograd.backward(loss)
        optimizer.step()
    found = finder.find(features, 3, torch.full((2, 2), 0.5))
    assert (found.chances > 0).sum(dim=1).tolist() == [1, 1]
    assert_close(
        found.boxes[0, 0], torch.tensor([4.5 / 12, 3.5 / 12, 0.25, 0.2]), atol=0.05, rtol=0
    )
    assert_close(found.boxes[1, 0], torch.tensor([2.5 / 12, 8.5 / 12, 0.2, 0.2]), atol=0.05, rtol=0)
