"""From what the region model answers on a window to what is kept of it on the raster."""

from datetime import UTC, datetime

from pydantic import JsonValue

from skycue.answers import Answer, AnswerPhrase
from skycue.box_windows import ShownWindow
from skycue.boxes import Box
from skycue.geo.areas import area_m2
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask
from skycue.geo.rings import Rings, bounds_of, outline_of, rings_of
from skycue.geo.vectors import feature_json
from skycue.service.names import new_id
from skycue.service.records import AnswerRecord, PhraseView


def record_of(
    answer: Answer,
    shown: ShownWindow,
    georeference: GeoReference | None,
    *,
    raster: str,
    box_id: str,
    box: Box,
) -> AnswerRecord:
    """Return what is kept of an answer.

    Args:
        answer: In pixels of the window as it was shown.
        shown: The window, and the size that it was read at.
        georeference: Where the raster lies, or None.
        raster: Its id.
        box_id: As the request named the box.
        box: In pixels of the raster.
    """
    return AnswerRecord(
        id=new_id("a"),
        raster=raster,
        box_id=box_id,
        name=None,
        box=box,
        caption=answer.caption,
        phrases=tuple(_phrase_of(phrase, shown, georeference) for phrase in answer.phrases),
        prompted=answer.prompted,
        flags=answer.flags,
        model=answer.model,
        windows=tuple(_to_raster(window, shown) for window in answer.windows),
        window=tuple(shown.window),
        scale=shown.scale,
        created_at=datetime.now(UTC),
    )


def placed(phrase: PhraseView, rings: Rings, georeference: GeoReference | None) -> PhraseView:
    """Return a phrase with another outline, and with all that follows from it."""
    geometry: JsonValue = None
    area: float | None = None
    if georeference is not None and rings:
        outline = outline_of(rings)
        feature, _ = feature_json(outline, {}, georeference)
        geometry, area = feature["geometry"], area_m2(outline, georeference)
    return phrase.model_copy(
        update={
            "outline": rings,
            "box": bounds_of(rings),
            "outline_wgs84": geometry,
            "area_m2": area,
        }
    )


def _phrase_of(
    phrase: AnswerPhrase, shown: ShownWindow, georeference: GeoReference | None
) -> PhraseView:
    rings: Rings = []
    if phrase.mask is not None:
        outline = outline_mask(phrase.mask.pixels, phrase.mask.corner)
        rings = [
            [[_point_on_raster(point, shown) for point in ring] for ring in polygon]
            for polygon in rings_of(outline)
        ]
    view = PhraseView(
        text=phrase.text,
        name=None,
        span=phrase.span,
        class_name=phrase.class_name,
        class_score=phrase.class_score,
        score=phrase.score,
        box=None,
        outline=[],
        outline_wgs84=None,
        area_m2=None,
    )
    return placed(view, rings, georeference)


def _point_on_raster(point: tuple[float, float], shown: ShownWindow) -> tuple[float, float]:
    """Bring a point from pixels that were shown to pixels of the raster."""
    (height, width), window = shown.size, shown.window
    return (
        window.x + point[0] * window.width / width,
        window.y + point[1] * window.height / height,
    )


def _to_raster(box: Box, shown: ShownWindow) -> Box:
    corners = _point_on_raster(box[:2], shown), _point_on_raster(box[2:], shown)
    return (*corners[0], *corners[1])
