"""What the server knows of rasters, jobs, models, maps, labels and answers; users see it as JSON.

All boxes and outlines are in pixels of the raster as it was given; where it has a place on the
ground, outlines stand a second time in longitude and latitude.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from skycue.boxes import Box
from skycue.geo.raster_facts import TileGrid

JobKind = Literal["prepare", "fit", "classify"]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]
RasterStatus = Literal["preparing", "ready", "failed"]
AnswerFormat = Literal["geojson", "parquet", "gpkg", "coco", "png"]
MapFormat = Literal["geojson", "parquet", "gpkg", "cog", "png"]

RASTER_EXAMPLE: dict[str, JsonValue] = {
    "id": "r_3q2-7wAbCdEfGhIj",
    "name": "rotterdam_tanks.tif",
    "status": "ready",
    "error": None,
    "job": None,
    "is_shared": False,
    "bytes": 401203,
    "height": 400,
    "width": 400,
    "bands": 3,
    "band_names": ["red", "green", "blue"],
    "shown_bands": [1, 2, 3],
    "dtype": "uint8",
    "crs": "EPSG:32631",
    "gsd_m": 0.5,
    "bounds_wgs84": [4.3501, 51.8831, 4.3530, 51.8849],
    "grids": [
        {
            "grid": "pixels",
            "min_zoom": 0,
            "max_zoom": 1,
            "tile_size": 256,
            "extent": [0.0, 0.0, 400.0, 400.0],
        }
    ],
    "created_at": "2026-11-30T12:00:00Z",
}
JOB_EXAMPLE: dict[str, JsonValue] = {
    "id": "j_9sX0aBcDeFgHiJkL",
    "kind": "fit",
    "status": "running",
    "progress": 0.4,
    "message": "epoch 4 of 10",
    "raster": "r_3q2-7wAbCdEfGhIj",
    "result": None,
    "error": None,
    "created_at": "2026-11-30T12:00:00Z",
    "finished_at": None,
}
MODEL_EXAMPLE: dict[str, JsonValue] = {
    "id": "m_5tY1aBcDeFgHiJkL",
    "name": "harbours",
    "method": "linear-probe",
    "classes": ["quay", "water"],
    "n_labels": 12,
    "is_shared": False,
    "created_at": "2026-11-30T12:00:00Z",
}
MAP_EXAMPLE: dict[str, JsonValue] = {
    "id": "c_7uZ2aBcDeFgHiJkL",
    "raster": "r_3q2-7wAbCdEfGhIj",
    "model": "m_5tY1aBcDeFgHiJkL",
    "classes": [{"name": "quay", "colour": "#1f77b4"}, {"name": "water", "colour": "#ff7f0e"}],
    "window": 64,
    "stride": 32,
    "size": [13, 13],
    "n_windows": 169,
    "n_skipped": 0,
    "created_at": "2026-11-30T12:00:00Z",
}
ANSWER_EXAMPLE: dict[str, JsonValue] = {
    "id": "a_1vA3aBcDeFgHiJkL",
    "raster": "r_3q2-7wAbCdEfGhIj",
    "box_id": "first",
    "name": None,
    "box": [166.0, 271.0, 262.0, 346.0],
    "caption": "A storage tank is at the bottom of the image.",
    "phrases": [
        {
            "text": "A storage tank",
            "name": None,
            "span": [0, 14],
            "class_name": None,
            "class_score": None,
            "score": 0.93,
            "box": [170.0, 275.0, 258.0, 342.0],
            "outline": [[[[170.0, 275.0], [258.0, 275.0], [258.0, 342.0], [170.0, 275.0]]]],
            "outline_wgs84": None,
            "area_m2": None,
        }
    ],
    "prompted": 0,
    "flags": [],
    "model": "mini@0123456789ab",
    "windows": [[118.0, 212.0, 310.0, 404.0]],
    "window": [0, 0, 400, 400],
    "scale": 1.0,
    "created_at": "2026-11-30T12:00:00Z",
}


class Record(BaseModel):
    """Base of what is shown: frozen, with no other fields than those named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RasterRecord(Record):
    """A raster that can be looked at, asked about and classified."""

    model_config = ConfigDict(json_schema_extra={"example": RASTER_EXAMPLE})

    id: str
    name: str
    """As its owner calls it; shown, never used as a path."""
    status: RasterStatus
    error: str | None = None
    """What is wrong with it, where its status is `failed`."""
    job: str | None = None
    """The job that prepares it, while that runs."""
    is_shared: bool
    """It was given on the command line: everybody sees it, nobody deletes it."""
    bytes: int
    height: int | None = None
    """In pixels; like what follows it is known once the status is `ready`."""
    width: int | None = None
    bands: int | None = None
    band_names: tuple[str, ...] = ()
    """Of each band what the file calls it, or nothing."""
    shown_bands: tuple[int, ...] | None = None
    """The one (grey) or three (red, green, blue) that tiles and models see, counted from 1."""
    dtype: str | None = None
    crs: str | None = None
    gsd_m: float | None = None
    """Metres a pixel in its middle."""
    bounds_wgs84: tuple[float, float, float, float] | None = None
    """West, south, east, north; west exceeds east across the antimeridian."""
    grids: tuple[TileGrid, ...] = ()
    created_at: datetime


