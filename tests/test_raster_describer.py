"""Boxes on a raster that is larger than what a model sees."""

from typing import cast

import numpy as np
import pytest

from skycue.boxes import Box, PlacedBox
from skycue.errors import BoxError
from skycue.geo.areas import gsd_m
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.raster_answers import RasterAnswer
from skycue.raster_describer import RasterDescriber, describe_boxes
from skycue.region_describer import RegionDescriber
from skycue.shown_windows import NOTHING_VALID
from skycue.windows import OUTSIDE
from tests.large_raster import SIZE, gradient, large_raster
from tests.made_up_describer import CAPTION, MadeUpDescriber
from tests.tiny_clvnet import shared_network


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Raster:
    """A raster of 2600 x 3000 pixels."""
    return Raster.open(large_raster(tmp_path_factory.mktemp("raster")))


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Raster:
    """The same with a rectangle of nodata at x 1000-1500, y 100-300."""
    return Raster.open(large_raster(tmp_path_factory.mktemp("holed"), nodata=0))


def named(*boxes: Box) -> list[PlacedBox]:
    return [PlacedBox(f"b{number}", box) for number, box in enumerate(boxes)]


def raster_box(answer: RasterAnswer, number: int) -> Box:
    """Return the bounds of a phrase's outline in pixels of the raster."""
    outline = answer.to_features()[number].outline
    assert outline is not None
    return cast(Box, outline.bounds)


def test_boxes_of_a_window_share_one_encoding_and_all_are_asked_together(raster: Raster) -> None:
    describer = MadeUpDescriber()
    near = named((2010, 2010, 2030, 2020), (2040, 2000, 2060, 2030), (100, 100, 140, 120))
    answers = describe_boxes(describer, raster, near)
    assert [answer.placed for answer in answers] == near
    assert len(describer.encoded) == 2
    assert describer.calls == [3]
    assert answers[0].shown == answers[1].shown
    assert [answer.answer.image for answer in answers] == [str(raster.path)] * 3


def test_the_model_sees_the_pixels_around_the_box(raster: Raster) -> None:
    describer = MadeUpDescriber()
    (answer,) = describe_boxes(describer, raster, named((2010, 2010, 2030, 2020)))
    # the middle is (2020, 2015); windows of 1024 begin at multiples of 256, or end at the edges
    assert answer.shown == (PixelWindow(1536, 1536, 1024, 1024), (1024, 1024))
    assert (answer.shown.scale, answer.raster_size) == (1, SIZE)
    ((pixels, key),) = describer.encoded
    np.testing.assert_array_equal(pixels, gradient()[:, 1536:2560, 1536:2560])
    assert key is None
    assert answer.answer.box == (474, 474, 494, 484)
    assert raster_box(answer, 0) == (2010, 2010, 2030, 2020)


def test_a_large_box_is_shown_smaller_and_its_mask_comes_back(raster: Raster) -> None:
    (answer,) = describe_boxes(MadeUpDescriber(), raster, named((600, 400, 1600, 1200)))
    assert answer.shown.window == PixelWindow(0, 0, 3000, 2600)
    assert answer.shown.size == (1775, 2048)
    assert answer.shown.scale == pytest.approx(3000 / 2048)
    mask = answer.answer.phrases[0].mask
    assert mask is not None
    assert mask.size == (1775, 2048)
    np.testing.assert_allclose(raster_box(answer, 0), (600, 400, 1600, 1200), atol=1.5)
    place = answer.georeference
    assert place is not None
    assert gsd_m(place, answer.shown.size) == pytest.approx(0.5 * 3000 / 2048, rel=1e-3)


def test_an_answer_does_not_depend_on_the_other_boxes_or_on_their_order(raster: Raster) -> None:
    rng = np.random.default_rng(5)
    corners = rng.integers(0, 2400, (60, 2)).tolist()
    boxes = named(*[(x, y, x + 30, y + 20) for x, y in corners])
    together = describe_boxes(MadeUpDescriber(), raster, boxes)
    backwards = describe_boxes(MadeUpDescriber(), raster, boxes[::-1])
    assert [a.to_json() for a in backwards[::-1]] == [a.to_json() for a in together]
    for placed, answer in list(zip(boxes, together, strict=True))[::9]:
        (alone,) = describe_boxes(MadeUpDescriber(), raster, [placed])
        assert alone.to_json() == answer.to_json()


