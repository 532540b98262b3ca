"""The HTTP driver with a real client: who may speak, what is said and answered. The rest is in test_contract.py."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import aiohttp
import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook
from yarl import URL

from drivers import http_server
from drivers.base import Batch, DriverError, FeedState, Message, Surroundings
from drivers.http import HttpDriver, HttpSource
from drivers.http_connections import Connections
from tests.faults.oracle import SECRET
from tests.support.agent import free_port
from tests.support.hands import HandClock
from tests.support.waiting import until

Batches = AsyncGenerator[Batch, None]
TOKEN = "a token with spaces/and+more"
IN_URL = "a%20token%20with%20spaces%2Fand%2Bmore"
GITHUB_SECRET = "It's a Secret to Everybody"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SOURCES: dict[str, dict[str, Any]] = {
    "signed": {"path": "/in/signed", "secrets": [SECRET], "max_body": "1KiB"},
    "token": {"path": "/in/token", "token": TOKEN},
    "hub": {"path": "/in/hub", "secrets": [GITHUB_SECRET], "signature": "github"},
    "text": {"path": "/in/text", "token": TOKEN, "format": "text", "sensors": {"v": {}}},
    "rare": {"path": "/in/rare", "token": TOKEN, "rate": "2/m"},
}


def source(**given: Any) -> HttpSource:
    return HttpSource.model_validate({"driver": "http", "sensors": {"v": {"path": "v"}}, **given})


class Bench:
    """A driver with every kind of source, its reader, and a client."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self.client = client
        self.clock = HandClock(wall=datetime.now(UTC).timestamp())
        self.port = free_port()
        sources = {name: source(listen=f"127.0.0.1:{self.port}", **given) for name, given in SOURCES.items()}
        around = Surroundings("", "", self.clock, Random(1), {})
        (self.driver,) = HttpDriver.feeds(sources, around)
        self.messages: list[Message] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.reader: asyncio.Task[None] | None = None

    @property
    def server(self) -> http_server.Server:
        assert self.driver._server is not None
        return self.driver._server

    @property
    def connections(self) -> Connections:
        return self.server._connections

    async def open(self) -> None:
        self.reader = asyncio.create_task(self._read())
        await until(lambda: self.state is FeedState.OPEN)

    async def _read(self) -> None:
        async with aclosing(cast("Batches", self.driver.batches())) as batches:
            async for batch in batches:
                self.messages += [message for message in batch if isinstance(message, Message)]
                await self.may_go_on.wait()

    async def say(self, path: str, body: Any = b"{}", method: str = "POST", **headers: str) -> tuple[int, Any]:
        """The status and the headers of the answer."""
        url = f"http://127.0.0.1:{self.port}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, URL(url, encoded=True), data=body, headers=named) as answer:
            return answer.status, answer.headers

    @property
    def told(self) -> list[object]:
        """Of each message its value, or the reason why it has none."""
        return [(*(r.value for r in m.readings), *(r.reason for r in m.refusals))[0] for m in self.messages]

    @property
    def state(self) -> FeedState:
        return self.driver.states()["signed"].state

    async def end(self) -> None:
        self.may_go_on.set()
        await self.driver.close()
        if self.reader is not None:
            await asyncio.gather(self.reader, return_exceptions=True)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        bench = Bench(client)
        await bench.open()
        yield bench
        await bench.end()


