"""Windows of a raster are classified as the tiles that they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from PIL import Image

from skycue.backbones.clip import Clip
from skycue.backbones.phrase_bank import PhraseBank
from skycue.data.few_shot import draw
from skycue.data.splits import load_split
from skycue.encoding import EncodingCounts, SceneEncoder
from skycue.errors import EncodingError, NewClassesError
from skycue.geo.cells import CellGrid
from skycue.geo.raster import Raster, RasterWindow
from skycue.geo.tiles import PixelWindow
from skycue.inference import SceneClassifier
from skycue.scene_config import TRAIN_DEFAULTS, SceneConfig
from skycue.scene_windows import classify_windows
from skycue.store import EncodingStore
from tests.conftest import TINY_CLASSES
from tests.made_up_rasters import fields, write_tiff, zero_shot
from tests.test_inference import LetterCounts

WINDOWS = [PixelWindow(x, y, 48, 48) for y in range(0, 144, 24) for x in range(0, 192, 24)]
"""The last of each row and column reach outside the raster of 160 x 200 pixels."""
ROUNDING = 1e-5
"""Of sums in another order: largest difference of two probabilities."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "fields.tif", fields(4, 5))


def tile_of(pixels: NDArray[np.uint8], window: PixelWindow, folder: Path) -> Path:
    """Cut a window that lies inside out of pixels, as an image file."""
    x, y, width, height = window
    tile = folder / f"{x}_{y}.png"
    Image.fromarray(pixels[:, y : y + height, x : x + width].transpose(1, 2, 0)).save(tile)
    return tile


def test_a_window_has_the_probabilities_of_the_tile_cut_out_there(
    tiny_clip: Clip, path: Path, tmp_path: Path
) -> None:
    inside = [w for w in WINDOWS if w.x + w.width <= 200 and w.y + w.height <= 160]
    inside.append(PixelWindow(3, 7, 90, 51))  # not square: the middle is seen, as of a file
    classifier = zero_shot(tiny_clip)
    found = classify_windows(classifier, Raster.open(path), inside)
    tiles = [tile_of(fields(4, 5), window, tmp_path) for window in inside]
    assert_allclose(found, classifier.probabilities_of(tiles).numpy(), atol=ROUNDING)
    assert np.ptp(found, axis=0).min() > 0.01  # the windows differ


@pytest.mark.parametrize(
    ("batch_size", "chunk", "threads", "scored"), [(1, 4, 1, 3), (5, 5, 4, 256), (64, 1000, 3, 1)]
)
def test_order_batches_threads_and_company_do_not_matter(
    tiny_clip: Clip,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    chunk: int,
    threads: int,
    scored: int,
) -> None:
    raster = Raster.open(path)
    expected = classify_windows(zero_shot(tiny_clip), raster, WINDOWS)
    monkeypatch.setattr("skycue.scene_windows.CHUNK", chunk)
    monkeypatch.setattr("skycue.scene_windows.READ_THREADS", threads)
    monkeypatch.setattr("skycue.scene_windows.SCORED_AT_ONCE", scored)
    classifier = zero_shot(tiny_clip, batch_size=batch_size)
    order = np.random.default_rng(batch_size).permutation(len(WINDOWS))
    found = classify_windows(classifier, raster, [WINDOWS[n] for n in order])
    assert_allclose(found, expected[order], atol=ROUNDING)
    some = order[:7].tolist() * 2  # each of them twice
    found = classify_windows(classifier, raster, [WINDOWS[n] for n in some])
    assert_allclose(found, expected[some], atol=ROUNDING)
    assert classify_windows(classifier, raster, []).shape == (0, 3)