def test_few_windows_are_held_at_a_time(raster: Raster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skycue.raster_describer.PIXELS_TOGETHER", 2 * 1024**2)
    describer = MadeUpDescriber()
    boxes = named(*[(x, y, x + 9.0, y + 9.0) for x in (200, 1500, 2700) for y in (200, 2400)])
    answers = RasterDescriber(describer, raster).describe(boxes)
    assert next(answers).placed.id == "b0"
    assert describer.calls == [2]
    assert len(list(answers)) == 5
    assert describer.calls == [2, 2, 2]
    monkeypatch.setattr("skycue.raster_describer.BOXES_TOGETHER", 1)
    assert len(describe_boxes(describer, raster, boxes)) == 6
    assert describer.calls == [2, 2, 2] + [1] * 6


def test_no_boxes_have_no_answers(raster: Raster) -> None:
    describer = MadeUpDescriber()
    assert describe_boxes(describer, raster, []) == []
    assert describer.calls == []


def test_wrong_boxes_are_refused_before_anything_is_computed(raster: Raster) -> None:
    describer = MadeUpDescriber()
    outside = [*named((0, 0, 9, 9)), PlacedBox("far", (3000, 0, 3010, 9))]
    with pytest.raises(BoxError, match=r"^box far .* lies outside the image of 3000 x 2600 pixels"):
        describe_boxes(describer, raster, outside)
    with pytest.raises(BoxError, match="2 boxes have the id 'b0'"):
        describe_boxes(describer, raster, named((0, 0, 9, 9)) * 2)
    assert describer.encoded == []


def test_a_box_without_a_valid_pixel_is_not_asked_about(holed: Raster) -> None:
    describer = MadeUpDescriber()
    empty, full = describe_boxes(
        describer, holed, named((1100, 150, 1200, 250), (1100, 350, 1200, 400))
    )
    assert (empty.answer.caption, empty.answer.phrases) == ("", ())
    assert empty.answer.flags == (NOTHING_VALID,)
    assert full.answer.caption.startswith(CAPTION)
    assert describer.calls == [1]


def test_what_is_not_valid_is_shown_grey_and_no_mask_covers_it(holed: Raster) -> None:
    describer = MadeUpDescriber()
    (answer,) = describe_boxes(describer, holed, named((900, 200, 1100, 400)))
    window = answer.shown.window
    ((pixels, _),) = describer.encoded
    assert pixels[:, 200 - window.y, 1200 - window.x].tolist() == list(OUTSIDE)
    mask = answer.answer.phrases[0].mask
    assert mask is not None
    assert mask.area == 200 * 200 - 100 * 100  # its upper right quarter holds nothing
    assert not mask.full()[200 - window.y : 300 - window.y, 1000 - window.x : 1100 - window.x].any()


def test_windows_are_encoded_under_the_key_of_the_raster(raster: Raster) -> None:
    describer = MadeUpDescriber()
    boxes = named((2010, 2010, 2030, 2020))
    describe_boxes(describer, raster, boxes, source=raster.content_key())
    ((_, key),) = describer.encoded
    assert key == (raster.content_key(), 1536, 1536, 1024, 1024, (1024, 1024))


def test_a_network_describes_a_box_on_its_window_as_on_a_small_image(raster: Raster) -> None:
    describer = RegionDescriber(shared_network(), name="tiny")
    boxes = named((2010, 2010, 2050, 2040), (600, 500, 660, 560))
    for placed, found in zip(boxes, describe_boxes(describer, raster, boxes), strict=True):
        window = found.shown.window
        part = gradient()[:, window.y :, window.x :][:, : window.height, : window.width]
        x_min, y_min, x_max, y_max = placed.box
        inner = (x_min - window.x, y_min - window.y, x_max - window.x, y_max - window.y)
        alone = describer.encode(np.ascontiguousarray(part)).describe(inner)
        assert found.answer.caption == alone.caption
        assert found.answer.windows == alone.windows
        for phrase, same in zip(found.answer.phrases, alone.phrases, strict=True):
            assert phrase.score == pytest.approx(same.score, rel=1e-3, abs=1e-5)
            assert phrase.box == same.box
