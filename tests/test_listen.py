"""`bellcrank listen`: what the receiver answers and tells, over real HTTP."""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent.listen import Receiver, plain, summary
from drivers.signing import headers, key_of
from tests.faults.oracle import SECRET

KEY = key_of(SECRET)
EVENT: dict[str, Any] = {
    "type": "sensor.alert.firing",
    "sequence": "00000000000000000042",
    "subject": "room.t",
    "data": {"summary": "room.t is 9 °C"},
}
BODY = json.dumps(EVENT).encode()


@asynccontextmanager
async def listening(keys: Sequence[bytes], status: int = 200) -> AsyncIterator[tuple[Callable[..., Any], list[str]]]:
    told: list[str] = []
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Receiver(keys, status, told.append).handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:

        async def post(body: bytes = BODY, **given: str) -> int:
            lined = {name.replace("_", "-"): value for name, value in given.items()}
            async with session.post(server.make_url("/any/path"), data=body, headers=lined) as answer:
                return answer.status

        yield post, told


def signed(message_id: str = "evt_1", key: bytes = KEY, body: bytes = BODY, age_s: int = 0) -> dict[str, str]:
    return headers([key], message_id, int(time.time()) - age_s, body)


async def test_a_genuine_webhook_is_verified_and_told_in_one_line() -> None:
    async with listening([KEY]) as (post, told):
        assert await post(**signed()) == 200
    assert told == ["VERIFIED evt_1  sensor.alert.firing  room.t is 9 °C  [00000000000000000042]"]


async def test_one_that_comes_again_is_counted() -> None:
    async with listening([KEY]) as (post, told):
        for message_id in ("evt_1", "evt_2", "evt_1", "evt_1"):
            await post(**signed(message_id))
    assert [line.partition("]")[2] for line in told] == ["", "", " (again: 2)", " (again: 3)"]


async def test_a_second_key_serves_while_a_secret_is_changed() -> None:
    async with listening([b"n" * 32, KEY]) as (post, told):
        assert await post(**signed()) == 200
    assert told[0].startswith("VERIFIED")


@pytest.mark.parametrize(
    "wrong",
    [
        signed(key=b"w" * 32),
        signed(body=BODY + b" "),
        signed(age_s=3600),
        signed(age_s=-3600),
        {name: value for name, value in signed().items() if name != "webhook-signature"},
        {name: value for name, value in signed().items() if name != "webhook-id"},
        {**signed(), "webhook-timestamp": "soon"},
        {**signed(), "webhook-id": "evt_2"},
        {},
    ],
)
async def test_one_that_is_not_genuine_is_refused_with_401_and_why(wrong: dict[str, str]) -> None:
    async with listening([KEY]) as (post, told):
        assert await post(**wrong) == 401
        assert await post(**signed()) == 200
    assert told[0].startswith("REFUSED  ")
    assert told[0].rsplit("  ", 1)[1], "why"
    assert told[1].startswith("VERIFIED")
    assert "again" not in told[1], "what was refused is not seen"


async def test_without_a_secret_nothing_is_called_verified() -> None:
    async with listening([]) as (post, told):
        assert await post(webhook_id="evt_1") == 200
        assert await post(**signed("evt_2")) == 200
        assert await post() == 200
    assert [line.split()[:2] for line in told] == [["UNSIGNED", "evt_1"], ["UNCHECKED", "evt_2"], ["UNSIGNED", "-"]]


@pytest.mark.parametrize("status", [204, 410, 503])
async def test_it_answers_with_the_status_it_is_told_to(status: int) -> None:
    async with listening([KEY], status) as (post, told):
        assert await post(**signed()) == status
    assert told[0].startswith("VERIFIED")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "0 bytes that are no event"),
        (b"\xff\xfe", "2 bytes that are no event"),
        (b"[]", "2 bytes that are no event"),
        (b"null", "4 bytes that are no event"),
        (b'{"type":"x"}', "12 bytes that are no event"),
        (b'{"type":"x","data":5}', "21 bytes that are no event"),
        (b'{"type":"x","data":{}}', "x  None  [-]"),
        (b'{"type":"x","data":{},"subject":"agent"}', "x  agent  [-]"),
        (b"[" * 100_000, "100000 bytes that are no event"),
    ],
)
def test_whatever_comes_has_a_summary(body: bytes, words: str) -> None:
    assert summary(body) == words


async def test_nothing_that_comes_moves_the_cursor_of_who_watches() -> None:
    body = json.dumps({**EVENT, "data": {"summary": "\x1b[2J\nVERIFIED evt_9"}}).encode()
    async with listening([KEY]) as (post, told):
        await post(body, **signed(body=body))
    assert told[0].isprintable()
    assert r"\x1b[2J\nVERIFIED" in told[0]
    assert len(plain("x" * 10_000)) == 500
