"""The server of the status page over real HTTP: what is answered, to whom."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from agent.config import StatusConfig
from agent.status import api, health
from agent.status.api import problems
from agent.status.api.status import routes as status_routes
from agent.status.server import StatusServer
from agent.status.snapshot import (
    AgentFacts,
    OutboxFacts,
    RuleFacts,
    SensorFacts,
    Snapshot,
    SourceFacts,
    WebhookFacts,
)
from agent.status.words import age, size
from tests.support.agent import free_port
from tests.support.eyes import Fixed

TOKEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def snapshot(name: str = "thermostat.t", value: Any = 4.2, *, degraded: str | None = None) -> Snapshot:
    counts = {"owed": 3, "delivered": 2, "pending": 1, "dead": 0, "dropped": 0, "dropped_by": {}}
    firing = {"state": "firing", "since_s": 5.0, "throttled": 0, "value": value, "unit": "°C"}
    return Snapshot(
        agent=AgentFacts("abc", "cabin", "1.2.3", 61.0, "synced"),
        outbox=OutboxFacts(
            **counts,  # type: ignore[arg-type]
            balanced=True,
            oldest_pending_s=2.0,
            size_bytes=4096,
            written_bytes_today=1,
            degraded=degraded,
        ),
        webhooks={"ops": WebhookFacts(state="answering", **counts)},  # type: ignore[arg-type]
        sources={"thermostat": SourceFacts("open", "", 5, 0, 1, {"null": 1}, f"null {value}")},
        sensors={name: SensorFacts(value, "°C", 1.0, 1, f"null {value}")},
        rules={
            "cold": RuleFacts(name, "warning", True, {name: firing}),
            "calm": RuleFacts(name, "warning", True),
            "deaf": RuleFacts("cellar.t", "warning", False),
        },
    )


@asynccontextmanager
async def served(
    show: Callable[[], Snapshot] = snapshot, token: str | None = None, *, ready: bool = True, alive: bool = True
) -> AsyncIterator[Callable[..., Any]]:
    port = free_port()
    settings = StatusConfig.model_validate(
        {"listen": f"127.0.0.1:{port}", "token": token, "hosts": ["cabin.example.com"]}
    )
    routes = [*health.routes(lambda: ready, lambda: alive), *api.served(status_routes(Fixed(show)))]
    server = StatusServer(settings, routes, lambda: 0.0, [problems.below("/api/")])
    await server.start()
    async with aiohttp.ClientSession() as session:

        async def get(path: str, **headers: str) -> tuple[int, str, Any]:
            async with session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer:
                return answer.status, await answer.text(), answer.headers

        try:
            yield get
        finally:
            await server.stop()


async def test_the_json_has_what_the_page_has() -> None:
    async with served() as get:
        status, text, headers = await get("/api/v1/status")
    found = json.loads(text)
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert found["outbox"]["owed"] == 3
    assert found["webhooks"]["ops"]["state"] == "answering"
    assert found["sensors"]["thermostat.t"] == {
        "value": 4.2,
        "unit": "°C",
        "age_s": 1.0,
        "refused": 1,
        "last_refusal": "null 4.2",
        "source": "",
        "labels": {},
        "trend": [],
    }
    assert found["troubles"] == []


@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/nothing"])
async def test_with_a_token_it_is_asked_for(path: str) -> None:
    async with served(token=TOKEN) as get:
        assert (await get(path))[0] == 401
        assert (await get(path, Authorization=f"Bearer {TOKEN}X"))[0] == 401
        assert (await get(path, Authorization="Bearer "))[0] == 401
        assert (await get(path, Authorization=f"Bearer {TOKEN}"))[0] in (200, 404)


@pytest.mark.parametrize(("good", "status"), [(True, 200), (False, 503)])
async def test_the_health_paths_are_open_and_say_how_it_is(good: bool, status: int) -> None:
    async with served(token=TOKEN, ready=good, alive=good) as get:
        assert (await get("/readyz"))[0] == status
        assert (await get("/healthz"))[0] == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8321", 200),
        ("localhost", 200),
        ("[::1]:8321", 200),
        ("cabin.example.com", 200),
        ("CABIN.example.com:80", 200),
        ("evil.example.com", 421),
        ("127.0.0.1.evil.example.com", 421),
        ("", 421),
    ],
)
async def test_only_the_agents_own_names_are_answered(host: str, status: int) -> None:
    async with served() as get:
        assert (await get("/api/v1/status", Host=host))[0] == status


async def test_every_answer_says_that_nothing_of_others_may_run_in_it() -> None:
    async with served() as get:
        _, _, headers = await get("/api/v1/status")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_an_unknown_path_and_a_change_are_refused() -> None:
    async with served() as get:
        assert (await get("/../../etc/passwd"))[0] == 404
        assert (await get("/nothing"))[0] == 404


async def test_a_port_in_use_is_told_with_its_address() -> None:
    port = free_port()
    settings = StatusConfig(listen=f"127.0.0.1:{port}")
    first, second = StatusServer(settings, [], lambda: 0.0), StatusServer(settings, [], lambda: 0.0)
    await first.start()
    try:
        with pytest.raises(OSError, match=rf"status.listen 127.0.0.1:{port}"):
            await second.start()
    finally:
        await first.stop()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 m 1 s"), (3600, "1 h"), (90061, "1 d 1 h")]
)
def test_an_age_is_told_in_two_units(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (52_345, "52.3 kB"), (6_400_000, "6.4 MB")]
)
def test_a_size_is_told_in_its_largest_unit(n: int, text: str) -> None:
    assert size(n) == text
