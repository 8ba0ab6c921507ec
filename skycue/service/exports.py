"""Answers of a raster as files that others read."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from skycue.answers import AnswerPhrase
from skycue.boxes import xyxy_to_xywh
from skycue.data.mask_crops import MaskCrop
from skycue.errors import GeoError
from skycue.files import write_atomically
from skycue.geo.feature_files import Feature, write_features
from skycue.geo.raster import Raster
from skycue.geo.rings import outline_of, pixels_of
from skycue.geo.tiles import PixelWindow
from skycue.raster_answers import phrase_properties
from skycue.service.answer_picture import draw_answers
from skycue.service.records import AnswerFormat, AnswerRecord, PhraseView

UNNAMED = "region"
"""Category of what has neither a name nor a class."""
PICTURE_SIDE = 2048
"""Pixels along the longer side of a picture."""


SUFFIX_OF: dict[AnswerFormat, str] = {
    "geojson": ".geojson",
    "parquet": ".parquet",
    "gpkg": ".gpkg",
    "coco": ".json",
    "png": ".png",
}


def export_answers(
    path: Path,
    file_format: AnswerFormat,
    answers: Sequence[AnswerRecord],
    raster: Raster,
    *,
    name: str,
) -> None:
    """Write answers as a file.

    Args:
        path: Where; its suffix is that of the format.
        file_format: Which.
        answers: All about the raster.
        raster: What they are about.
        name: Of the raster, as its owner calls it.

    Raises:
        GeoError: If map coordinates are asked for and the raster has none.
    """
    if file_format == "coco":
        content = to_coco(answers, raster.size, name)
        write_atomically(path, json.dumps(content, ensure_ascii=False) + "\n")
    elif file_format == "png":
        height, width = raster.size
        shrink = max(1.0, max(height, width) / PICTURE_SIDE)
        size = (max(1, round(height / shrink)), max(1, round(width / shrink)))
        pixels = raster.read(PixelWindow.whole(raster.size), size).pixels
        write_atomically(path, draw_answers(pixels, answers, shrink))
    elif raster.georeference is None:
        raise GeoError(
            f"{name!r} has no place on the ground, so there are no map coordinates to write: take "
            "the formats coco or png."
        )
    else:
        write_features(path, features_of(answers, name), raster.georeference)


def features_of(answers: Sequence[AnswerRecord], image: str) -> list[Feature]:
    """Return a feature for each phrase; without an outline where it has no mask.

    They say what those of `skycue describe` say, and `answer` and `name`, the id of the answer and
    what a user named it. A renamed phrase has its new name.

    Args:
        answers: All about a raster.
        image: What its owner calls it.
    """
    return [
        Feature(
            outline_of(phrase.outline) if phrase.outline else None,
            {
                **phrase_properties(
                    _said(phrase),
                    box_id=answer.box_id,
                    is_prompted=number == answer.prompted,
                    area_m2=phrase.area_m2,
                    caption=answer.caption,
                    flags=answer.flags,
                    image=image,
                    model=answer.model,
                    window=answer.window,
                    scale=answer.scale,
                ),
                "answer": answer.id,
                "name": answer.name,
            },
        )
        for answer in answers
        for number, phrase in enumerate(answer.phrases)
    ]


def _said(phrase: PhraseView) -> AnswerPhrase:
    """Return a kept phrase as the model said it, but for its name."""
    return AnswerPhrase(
        text=phrase.name or phrase.text,
        span=phrase.span,
        mask=None,  # features have the kept outline, which may have been changed
        score=phrase.score,
        class_name=phrase.class_name,
        class_score=phrase.class_score,
    )


def to_coco(
    answers: Sequence[AnswerRecord], size: tuple[int, int], name: str
) -> dict[str, JsonValue]:
    """Return the masks as a COCO file; phrases without pixels are left out."""
    phrases = [
        (answer, number, phrase)
        for answer in answers
        for number, phrase in enumerate(answer.phrases)
        if phrase.outline
    ]
    names = sorted({phrase.class_name or UNNAMED for _, _, phrase in phrases})
    annotations: list[JsonValue] = []
    for answer, number, phrase in phrases:
        crop, corner = pixels_of(phrase.outline)
        mask = MaskCrop.of(crop, corner, size)
        if mask.box is None:
            continue
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": 1,
                "category_id": names.index(phrase.class_name or UNNAMED) + 1,
                "segmentation": mask.to_rle().model_dump(mode="json"),
                "area": int(np.count_nonzero(mask.pixels)),
                "bbox": list(xyxy_to_xywh(mask.box)),
                "iscrowd": 0,
                "score": phrase.score,
                "phrase": phrase.name or phrase.text,
                "prompted": number == answer.prompted,
                "box_id": answer.box_id,
                "caption": answer.caption,
            }
        )
    categories: list[JsonValue] = [
        {"id": number, "name": category} for number, category in enumerate(names, start=1)
    ]
    image: JsonValue = {"id": 1, "file_name": name, "height": size[0], "width": size[1]}
    return {"images": [image], "annotations": annotations, "categories": categories}
