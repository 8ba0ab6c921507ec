"""The files that answers to boxes on a raster are kept in: all files of one, or one file for all.

An answer alone is a folder with a picture. Thousands are one file a kind: `answers.jsonl`, the
features, `masks.json` (COCO) and `item.json` (STAC), which says of what raster they are, and by
which model.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from skycue.files import replacing, write_atomically
from skycue.geo.feature_files import Feature, write_features
from skycue.geo.stac import SourceRaster, UsedModel, write_stac_item
from skycue.raster_answers import RasterAnswer, coco_of
from skycue.region_inputs import DescribedRaster

ANSWER_FILE = "answer.json"
MASKS_FILE = "masks.json"
PICTURE_FILE = "overlay.png"
FEATURES_FILE = "features.geojson"
"""Names of the files that `write_answer` writes."""
ANSWERS_FILE = "answers.jsonl"
ITEM_FILE = "item.json"
"""A line of JSON for each of many answers, and the STAC Item of all files of `write_answers`."""

FeatureKind = Literal["parquet", "gpkg", "geojson"]


class Written(NamedTuple):
    """What `write_answers` has written.

    Attributes:
        boxes: Answers.
        windows: Windows that they were given on.
        phrases: Phrases of all answers.
        masks: Phrases that have pixels.
        flagged: Answers with a doubt.
    """

    boxes: int
    windows: int
    phrases: int
    masks: int
    flagged: int


def write_answer(folder: Path, answer: RasterAnswer, raster: DescribedRaster) -> None:
    """Write `answer.json`, `masks.json`, `overlay.png` and, with a place, `features.geojson`.

    Picture and masks are of the window that the model saw.

    Args:
        folder: Where to write; made if absent, files of these names are replaced.
        answer: What to write.
        raster: What it is about.

    Raises:
        GeoError: If the raster's CRS cannot be brought to WGS 84; nothing is written then.
    """
    if raster.georeference is not None:
        write_features(folder / FEATURES_FILE, answer.to_features(), raster.georeference)
    coco = answer.answer.to_coco()
    shown = raster.read(answer.shown.window, answer.shown.size).pixels
    content: dict[str, bytes | str] = {
        ANSWER_FILE: answer.to_json() + "\n",
        MASKS_FILE: json.dumps(coco, ensure_ascii=False) + "\n",
        PICTURE_FILE: answer.answer.draw(np.ascontiguousarray(shown)),
    }
    for name, data in content.items():
        write_atomically(folder / name, data)


def features_file(folder: Path, kind: FeatureKind) -> Path:
    """Return where `write_answers` writes features."""
    return folder / f"features.{kind}"


def write_answers(
    folder: Path,
    answers: Iterable[RasterAnswer],
    raster: DescribedRaster,
    model: UsedModel,
    kind: FeatureKind = "parquet",
    *,
    out_crs: str | None = None,
) -> Written:
    """Write many answers: `answers.jsonl`, `masks.json`, `item.json`, and the features on a map.

    Each file appears when it is complete; one of its name is replaced.

    Args:
        folder: Where to write; made if absent.
        answers: Of one raster; each is written as it comes.
        raster: What they are about; without a place on the ground it has no features.
        model: What gave them.
        kind: Of the file of features.
        out_crs: CRS of the features, in place of the raster's.

    Raises:
        GeoError: If an outline cannot be brought to the CRS asked for.
    """
    kept: list[RasterAnswer] = []
    features: list[Feature] = []
    with replacing(folder / ANSWERS_FILE) as partial, partial.open("w", encoding="utf-8") as file:
        for answer in answers:
            file.write(answer.to_json() + "\n")
            kept.append(answer)
            features += answer.to_features()
    coco = json.dumps(coco_of(kept, model.name), ensure_ascii=False)
    write_atomically(folder / MASKS_FILE, coco + "\n")
    assets = {"answers": folder / ANSWERS_FILE, "masks": folder / MASKS_FILE}
    if raster.georeference is not None:
        assets["features"] = features_file(folder, kind)
        write_features(assets["features"], features, raster.georeference, out_crs=out_crs)
    write_stac_item(
        folder / ITEM_FILE,
        assets,
        source=SourceRaster(raster.path.name, raster.sha256(), raster.size, raster.georeference),
        model=model,
        created=datetime.now(UTC),
    )
    return Written(
        boxes=len(kept),
        windows=len({answer.shown for answer in kept}),
        phrases=len(features),
        masks=sum(feature.outline is not None for feature in features),
        flagged=sum(bool(answer.answer.flags) for answer in kept),
    )
