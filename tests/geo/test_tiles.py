"""Windows of a raster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skycue.geo.spans import spans_of
from skycue.geo.tiles import PixelWindow


def test_a_window_is_cut_to_its_raster() -> None:
    assert PixelWindow(-3, 5, 10, 10).cut((8, 20)) == PixelWindow(0, 5, 7, 3)
    assert PixelWindow(20, 0, 5, 5).cut((8, 20)) is None
    assert PixelWindow(-5, 0, 5, 5).cut((8, 20)) is None
    assert PixelWindow.whole((8, 20)).cut((8, 20)) == PixelWindow(0, 0, 20, 8)


@given(
    start=st.integers(-50, 120),
    length=st.integers(1, 100),
    cells=st.integers(1, 100),
    limit=st.integers(1, 100),
    longest=st.integers(1, 50),
)
def test_spans_show_each_cell_inside_once_and_at_its_place(
    start: int, length: int, cells: int, limit: int, longest: int
) -> None:
    spans = spans_of(start, length, cells, limit, longest)
    step = length / cells
    shown = [cell for span in spans for cell in range(span.first, span.first + span.number)]
    assert shown == sorted(set(shown))
    for cell in range(cells):
        low, high = max(start + cell * step, 0), min(start + (cell + 1) * step, limit)
        assert (cell in shown) == (high - low > step * 1e-3) or abs(high - low) < step * 2e-3
    for span in spans:
        first, last = start + span.first * step, start + (span.first + span.number) * step
        assert span.start == pytest.approx(max(first, 0.0), abs=step * 2e-3)
        assert span.stop == pytest.approx(min(last, limit), abs=step * 2e-3)
        assert 0 <= span.start < span.stop <= limit
        assert span.number == 1 or span.stop - span.start <= longest + 1e-9
        whole = first >= -1e-9 and last <= limit + 1e-9
        assert whole or span.number == 1  # a cell that an edge cuts stands alone