def signed(body: bytes, message_id: str = "msg_1", *, age_s: float = 0) -> dict[str, str]:
    """The headers as the standard's own package signs."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message_id, at, body.decode()),
    }


def hub(body: bytes, **more: str) -> dict[str, str]:
    """The headers as GitHub signs."""
    digest = hmac.new(GITHUB_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", **more}


# -- what is taken


async def test_what_the_standards_own_package_signs_is_taken(bench: Bench) -> None:
    body = b'{"v": 7}'
    assert (await bench.say("/in/signed", body, **signed(body)))[0] == 204
    (message,) = bench.messages
    assert (message.at, message.sources) == (bench.clock.now(), ("signed",))
    assert [(r.sensor, r.value) for r in message.readings] == [("signed.v", 7)]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "told"),
    [
        ("POST", "/in/token", b'{"v": 7}', BEARER, 7),
        ("POST", "/in/token", b'{"v": 7}', {"Authorization": f"bearer {TOKEN}"}, 7),
        ("POST", f"/in/token/{IN_URL}", b'{"v": 7}', {}, 7),
        ("GET", f"/in/token/{IN_URL}?v=21.5&h=40", b"", {}, 21.5),
        ("GET", f"/in/token/{IN_URL}?v=on%2Foff", b"", {}, "on/off"),
        ("GET", "/in/token?v=21.5", b"", BEARER, 21.5),
        ("GET", f"/in/token/{IN_URL}?v=%FF", b"", {}, "\ufffd"),
        ("POST", "/in/token", {"v": "21.5"}, BEARER, 21.5),
        ("POST", "/in/token", b'{"v": 7}', {**BEARER, "content-type": "application/x-www-form-urlencoded"}, 7),
        ("POST", "/in/text", b"v=open", {**BEARER, "content-type": "application/x-www-form-urlencoded"}, "v=open"),
        ("POST", "/in/hub", b'{"v": 7}', hub(b'{"v": 7}'), 7),
        ("POST", "/in/token", b"no JSON", BEARER, "not_json"),
    ],
)
async def test_who_may_speak_is_heard(
    bench: Bench, method: str, path: str, body: Any, headers: dict[str, str], told: object
) -> None:
    assert (await bench.say(path, body, method, **headers))[0] == 204
    assert bench.told == [told]


async def test_a_client_that_leaves_before_its_answer_is_handled_all_the_same(bench: Bench) -> None:
    bench.may_go_on.clear()
    await_answer = [asyncio.create_task(bench.say("/in/token", b'{"v": %d}' % n, **BEARER)) for n in (1, 2)]
    await until(lambda: len(bench.messages) + len(bench.driver._intake) == 2)
    for task in await_answer:
        task.cancel()
    await asyncio.gather(*await_answer, return_exceptions=True)
    bench.may_go_on.set()
    await until(lambda: sorted(map(str, bench.told)) == ["1", "2"])


# -- what is known again


async def receipts(bench: Bench, *requests: tuple[str, dict[str, str]]) -> list[Any]:
    for path, headers in requests:
        assert (await bench.say(path, b"{}", **headers))[0] == 204
    return [message.receipt for message in bench.messages]


async def test_a_message_is_known_again_by_the_id_that_its_sender_gave_it(bench: Bench) -> None:
    one, again, another = await receipts(
        bench,
        ("/in/signed", signed(b"{}", "a")),
        ("/in/signed", signed(b"{}", "a", age_s=10)),
        ("/in/signed", signed(b"{}", "b")),
    )
    assert one == again != another
    assert (one.packet_id, len(one.digest)) == (None, 6)


async def test_the_same_id_is_another_message_at_another_path(bench: Bench) -> None:
    one, other, third = await receipts(
        bench,
        ("/in/signed", signed(b"{}", "a")),
        ("/in/token", {**BEARER, "webhook-id": "a"}),
        ("/in/hub", hub(b"{}", **{"X-GitHub-Delivery": "a"})),
    )
    assert len({one, other, third}) == 3


async def test_without_an_id_nothing_is_known_again(bench: Bench) -> None:
    assert await receipts(bench, ("/in/token", BEARER), ("/in/hub", hub(b"{}"))) == [None, None]


# -- what is not


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/", {}, 404),
        ("POST", "/in", {}, 404),
        ("POST", "/in/signed/", signed(b"{}"), 404),
        ("POST", f"/in/signed/{IN_URL}", signed(b"{}"), 404),
        ("GET", "/in/signed", signed(b"{}"), 405),
        ("PUT", "/in/token", BEARER, 405),
        ("GET", "/in/text", BEARER, 405),
        ("POST", "/in/signed", {}, 401),
        ("POST", "/in/signed", signed(b"{ }"), 401),
        ("POST", "/in/signed", signed(b"{}", age_s=400), 401),
        ("POST", "/in/signed", signed(b"{}", age_s=-86_400), 401),  # signed when the tests are collected
        ("POST", "/in/signed", BEARER, 401),
        ("POST", "/in/token", {}, 401),
        ("POST", "/in/token", {"Authorization": "Bearer"}, 401),
        ("POST", "/in/token", {"Authorization": f"Basic {TOKEN}"}, 401),
        ("POST", "/in/token", {"Authorization": "Bearer another token ä"}, 401),
        ("POST", "/in/token/", BEARER, 401),
        ("POST", f"/in/token?token={IN_URL}", {}, 401),
        ("PUT", "/in/token", {}, 401),
        ("POST", "/in/hub", signed(b"{}"), 401),
        ("POST", "/in/token", {**BEARER, "Content-Encoding": "gzip"}, 415),
    ],
)
async def test_who_may_not_is_told_so_and_not_heard(
    bench: Bench, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answered, answer = await bench.say(path, b"{}", method, **headers)
    assert answered == status
    assert answer.get("Allow") == {"/in/text": "POST", "/in/signed": "POST", "/in/token": "POST, GET"}.get(
        path if status == 405 else ""
    )
    assert ("WWW-Authenticate" in answer) == (status == 401 and path.startswith("/in/token"))
    assert not bench.messages


async def test_a_form_of_too_many_fields_is_refused(bench: Bench) -> None:
    assert (await bench.say("/in/token?" + "a=1&" * 101, b"", "GET", **BEARER))[0] == 400


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(40):
        yield b"x" * 100


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused(bench: Bench, chunked: bool) -> None:
    body = chunks() if chunked else b"x" * 1025
    assert (await bench.say("/in/signed", body))[0] == 413
    assert not bench.messages


async def test_while_the_device_does_not_know_the_time_an_old_timestamp_is_taken(bench: Bench) -> None:
    bench.clock.synced = False
    assert (await bench.say("/in/signed", b"{}", **signed(b"{}", age_s=10**6)))[0] == 204
    assert (await bench.say("/in/signed", b"{ }", **signed(b"{}")))[0] == 401


async def test_who_comes_too_often_is_told_when_to_come_again(bench: Bench) -> None:
    for _ in range(5):
        assert (await bench.say("/in/rare"))[0] == 401, "who may not speak uses nothing up"
    assert [(await bench.say("/in/rare", **BEARER))[0] for _ in range(3)] == [204, 204, 429]
    status, headers = await bench.say("/in/rare", **BEARER)
    assert (status, headers["Retry-After"]) == (429, "30")
    assert (await bench.say("/in/token", **BEARER))[0] == 204, "each source has its own rate"
    bench.clock.advance(30)
    assert (await bench.say("/in/rare", **BEARER))[0] == 204


async def test_while_the_intake_is_full_all_are_asked_to_come_again(bench: Bench) -> None:
    bench.may_go_on.clear()
    waiting = []
    while bench.state is not FeedState.PAUSED:
        waiting.append(asyncio.create_task(bench.say("/in/token", b'{"v": 1}', **BEARER)))
        await until(lambda: len(bench.messages) + len(bench.driver._intake) >= len(waiting))
        bench.clock.advance(0.1)
    status, headers = await bench.say("/in/text", b"x", **BEARER)
    assert (status, headers["Retry-After"]) == (503, "1")
    bench.may_go_on.set()
    assert {status for status, _ in await asyncio.gather(*waiting)} == {204}
    assert bench.told == [1] * len(waiting)


async def test_all_bodies_together_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HELD_BYTES_MAX", 1000)
    bench.may_go_on.clear()
    first = asyncio.create_task(bench.say("/in/text", b"x" * 600, **BEARER))
    await until(lambda: bench.messages)
    assert (await bench.say("/in/text", b"x" * 600, **BEARER))[0] == 503
    bench.may_go_on.set()
    assert (await first)[0] == 204
    assert (await bench.say("/in/text", b"x" * 600, **BEARER))[0] == 204


# -- connections


async def raw(bench: Bench, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    writer.write(said)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("said", [b"", b"POST /in/token HTT", b"POST /in/token HTTP/1.1\r\nHost: x\r\nContent-"])
async def test_a_connection_without_a_request_is_closed(bench: Bench, said: bytes) -> None:
    bench.connections.patience_s = 0.1
    reader, writer = await raw(bench, said)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_who_does_not_go_on_after_an_answer_is_cut_though_it_has_begun_to(bench: Bench) -> None:
    bench.connections.patience_s = 0.2
    reader, writer = await raw(bench, b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /noth")
    assert b" 404 Not Found" in await asyncio.wait_for(reader.readline(), 10)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def test_a_body_that_does_not_come_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_PATIENCE_S", 0.1)
    head = f"POST /in/token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n"
    reader, writer = await raw(bench, head.encode() + b'{"v"')
    assert (await asyncio.wait_for(reader.readline(), 10)).split()[1] == b"408"
    writer.close()
    assert not bench.messages


async def test_connections_are_bounded(bench: Bench) -> None:
    bench.connections.most = 2
    held = [await raw(bench, b"") for _ in range(2)]
    peers = bench.server._peers
    assert peers is not None
    await until(lambda: len(peers.connections) == 2)
    reader, writer = await raw(bench, b"")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    for _, one in (*held, (reader, writer)):
        one.close()
    await until(lambda: not peers.connections)
    assert (await bench.say("/in/token", **BEARER))[0] == 204


async def test_what_is_no_http_and_what_is_secret_stands_in_no_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for said in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"POST /in/token HTTP/1.1\r\n\xff: \xfe\r\n\r\n"):
        reader, writer = await raw(bench, said)
        assert b" 400 Bad Request" in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
    await bench.say(f"/in/token/{IN_URL}?v=1", b"", "GET")
    await bench.say("/in/signed", b"{}", **signed(b"{ }"))
    assert [record for record in caplog.records if record.name != "asyncio"] == []


# -- the end


async def test_at_the_end_what_waits_is_to_be_sent_again_and_what_is_handled_has_its_answer(bench: Bench) -> None:
    bench.may_go_on.clear()
    handled = asyncio.create_task(bench.say("/in/token", b'{"v": 1}', **BEARER))
    await until(lambda: bench.messages)
    waiting = asyncio.create_task(bench.say("/in/token", b'{"v": 2}', **BEARER))
    await until(lambda: bench.driver._intake)
    await bench.driver.close()
    assert (await waiting)[0] == 503
    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as another, another.get(f"http://127.0.0.1:{bench.port}/"):
            pass
    bench.may_go_on.set()
    assert (await handled)[0] == 204
    assert bench.told == [1]


async def test_a_batch_that_was_not_handled_is_to_be_sent_again(bench: Bench) -> None:
    bench.may_go_on.clear()
    answer = asyncio.create_task(bench.say("/in/token", b'{"v": 1}', **BEARER))
    await until(lambda: bench.messages)
    assert bench.reader is not None
    bench.reader.cancel()
    assert (await answer)[0] == 503


async def test_an_address_that_is_taken_is_told_so(bench: Bench) -> None:
    sources = {"a": source(listen=f"127.0.0.1:{bench.port}", path="/in", token=TOKEN)}
    (other,) = HttpDriver.feeds(sources, Surroundings("", "", bench.clock, Random(1), {}))
    with pytest.raises(DriverError, match=f"127.0.0.1:{bench.port}: another program listens there"):
        await anext(other.batches())


# -- the configuration


def test_sources_with_one_address_are_one_feed() -> None:
    given = {
        "a": source(path="/a", token=TOKEN),
        "b": source(path="/b", token=TOKEN),
        "c": source(path="/a", token=TOKEN, listen="[::1]:8322"),
    }
    feeds = HttpDriver.feeds(given, Surroundings("", "", HandClock(), Random(1), {}))
    assert [(feed.name, [*feed.states()]) for feed in feeds] == [
        ("http:127.0.0.1:8322", ["a", "b"]),
        ("http:[::1]:8322", ["c"]),
    ]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"path": "in"}, "such as /in/front_door"),
        ({"path": "/"}, "such as /in/front_door"),
        ({"path": "/in/"}, "such as /in/front_door"),
        ({"path": "/in door"}, "such as /in/front_door"),
        ({"path": "/{room}"}, "such as /in/front_door"),
        ({"path": "/ä"}, "such as /in/front_door"),
        ({"token": None}, "either `secrets`"),
        ({"secrets": [SECRET]}, "either `secrets`"),
        ({"token": "hunter2"}, "at least 16 bytes"),
        ({"signature": "github"}, "beside a `token`"),
        ({"token": None, "secrets": ["hunter2"]}, "whsec_"),
        ({"token": None, "secrets": ["hunter2"], "signature": "github"}, "at least 24 bytes"),
        ({"listen": "8322"}, "host:port"),
        ({"rate": 50}, "such as 50/s"),
        ({"max_body": "1GiB"}, "less than or equal"),
    ],
)
def test_what_makes_no_sense_is_an_error(wrong: dict[str, Any], why: str) -> None:
    right = {"path": "/in", "token": TOKEN}
    assert source(**right).max_body == 262_144
    with pytest.raises(ValidationError) as caught:
        source(**right | wrong)
    told = json.dumps(caught.value.errors(include_input=False, include_context=False))
    assert why in told
    assert "hunter2" not in told
