"""Images to train on: outlined, with records, drawn; and those that are held out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.data.regions import PhraseRecord, RegionRecord, records_from_instances, write_records
from skycue.data.renderer.instance_scenes import render
from skycue.data.rle import encode_mask
from skycue.errors import DatasetError, ImageReadError, RecordError
from skycue.region_images import RegionImages, class_names_of, load_images
from skycue.region_recipe import OutlinedSource, RecordSource, RegionDataConfig, RenderedSource
from skycue.region_samples import WHOLE, Item, box_of, caption_of
from tests.tiny_regions import CLASSES, OUTLINES, PORT, SHORE, SIZE, paint, write_dataset

OUTLINED = OutlinedSource(annotations=Path("instances.json"), images=Path("images"))
RECORDS = RecordSource(records=Path("records.jsonl"), images=Path("images"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with the outlined images and their records."""
    write_dataset(tmp_path)
    write_records(tmp_path / "records.jsonl", records_from_instances(OUTLINES, "rules"))
    return tmp_path


def items_of(part: RegionImages) -> list[tuple[str, int]]:
    return [(part.images[item.image].name, item.instance) for item in part.items]


def test_outlined_images_give_a_box_an_object_and_one_an_image(root: Path) -> None:
    train, held_out = load_images(RegionDataConfig(outlined=(OUTLINED,)), root)
    assert items_of(train) == [
        *(("port.png", i) for i in range(4)),
        *(("shore.png", i) for i in range(2)),
        ("lonely.png", 0),
    ]
    assert train.wholes == [Item(0, WHOLE), Item(1, WHOLE), Item(2, WHOLE)]
    assert (held_out.images, held_out.items, held_out.wholes) == ([], [], [])
    for image, outlines in zip(train.images, OUTLINES, strict=True):
        np.testing.assert_array_equal(image.pixels, paint(outlines))
        for loaded, wanted in zip(image.outlines.instances, outlines.instances, strict=True):
            assert (loaded.class_name, loaded.corner) == (wanted.class_name, wanted.corner)
            np.testing.assert_array_equal(loaded.crop, wanted.crop)
    assert class_names_of(train.images) == CLASSES


def test_some_boxes_of_outlined_images_are_drawn_once_and_none_of_those_held_out(
    root: Path,
) -> None:
    (root / "held_out.txt").write_text("shore.png\n")
    few = OUTLINED.model_copy(update={"boxes": 1})
    data = RegionDataConfig(outlined=(few,), held_out=root / "held_out.txt")
    train, held_out = load_images(data, root)
    assert [name for name, _ in items_of(train)] == ["port.png", "lonely.png"]
    assert len(train.images[0].outlines.instances) == 4
    assert items_of(held_out) == [("shore.png", 0), ("shore.png", 1)]
    assert load_images(data, root).train.items == train.items
    three = few.model_copy(update={"boxes": 3})
    chosen = [
        item.instance for item in load_images(RegionDataConfig(outlined=(three,)), root)[0].items
    ]
    assert len(set(chosen[:3])) == 3
    assert chosen[:3] == sorted(chosen[:3])


def test_each_record_is_an_image_with_its_own_words(root: Path) -> None:
    train, _ = load_images(RegionDataConfig(records=(RECORDS,)), root)
    records = list(records_from_instances(OUTLINES, "rules"))
    assert train.items == [Item(number, 0) for number in range(len(records))]
    assert train.wholes == []
    for item, record in zip(train.items, records, strict=True):
        image = train.images[item.image]
        caption = caption_of(image, item)
        assert box_of(image, item) == record.box
        assert (caption.text, caption.prompted) == (record.caption, record.prompted)
        for phrase, told in zip(caption.phrases, record.phrases, strict=True):
            assert (phrase.start, phrase.end) == told.span
            owned = [image.outlines.instances[i].mask(SIZE) for i in phrase.instances]
            np.testing.assert_array_equal(np.logical_or.reduce(owned), told.mask())
    assert train.images[0].pixels is train.images[1].pixels  # of one file


