"""The OpenAPI document: it is a valid one, and it tells of every route."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31

from agent.outbox import Archive
from agent.status.api import Route, openapi, routes
from agent.status.snapshot import Snapshot
from tests.status.test_control import Recorder
from tests.status.test_server import snapshot
from tests.support.eyes import Fixed


def table(show: Any = snapshot) -> list[Route]:
    return routes(Fixed(show), Recorder(), Archive(Path("/none")), dict, lambda: 0.0)


ROUTES = table()
DOCUMENT = openapi.document(ROUTES)


def test_it_is_valid_openapi_3_1() -> None:
    assert "spec.openapis.org/oas/3.1/schema" in str(OPENAPI_31["$id"])
    Draft202012Validator(OPENAPI_31).validate(DOCUMENT)


def test_every_schema_in_it_is_a_valid_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    references = set(re.findall(r"'#/components/schemas/(\w+)'", str(DOCUMENT)))
    assert references == set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_in_it(route: Route) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert operation["summary"] == route.summary
    assert {f"{status}" for status in (200, *route.errors)} <= operation["responses"].keys()
    assert [one["name"] for one in operation["parameters"] if one["in"] == "path"] == re.findall(
        r"\{(\w+)\}", route.path
    )
    described = [one for one in operation["parameters"] if one["in"] == "query"]
    assert [one["name"] for one in described] == list(route.query.__dataclass_fields__)  # type: ignore[attr-defined]
    assert all(one["description"] for one in described)
    assert ("requestBody" in operation) == (route.body is not None)
    assert ({} in operation["security"]) == (not route.changes)
    assert ("413" in operation["responses"]) == route.changes, "the guard reads the body of any change"


def test_no_operation_is_named_twice() -> None:
    names = [operation["operationId"] for operation in operations()]
    assert len(names) == len(set(names)) == len(ROUTES)


def test_a_parameter_that_was_left_out_is_not_told_as_null() -> None:
    parameters = [one for operation in operations() for one in operation["parameters"]]
    assert parameters
    assert "null" not in str([one["schema"] for one in parameters])


def test_what_is_answered_has_all_its_members_and_what_they_mean() -> None:
    shown = DOCUMENT["components"]["schemas"]["WebhookFacts"]
    assert sorted(shown["required"]) == sorted(shown["properties"])
    assert shown["properties"]["success_rate"]["description"].startswith("Of the last attempts")


def test_the_prefix_is_told() -> None:
    assert openapi.document(ROUTES, "/bellcrank")["servers"] == [{"url": "/bellcrank"}]
    assert DOCUMENT["servers"] == [{"url": "/"}]


def test_a_status_has_all_that_a_snapshot_has() -> None:
    told = DOCUMENT["components"]["schemas"]["Status"]["properties"].keys()
    assert told == {*Snapshot.__dataclass_fields__, "verdict", "troubles"}


def operations() -> Iterator[Any]:
    return (operation for methods in DOCUMENT["paths"].values() for operation in methods.values())
