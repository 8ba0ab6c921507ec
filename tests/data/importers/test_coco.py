"""COCO instances: polygons, coded and plain run lengths, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from skycue.data.importers.coco import import_coco
from skycue.data.instances import read_coco
from skycue.data.rle import encode_mask
from skycue.errors import DatasetError

SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]
PLAIN = {"size": [100, 120], "counts": [4000 + 40, 10, 90, 10, 7850]}


def coded(x: int, y: int) -> dict[str, object]:
    """A square of 10 pixels, as coded run lengths."""
    mask = np.zeros((100, 120), dtype=np.bool_)
    mask[y : y + 10, x : x + 10] = True
    return {"size": [100, 120], "counts": encode_mask(mask).counts}


def write(tmp_path: Path, *shapes: object, **changed: object) -> Path:
    """A file of one image with objects of these shapes; `changed` goes into the last one."""
    annotations: list[dict[str, object]] = [
        {"id": n, "image_id": 5, "category_id": 2, "segmentation": shape, "iscrowd": 0}
        for n, shape in enumerate(shapes)
    ]
    if changed:
        annotations[-1].update(changed)
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 120, "height": 100}],
        "categories": [{"id": 2, "name": "storage_tank"}],
        "annotations": annotations,
    }
    path = tmp_path / "instances_train.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_all_three_kinds_of_masks_are_read(tmp_path: Path) -> None:
    (image,) = read_coco(write(tmp_path, SQUARE, coded(50, 60), PLAIN))
    boxes = [instance.box for instance in image.instances]
    assert boxes == [(10, 10, 30, 30), (50, 60, 60, 70), (40, 40, 42, 50)]
    assert {instance.class_name for instance in image.instances} == {"storage tank"}


def test_records_are_written_by_rules_and_name_the_file(tmp_path: Path) -> None:
    records = list(import_coco(write(tmp_path, SQUARE, coded(50, 60))))
    assert [record.source for record in records] == ["rules:instances_train"] * 2
    assert records[1].caption == "In the middle of the image is a storage tank."
    (whole,) = import_coco(write(tmp_path, SQUARE, coded(50, 60)), "image")
    assert whole.caption == "This image contains two storage tanks."


def test_crowd_regions_are_no_objects(tmp_path: Path) -> None:
    (image,) = read_coco(write(tmp_path, SQUARE, PLAIN, iscrowd=1))
    assert len(image.instances) == 1


@pytest.mark.parametrize(
    ("shape", "changed", "message"),
    [
        ({"size": [100, 120], "counts": [5]}, {}, "annotation 0 has a mask that cannot be read"),
        ({"size": [100, 120], "counts": "5"}, {}, "coded runs do not fill 100 x 120"),
        ({"size": [10, 12], "counts": [120]}, {}, r"a mask of \(10, 12\), its image is"),
        ({"size": [100, 120], "counts": [12000]}, {}, "has an empty mask"),
        (SQUARE, {"image_id": 9}, "names image 9, which is not listed"),
        (SQUARE, {"category_id": 9}, "names category 9"),
        ("square", {}, "no COCO instances file"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_annotation(
    shape: object, changed: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_coco(write(tmp_path, shape, **changed))