def test_the_prompted_phrase_is_the_first_object_wherever_it_stands(tmp_path: Path) -> None:
    masks = [encode_mask(instance.mask(SIZE)) for instance in PORT.instances]
    empty = encode_mask(np.zeros(SIZE, dtype=np.bool_))
    record = RegionRecord(
        image="port.png",
        size=SIZE,
        box=PORT.instances[2].box,
        caption="Two ships and a gull are near the harbor.",
        phrases=(
            PhraseRecord(span=(0, 9), masks=(masks[0], masks[1]), class_name="ship"),
            PhraseRecord(span=(14, 20), masks=(empty,)),
            PhraseRecord(span=(30, 40), masks=(masks[2],)),
        ),
        prompted=2,
        source="hand",
    )
    write_dataset(tmp_path)
    write_records(tmp_path / "records.jsonl", [record])
    (image,) = load_images(RegionDataConfig(records=(RECORDS,)), tmp_path).train.images
    assert [i.class_name for i in image.outlines.instances] == ["the harbor", "ship"]
    assert image.given is not None
    owned = [(p.class_name, p.instances) for p in image.given.caption.phrases]
    # A phrase whose mask is empty owns nothing.
    assert owned == [("ship", (1,)), ("a gull", ()), ("the harbor", (0,))]
    assert image.outlines.instances[1].area == sum(PORT.instances[i].area for i in (0, 1))


def test_drawn_images_are_those_of_the_renderer_with_some_of_their_boxes(tmp_path: Path) -> None:
    source = RenderedSource(count=2, size=128, boxes=2, seed=5)
    train, held_out = load_images(RegionDataConfig(rendered=source), tmp_path)
    assert [image.name for image in train.images] == ["rendered/5", "rendered/6"]
    for number, image in enumerate(train.images):
        drawn = render(5 + number, size=128)
        np.testing.assert_array_equal(image.pixels.transpose(2, 0, 1), drawn.pixels)
        chosen = {item.instance for item in train.items if item.image == number}
        assert len(chosen) == min(2, len(drawn.instances))
        assert chosen <= set(range(len(drawn.instances)))
    assert len(train.wholes) == 2
    assert held_out.images == []
    again = load_images(RegionDataConfig(rendered=source), tmp_path).train
    assert again.items == train.items


def test_held_out_images_only_validate(root: Path) -> None:
    beside = root / "recipes"
    beside.mkdir()
    (beside / "held_out.txt").write_text("shore.png\n")
    data = RegionDataConfig(outlined=(OUTLINED,), records=(RECORDS,), held_out=Path("held_out.txt"))
    train, held_out = load_images(data, root, beside)
    assert {image.name for image in train.images} == {"port.png", "lonely.png"}
    assert {image.name for image in held_out.images} == {"shore.png"}
    assert [image.given is None for image in held_out.images] == [True, False, False]
    assert items_of(held_out) == [("shore.png", 0), ("shore.png", 1)] + [("shore.png", 0)] * 2
    whole_path = data.model_copy(update={"held_out": beside / "held_out.txt"})
    assert items_of(load_images(whole_path, root).held_out) == items_of(held_out)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"held_out": "names.txt"}, r"names\.txt: no image gone\.png among the data"),
        ({"held_out": "gone.txt"}, r"cannot read the list .*gone\.txt: No such file"),
        ({"outlined": []}, "no boxes to train on below .*: name sources under data:"),
        (
            {"outlined": [{"annotations": "gone.json", "images": "images"}]},
            r"cannot read .*gone\.json",
        ),
        (
            {"outlined": [{"annotations": "wrong.json", "images": "images"}]},
            r"wide\.png has 70 x 48 pixels, its masks 64 x 48",
        ),
    ],
)
def test_data_that_cannot_be_used_are_refused(
    root: Path, data: dict[str, object], message: str
) -> None:
    (root / "names.txt").write_text("port.png\ngone.png\n")
    wide = root / "wide"
    write_dataset(wide, [SHORE._replace(image="wide.png")])
    (wide / "instances.json").rename(root / "wrong.json")
    Image.new("RGB", (70, 48)).save(root / "images" / "wide.png")
    config = RegionDataConfig.model_validate({"outlined": [OUTLINED.model_dump()]} | data)
    with pytest.raises(DatasetError, match=message):
        load_images(config, root, root)


def test_a_missing_image_and_a_wrong_record_are_named(root: Path) -> None:
    (root / "images" / "lonely.png").unlink()
    with pytest.raises(ImageReadError, match=r"lonely\.png"):
        load_images(RegionDataConfig(outlined=(OUTLINED,)), root)
    lines = (root / "records.jsonl").read_text().splitlines()
    (root / "records.jsonl").write_text("\n".join([lines[0], lines[1].replace('"box"', '"bux"')]))
    with pytest.raises(RecordError, match=r"records\.jsonl.*2"):
        load_images(RegionDataConfig(records=(RECORDS,)), root)


def test_images_whose_every_box_is_held_out_leave_nothing_to_train_on(root: Path) -> None:
    (root / "all.txt").write_text("\n".join(image.image for image in OUTLINES))
    data = RegionDataConfig(outlined=(OUTLINED,), held_out=root / "all.txt")
    with pytest.raises(DatasetError, match="no boxes to train on"):
        load_images(data, root)
