"""The API of a real agent over TCP: what it answers to anything is what its document says."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from agent.status.api.route import NoQuery, Route
from tests.status.api.test_document import ROUTES
from tests.support.agent import AgentProcess, free_port
from tests.support.waiting import until

TOKEN = "tok_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONFIG = """
version: 1
agent: {name: cabin, events_to: []}
sources:
  rooms: {driver: simulated, every: 20ms, sensors: {temperature: {wave: {square: {min: 1, max: 9, period: 200ms}}}}}
rules:
  warm: {sensor: rooms.temperature, when: {above: 5}}
webhooks:
  away: {url: "http://127.0.0.1:{nobody}/hook", unsigned: true}
status: {listen: "{status}", token: {token}}
"""
EXAMPLES = 12


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    text = CONFIG.replace("{nobody}", str(free_port())).replace("{token}", TOKEN)
    agent = AgentProcess(tmp_path_factory.mktemp("agent"), text)
    agent.token = TOKEN
    try:
        agent.start()
        asyncio.run(agent.ready())
        asyncio.run(until(lambda: agent.status()["outbox"]["owed"] > 2))
        yield agent
    finally:
        agent.kill()


def ask(agent: AgentProcess, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Status, body and headers of the answer."""
    url = f"http://127.0.0.1:{agent.port}{target}"
    sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
    written = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, written, sent, method=method), timeout=10) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers


@pytest.fixture(scope="module")
def schema(agent: AgentProcess) -> BaseSchema:
    load_all_checks()
    return schemathesis.openapi.from_dict(ask(agent, "GET", "/api/v1/openapi.json")[1])


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_what_is_answered_is_what_the_document_says(agent: AgentProcess, schema: BaseSchema, route: Route) -> None:
    conforms(agent, schema, route, GenerationMode.POSITIVE)


@pytest.mark.parametrize("route", [one for one in ROUTES if one.query is not NoQuery or one.body], ids=named)
def test_what_the_document_does_not_allow_is_refused(agent: AgentProcess, schema: BaseSchema, route: Route) -> None:
    conforms(agent, schema, route, GenerationMode.NEGATIVE)


def conforms(agent: AgentProcess, schema: BaseSchema, route: Route, mode: GenerationMode) -> None:
    """Whatever the schemas allow, or do not: status, content type, headers and body are as the document says."""
    operation = schema[route.path][route.method]
    refused_for_its_meaning: list[Any] = [positive_data_acceptance] if 422 in route.errors else []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(
            f"http://127.0.0.1:{agent.port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            excluded_checks=refused_for_its_meaning,
            timeout=10,
        )

    each()
