"""Samples of outlined boxes: turned, jittered and cut, with captions that stay true."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.testing import assert_close

from skycue.boxes import Frame, box_iou
from skycue.data.caption_grammar import is_true, parse_caption
from skycue.data.instances import InstanceImage
from skycue.data.region_captions import (
    GroundedCaption,
    GroundedPhrase,
    caption_image,
    caption_region,
)
from skycue.region_samples import (
    COVERED,
    N_ORIENTATIONS,
    WHOLE,
    Given,
    Item,
    RegionSample,
    TrainImage,
    box_of,
    caption_of,
    cut_sample,
    draw_sample,
    frames_around,
    load_outlined,
    turn,
    turn_outlines,
)
from skycue.seeds import generator_at
from tests.tiny_regions import (
    CLASSES,
    OUTLINES,
    PLAIN,
    PORT,
    SAMPLING,
    SHORE,
    SIZE,
    train_images,
    write_dataset,
)

IMAGES = train_images()
CAPTION = GroundedCaption("A ship lies here.", (GroundedPhrase(0, 6, (0,), "ship"),), 0)
BOX = (38.0, 28.0, 58.0, 38.0)
SHIP_FIRST = InstanceImage(SHORE.image, SIZE, SHORE.instances[::-1])
RECORD = TrainImage(SHORE.image, IMAGES[1].pixels, SHIP_FIRST, Given(BOX, CAPTION))
"""The object of the prompted phrase comes first."""


def turned_array(array: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Mirror from 4 on, then turn to the left as often as the rest says, pixel by pixel."""
    out = array.copy()
    if orientation >= 4:
        out = np.stack([row[::-1] for row in out])
    for _ in range(orientation % 4):
        height, width = out.shape[:2]
        left = np.empty((width, height, *out.shape[2:]), dtype=out.dtype)
        for y in range(height):
            for x in range(width):
                left[width - 1 - x, y] = out[y, x]
        out = left
    return out


def draw(item: Item, seed: int, images: list[TrainImage] = IMAGES) -> RegionSample:
    return draw_sample(images, item, SAMPLING, CLASSES, generator_at(seed, "item"))


def same(one: RegionSample, other: RegionSample) -> bool:
    tensors = ("pixels", "boxes", "position", "masks", "classes", "objects")
    alike = all(torch.equal(getattr(one, name), getattr(other, name)) for name in tensors)
    return alike and one[len(tensors) :] == other[len(tensors) :]


@pytest.mark.parametrize("orientation", range(N_ORIENTATIONS))
def test_pixels_and_outlines_turn_alike(orientation: int) -> None:
    turned = turn(IMAGES[0], orientation)
    np.testing.assert_array_equal(turned.pixels, turned_array(IMAGES[0].pixels, orientation))
    assert turned.outlines.size == turned.pixels.shape[:2]
    for before, after in zip(PORT.instances, turned.outlines.instances, strict=True):
        wanted = turned_array(before.mask(SIZE), orientation)
        np.testing.assert_array_equal(after.mask(turned.outlines.size), wanted)
        assert after.class_name == before.class_name
        rows, columns = np.nonzero(wanted)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert after.box == tuple(float(value) for value in box)


def test_the_eight_orientations_all_differ() -> None:
    turned = [turn_outlines(PORT, orientation) for orientation in range(N_ORIENTATIONS)]
    seen = {(image.size, image.instances[0].mask(image.size).tobytes()) for image in turned}
    assert len(seen) == N_ORIENTATIONS


def test_all_objects_of_the_image_are_placed_on_every_window() -> None:
    sample = draw(Item(0, 2), seed=4)
    turned = turn(IMAGES[0], sample.orientation)
    assert sample.objects.shape == (2, len(PORT.instances), 4)
    boxes = torch.tensor([instance.box for instance in turned.outlines.instances])
    for view, objects in enumerate(sample.objects):
        # The window maps pixels to shares by one scale and one shift, alike for the prompt box.
        scale = (objects[0, 2] - objects[0, 0]) / (boxes[0, 2] - boxes[0, 0])
        shift = objects[0, :2] - boxes[0, :2] * scale
        assert_close(objects, boxes * scale + shift.repeat(2))
        prompt = sample.position * torch.tensor([*turned.outlines.size[::-1]] * 2)
        assert_close(sample.boxes[view], prompt * scale + shift.repeat(2), atol=1e-4, rtol=1e-4)
    empty = cut_sample(IMAGES[0], Item(0, 2), SAMPLING._replace(outlines=False), CLASSES)
    assert empty.objects.shape == (2, 0, 4)


