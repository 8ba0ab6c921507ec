"""The describer of regions, on a tiny random network."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from skycue.answers import Answer, AnswerPhrase
from skycue.boxes import Box, PlacedBox
from skycue.data.mask_crops import MaskCrop
from skycue.errors import BoxError, ConfigError, GeoError, ImageReadError
from skycue.geo.raster import Raster
from skycue.raster_describer import describe_boxes
from skycue.region_answering import LEAST_PART, Asked, Words, narrowest_view, prompted_phrase
from skycue.region_describer import EncodedRegions, RegionDescriber
from skycue.region_network import Calibration
from skycue.region_samples import frames_around
from skycue.regions.clvnet import ClvNetConfig
from tests.made_up_rasters import write_tiff
from tests.tiny_clvnet import SAM_WHOLE, TINY, WHOLE, build_network, picture, shared_network

BOXES: list[Box] = [
    (10.0, 10.0, 40.0, 30.0),
    (40.0, 20.0, 80.0, 50.0),
    (5.0, 30.0, 30.0, 55.0),
    (60.0, 5.0, 85.0, 25.0),
]
NAN = float("nan")


@pytest.fixture(scope="module")
def encoded() -> EncodedRegions:
    """An image encoded by the shared network."""
    return RegionDescriber(shared_network(), name="tiny").encode(picture())


def assert_same(
    one: Answer, other: Answer, *, exactly: bool = False, score_off: float = 1e-5
) -> None:
    """Compare two answers; sums in another order may move a mask's edge by a pixel or two."""
    assert (one.caption, one.box, one.windows) == (other.caption, other.box, other.windows)
    assert (one.prompted, one.flags, one.model) == (other.prompted, other.flags, other.model)
    for phrase, same in zip(one.phrases, other.phrases, strict=True):
        assert (phrase.text, phrase.span) == (same.text, same.span)
        assert phrase.score == pytest.approx(
            same.score, rel=0 if exactly else 1e-3, abs=0 if exactly else score_off
        )
        assert phrase.mask is not None
        assert same.mask is not None
        assert np.count_nonzero(phrase.mask.full() != same.mask.full()) <= (0 if exactly else 3)


@pytest.mark.parametrize("config", [TINY, WHOLE, SAM_WHOLE], ids=["windows", "whole", "sam"])
def test_boxes_in_one_batch_are_described_as_one_by_one(config: ClvNetConfig) -> None:
    network = shared_network() if config is TINY else build_network(config)
    encoded = RegionDescriber(network).encode(picture())
    together = encoded.describe_all(BOXES)
    for box, answer in zip(BOXES, together, strict=True):
        assert_same(encoded.describe(box), answer)
    assert any(answer.phrases for answer in together)
    assert encoded.describe_all([]) == []


