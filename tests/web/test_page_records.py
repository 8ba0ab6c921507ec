"""The page knows the records that the server sends: the same names, and null where null may be."""

import re
from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
from pydantic import BaseModel

import skycue
from skycue.geo import raster_facts
from skycue.service import records
from skycue.web import schemas

SOURCE = Path(skycue.__file__).parent / "web" / "page" / "src" / "api" / "records.ts"


def fields_by_interface() -> dict[str, dict[str, str]]:
    """Return the TypeScript type of each field of each interface."""
    text = SOURCE.read_text(encoding="utf-8")
    return {
        name: dict(re.findall(r"^  (\w+): (.+);$", body, re.MULTILINE))
        for name, body in re.findall(r"export interface (\w+) \{\n(.*?)\n\}", text, re.DOTALL)
    }


INTERFACES = fields_by_interface()


def model_of(name: str) -> type[BaseModel]:
    """Return the server's model of a name."""
    for module in (records, schemas, raster_facts):
        model = getattr(module, name, None)
        if isinstance(model, type) and issubclass(model, BaseModel):
            return model
    raise AssertionError(f"the server has no {name}")


def test_the_interfaces_are_found() -> None:
    assert len(INTERFACES) >= 15
    assert INTERFACES["LabelRecord"] == {"id": "string", "box": "Box", "class_name": "string"}


@pytest.mark.parametrize("name", INTERFACES)
def test_an_interface_has_the_fields_of_the_record(name: str) -> None:
    assert set(INTERFACES[name]) == set(model_of(name).model_fields)


@pytest.mark.parametrize("name", INTERFACES)
def test_a_field_may_be_null_where_the_record_has_none(name: str) -> None:
    model = model_of(name)
    nullable = {
        field
        for field, about in model.model_fields.items()
        if NoneType in get_args(about.annotation)
    }
    assert {
        field
        for field, written in INTERFACES[name].items()
        if "null" in written and field != "outline_wgs84"
    } == nullable - {"outline_wgs84"}  # any JSON