def test_neighbours_are_told_of_where_that_is_asked() -> None:
    told, quiet = (
        cut_sample(IMAGES[0], Item(0, 2), SAMPLING._replace(neighbours=asked), CLASSES).neighbours
        for asked in (True, False)
    )
    assert told.text
    assert not quiet.text


@pytest.mark.parametrize("orientation", range(N_ORIENTATIONS))
def test_captions_after_turning_are_true(orientation: int) -> None:
    for image in IMAGES:
        turned = turn(image, orientation)
        n_instances = len(turned.outlines.instances)
        for index in [*range(n_instances), WHOLE]:
            caption = caption_of(turned, Item(0, index))
            boxed = None if index == WHOLE else index
            statements = parse_caption(caption.text)
            assert statements
            assert all(is_true(s, turned.outlines, boxed) for s in statements), caption.text


def test_a_turn_that_is_not_told_of_would_make_captions_false() -> None:
    statements = parse_caption(caption_region(PORT, 0).text)
    judged = [is_true(s, turn_outlines(PORT, o), 0) for o in range(1, 8) for s in statements]
    assert not all(judged)


def test_a_sample_is_a_function_of_its_generator() -> None:
    item = Item(0, 1)
    first, again = draw(item, 3), draw(item, 3)
    draw(Item(1, 0), 4)
    assert same(first, again)
    assert same(first, draw(item, 3))
    drawn = [draw(item, seed) for seed in range(12)]
    assert len({sample.orientation for sample in drawn}) > 3
    assert len({sample.pixels.numpy().tobytes() for sample in drawn}) == 12


@pytest.mark.parametrize("seed", range(8))
def test_masks_and_classes_lie_where_the_objects_are(seed: int) -> None:
    sample = draw_sample(IMAGES, Item(0, 0), PLAIN, CLASSES, generator_at(seed))
    outlines = turn_outlines(PORT, sample.orientation)
    frames = frames_around(outlines.instances[0].box, outlines.size, PLAIN.scales, PLAIN.size)
    assert len(sample.masks) == len(sample.caption.phrases)
    for view, frame in enumerate(frames):
        for phrase, mask in zip(sample.caption.phrases, sample.masks[:, view], strict=True):
            owned = [outlines.instances[i].mask(outlines.size) for i in phrase.instances]
            check_cells(mask.numpy() > COVERED, np.logical_or.reduce(owned), frame)
        for number, name in enumerate(CLASSES, start=1):
            named = [i.mask(outlines.size) for i in outlines.instances if i.class_name == name]
            check_cells(sample.classes[view].numpy() == number, np.logical_or.reduce(named), frame)


def check_cells(cells: NDArray[np.bool_], mask: NDArray[np.bool_], frame: Frame) -> None:
    """Look up the pixel under the middle of each cell; outlines may move by part of a cell."""
    side, (height, width) = len(cells), mask.shape
    wrong = 0
    for i in range(side):
        for j in range(side):
            y = int(np.floor(frame.y_min + (i + 0.5) / side * frame.height))
            x = int(np.floor(frame.x_min + (j + 0.5) / side * frame.width))
            inside = 0 <= y < height and 0 <= x < width
            wrong += bool(cells[i, j]) != (inside and bool(mask[y, x]))
    assert wrong <= 0.08 * side * side


def test_the_prompt_box_is_the_same_on_every_view_and_on_the_image() -> None:
    sample = cut_sample(IMAGES[0], Item(0, 2), PLAIN, CLASSES)
    box = PORT.instances[2].box
    frames = frames_around(box, SIZE, PLAIN.scales, PLAIN.size)
    for shares, frame in zip(sample.boxes, frames, strict=True):
        torch.testing.assert_close(frame.from_unit(shares[None])[0], torch.tensor(box))
    assert sample.position.tolist() == pytest.approx([4 / 64, 24 / 48, 20 / 64, 44 / 48])
    assert sample.target == 1 + CLASSES.index("harbor")
    assert sample.pixels.shape == (2, 3, 32, 32)


def test_jitter_moves_the_box_a_little_and_zoom_the_window() -> None:
    sides = []
    for seed in range(20):
        sample = draw(Item(0, 1), seed)
        outlines = turn_outlines(PORT, sample.orientation)
        true = torch.tensor([outlines.instances[1].box])
        height, width = outlines.size
        moved = sample.position[None] * torch.tensor([width, height, width, height])
        assert 0.7 <= box_iou(moved, true).item() < 1
        share = (sample.boxes[0, 2:] - sample.boxes[0, :2]).max().item()
        sides.append(1 / share / PLAIN.scales[0])
    assert 1 / 1.16 < min(sides) < 0.97
    assert 1.03 < max(sides) < 1.16


