"""Many short texts in a few rows: each row is a shared prefix and several suffixes behind it.

A suffix sees the prefix and itself, never its neighbours, so a causal transformer computes the same
states as for each text alone, while the prefix is computed once a row and nothing is padded to the
longest text. The mask costs little as long as rows are short (`ROW_TOKENS`).
"""

from typing import NamedTuple

import torch
from torch import Tensor

ROW_TOKENS = 256
"""Most suffix tokens of a row: longer rows waste attention, shorter ones repeat the prefix."""


class Rows(NamedTuple):
    """Where the tokens of C suffixes lie in P rows of K prefix and T suffix tokens.

    Attributes:
        word: Index of each token among the C * S padded suffix tokens, [P, T].
        position: Each token's position in its own text, [P, K + T].
        seen: Whether a token (first index) sees another one, bool [P, K + T, K + T].
        last: Positions in the row of its suffixes' last tokens, padded with 0, [P, A].
        place: Where among the P * A last tokens each suffix has its own, [C].
    """

    word: Tensor
    position: Tensor
    seen: Tensor
    last: Tensor
    place: Tensor


def pack(lengths: Tensor, *, n_prefix: int, stride: int, max_tokens: int) -> Rows:
    """Lay suffixes into rows of about equal length.

    Args:
        lengths: Tokens of each suffix, [C].
        n_prefix: Tokens of the prefix, K.
        stride: Tokens to which the suffixes are padded, S.
        max_tokens: Bound of a row's suffix tokens; a longer suffix gets a row of its own.
    """
    lengths = lengths.cpu()
    row = torch.tensor(_rows_of(lengths.tolist(), max_tokens))  # [C]
    end = lengths.cumsum(0)
    n_tokens, n_rows = int(end[-1]), int(row[-1]) + 1
    text = torch.arange(len(lengths)).repeat_interleave(lengths)  # [tokens]
    offset = torch.arange(n_tokens) - (end - lengths)[text]
    row_size = torch.zeros(n_rows, dtype=torch.long).index_add(0, row, lengths)
    row_start = row_size.cumsum(0) - row_size
    column = torch.arange(n_tokens) - row_start[row[text]]
    where = (row[text], column)
    shape = (n_rows, int(row_size.max()))
    word = torch.zeros(shape, dtype=torch.long).index_put(where, text * stride + offset)
    position = torch.zeros(shape, dtype=torch.long).index_put(where, n_prefix + offset)
    owner = torch.full(shape, -1).index_put(where, text)
    prefix = torch.arange(n_prefix).expand(n_rows, -1)
    rank = torch.arange(len(lengths)) - torch.searchsorted(row, row)  # of a suffix in its row
    last = torch.zeros(n_rows, int(rank.max()) + 1, dtype=torch.long)
    last = last.index_put((row, rank), n_prefix + end - 1 - row_start[row])
    return Rows(
        word=word,
        position=torch.cat([prefix, position], dim=1),
        seen=_seen(owner, n_prefix),
        last=last,
        place=row * last.shape[1] + rank,
    )


def _rows_of(lengths: list[int], max_tokens: int) -> list[int]:
    """Return the row of each suffix: in order, in few rows that are about equally full."""
    total, longest = sum(lengths), max(lengths)
    max_tokens = max(max_tokens, longest)
    n_rows = -(-total // max_tokens)
    capacity = min(-(-total // n_rows) + longest - 1, max_tokens)
    rows, used = [0], 0
    for length in lengths:
        fits = used + length <= capacity
        rows.append(rows[-1] if fits else rows[-1] + 1)
        used = used + length if fits else length
    return rows[1:]


def _seen(owner: Tensor, n_prefix: int) -> Tensor:
    """Return who sees whom, bool [P, K + T, K + T], for the suffix of each token, [P, T]."""
    is_prefix = torch.full((len(owner), n_prefix), -2)
    text = torch.cat([is_prefix, owner], dim=1)  # [P, K + T]
    same = text[:, :, None] == text[:, None, :]
    length = text.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return causal & (same | (text == -2)[:, None, :])
