"""The API of a real agent over TCP."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.docs.pages import read
from tests.status.api.asking import SENSORS, ask
from tests.support.agent import AgentProcess
from tests.support.waiting import until


def pages(agent: AgentProcess, target: str) -> Iterator[Any]:
    """All of them, as the links lead."""
    while True:
        status, page, headers = ask(agent, "GET", target)
        assert status == 200
        yield page
        link = headers["Link"]
        assert (link is None) == (page["next"] is None)
        if link is None:
            return
        reference = re.fullmatch(r'<(.*)>; rel="next"', link)
        assert reference
        target = urljoin(target, reference[1])


@pytest.mark.parametrize("order", ["limit=20", "limit=20&after=0", "limit=20&bodies=true"])
def test_pages_of_events_cover_each_once_while_new_ones_come(agent: AgentProcess, order: str) -> None:
    before = ask(agent, "GET", "/api/v1/events?limit=500")[1]["events"]
    asyncio.run(until(lambda: agent.status()["outbox"]["owed"] > 50))
    found = [event["number"] for page in pages(agent, f"/api/v1/events?{order}") for event in page["events"]]
    assert len(found) == len(set(found)) > 50
    assert found == sorted(found, reverse="after" not in order)
    assert {event["number"] for event in before} <= set(found)


def test_pages_of_sensors_cover_each_once_and_a_query_finds_some(agent: AgentProcess) -> None:
    names = [name for page in pages(agent, "/api/v1/sensors?limit=7") for name in page["sensors"]]
    assert names == sorted(f"rooms.t_{n}" for n in range(SENSORS))
    found = ask(agent, "GET", "/api/v1/sensors?query=T_1&offset=1&limit=2")[1]
    assert (list(found["sensors"]), found["total"], found["next"]) == (["rooms.t_10", "rooms.t_11"], 11, 3)


def test_pages_of_rules_have_all_states(agent: AgentProcess) -> None:
    rules = [page["rules"] for page in pages(agent, "/api/v1/rules?limit=20")]
    assert len(rules) == 2
    assert rules[0]["any"]["states"]["rooms.t_1"]["state"] == "firing"
    assert rules[0]["warm"]["thresholds"] == [5.0]


def test_a_sensor_is_told_with_its_history(agent: AgentProcess) -> None:
    status, found, _ = ask(agent, "GET", "/api/v1/sensors/rooms.t_1")
    assert (status, found["name"]) == (200, "rooms.t_1")
    assert found["latest"]["value"] in (1, 9)
    assert found["history"]["minutes"][-1]["n"] > 0
    assert ask(agent, "GET", "/api/v1/sensors/rooms.t_0")[1]["history"]["thresholds"][0]["rule"] == "warm"


def test_an_event_is_told_with_its_request_and_its_attempts(agent: AgentProcess) -> None:
    (row,) = ask(agent, "GET", "/api/v1/events?limit=1&after=0")[1]["events"]
    asyncio.run(until(lambda: ask(agent, "GET", f"/api/v1/events/{row['id']}")[1]["events"][0]["log"]))
    (found,) = ask(agent, "GET", f"/api/v1/events/{row['id']}")[1]["events"]
    assert (found["webhook"], found["request"]["method"], found["request"]["host"]) == ("away", "POST", "127.0.0.1")
    assert json.loads(found["request"]["body"])["id"] == found["request"]["headers"]["webhook-id"] == row["id"]
    assert found["log"][0]["error"].startswith("refused: 127.0.0.1")


@pytest.mark.parametrize("noun", ["agent", "outbox", "sources", "webhooks"])
def test_what_is_asked_for_by_its_noun_is_what_the_status_has(agent: AgentProcess, noun: str) -> None:
    status, found, _ = ask(agent, "GET", f"/api/v1/{noun}")
    assert status == 200
    assert found.get(noun, found).keys() == agent.status()[noun].keys()
    if noun == "webhooks":
        assert ask(agent, "GET", "/api/v1/webhooks/away")[1].keys() == agent.status()[noun]["away"].keys()


CURLS = re.findall(r"^curl .*", read("docs/operations.md"), re.MULTILINE)


@pytest.mark.parametrize("line", CURLS)
def test_the_examples_of_the_docs_are_answered(agent: AgentProcess, line: str) -> None:
    words = shlex.split(line.replace("ops", "away"))
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = "POST" if body or "POST" in words else "GET"
    target = words[-1].removeprefix("http://127.0.0.1:8321")
    assert ask(agent, method, target, None if body is None else json.loads(body))[0] == 200


PROBLEMS = [
    ("GET", "/api/v1/nothing", None, {}, 404, "there is nothing at /api/v1/nothing: see /api/v1/openapi.json"),
    ("GET", "/api/v1/sensors/no.such", None, {}, 404, "nothing is known of a sensor no.such"),
    ("PUT", "/api/v1/webhooks", {}, {}, 405, "PUT is not for /api/v1/webhooks: allowed is GET,HEAD"),
    ("GET", "/api/v1/sensors?limit=0", None, {}, 400, "limit has to be greater than or equal to 1, not '0'"),
    ("GET", "/api/v1/sensors?x=0", None, {}, 400, "unknown parameter 'x': known are query, offset, limit"),
    ("GET", "/api/v1/status?x=0", None, {}, 400, "unknown parameter 'x': known are none"),
    ("POST", "/api/v1/events/discard", {"ids": "x" * 9000}, {}, 413, "a body has at most 8192 bytes"),
    ("POST", "/api/v1/events/discard", {}, {"Content-Type": "text/plain"}, 415, "the body has to be JSON"),
    ("POST", "/api/v1/events/discard", {}, {}, 422, "say which events: by their ids, or by a filter"),
    ("POST", "/api/v1/events/discard", {}, {"Authorization": "Bearer x"}, 401, "a token is needed"),
    ("GET", "/api/v1/status", None, {"Authorization": "Bearer x"}, 401, "a token is needed"),
    ("POST", "/api/v1/reload", None, {"Origin": "http://evil.example"}, 403, "this came from a page of another host"),
    ("GET", "/api/v1/status", None, {"Host": "evil.example"}, 421, "this host name is not this agent's"),
]


@pytest.mark.parametrize(("method", "target", "body", "headers", "status", "why"), PROBLEMS)
def test_each_refusal_is_a_problem(
    agent: AgentProcess, method: str, target: str, body: Any, headers: dict[str, str], status: int, why: str
) -> None:
    found, problem, answered = ask(agent, method, target, body, **headers)
    assert (found, answered["Content-Type"]) == (status, "application/problem+json; charset=utf-8")
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", HTTPStatus(status).phrase, status)
    assert problem["detail"].startswith(why)
    assert answered["Allow"] == ("GET,HEAD" if status == 405 else None)
    assert answered["WWW-Authenticate"] == ("Bearer" if status == 401 else None)
