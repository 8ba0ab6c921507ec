"""What requests hold and what is answered beside the records of `skycue.service.records`.

The routes, all below `/v1`, with `Authorization: Bearer TOKEN` where the server wants tokens:

    GET    /health                                          no token
    GET    /server                                          models, limits, bytes in use
    POST   /uploads                      UploadRequest      -> UploadView
    GET    /uploads/{id}                                    -> UploadView: go on at `received`
    PUT    /uploads/{id}?offset=N        bytes              -> UploadView
    POST   /uploads/{id}/finish                             -> RasterRecord
    DELETE /uploads/{id}
    GET    /rasters, /rasters/{id}                          -> RasterRecord(s)
    DELETE /rasters/{id}
    PUT    /rasters/{id}/bands           BandsRequest       -> RasterRecord: shows others
    GET    /rasters/{id}/position?x=&y=                     -> PositionView: a pixel on the ground
    GET    /rasters/{id}/tiles/{grid}/{z}/{x}/{y}.png       a tile
    POST   /describe                     DescribeRequest    -> AnswerRecord(s)
    POST   /describe/stream              DescribeRequest    -> server-sent events, see below
    GET    /rasters/{id}/answers                            -> AnswerRecord(s)
    GET    /rasters/{id}/answers/export?format=             geojson, parquet, gpkg, coco, png
    POST   /rasters/{id}/edits           EditRequest        -> EditView
    GET    /rasters/{id}/labels                             -> LabelRecord(s)
    PUT    /rasters/{id}/labels          LabelsRequest      -> LabelRecord(s); replaces them all
    POST   /fit                          FitRequest         -> JobRecord; its result is a model
    GET    /models, /models/{id}                            -> ModelRecord(s)
    DELETE /models/{id}
    POST   /classify                     ClassifyRequest    -> JobRecord; its result is a map
    GET    /maps?raster=, /maps/{id}                        -> MapRecord(s)
    DELETE /maps/{id}
    GET    /maps/{id}/tiles/{grid}/{z}/{x}/{y}.png?classes=0,2   a tile in the colours of the legend
    GET    /maps/{id}/export?format=                        geojson, parquet, gpkg, cog, png
    GET    /jobs, /jobs/{id}                                -> JobRecord(s)
    POST   /jobs/{id}/cancel                                -> JobRecord

A mistake is answered by 4xx and `ErrorView`; what belongs to another token is 404. Events of
`/describe/stream`, `data` in JSON:

    event: token    {"box_id": "first", "caption": "A storage tank is"}    the text so far
    event: answer   AnswerRecord                                           one a box; it is kept
    event: error    {"box_id": "first", "error": {"type": ..., "message": ...}}
    event: done     {"answers": 2}

Work that a request has begun is finished though its client goes away: `/rasters/{id}/answers` has
its answers then.
"""

from collections import Counter
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from skycue.boxes import Box
from skycue.service.records import AnswerRecord, Problem

MAX_BOXES = 1000
"""Boxes of one request, and labels of one raster."""
MAX_NAME = 200
"""Characters of a name."""
MAX_QUESTION = 500
"""Characters of a question."""

T = TypeVar("T", str, int)
ID_PATTERN = r"^[a-z]_[A-Za-z0-9_-]{8,40}$"
NAME_PATTERN = r"^[^\x00-\x1f\x7f]+$"
CRS_PATTERN = r"^(pixels|[A-Za-z]{2,10}:\d{1,8})$"
Identifier = Annotated[str, Field(pattern=ID_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=NAME_PATTERN)]
Method = Literal[
    "zero-shot",
    "linear-probe",
    "tip-adapter",
    "tip-adapter-f",
    "clip-adapter",
    "coop",
    "kgcoop",
    "prograd",
    "cocoop",
    "bimors",
    "vpt",
    "maple",
    "promptsrc",
    "applenet",
    "stylip",
    "c-saw",
    "regional",
]
"""All of `skycue.scenes.registry.METHODS`, which is too heavy to import here."""


class Request(BaseModel):
    """Base of what a client sends: other fields than those named are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ErrorView(BaseModel):
    """Every answer of 4xx and 5xx."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": {
                    "type": "BoxError",
                    "message": "box [40, 10, 30, 50] has no area: x_max must exceed x_min.",
                }
            }
        }
    )

    error: Problem


class Health(BaseModel):
    """Whether the server answers, and whether it wants a token."""

    status: Literal["ok"] = "ok"
    version: str
    needs_token: bool


class Limits(BaseModel):
    """What is refused beyond."""

    max_upload_bytes: int
    chunk_bytes: int
    max_pixels: int
    max_bands: int
    max_boxes: int = MAX_BOXES
    quota_bytes: int


class ServerView(BaseModel):
    """What this server offers to the one who asks."""

    version: str
    region_model: str
    methods: tuple[str, ...]
    limits: Limits
    used_bytes: int
    """Of the quota."""


