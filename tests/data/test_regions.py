"""Region records: what is written reads back, and what is wrong is told by line and field."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from skycue.data.instances import Instance, InstanceImage
from skycue.data.regions import (
    RegionRecord,
    instances_of_records,
    read_records,
    records_from_instances,
    write_records,
)
from skycue.data.rle import decode_mask
from skycue.errors import CaptionError, RecordError

IMAGE = InstanceImage(
    "tiles/a.png",
    (60, 90),
    (
        Instance("ship", (10, 10), np.array([[1, 1, 0], [0, 1, 1]], dtype=np.bool_)),
        Instance("ship", (15, 10), np.ones((2, 3), dtype=np.bool_)),
        Instance("bridge", (50, 40), np.ones((10, 30), dtype=np.bool_)),
    ),
)
EMPTY = InstanceImage("tiles/b.png", (60, 90), ())


def fields() -> dict[str, object]:
    """A right record of the first ship, as JSON has it."""
    first = next(records_from_instances([IMAGE], "rules"))
    return cast("dict[str, object]", json.loads(first.model_dump_json()))


def phrase(**changed: object) -> list[dict[str, object]]:
    """The record's phrases with the first one changed."""
    phrases = cast("list[dict[str, object]]", fields()["phrases"])
    return [{**phrases[0], **changed}, *phrases[1:]]


def test_each_object_gets_a_record_with_its_tight_box_and_mask() -> None:
    records = tuple(records_from_instances([EMPTY, IMAGE], "rules"))
    assert [record.box for record in records] == [
        (10.0, 10.0, 13.0, 12.0),
        (15.0, 10.0, 18.0, 12.0),
        (50.0, 40.0, 80.0, 50.0),
    ]
    ship = records[0]
    assert ship.prompted == 0
    assert [ship.words(each) for each in ship.phrases] == ["a ship", "Another ship"]
    for each, index in zip(ship.phrases, (0, 1), strict=True):
        mask = IMAGE.instances[index].mask(IMAGE.size)
        np.testing.assert_array_equal(decode_mask(each.masks[0]), mask)


def test_a_whole_image_is_one_record_and_groups_own_all_their_masks() -> None:
    (record,) = records_from_instances([EMPTY, IMAGE], "rules", "image")
    assert record.box == (0.0, 0.0, 90.0, 60.0)
    assert record.prompted is None
    assert record.caption == "The image shows two ships and a bridge in the lower right."
    assert [len(each.masks) for each in record.phrases] == [2, 1]
    union = np.logical_or(*(ship.mask(IMAGE.size) for ship in IMAGE.instances[:2]))
    np.testing.assert_array_equal(record.phrases[0].mask(), union)


def test_written_records_read_back_equal(tmp_path: Path) -> None:
    records = tuple(records_from_instances([IMAGE], "rules"))
    write_records(tmp_path / "new" / "records.jsonl", records)
    assert read_records(tmp_path / "new" / "records.jsonl") == records


def test_objects_of_records_are_the_objects_they_came_from() -> None:
    (image,) = instances_of_records(records_from_instances([IMAGE], "rules"))
    assert (image.image, image.size) == (IMAGE.image, IMAGE.size)
    for found, given in zip(image.instances, IMAGE.instances, strict=True):
        assert (found.class_name, found.corner) == (given.class_name, given.corner)
        np.testing.assert_array_equal(found.crop, given.crop)


def test_records_of_whole_images_have_no_objects() -> None:
    (image,) = instances_of_records(records_from_instances([IMAGE], "rules", "image"))
    assert image.instances == ()


def test_two_sizes_of_one_image_are_refused() -> None:
    one = next(records_from_instances([IMAGE], "rules"))
    other = next(records_from_instances([IMAGE._replace(size=(61, 90))], "rules"))
    with pytest.raises(RecordError, match=r"tiles/a.png two sizes: \(60, 90\) and \(61, 90\)"):
        instances_of_records([one, other])


def test_a_class_name_that_breaks_sentences_is_refused() -> None:
    odd = IMAGE._replace(instances=(IMAGE.instances[0]._replace(class_name="ship, old"),))
    with pytest.raises(CaptionError, match="'ship, old' cannot stand in a sentence"):
        list(records_from_instances([odd], "rules"))


MASK = {"size": [60, 90], "counts": "2"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": ""}, "image: String should have at least 1 character"),
        ({"size": [0, 90]}, "size: .* has no pixels"),
        ({"box": [10, 10, 10, 12]}, "box: .* has no area: x_max must exceed x_min"),
        ({"box": [100, 10, 110, 12]}, "box: .* lies outside the image of 90 x 60"),
        ({"box": [1, 2, 3]}, r"box\.3: Field required"),
        ({"prompted": 2}, "prompted: 2, of 2 phrases"),
        ({"mask": 1}, "mask: Extra inputs are not permitted"),
        ({"phrases": phrase(span=[0, 300])}, r"phrases\.0\.span: 0 to 300 is no part"),
        ({"phrases": phrase(span=[4, 4])}, r"phrases\.0\.span: 4 to 4 is no part"),
        ({"phrases": phrase(span=[5, 6])}, r"phrases\.0\.span: 5 to 6 holds no words"),
        ({"phrases": phrase()[::-1]}, r"phrases\.1\.span: starts at 9, before"),
        ({"phrases": phrase(masks=[])}, r"phrases\.0\.masks: Tuple should have at least 1 item"),
        ({"phrases": phrase(masks=[MASK])}, r"phrases\.0\.masks\.0: run lengths do not fill"),
        (
            {"phrases": phrase(masks=[{**MASK, "size": [60, 91]}])},
            r"phrases\.0\.masks\.0: size \(60, 91\), the image is \(60, 90\)",
        ),
        (
            {"phrases": phrase(masks=[{**MASK, "counts": "hX5"}])},
            "prompted: phrase 0 has an empty mask",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_field(
    changed: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    lines = [json.dumps(fields()), "", json.dumps({**fields(), **changed})]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RecordError, match=rf"records\.jsonl: 1 wrong lines: line 3: {message}"):
        read_records(path)


def test_all_wrong_lines_are_told_up_to_ten(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("{}\n" * 12, encoding="utf-8")
    with pytest.raises(RecordError, match=r"12 wrong lines: line 1: .*line 10: .*; and 2 more"):
        read_records(path)


def test_a_file_that_is_absent_empty_or_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with pytest.raises(RecordError, match="captions-from-instances"):
        read_records(path)
    path.write_bytes(b"\n")
    with pytest.raises(RecordError, match="holds no records"):
        read_records(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match=r"not UTF-8 text \(byte 0\)"):
        read_records(path)


def test_records_do_not_change() -> None:
    record = RegionRecord.model_validate(fields())
    with pytest.raises(ValueError, match="frozen"):
        record.caption = "A ship."  # type: ignore[misc]