def test_more_boxes_than_fit_in_one_pass_are_done_in_several(
    encoded: EncodedRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = encoded.describe_all(BOXES)
    monkeypatch.setattr("skycue.region_describer.BOXES_AT_ONCE", 3)
    for one, other in zip(encoded.describe_all(BOXES), together, strict=True):
        assert_same(one, other)


def test_an_answer_says_all_that_was_seen(encoded: EncodedRegions) -> None:
    counts = []
    for box, answer in zip(BOXES, encoded.describe_all(BOXES), strict=True):
        assert (answer.box, answer.size, answer.image) == (box, (60, 90), "")
        frames = frames_around(box, (60, 90), TINY.windows, 64)
        assert answer.windows == tuple(frame.box for frame in frames)
        counts.append(len(answer.phrases))
        for phrase in answer.phrases:
            assert phrase.text == answer.caption[slice(*phrase.span)]
            assert phrase.mask is not None
            assert phrase.mask.size == (60, 90)
            assert 0 < phrase.score < 1
    assert len(set(counts)) > 1
    assert 0 in counts


def test_whole_numbers_and_floats_are_the_same_box(encoded: EncodedRegions) -> None:
    box = (11, 10, 40, 31)  # its windows begin between pixels
    assert_same(encoded.describe(box), encoded.describe([float(x) for x in box]), exactly=True)
    assert_same(encoded.describe(np.array(box)), encoded.describe(box), exactly=True)  # type: ignore[arg-type]


def test_nothing_is_kept_between_calls(encoded: EncodedRegions) -> None:
    first = encoded.describe_all(BOXES)
    describer = RegionDescriber(shared_network(), name="tiny")
    describer.encode(picture(2)).describe_all(BOXES[::-1])
    encoded.describe(BOXES[2], temperature=2.0, seed=5)
    for one, other in zip(encoded.describe_all(BOXES), first, strict=True):
        assert_same(one, other, exactly=True)


@pytest.mark.parametrize("config", [TINY, WHOLE, SAM_WHOLE], ids=["windows", "whole", "sam"])
def test_boxes_of_several_images_are_described_as_image_by_image(config: ClvNetConfig) -> None:
    network = shared_network() if config is TINY else build_network(config)
    describer = RegionDescriber(network)
    wide = np.concatenate([picture(3), picture(4)], axis=2)  # of another size
    images = [describer.encode(pixels) for pixels in (picture(1), picture(2), wide)]
    pairs = [(image, box) for box in BOXES for image in images]
    together = describer.describe_pairs(pairs)
    for (image, box), answer in zip(pairs, together, strict=True):
        assert answer.size == image.size
        assert_same(image.describe(box), answer, score_off=3e-4)  # SAM's come close to 0
    assert len({answer.caption for answer in together}) > len(BOXES)
    with pytest.raises(BoxError, match=r"^box 2 .* lies outside the image of 90 x 60 pixels"):
        describer.describe_pairs([(images[2], (95, 0, 99, 9)), (images[0], (95, 0, 99, 9))])


def test_captions_are_told_word_by_word_by_the_number_of_their_box(
    encoded: EncodedRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skycue.region_describer.BOXES_AT_ONCE", 3)
    told: dict[int, list[str]] = {}
    describer = RegionDescriber(shared_network(), name="tiny")
    answers = describer.describe_pairs(
        [(encoded, box) for box in BOXES],
        told=lambda number, caption: told.setdefault(number, []).append(caption),
    )
    last = [told.get(number, [""])[-1] for number in range(len(BOXES))]
    assert last == [answer.caption for answer in answers]
    assert max(map(len, told.values())) > 1
    for answer, untold in zip(answers, encoded.describe_all(BOXES), strict=True):
        assert_same(answer, untold)


def test_two_threads_with_two_images_do_not_mix() -> None:
    describer = RegionDescriber(shared_network(), name="tiny")

    def work(seed: int) -> list[Answer]:
        return [
            answer
            for _ in range(4)
            for answer in describer.encode(picture(seed)).describe_all(BOXES)
        ]

    alone = {seed: work(seed) for seed in (1, 2)}
    assert [a.caption for a in alone[1]] != [a.caption for a in alone[2]]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, (1, 2)))
    for answers, seed in zip(found, (1, 2), strict=True):
        for one, other in zip(answers, alone[seed], strict=True):
            assert_same(one, other, exactly=True)


def test_a_file_is_described_as_its_pixels_and_named(tmp_path: Path) -> None:
    path = tmp_path / "port.png"
    Image.fromarray(picture().transpose(1, 2, 0)).save(path)
    describer = RegionDescriber(shared_network())
    answer = describer.encode(path).describe(BOXES[0])
    assert answer.image == str(path)
    assert_same(answer, describer.encode(picture()).describe(BOXES[0]), exactly=True)


def test_an_answer_knows_its_image_and_has_features_where_the_file_lies(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "port.tif", picture())
    describer = RegionDescriber(shared_network())
    answer = describer.encode(path).describe(BOXES[0])
    np.testing.assert_array_equal(answer.rows.transpose(2, 0, 1), picture())
    (same,) = describe_boxes(describer, Raster.open(path), [PlacedBox("1", BOXES[0])])
    assert answer.georeference == same.georeference
    found, expected = answer.to_features(), same.to_features()
    assert [each.properties for each in found] == [each.properties for each in expected]
    assert [each.outline for each in found] == [each.outline for each in expected]
    assert any(each.outline is not None for each in found)


def test_an_answer_without_a_place_says_why_it_has_no_features(
    encoded: EncodedRegions, tmp_path: Path
) -> None:
    with pytest.raises(GeoError, match=r"^pixels have no CRS, so .* no place on the ground"):
        encoded.describe(BOXES[0]).to_features()
    path = tmp_path / "port.png"
    Image.fromarray(picture().transpose(1, 2, 0)).save(path)
    with pytest.raises(GeoError, match=r"port\.png has no CRS"):
        RegionDescriber(shared_network()).encode(path).describe(BOXES[0]).to_features()


@pytest.mark.parametrize("shape", [(60, 90, 3), (60, 90), (4, 60, 90)])
def test_pixels_of_another_layout_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ImageReadError, match=r"pixels of shape \[.*\] are no RGB image \[3, H, W\]"
    ):
        RegionDescriber(shared_network()).encode(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((90.0, 0.0, 99.0, 9.0), r"\[90, 0, 99, 9\] lies outside the image of 90 x 60 pixels"),
        ((30.0, 10.0, 20.0, 40.0), "has no area: x_max must exceed x_min"),
        ((30.0, 10.0, 40.0, 10.0), "has no area: y_max must exceed y_min"),
        ((NAN, 0.0, 1.0, 1.0), "holds a number that is not finite"),
        ((0.0, 0.0, 1.0), "has 3 numbers, not 4"),
    ],
)
def test_a_wrong_box_is_refused_before_anything_is_computed(
    encoded: EncodedRegions, box: tuple[float, ...], message: str
) -> None:
    with pytest.raises(BoxError, match="^box " + r"\["):
        encoded.describe(box)
    with pytest.raises(BoxError, match="^box 2 .*" + message):
        encoded.describe_all([BOXES[0], box])


