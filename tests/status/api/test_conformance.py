"""What a real agent answers to anything is what its document says."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from agent.status.api.route import NoQuery, Route
from tests.status.api.asking import TOKEN, ask
from tests.status.api.test_document import ROUTES
from tests.support.agent import AgentProcess

EXAMPLES = 12


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