class Problem(Record):
    """What went wrong, in words for a user."""

    type: str
    message: str


class JobRecord(Record):
    """Work that takes longer than a request."""

    model_config = ConfigDict(json_schema_extra={"example": JOB_EXAMPLE})

    id: str
    kind: JobKind
    status: JobStatus
    progress: float = Field(ge=0, le=1)
    message: str
    raster: str | None
    result: str | None
    """Id of the raster, model or map that it made, once it is done."""
    error: Problem | None
    created_at: datetime
    finished_at: datetime | None


class ModelRecord(Record):
    """A scene classifier: fitted to labelled boxes, or given on the command line."""

    model_config = ConfigDict(json_schema_extra={"example": MODEL_EXAMPLE})

    id: str
    name: str
    method: str
    classes: tuple[str, ...]
    n_labels: int
    """Images that it has learned from."""
    is_shared: bool
    created_at: datetime


class MapClass(Record):
    """A class of a map and the colour that its tiles and its legend have."""

    name: str
    colour: str
    """#rrggbb."""


class MapRecord(Record):
    """A classified raster."""

    model_config = ConfigDict(json_schema_extra={"example": MAP_EXAMPLE})

    id: str
    raster: str
    model: str
    classes: tuple[MapClass, ...]
    window: int
    stride: int
    size: tuple[int, int]
    """(height, width) in cells; a cell is `stride` pixels a side."""
    n_windows: int
    n_skipped: int
    """Cells without any valid pixel, which have no class."""
    created_at: datetime


class LabelRecord(Record):
    """A box that a user gave a class."""

    id: str
    box: Box
    class_name: str


class PhraseView(Record):
    """Words of a caption and what they stand for on the raster."""

    text: str
    name: str | None
    """What a user renamed it to."""
    span: tuple[int, int]
    """First character in the caption, and the one after the last."""
    class_name: str | None
    class_score: float | None
    score: float
    """How sure the model is of the mask, in [0, 1]."""
    box: Box | None
    """Tight around the mask; None where there is none."""
    outline: list[list[list[tuple[float, float]]]]
    """Of the mask: polygons, each an exterior ring and its holes; in pixels."""
    outline_wgs84: JsonValue
    """The same as a GeoJSON geometry, or null."""
    area_m2: float | None


class AnswerRecord(Record):
    """What the region model says of a box, with what a user changed."""

    model_config = ConfigDict(json_schema_extra={"example": ANSWER_EXAMPLE})

    id: str
    raster: str
    box_id: str
    """As the request named the box."""
    name: str | None
    """What a user named the answer."""
    box: Box
    caption: str
    phrases: tuple[PhraseView, ...]
    prompted: int | None
    """Which phrase is the object in the box."""
    flags: tuple[str, ...]
    """What is doubtful, in words."""
    model: str
    windows: tuple[Box, ...]
    """What the model looked at around the box, in pixels of the raster."""
    window: tuple[int, int, int, int] | None = None
    """The part of the raster that stood for the image: x, y, width, height; None where merged
    answers are of several."""
    scale: float | None = None
    """Pixels of the raster along a pixel that was shown; None like `window`."""
    created_at: datetime
