"""Texts packed into rows: the layout worked out by hand, and what always holds."""

import pytest
import torch

from skycue.backbones.packing import pack


def test_three_suffixes_in_two_rows_by_hand() -> None:
    rows = pack(torch.tensor([2, 1, 3]), n_prefix=2, stride=4, max_tokens=3)
    assert rows.word.tolist() == [[0, 1, 4], [8, 9, 10]]
    assert rows.position.tolist() == [[0, 1, 2, 3, 2], [0, 1, 2, 3, 4]]
    assert rows.last.tolist() == [[3, 4], [4, 0]]
    assert rows.place.tolist() == [0, 1, 2]
    assert rows.seen[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],  # the second suffix sees the prefix and itself
    ]
    assert torch.equal(rows.seen[1], torch.ones(5, 5).tril().bool())


@pytest.mark.parametrize("max_tokens", [-5, 1, 7, 30, 1000])
@pytest.mark.parametrize("lengths", [(3,), (1, 20, 3, 2, 11, 7), (4,) * 50])
def test_every_token_lies_once_at_its_place(lengths: tuple[int, ...], max_tokens: int) -> None:
    stride = max(lengths) + 3
    rows = pack(torch.tensor(lengths), n_prefix=5, stride=stride, max_tokens=max_tokens)
    assert rows.word.shape[1] <= max(max_tokens, *lengths)
    for text, length in enumerate(lengths):
        row, rank = divmod(int(rows.place[text]), rows.last.shape[1])
        end = int(rows.last[row, rank]) - 5 + 1
        words = torch.arange(length) + text * stride
        assert torch.equal(rows.word[row, end - length : end], words)
        assert torch.equal(rows.position[row, 5 + end - length : 5 + end], 5 + torch.arange(length))
        assert int(rows.seen[row, 5 + end - 1].sum()) == 5 + length


def test_rows_are_about_equally_full() -> None:
    rows = pack(torch.full((75,), 4), n_prefix=5, stride=6, max_tokens=256)
    assert rows.word.shape == (2, 152)