def test_neighbours_are_decoded_together_and_windows_far_apart_alone(
    tiny_clip: Clip, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[PixelWindow] = []
    read = Raster.read

    def note(self: Raster, window: PixelWindow, *size: tuple[int, int]) -> RasterWindow:
        asked.append(window)
        return read(self, window, *size)

    monkeypatch.setattr(Raster, "read", note)
    raster, classifier = Raster.open(path), zero_shot(tiny_clip)
    classify_windows(classifier, raster, WINDOWS)
    assert asked == [PixelWindow(0, 0, 216, 168)]
    asked.clear()
    corners = [PixelWindow(0, 0, 48, 48), PixelWindow(150, 110, 48, 48)]
    classify_windows(classifier, raster, corners)
    assert asked == corners


def test_windows_without_a_valid_pixel_are_left_out(tiny_clip: Clip, tmp_path: Path) -> None:
    pixels = fields(4, 5)
    pixels[:, :, 100:] = 0
    raster = Raster.open(write_tiff(tmp_path / "half.tif", pixels, nodata=0))
    found = classify_windows(zero_shot(tiny_clip), raster, WINDOWS)
    is_empty = np.array([window.x >= 100 for window in WINDOWS])
    assert is_empty.any()
    assert np.isnan(found[is_empty]).all()
    assert_allclose(found[~is_empty].sum(axis=1), 1, atol=ROUNDING)
    outside = [PixelWindow(300, 0, 48, 48), PixelWindow(0, -48, 48, 48)]
    assert np.isnan(classify_windows(zero_shot(tiny_clip), raster, outside)).all()


def test_what_stands_for_no_value_does_not_matter(tiny_clip: Clip, tmp_path: Path) -> None:
    """Neither a low nor a high level, and what lies outside is like it."""
    found = []
    for nodata in (0, 255):
        pixels = fields(4, 5)
        pixels[:, 60:, 100:] = nodata
        raster = Raster.open(write_tiff(tmp_path / f"{nodata}.tif", pixels, nodata=nodata))
        found.append(classify_windows(zero_shot(tiny_clip), raster, WINDOWS))
    assert_array_equal(found[0], found[1])
    cut = Raster.open(write_tiff(tmp_path / "cut.tif", fields(4, 5)[:, :60]))
    at_the_edge = [PixelWindow(110, 40, 48, 48)]
    inside = classify_windows(zero_shot(tiny_clip), raster, at_the_edge)
    assert_allclose(classify_windows(zero_shot(tiny_clip), cut, at_the_edge), inside, atol=ROUNDING)


def test_what_has_no_value_shows_the_mean_colour_of_the_rest(
    tiny_clip: Clip, path: Path, tmp_path: Path
) -> None:
    window = PixelWindow(-8, 0, 48, 48)
    tile = fields(4, 5)[:, :48, :40]
    mean = np.rint(tile.mean(axis=(1, 2))).astype(np.uint8)
    shown = np.concatenate([np.broadcast_to(mean[:, None, None], (3, 48, 8)), tile], axis=2)
    expected = tile_of(shown, PixelWindow(0, 0, 48, 48), tmp_path)
    classifier = zero_shot(tiny_clip)
    found = classify_windows(classifier, Raster.open(path), [window])
    assert_allclose(found, classifier.probabilities_of([expected]).numpy(), atol=ROUNDING)


def test_large_windows_are_read_smaller(
    tiny_clip: Clip, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[Sequence[tuple[int, int]]] = []
    read = Raster.read

    def note(self: Raster, window: PixelWindow, *size: tuple[int, int]) -> RasterWindow:
        sizes.append(size)
        return read(self, window, *size)

    monkeypatch.setattr(Raster, "read", note)
    large = PixelWindow(0, 0, 200, 160)
    (found,) = classify_windows(zero_shot(tiny_clip), Raster.open(path), [large])
    assert sizes == [((128, 160),)]  # four times the 32 pixels of the backbone
    monkeypatch.setattr("skycue.scene_windows.LARGEST_ENLARGEMENT", 5)
    (whole,) = classify_windows(zero_shot(tiny_clip), Raster.open(path), [large])
    assert_allclose(found, whole, atol=0.05)


def test_a_second_run_neither_reads_nor_encodes(
    tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = fields(4, 5)
    pixels[:, :, 100:] = 0
    path = write_tiff(tmp_path / "half.tif", pixels, nodata=0)
    first = zero_shot(tiny_clip, store=EncodingStore(tmp_path / "store"))
    expected = classify_windows(first, Raster.open(path), WINDOWS)
    monkeypatch.setattr(Raster, "read", None)
    monkeypatch.setattr(tiny_clip, "embed_image", None)
    again = zero_shot(tiny_clip, store=EncodingStore(tmp_path / "store"))
    assert_array_equal(classify_windows(again, Raster.open(path), WINDOWS), expected)
    n_filled = int(np.isfinite(expected[:, 0]).sum())
    assert again.encoder.counts == EncodingCounts(reused=n_filled, computed=0)


def test_another_file_or_other_bands_are_encoded_anew(tiny_clip: Clip, tmp_path: Path) -> None:
    store = EncodingStore(tmp_path / "store")
    path = write_tiff(tmp_path / "fields.tif", fields(4, 5))
    for raster in (
        Raster.open(path),
        Raster.open(path, bands=(3, 2, 1)),
        Raster.open(write_tiff(tmp_path / "others.tif", fields(4, 5, seed=2))),
    ):
        classifier = zero_shot(tiny_clip, store=store)
        found = classify_windows(classifier, raster, WINDOWS)
        assert classifier.encoder.counts == EncodingCounts(reused=0, computed=len(WINDOWS))
        assert_array_equal(found, classify_windows(zero_shot(tiny_clip), raster, WINDOWS))


@pytest.mark.parametrize(
    "method", ["linear-probe", "tip-adapter", "clip-adapter", "coop", "cocoop", "bimors", "maple"]
)
def test_every_method_makes_maps(
    method: str, tiny_clip: Clip, scene_folder: Path, path: Path, tmp_path: Path
) -> None:
    settings: dict[str, object] = {"method": {"name": method}}
    if method in TRAIN_DEFAULTS:
        settings["train"] = {"epochs": 1, "batch_size": 8}
    encoder = SceneEncoder(tiny_clip, captions=PhraseBank(tiny_clip), sentence=LetterCounts())
    classifier = SceneClassifier.fit_items(
        draw(load_split(scene_folder).train, 2, 1),
        TINY_CLASSES,
        SceneConfig.model_validate(settings),
        encoder=encoder,
        seed=1,
    )
    window = PixelWindow(90, 30, 48, 48)
    found = classify_windows(classifier, Raster.open(path), [window])
    tile = tile_of(fields(4, 5), window, tmp_path)
    assert_allclose(found, classifier.probabilities_of([tile]).numpy(), atol=1e-3)


def test_what_cannot_be_scored_is_said_before_anything_is_read(
    tiny_clip: Clip, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Raster, "read", None)
    classifier = zero_shot(tiny_clip)
    monkeypatch.setattr(type(classifier.method), "scores_new_classes", False)
    with pytest.raises(NewClassesError, match="ice"):
        classify_windows(classifier, Raster.open(path), WINDOWS, ["forest", "ice"])
    monkeypatch.setattr(classifier.method, "needs", frozenset({"caption"}))
    with pytest.raises(EncodingError, match="no captions of the source 'none'"):
        classify_windows(classifier, Raster.open(path), WINDOWS)


def test_progress_counts_every_window_once(tiny_clip: Clip, tmp_path: Path) -> None:
    pixels = np.zeros((3, 256, 256), dtype=np.uint8)
    pixels[:, :64, :64] = fields(2, 2)[:, :64, :64]
    raster = Raster.open(write_tiff(tmp_path / "sparse.tif", pixels, nodata=0, sparse_ok=True))
    windows, steps = list(CellGrid((256, 256), 32, 32)), list[int]()
    found = classify_windows(zero_shot(tiny_clip), raster, windows, advance=steps.append)
    assert sum(steps) == len(windows) == 64
    assert np.isfinite(found[:, 0]).sum() == 4
    assert torch.tensor(found).nan_to_num().count_nonzero() == 12
