"""The description of the API: complete, lawful, and of what is there."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel

from appliance.http.openapi import document, plain
from appliance.http.problem import KINDS
from appliance.http.routes import ROUTES, Route

DOCUMENT = document(ROUTES, version="1.2.3")

OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]


def walk(value: Any) -> Any:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def test_it_has_every_route_and_nothing_else() -> None:
    assert {(method.upper(), path) for method, path, _ in OPERATIONS} == {
        (route.method, plain(route.path)) for route in ROUTES if route.described
    }
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_every_operation_has_a_name_of_its_own_and_words() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert all(operation["summary"] and operation["description"] for _, _, operation in OPERATIONS)
    assert {tag for _, _, operation in OPERATIONS for tag in operation["tags"]} == {
        tag["name"] for tag in DOCUMENT["tags"]
    }


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for each in walk(DOCUMENT):
        if "$ref" in each:
            assert each["$ref"].rpartition("/")[2] in schemas
    for schema in schemas.values():
        assert jsonschema_rs.meta.is_valid(schema)
    for _, _, operation in OPERATIONS:
        for parameter in operation.get("parameters", ()):
            assert jsonschema_rs.meta.is_valid(parameter["schema"])


def test_links_lead_to_operations_that_are_there() -> None:
    names = {operation["operationId"] for _, _, operation in OPERATIONS}
    links = [link for each in walk(DOCUMENT) if "links" in each for link in each["links"].values()]
    assert {"message", "cancel", "received", "modem", "revoke_token"} <= {link["operationId"] for link in links}
    assert {link["operationId"] for link in links} <= names


def test_examples_fit_what_they_are_examples_of() -> None:
    seen = 0
    for route in ROUTES:
        if route.body is not None:
            operation = DOCUMENT["paths"][plain(route.path)][route.method.lower()]
            for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
                assert issubclass(route.body, BaseModel)
                route.body.model_validate(example["value"])
                seen += 1
    assert seen >= 5


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.described], ids=lambda route: f"{route.method} {route.path}"
)
def test_every_refusal_of_a_route_is_described_by_its_code(route: Route) -> None:
    responses = DOCUMENT["paths"][plain(route.path)][route.method.lower()]["responses"]
    for code in route.refuses:
        answer = responses[str(KINDS[code].status)]
        if KINDS[code].status in route.answers:
            continue
        schema = answer["content"]["application/problem+json"]["schema"]
        assert code in schema["allOf"][1]["properties"]["code"]["enum"]
    assert all("description" in answer for answer in responses.values())


def test_who_may_is_said() -> None:
    for route in ROUTES:
        if route.described:
            operation = DOCUMENT["paths"][plain(route.path)][route.method.lower()]
            assert operation["security"] == (
                [] if route.public else [{"bearer": []}, {"basic": []}] if route.basic else [{"bearer": []}]
            )
            assert all(f"`{scope}`" in operation["description"] for scope in route.scopes)