def test_drawn_words_depend_on_the_seed(encoded: EncodedRegions) -> None:
    drawn = [encoded.describe(BOXES[0], temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert_same(drawn[0], drawn[1], exactly=True)
    assert drawn[0].caption != drawn[2].caption
    again = encoded.describe_all([BOXES[0]] * 3, temperature=2.0)
    assert len({answer.caption for answer in again}) == 3  # of one box, as many drawings


def test_a_question_is_refused_or_used(encoded: EncodedRegions) -> None:
    with pytest.raises(ConfigError, match="takes no other: leave `ask` out"):
        encoded.describe(BOXES[0], ask="what is <bbox>?")
    reasoner = TINY.reasoner.model_copy(update={"takes_questions": True})
    network = build_network(TINY.model_copy(update={"reasoner": reasoner}))
    asked = RegionDescriber(network, name="tiny").encode(picture())
    own = asked.describe_all(BOXES)
    assert [a.caption for a in own] == [a.caption for a in encoded.describe_all(BOXES)]
    other = asked.describe_all(BOXES, ask="what is <bbox>?")
    assert [a.caption for a in own] != [a.caption for a in other]


def test_a_question_without_a_place_for_the_box_is_about_the_box_all_the_same() -> None:
    reasoner = TINY.reasoner.model_copy(update={"takes_questions": True})
    config = WHOLE.model_copy(update={"reasoner": reasoner, "region_layers": (0, 1)})
    encoded = RegionDescriber(build_network(config)).encode(picture())
    captions = [answer.caption for answer in encoded.describe_all(BOXES, ask="what is this?")]
    assert len(set(captions)) == len(BOXES)


def test_a_gate_hears_what_the_caption_says_between_phrases() -> None:
    decoder = TINY.mask_decoder.model_copy(update={"context": "gated"})
    network = build_network(TINY.model_copy(update={"mask_decoder": decoder}))
    gated = RegionDescriber(network).encode(picture()).describe_all(BOXES)
    network.mask_decoder.agreement = None
    plain = RegionDescriber(network).encode(picture()).describe_all(BOXES)
    assert [a.caption for a in gated] == [a.caption for a in plain]
    changed = [
        [one.score != other.score for one, other in zip(a.phrases, b.phrases, strict=True)]
        for a, b in zip(gated, plain, strict=True)
    ]
    assert any(any(row) for row in changed)


def test_a_caption_that_the_bound_ended_is_flagged(encoded: EncodedRegions) -> None:
    cut = "the caption was cut at its longest length"
    reasoner = TINY.reasoner.model_copy(update={"max_tokens": 8})
    network = build_network(TINY.model_copy(update={"reasoner": reasoner}))
    short = RegionDescriber(network).encode(picture()).describe_all(BOXES)
    for one, other in zip(short, encoded.describe_all(BOXES), strict=True):
        assert (cut in one.flags) == (one.caption != other.caption)
        assert cut not in other.flags or len(other.caption) > len(one.caption)
    assert {cut in answer.flags for answer in short} == {True, False}


def test_the_name_of_the_model_changes_with_its_weights() -> None:
    one, same, other = (build_network(seed=seed) for seed in (7, 7, 8))
    names = [RegionDescriber(network, name="tiny").model for network in (one, same, other)]
    assert names[0] == names[1]
    assert names[0] != names[2]
    assert names[0].startswith("tiny@")
    weight = next(same.query_projection.parameters())
    weight[0, 0] += 1e-3
    assert RegionDescriber(same, name="tiny").model != names[0]


def test_scores_go_through_the_calibration(encoded: EncodedRegions) -> None:
    raw = encoded.describe(BOXES[0])
    curve = Calibration(scale=2.0, bias=-0.5)
    fitted = RegionDescriber(shared_network(), calibration=curve).encode(picture())
    for phrase, expected in zip(fitted.describe(BOXES[0]).phrases, raw.phrases, strict=True):
        logit = np.log(expected.score / (1 - expected.score))
        assert phrase.score == pytest.approx(1 / (1 + np.exp(0.5 - 2 * logit)), rel=1e-5)
    assert raw.phrases


def test_bfloat16_describes_too() -> None:
    describer = RegionDescriber(shared_network(), dtype=torch.bfloat16)
    for answer in describer.encode(picture()).describe_all(BOXES):
        assert all(0 <= phrase.score <= 1 for phrase in answer.phrases)


def parts_of(mask: MaskCrop) -> list[int]:
    """The areas of the parts of a mask, pixels touching by corners too."""
    left = set(zip(*(places.tolist() for places in np.nonzero(mask.pixels)), strict=True))
    areas = []
    while left:
        edge, area = [left.pop()], 0
        while edge:
            y, x = edge.pop()
            area += 1
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        areas.append(area)
    return areas


def test_specks_are_left_out_of_the_mask_of_a_phrase_that_names_one_object(
    monkeypatch: pytest.MonkeyPatch, encoded: EncodedRegions
) -> None:
    plain = encoded.describe_all(BOXES)
    monkeypatch.setattr("skycue.region_answering.names_one", lambda phrase: True)
    cleaned = encoded.describe_all(BOXES)
    fewer = 0
    for phrase, same in zip(
        (p for answer in plain for p in answer.phrases),
        (p for answer in cleaned for p in answer.phrases),
        strict=True,
    ):
        assert phrase.text == same.text
        if phrase.mask is None or not phrase.mask.area:
            continue
        assert same.mask is not None
        areas = parts_of(phrase.mask)
        stays = [area for area in areas if area >= LEAST_PART * max(areas)]
        assert sorted(parts_of(same.mask)) == sorted(stays)
        fewer += len(areas) - len(stays)
    assert fewer > 0


def block(x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
    mask = np.zeros((60, 90), dtype=np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


def crop(x: int, y: int, width: int, height: int) -> MaskCrop:
    return MaskCrop.of(block(x, y, width, height))


def phrases_of(*masks: NDArray[np.bool_] | None) -> list[AnswerPhrase]:
    return [AnswerPhrase.of_mask("a ship", (0, 6), mask, 0.5) for mask in masks]


def test_the_prompted_phrase_is_the_one_whose_mask_fits_the_box_best() -> None:
    box = (10.0, 10.0, 30.0, 20.0)
    large, right, shifted = block(0, 0, 90, 60), block(11, 10, 19, 10), block(20, 10, 20, 10)
    assert prompted_phrase(phrases_of(large, shifted, right), box) == 2
    assert prompted_phrase(phrases_of(None, block(0, 0, 0, 0), shifted), box) == 2
    assert prompted_phrase(phrases_of(block(50, 40, 5, 5)), box) is None  # nothing of it in the box
    assert prompted_phrase(phrases_of(None), box) is None
    assert prompted_phrase([], box) is None


def test_a_mask_is_scored_on_the_narrowest_window_that_holds_most_of_it() -> None:
    frames = frames_around((40.0, 20.0, 50.0, 30.0), (60, 90), (2.0, 5.0), 64)
    assert frames[0].box == (35.0, 15.0, 55.0, 35.0)
    assert narrowest_view(crop(40, 20, 10, 10), frames) == 0
    assert narrowest_view(crop(47, 20, 20, 4), frames) == 1  # 8 of 20 columns inside
    assert narrowest_view(crop(0, 0, 0, 0), frames) == 1
    assert narrowest_view(crop(0, 0, 3, 3), frames) == 1


def test_a_small_box_is_described_on_a_window_as_if_that_were_the_image() -> None:
    config = WHOLE.model_copy(update={"small_box": 0.3, "small_box_window": 3.0})
    describer = RegionDescriber(build_network(config), name="tiny")
    pixels = picture()
    encoded = describer.encode(pixels)
    small = (40.0, 20.0, 55.0, 32.0)  # 15 of 90 pixels; its window is 45 pixels wide
    window = (25, 3, 70, 49)
    large, found = encoded.describe_all([BOXES[1], small])
    assert large.windows == ((0.0, 0.0, 90.0, 90.0),)
    assert found.windows == (window,)
    assert found.box == small
    part = np.ascontiguousarray(pixels[:, window[1] : window[3], window[0] : window[2]])
    plain = RegionDescriber(describer.network, name="tiny").encode(part)
    asked = [Asked(plain.seen, (15.0, 17.0, 30.0, 29.0))]
    (inner,) = describer.answerer.answer(asked, Words(None, 0.0, torch.Generator()), "tiny")
    assert found.caption == inner.caption
    for phrase, same in zip(found.phrases, inner.phrases, strict=True):
        assert phrase.score == pytest.approx(same.score, rel=1e-5)
        assert phrase.mask is not None
        assert same.mask is not None
        np.testing.assert_array_equal(phrase.mask.full()[3:49, 25:70], same.mask.full())
        assert phrase.mask.area == same.mask.area
