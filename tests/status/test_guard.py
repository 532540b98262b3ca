"""The guard over real sockets: headers, limits of number, size and time, and what of it an answer shows."""

import asyncio
import contextlib
import socket

import pytest

from agent.status import guard, server
from tests.status.serving import LARGE, TOKEN, browser, served, until_end
from tests.support.waiting import until

HOST = b"Host: localhost\r\n"


async def status_of(reader: asyncio.StreamReader) -> int:
    return int((await asyncio.wait_for(reader.readline(), 20)).split()[1])


def assert_strict(headers: dict[str, str]) -> None:
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for directive in ("script-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["server"] == "bellcrank"


HEADS = {
    200: b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode(),
    303: b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html",
    401: b"GET / HTTP/1.1\r\nHost: localhost",
    403: b"POST /login HTTP/1.1\r\nHost: localhost",
    404: b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode(),
    405: b"DELETE / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode(),
    421: b"GET / HTTP/1.1\r\nHost: evil.example.com",
    500: b"GET /fail HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode(),
    400: b"GET\r\nHost: localhost",
}


@pytest.mark.parametrize("status", HEADS)
async def test_every_answer_has_the_strict_headers(status: int) -> None:
    async with served(token=TOKEN) as page:
        reader, _ = await page.raw(HEADS[status] + b"\r\nConnection: close\r\n\r\n")
        answer = (await asyncio.wait_for(reader.read(), 20)).decode()
    head, _, body = answer.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    assert int(first.split()[1]) == status
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert_strict(headers)
    assert "a secret" not in body
    assert "aiohttp" not in answer.lower()
    if status != 400:
        assert headers["cache-control"] == "no-store"
    if status == 401:
        assert headers["www-authenticate"] == "Bearer"
    if status == 303:
        assert headers["location"] == "/login"


async def test_what_is_streamed_has_them_and_what_is_static_may_be_kept() -> None:
    async with served() as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        page.live_may_end.set()
        live = await ask("GET", "/live")
        assert_strict({name.lower(): value for name, value in live.headers.items()})
        assert live.headers["Cache-Control"] == "no-store"
        assert (await ask("GET", "/static/style.css")).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example.com\r\n", b"Host:\r\n"])
async def test_a_request_names_one_host(hosts: bytes) -> None:
    async with served() as page:
        reader, _ = await page.raw(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
        assert await status_of(reader) in (400, 421)


@pytest.mark.parametrize("target", ["/static/../", "/static/%2e%2e/", "/static//../", "//", "/login/.."])
async def test_no_way_of_writing_a_path_leads_around_the_token(target: str) -> None:
    async with served(token=TOKEN) as page:
        reader, _ = await page.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert await status_of(reader) in (401, 404)


async def test_a_get_changes_nothing_whatever_it_asks_for() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        for path in ("/change", "/change?_method=POST", "/logout"):
            answer = await ask("GET", path, Authorization=f"Bearer {TOKEN}", X_HTTP_Method_Override="POST")
            assert answer.status == 405
    assert not page.changes


async def test_a_change_needs_its_origin_and_its_token() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await ask("POST", "/change", b"1")).status == 303, "to the login"
        assert (await ask("POST", "/change", b"2", **bearer, Origin="https://evil.example.com")).status == 403
        assert (await ask("POST", "/change", b"3", **bearer, Origin="null")).status == 403
        assert (await ask("POST", "/change", b"4", **bearer)).status == 200
    assert page.changes == [b"4"]


# -- limits


async def test_connections_are_bounded_and_those_too_many_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)
    async with served() as page:
        held = [await page.raw(b"GET /live HTTP/1.1\r\n" + HOST + b"\r\n") for _ in range(3)]
        for reader, _ in held:
            assert await status_of(reader) == 200
        reader, _ = await page.raw(b"")
        assert await until_end(reader) == b""
        for _, one in held:
            one.close()
        page.live_may_end.set()
        await until(lambda: not page.server._connections._open)
        reader, _ = await page.raw(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await status_of(reader) == 200


@pytest.mark.parametrize("said", [b"", b"GE", b"GET / HTTP/1.1\r\nHost: loc", b"GET / HTTP/1.1\r\n" + HOST])
async def test_who_does_not_send_the_whole_head_is_cut(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.2)
    async with served() as page:
        reader, _ = await page.raw(said)
        assert await until_end(reader) == b""
        assert not page.server._connections._open


async def test_to_send_a_head_byte_by_byte_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.3)
    async with served() as page:
        reader, writer = await page.raw(b"GET / HTTP/1.1\r\nX: ")
        ended = asyncio.create_task(until_end(reader))
        while not ended.done():
            writer.write(b"x")
            await asyncio.sleep(0.01)
        assert ended.result() == b""


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.1)
    async with served(token=TOKEN) as page:
        head = b"POST /change HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + TOKEN.encode()
        reader, _ = await page.raw(head + b"\r\nContent-Length: 9\r\n\r\nabc")
        assert await status_of(reader) == 408
    assert not page.changes


async def test_a_body_that_is_too_long_is_refused_and_of_who_may_not_none_is_read() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        long = (guard.BODY_BYTES_MAX + 1) * b"x"
        assert (await ask("POST", "/change", long, Authorization=f"Bearer {TOKEN}")).status == 413
        reader, _ = await page.raw(b"POST /change HTTP/1.1\r\n" + HOST + b"Content-Length: 999999\r\n\r\n")
        assert await status_of(reader) == 401
    assert not page.changes


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + 5000 * b"x" + b" HTTP/1.1\r\n" + HOST,
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + 9000 * b"x" + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + 70 * b"X: 1\r\n",
    ],
)
async def test_a_head_that_is_too_long_is_refused(head: bytes) -> None:
    async with served() as page:
        reader, _ = await page.raw(head + b"\r\n")
        assert await status_of(reader) == 400


def taken(lazy: socket.socket) -> int:
    """How many bytes are there for who takes them late."""
    n = 0
    with contextlib.suppress(ConnectionError):
        while some := lazy.recv(65536):
            n += len(some)
    return n


async def test_who_does_not_take_the_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.2)
    async with served() as page:
        with socket.create_connection(("127.0.0.1", page.port)) as lazy:
            lazy.sendall(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
            await until(lambda: page.changes and not page.server._connections._open)
            lazy.settimeout(20)
            assert await asyncio.to_thread(taken, lazy) < LARGE


async def test_what_is_streamed_is_not_cut_however_long_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.1)
    async with served() as page:
        reader, _ = await page.raw(b"GET /live HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"data: 1" in await asyncio.wait_for(reader.readuntil(b"data: 1\n\n"), 20)
        idle, _ = await page.raw(b"")
        assert await until_end(idle) == b"", "this one is cut meanwhile"
        page.live_may_end.set()
        assert b"data: 2" in await asyncio.wait_for(reader.readuntil(b"data: 2\n\n"), 20)
