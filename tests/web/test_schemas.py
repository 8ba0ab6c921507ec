"""Every request and record shows an example that it would accept."""

from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from skycue.scenes.registry import METHODS
from skycue.service import records
from skycue.web import schemas


def shown() -> list[type[BaseModel]]:
    models = [*vars(schemas).values(), *vars(records).values()]
    return [
        model
        for model in dict.fromkeys(m for m in models if isinstance(m, type))
        if issubclass(model, BaseModel) and "json_schema_extra" in model.model_config
    ]


def test_all_methods_can_be_asked_for() -> None:
    assert set(get_args(schemas.Method)) == set(METHODS)


@pytest.mark.parametrize("model", shown(), ids=lambda model: model.__name__)
def test_an_example_is_what_it_stands_for(model: type[BaseModel]) -> None:
    example = model.model_json_schema()["example"]
    assert model.model_validate(example).model_dump(mode="json").keys() >= example.keys()


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (schemas.UploadRequest, {"name": "a.tif", "bytes": 0}),
        (schemas.UploadRequest, {"name": "a\x00.tif", "bytes": 1}),
        (schemas.UploadRequest, {"name": "a.tif", "bytes": 1, "path": "/etc/passwd"}),
        (schemas.DescribeRequest, {"raster": "../../etc", "boxes": [{"box": [0, 0, 1, 1]}]}),
        (schemas.DescribeRequest, {"raster": "r_12345678", "boxes": []}),
        (schemas.DescribeRequest, {"raster": "r_12345678", "boxes": [{"box": [0, 0, 1, "nan"]}]}),
        (
            schemas.DescribeRequest,
            {"raster": "r_12345678", "boxes": [{"box": [0, 0, 1, 1]}], "crs": "/vsicurl/http://x"},
        ),
        (schemas.EditRequest, {"edit": {"action": "drop table"}}),
        (schemas.FitRequest, {"rasters": ["r_12345678"], "method": "torch.load"}),
    ],
)
def test_what_is_not_allowed_is_refused(model: type[BaseModel], wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(wrong)
