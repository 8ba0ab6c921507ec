"""Run lengths: there and back, and codes that are cut or damaged."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skycue.data.rle import Rle, area_of, decode_mask, encode_mask, encode_runs, is_whole


def test_runs_go_down_the_columns_background_first() -> None:
    mask = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 0]], dtype=np.bool_)
    assert encode_runs([2, 5, 5], (3, 4)) == encode_mask(mask)
    assert_array_equal(decode_mask(encode_runs([2, 5, 5], (3, 4))), mask)
    assert area_of(encode_mask(mask)) == 5


@pytest.mark.parametrize("runs", [[], [2, 5], [2, 5, 6], [-1, 13]])
def test_runs_that_do_not_fill_the_size_are_refused(runs: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fill 3 x 4"):
        encode_runs(runs, (3, 4))


@pytest.mark.parametrize("seed", range(20))
def test_codes_of_masks_are_whole_and_cut_ones_are_not(seed: int) -> None:
    chance = np.random.default_rng(seed)
    mask = chance.random((chance.integers(1, 90), chance.integers(1, 90))) < chance.random()
    rle = encode_mask(mask)
    assert is_whole(rle)
    assert not is_whole(Rle(size=rle.size, counts=rle.counts + "1"))
    if len(rle.counts) > 1:
        assert not is_whole(Rle(size=rle.size, counts=rle.counts[:-1]))
    assert not is_whole(Rle(size=(rle.size[0] + 1, rle.size[1]), counts=rle.counts))


def test_a_code_of_other_characters_is_not_whole() -> None:
    assert not is_whole(Rle(size=(3, 4), counts="\N{LATIN SMALL LETTER E WITH ACUTE}"))
    assert not is_whole(Rle(size=(3, 4), counts="  "))
