"""COCO instances: boxes and masks without text, so that captions are written by rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from skycue.data.instances import read_coco
from skycue.data.regions import RegionRecord, records_from_instances


def import_coco(path: Path, mode: Literal["region", "image"] = "region") -> Iterator[RegionRecord]:
    """Write rule-made records of the objects of a COCO instances file.

    Args:
        path: The file; its name becomes the source of the records.
        mode: A record of each object, or of each image.

    Raises:
        DatasetError: If the file is no COCO instances file.
        CaptionError: If the name of a class cannot stand in a sentence.
    """
    return records_from_instances(read_coco(path), f"rules:{path.stem}", mode)