def test_colour_changes_windows_alike_and_nothing_else() -> None:
    coloured = draw_sample(
        IMAGES, Item(0, 0), PLAIN._replace(colour=0.25), CLASSES, generator_at(1)
    )
    plain = draw_sample(IMAGES, Item(0, 0), PLAIN, CLASSES, generator_at(1))
    assert not torch.equal(coloured.pixels, plain.pixels)
    assert same(coloured._replace(pixels=plain.pixels), plain)
    # One straight line a channel, the same in both windows, but for what is cut at 0 and 255.
    for channel in range(3):
        before = plain.pixels[:, channel].flatten().double()
        after = coloured.pixels[:, channel].flatten().double()
        free = (after > 0) & (after < 255)
        line = torch.stack([before[free], torch.ones_like(before[free])], dim=1)
        fit = torch.linalg.lstsq(line, after[free][:, None]).solution
        assert (line @ fit - after[free][:, None]).abs().max() <= 1


def test_the_whole_image_is_a_box_without_a_class() -> None:
    item = Item(0, WHOLE)
    assert box_of(IMAGES[0], item) == (0.0, 0.0, 64.0, 48.0)
    for seed in range(6):
        sample = draw(item, seed)
        outlines = turn_outlines(PORT, sample.orientation)
        assert sample.position.tolist() == [0.0, 0.0, 1.0, 1.0]
        assert sample.target == 0
        assert sample.caption == caption_image(outlines)
        assert sample.caption.prompted is None
        # Every object is seen, and windows that could be larger end where the image does.
        assert (sample.masks[:, -1].amax((-2, -1)) > 0).all()
        assert (sample.boxes[-1, 2:] - sample.boxes[-1, :2]).max().item() == pytest.approx(1)


def test_without_windows_the_view_is_the_whole_image() -> None:
    config = PLAIN._replace(scales=())
    sample = cut_sample(IMAGES[0], Item(0, 3), config, CLASSES)
    assert sample.boxes.tolist() == [pytest.approx([46 / 64, 30 / 64, 58 / 64, 42 / 64])]
    assert sample.masks.shape[1] == 1


def test_an_image_with_words_of_its_own_is_never_turned() -> None:
    item = Item(0, 0)
    plain = cut_sample(RECORD, item, PLAIN, CLASSES)
    assert box_of(RECORD, item) == BOX
    assert turn(RECORD, 3) is RECORD
    for seed in range(8):
        sample = draw_sample([RECORD], item, PLAIN, CLASSES, generator_at(seed))
        assert same(sample, plain)
        assert sample.caption == CAPTION
        assert sample.orientation == 0


def test_a_record_whose_box_is_no_phrase_has_no_class_to_name() -> None:
    told = cut_sample(RECORD, Item(0, 0), PLAIN, CLASSES)
    assert told.target == 1 + CLASSES.index("ship")
    untold = RECORD._replace(given=Given(BOX, CAPTION._replace(prompted=None)))
    assert cut_sample(untold, Item(0, 0), PLAIN, CLASSES).target == 0


def test_images_without_objects_are_not_loaded(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    empty = InstanceImage("missing.png", SIZE, ())
    loaded = load_outlined(tmp_path / "images", [*OUTLINES, empty])
    assert [image.name for image in loaded] == ["port.png", "shore.png", "lonely.png"]
    np.testing.assert_array_equal(loaded[0].pixels, IMAGES[0].pixels)


def test_a_padded_image_keeps_the_colour_of_its_padding_when_it_is_recoloured() -> None:
    padded = SAMPLING._replace(scales=(), outside=(124, 116, 104))
    flipped = IMAGES[0]._replace(pixels=IMAGES[0].pixels[::-1].copy()[::-1])  # not contiguous
    drawn = draw_sample([flipped], Item(0, 0), padded, CLASSES, generator_at(1, "item"))
    plain = cut_sample(turn(IMAGES[0], drawn.orientation), Item(0, 0), padded, CLASSES)
    long, short = max(SIZE), min(SIZE)
    inside = 32 * short // long  # rows or columns of the frame that show the image
    wide = drawn.orientation % 2 == 0
    for sample in (drawn, plain):
        view = sample.pixels[0] if wide else sample.pixels[0].transpose(1, 2)  # [3, S, S]
        outside = torch.tensor(padded.outside, dtype=torch.uint8)[:, None, None]
        assert (view[:, inside:] == outside).all()
    assert not torch.equal(drawn.pixels, plain.pixels)
