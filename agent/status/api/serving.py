"""The routes for aiohttp: reads what is asked as the route declares it, and writes what is answered."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from agent.status.api.problems import Problem
from agent.status.api.route import Call, Paged, Route, adapter

BODY_BYTES_MAX = 8192
_SHOWN_CHARS = 100
_NEEDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "dataclass_type": "a JSON object",
}


def served(routes: Iterable[Route]) -> list[web.RouteDef]:
    """For `Application.add_routes`, under a middleware of `problems`."""
    return [web.route(route.method, _pattern(route.path), _handler(route), **_head(route)) for route in routes]


def _pattern(path: str) -> str:
    """As aiohttp has it a segment may hold no braces; a name of a sensor may."""
    return re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", path)


def _head(route: Route) -> dict[str, Any]:
    return {"allow_head": True} if route.method == "GET" else {}


def _handler(route: Route) -> Any:
    async def handle(request: web.Request) -> web.Response:
        query = _query(route, request)
        body = None if route.body is None else await _body(route.body, request)
        found = await route.handler(Call(request.match_info, query, body))
        headers = {}
        if isinstance(found, Paged):
            if found.answer.next is not None:
                headers["Link"] = _next_link(request.query, found.parameter, found.answer.next)
            found = found.answer
        written = adapter(route.answer).dump_json(found)
        return web.Response(body=written, content_type="application/json", charset="utf-8", headers=headers)

    return handle


def _query(route: Route, request: web.Request) -> Any:
    for word in request.query:
        if (n := len(request.query.getall(word))) > 1:
            raise Problem(400, f"{word[:_SHOWN_CHARS]} is given {n} times")
    try:
        return adapter(route.query).validate_strings(dict(request.query))
    except ValidationError as error:
        known = list(route.query.__dataclass_fields__)  # type: ignore[attr-defined]
        raise Problem(400, _sentences(error, "parameter", known)) from None


async def _body(kind: type, request: web.Request) -> Any:
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        raise Problem(415, "the body has to be JSON, with the header `Content-Type: application/json`")
    written = await request.read()
    if len(written) > BODY_BYTES_MAX:
        raise Problem(413, f"a body has at most {BODY_BYTES_MAX} bytes")
    try:
        return adapter(kind).validate_json(written, strict=True)
    except ValidationError as error:
        known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
        raise Problem(400, _sentences(error, "member", known)) from None


def _sentences(error: ValidationError, what: str, known: list[str]) -> str:
    """What is wrong, what was given, and what would be valid."""
    return "; ".join(_sentence(detail, what, known) for detail in error.errors(include_url=False))


def _sentence(detail: Mapping[str, Any], what: str, known: list[str]) -> str:
    kind = detail["type"]
    name = ".".join(map(str, detail["loc"]))
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown {what} {name[:_SHOWN_CHARS]!r}: known are {', '.join(known) or 'none'}"
    if kind in ("missing", "missing_argument"):
        return f"{name} is missing"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "json_invalid":
        return f"the body is no JSON: {detail['ctx']['error']}"
    need = _NEEDS.get(kind) or str(detail["msg"]).removeprefix("Input should be ")
    return f"{name or 'the body'} has to be {need}, not {_shown(detail['input'])}"


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _next_link(given: Mapping[str, str], parameter: str, following: int) -> str:
    """RFC 8288; the reference has a query alone, so it is right behind any proxy."""
    return f'<?{urlencode({**given, parameter: following})}>; rel="next"'
