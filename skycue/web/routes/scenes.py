"""Routes of classes: labelled boxes, the models fitted to them, and the maps that these make."""

from fastapi import APIRouter

from skycue.errors import BoxError
from skycue.geo.box_places import PIXELS, place_boxes
from skycue.service.classify_job import ClassifyJobRequest
from skycue.service.fit_job import FitJobRequest
from skycue.service.records import JobRecord, LabelRecord, ModelRecord
from skycue.web.access import Owner, TheService
from skycue.web.schemas import ClassifyRequest, FitRequest, Identifier, LabelsRequest

router = APIRouter(tags=["classes"])


@router.get("/rasters/{raster}/labels")
def list_labels(raster: Identifier, service: TheService, owner: Owner) -> list[LabelRecord]:
    """List your labelled boxes on a raster."""
    service.rasters.get(owner, raster)
    return service.labels.of_raster(owner, raster)


@router.put("/rasters/{raster}/labels")
def replace_labels(
    raster: Identifier, asked: LabelsRequest, service: TheService, owner: Owner
) -> list[LabelRecord]:
    """Let these be your labelled boxes on a raster, in place of all others."""
    size = service.rasters.facts(owner, raster).size
    names = [str(number) for number, _ in enumerate(asked.labels)]
    boxes = [label.box for label in asked.labels]
    placed = place_boxes(boxes, PIXELS, None, size, names)
    if placed.refused:
        raise BoxError(placed.refused[0].reason)
    new = [
        (box, label.class_name) for (_, box), label in zip(placed.boxes, asked.labels, strict=True)
    ]
    return service.labels.replace(owner, raster, new)


@router.post("/fit", status_code=202)
def fit(asked: FitRequest, service: TheService, owner: Owner) -> JobRecord:
    """Learn the classes of your labelled boxes, as a job whose result is a model."""
    request = FitJobRequest(**asked.model_dump())
    service.fit.check(owner, request)
    return service.submit(owner, "fit", request.model_dump(), raster=asked.rasters[0])


@router.get("/models")
def list_models(service: TheService, owner: Owner) -> list[ModelRecord]:
    """List your models and those of the server's operator, the newest first."""
    return service.models.list(owner)


@router.get("/models/{model}")
def get_model(model: Identifier, service: TheService, owner: Owner) -> ModelRecord:
    """Tell what is known of a model."""
    return service.models.get(owner, model)


@router.delete("/models/{model}", status_code=204)
def remove_model(model: Identifier, service: TheService, owner: Owner) -> None:
    """Delete a model; maps that it made stay."""
    service.models.remove(owner, model)


@router.post("/classify", status_code=202)
def classify(asked: ClassifyRequest, service: TheService, owner: Owner) -> JobRecord:
    """Give a class to each cell of a raster, as a job whose result is a map."""
    request = ClassifyJobRequest(**asked.model_dump())
    service.classify.check(owner, request)
    return service.submit(owner, "classify", request.model_dump(), raster=asked.raster)