class PositionView(BaseModel):
    """Where a pixel of a raster lies on the ground."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "longitude": 4.1473,
                "latitude": 51.9382,
                "crs": "EPSG:32631",
                "map_x": 578884.6,
                "map_y": 5754634.3,
            }
        }
    )

    longitude: float
    """Degrees east, WGS 84."""
    latitude: float
    """Degrees north."""
    crs: str
    """Of the raster."""
    map_x: float
    """In units of that CRS, as GIS programs order its axes: east, or longitude, first."""
    map_y: float


class UploadRequest(Request):
    """A file that is about to be sent."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "rotterdam_tanks.tif", "bytes": 401203}}
    )

    name: Name
    bytes: int = Field(gt=0)
    """Of the whole file."""


class BandsRequest(Request):
    """Which bands of a raster are shown."""

    model_config = ConfigDict(json_schema_extra={"example": {"bands": [4, 3, 2]}})

    bands: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=3)
    """Counted from 1: one for grey, or three for red, green, blue."""


class UploadView(BaseModel):
    """How much of an upload has arrived; the next chunk begins at `received`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "u_2wB4aBcDeFgHiJkL",
                "name": "rotterdam_tanks.tif",
                "bytes": 401203,
                "received": 0,
                "chunk_bytes": 8388608,
            }
        }
    )

    id: str
    name: str
    bytes: int
    received: int
    chunk_bytes: int
    """Size of a chunk, but the last."""


class AskedBox(Request):
    """A box with a name of the client's choice."""

    box_id: Annotated[str, Field(min_length=1, max_length=64)] = "box"
    box: Box


class DescribeRequest(Request):
    """Boxes on a raster that are to be described."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "raster": "r_3q2-7wAbCdEfGhIj",
                "boxes": [{"box_id": "first", "box": [166, 271, 262, 346]}],
            }
        }
    )

    raster: Identifier
    boxes: list[AskedBox] = Field(min_length=1, max_length=MAX_BOXES)
    crs: Annotated[str, Field(max_length=40, pattern=CRS_PATTERN)] = "pixels"
    """Of the boxes: `pixels` of the raster, or an authority's code such as EPSG:4326, in which
    boxes are west, south, east, north."""
    ask: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION)] | None = None
    """A question in place of the model's own, for models that take any."""


class AnswersView(BaseModel):
    """Answers of a raster, oldest first."""

    answers: list[AnswerRecord]
    can_undo: bool
    """There is an edit to take back."""


class Rename(Request):
    """Name an answer, or one of its phrases; null takes the name away."""

    action: Literal["rename"]
    answer: Identifier
    phrase: Annotated[int, Field(ge=0)] | None = None
    name: Name | None


class Delete(Request):
    """Delete an answer, or one of its phrases."""

    action: Literal["delete"]
    answer: Identifier
    phrase: Annotated[int, Field(ge=0)] | None = None


Several = Field(min_length=2, max_length=MAX_BOXES, json_schema_extra={"uniqueItems": True})
"""Of what is merged: two or more, each once."""


def _each_once(values: list[T]) -> list[T]:
    for value, count in Counter(values).items():
        if count > 1:
            raise ValueError(f"{value!r} is named {count} times; nothing is merged with itself")
    return values


class Merge(Request):
    """Make one answer of several: their captions follow each other, their boxes are united."""

    action: Literal["merge"]
    answers: Annotated[list[Identifier], AfterValidator(_each_once)] = Several


class MergePhrases(Request):
    """Unite the masks of phrases of an answer into that of the first named."""

    action: Literal["merge_phrases"]
    answer: Identifier
    phrases: Annotated[list[Annotated[int, Field(ge=0)]], AfterValidator(_each_once)] = Several


class Undo(Request):
    """Take the last edit of the raster's answers back."""

    action: Literal["undo"]


class EditRequest(Request):
    """A change of answers; each can be undone."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "edit": {"action": "rename", "answer": "a_1vA3aBcDeFgHiJkL", "name": "tank 7"}
            }
        }
    )

    edit: Annotated[Rename | Delete | Merge | MergePhrases | Undo, Field(discriminator="action")]


class EditView(BaseModel):
    """What an edit changed."""

    changed: list[AnswerRecord]
    """Answers that are new or other than before."""
    removed: list[str]
    """Ids of answers that are gone."""
    can_undo: bool


class NewLabel(Request):
    """A box and its class."""

    box: Box
    class_name: Name


class LabelsRequest(Request):
    """All labels of a raster."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"labels": [{"box": [10, 10, 74, 74], "class_name": "quay"}]}}
    )

    labels: list[NewLabel] = Field(max_length=MAX_BOXES)


class FitRequest(Request):
    """Learn the classes of labelled boxes."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"rasters": ["r_3q2-7wAbCdEfGhIj"], "name": "harbours"}}
    )

    rasters: list[Identifier] = Field(min_length=1, max_length=100)
    """Whose labels to learn from."""
    name: Name = "my classes"
    method: Method = "linear-probe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1


class ClassifyRequest(Request):
    """Give a class to each cell of a raster."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "raster": "r_3q2-7wAbCdEfGhIj",
                "model": "m_5tY1aBcDeFgHiJkL",
                "window": 64,
                "stride": 32,
            }
        }
    )

    raster: Identifier
    model: Identifier
    window: Annotated[int, Field(ge=8, le=4096)] = 64
    """Side of the square that is classified, in pixels."""
    stride: Annotated[int, Field(ge=4, le=4096)] = 64
    """Side of a cell; at most `window`."""


EventData = dict[str, JsonValue]
