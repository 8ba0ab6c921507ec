"""The OpenAPI of the server is true: requests drawn from it get answers that it foretells."""

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.web.process import running
from tests.web.serving import TOKENS, geotiff, levels, serving, upload

HEADERS = {"Authorization": f"Bearer {TOKENS[0]}"}
MISTAKES = {str(n) for n in (400, 401, 403, 404, 405, 408, 409, 413, 421, 422, 429, 500, 504)}
"""What the gate and the application answer to any request."""
EXAMPLES = 12
"""Requests that are drawn for each route."""


def exercise(operation: Any) -> None:
    """Draw requests of one route, wrong ones too, and compare the answers with the schema."""
    left_out = [
        schemathesis.checks.CHECKS.get_one(name)
        for name in ("positive_data_acceptance", "unsupported_method")  # ids are random; a 405
        # comes from the page's folder of files, whose methods its header Allow tells
    ]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    def right(case: Any) -> None:
        case.call_and_validate(headers=HEADERS, excluded_checks=left_out)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def wrong(case: Any) -> None:
        case.call_and_validate(headers=HEADERS, excluded_checks=left_out)

    right()
    if operation.path_parameters or operation.query or operation.body:
        wrong()


@pytest.mark.slow
@pytest.mark.service
def test_every_route_answers_as_its_schema_says(tmp_path: Path) -> None:
    problems = []
    with running(tmp_path) as server:
        schema = schemathesis.openapi.from_url(f"{server.address}/v1/openapi.json")
        operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
        assert len(operations) >= 28
        for operation in operations:
            try:
                exercise(operation)
            except Exception as problem:  # all are told at once
                problems.append(f"{operation.label}: {problem}")
    assert problems == []


def test_every_route_is_documented_with_its_mistakes(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        document = client.get("/v1/openapi.json").json()
    routes = [
        (path, method, route)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    ]
    assert len(routes) >= 28
    for path, method, route in routes:
        assert route["description"], (path, method)
        assert route["responses"].keys() >= MISTAKES, (path, method)
    text = json.dumps(document)
    for example in ("rotterdam_tanks.tif", "my classes", "harbours", "tank 7"):
        assert example in text


def test_an_example_of_the_documentation_works_as_it_stands(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        document = client.get("/v1/openapi.json").json()
        raster = upload(client, "a.tif", geotiff(levels(400, 400)))["id"]
        asked = document["components"]["schemas"]["DescribeRequest"]["example"]
        answer = client.post("/v1/describe", json=asked | {"raster": raster})
        assert [one["box_id"] for one in answer.json()["answers"]] == ["first"]
        labels = document["components"]["schemas"]["LabelsRequest"]["example"]
        kept = client.put(f"/v1/rasters/{raster}/labels", json=labels)
        assert kept.json()[0]["class_name"] == "quay"


def test_the_page_of_the_api_is_not_served_with_scripts_from_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        for path in ("/docs", "/redoc"):
            assert client.get(path).status_code == 404
