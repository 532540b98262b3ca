"""The OpenAPI 3.1 document of the routes (https://spec.openapis.org/oas/v3.1.1): made of their declarations alone."""

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from agent.status.api.problems import CONTENT_TYPE
from agent.status.api.route import Call, Route
from agent.version import __version__

_PATH = "/api/v1/openapi.json"
_JSON = "application/json"
_REF: Final = "#/components/schemas/{model}"
_PROBLEM: Final = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}
_SECURITY: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "`status.token` of the configuration."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "bellcrank_8321",
        "description": "Of a login; with another port in `status.listen` the name ends with that."
        " A change then needs the `Origin` of the page too.",
    },
}
_ANY_REQUEST: Final = (401, 403, 408, 421, 500)
"""Statuses that any request may be answered with: the guard's, and what nobody expected."""


def document(routes: Sequence[Route], root: str = "") -> dict[str, Any]:
    """The document. `root` is the prefix under which the API is served, such as `/bellcrank`."""
    schemas = _Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bellcrank",
            "version": __version__,
            "description": "Sensor readings in, signed webhooks out, and none lost.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root or "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {"schemas": {**schemas.shared, "Problem": _PROBLEM}, "securitySchemes": _SECURITY},
    }


def route(others: Sequence[Route], root: str) -> Route:
    """The route of the document, which tells of itself too. It is made when it is first asked for."""

    @cache
    def made() -> dict[str, Any]:
        return document([*others, itself], root)

    async def show_document(_: Call) -> dict[str, Any]:
        return await asyncio.to_thread(made)

    itself = Route("GET", _PATH, "This document (OpenAPI 3.1)", "agent", show_document, dict[str, Any])
    return itself


class _Generator(GenerateJsonSchema):
    """What is answered has all its members, those too that have a default."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A title made of the name tells nothing."""
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)


class _Schemas:
    """The JSON Schemas of all types; what more than one of them holds is shared."""

    def __init__(self, routes: Sequence[Route]) -> None:
        asked = {kind for route in routes for kind in (route.query, route.body) if kind is not None}
        answered = {route.answer for route in routes}
        inputs = [(kind, "validation", _documented(kind)) for kind in sorted(asked, key=repr)]
        outputs = [(kind, "serialization", _documented(kind)) for kind in sorted(answered, key=repr)]
        self._found, rest = TypeAdapter.json_schemas(
            [*inputs, *outputs],  # type: ignore[list-item]
            ref_template=_REF,
            schema_generator=_Generator,
        )
        self._parts: dict[str, dict[str, Any]] = rest["$defs"]
        queries = {_name(self.asked(route.query)) for route in routes}
        self.shared = {name: schema for name, schema in self._parts.items() if name not in queries}

    def asked(self, kind: type) -> dict[str, Any]:
        """Of a body."""
        return self._of(kind, "validation")

    def answered(self, kind: Any) -> dict[str, Any]:
        """Of an answer."""
        return self._of(kind, "serialization")

    def query(self, kind: type) -> dict[str, Any]:
        """Of a query, whose members become parameters: that is not shared."""
        return self._parts[_name(self.asked(kind))]

    def _of(self, kind: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        schema: dict[str, Any] = self._found[kind, mode]["items"]
        return schema


def _name(schema: dict[str, Any]) -> str:
    reference: str = schema["$ref"]
    return reference.rpartition("/")[2]


def _documented(kind: Any) -> TypeAdapter[Any]:
    """An adapter whose dataclasses, at any depth, have their docstrings; they take a configuration from a list only."""
    return TypeAdapter(list[kind], config=ConfigDict(use_attribute_docstrings=True))


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    anybody: list[dict[str, Any]] = [] if route.changes else [{}]
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*_in_path(route), *_in_query(route, schemas)],
        "responses": {"200": _answer(route, schemas), **_errors(route)},
        "security": [*anybody, {"token": []}, {"session": []}],
    }
    if route.body is not None:
        content = {_JSON: {"schema": schemas.asked(route.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _in_path(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", route.path)
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _in_query(route: Route, schemas: _Schemas) -> list[dict[str, Any]]:
    declared = schemas.query(route.query)
    found = []
    for name, schema in declared.get("properties", {}).items():
        description = {"description": schema["description"]} if "description" in schema else {}
        required = name in declared.get("required", ())
        found.append({"name": name, "in": "query", "required": required, **description, "schema": _given(schema)})
    return found


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a parameter that is given: one that is None was left out."""
    told = {key: value for key, value in schema.items() if key not in ("description", "anyOf")}
    if "anyOf" in schema:
        del told["default"]
        told |= schema["anyOf"][0]
    return told


def _answer(route: Route, schemas: _Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": "OK",
        "content": {_JSON: {"schema": schemas.answered(route.answer)}},
    }
    if route.is_paged:
        answer["headers"] = {
            "Link": {
                "description": 'The next page, where there is one: `<...>; rel="next"` (RFC 8288).',
                "schema": {"type": "string"},
            }
        }
    return answer


def _errors(route: Route) -> dict[str, Any]:
    of_a_body = (415,) if route.body is not None else ()
    of_a_change = (413,) if route.changes else ()  # the guard's: any change may come with a body, wanted or not
    statuses = sorted({400, *of_a_body, *of_a_change, *route.errors, *_ANY_REQUEST})
    content = {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    return {str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
