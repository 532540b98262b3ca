"""One request: what is sent and which way, and what people are told where there is no answer, by real sockets."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from agent.webhooks.config import Webhook
from agent.webhooks.proxies import proxy_for
from agent.webhooks.request import RequestWriter, Route, as_given
from agent.webhooks.retry import Outcome
from agent.webhooks.transport import Transport
from tests.support.agent import free_port
from tests.support.certificates import Authority, Pair, tls_server
from tests.support.proxy import proxy
from tests.support.receiver import Receiver, answer
from tests.support.waiting import until


async def post(url: str) -> Outcome:
    webhook = Webhook.model_validate(
        {"url": url, "unsigned": True, "timeout": {"connect": "1s", "total": "1s"}, "concurrency": 1}
    )
    transport = Transport(webhook, lambda: 0.0)
    try:
        return await transport.post(b"{}", {})
    finally:
        await transport.close()


def told_by(outcome: Outcome) -> tuple[str, str]:
    return outcome.error, outcome.detail


@asynccontextmanager
async def port(says: bytes) -> AsyncIterator[int]:
    """A server that says something in place of an answer."""

    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
        await gone.wait()
    finally:
        server.close()


@asynccontextmanager
async def serving(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """The URL of a server written by hand; at the end all its connections are closed."""
    tasks = set[asyncio.Task[None]]()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    await asyncio.gather(*tasks)


async def test_a_refused_connection_is_told_by_its_address() -> None:
    nobody = free_port()
    outcome = await post(f"http://127.0.0.1:{nobody}/")
    assert (outcome.error, outcome.detail) == ("refused", f"127.0.0.1:{nobody}: Connection refused")


async def test_an_answer_that_does_not_come_is_told_in_words() -> None:
    async with port(b"") as silent:
        outcome = await post(f"http://127.0.0.1:{silent}/")
    assert (outcome.error, outcome.detail) == ("timeout", "no whole answer in time")


async def test_a_port_without_tls_is_told_by_its_address() -> None:
    async with port(b"SSH-2.0-OpenSSH_9.2\r\n") as plain:
        outcome = await post(f"https://127.0.0.1:{plain}/")
    assert outcome.error == "tls"
    assert outcome.detail.startswith(f"127.0.0.1:{plain}: ")
    assert "ssl:default" not in outcome.detail


@asynccontextmanager
async def transport(url: str, **given: Any) -> AsyncIterator[Transport]:
    made = Transport(Webhook.model_validate({"url": url, "unsigned": True, **given}), lambda: 0.0)
    try:
        yield made
    finally:
        await made.close()


async def sent(url: str, **given: Any) -> Outcome:
    async with transport(url, **given) as made:
        return await made.post(b"{}", {})


# -- what is sent


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_method_and_headers_are_those_of_the_configuration(method: str) -> None:
    headers = {"Authorization": "Bearer t", "User-Agent": "mine", "X-Name": "Tür"}
    async with Receiver() as receiver, transport(receiver.url, method=method, headers=headers) as made:
        await made.post(b"{}", {"webhook-id": "evt_1"})
        await made.post(b"x", {"content-type": "text/plain", "x-name": "other"})
    first, second = receiver.got
    assert first.method == method
    assert first.headers["authorization"] == "Bearer t"
    assert first.headers["user-agent"] == "mine"
    assert first.headers["x-name"].startswith("=?utf-8?")
    assert first.headers["content-type"] == "application/json"
    assert (second.headers["content-type"], second.headers["x-name"]) == ("text/plain", "other")


@pytest.mark.parametrize(
    ("path", "asked"), [("/a", "/a/fail"), ("/a/", "/a/fail"), ("/a?rid=1", "/a/fail?rid=1"), ("", "/fail")]
)
async def test_a_suffix_goes_behind_the_path(path: str, asked: str) -> None:
    async with Receiver() as receiver, transport(f"http://127.0.0.1:{receiver.port}{path}") as made:
        assert (await made.post(b"{}", {}, "/fail")).status == 204
    assert [got.path for got in receiver.got] == [asked]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("/a%2Fb%2fc/../d?sig=%2B%7e+x%20y&&z=%zz", "/a%2Fb%2fc/../d?sig=%2B%7e+x%20y&&z=%zz"),
        ("/tür ok?q=ü", "/t%C3%BCr%20ok?q=%C3%BC"),
        ("?a=1", "/?a=1"),
        ("/a\r\nX-Evil: 1", "/aX-Evil:%201"),
    ],
)
def test_path_and_query_are_sent_as_they_are_given_and_encoded_only_where_that_is_needed(
    given: str, asked: str
) -> None:
    assert written(f"https://h{given}").startswith(f"POST {asked} HTTP/1.1\r\nHost: h\r\n")


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("h:443", "h"),
        ("h:8443", "h:8443"),
        ("[::1]:443", "[::1]"),
        ("[::1]:8443", "[::1]:8443"),
        ("example.com.", "example.com"),
        ("tür.example", "xn--tr-xka.example"),
    ],
)
def test_the_host_is_named_as_http_wants_it(authority: str, host: str) -> None:
    assert f"\r\nHost: {host}\r\n" in written(f"https://{authority}/")


def written(url: str) -> str:
    webhook = Webhook.model_validate({"url": url, "unsigned": True})
    return RequestWriter(webhook, Route(as_given(url), None))(b"{}", {}).decode()


@pytest.mark.parametrize("headers", [{"webhook-id": "a\r\nX-Evil: 1"}, {"x": "a\nb"}, {"x\r\ny": "a"}])
async def test_no_header_ends_before_its_end(headers: dict[str, str]) -> None:
    async with Receiver() as receiver, transport(receiver.url) as made:
        assert told_by(await made.post(b"{}", headers)) == ("network", "a header with a line break in it")
    assert not receiver.got


# -- connections


async def test_a_connection_is_kept_for_the_next_request_and_each_at_once_has_its_own() -> None:
    async with Receiver() as receiver, transport(receiver.url) as made:
        await made.post(b"{}", {})
        await asyncio.gather(*(made.post(b"{}", {}) for _ in range(3)))
        await asyncio.gather(*(made.post(b"{}", {}) for _ in range(3)))
    assert len({got.peer for got in receiver.got}) == 3


async def test_a_second_answer_is_not_taken_for_that_to_the_next_request() -> None:
    ok, requests = b"HTTP/1.1 204 No Content\r\n\r\n", 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"{}"):
                requests += 1
                writer.write(ok if requests < 3 else b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
                await asyncio.sleep(0.05)
                writer.write(ok)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, transport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as made:
        statuses = []
        for _ in range(4):
            statuses.append((await made.post(b"{}", {})).status)
            await until(lambda: _has_come_unasked(made))
    assert statuses == [204, 204, 503, 503]


def _has_come_unasked(made: Transport) -> bool:
    """Whether what was kept has said something that nobody has asked for."""
    return not any(kept.is_free for kept in made._connections._idle)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ("protocol", "the answer breaks off")),
        (b"HTTP/1.1 two hundred\r\n\r\n", ("protocol", "it does not speak HTTP/1.1")),
        (b"", ("reset", "it closes the connection")),
    ],
)
async def test_what_is_no_whole_answer_is_told_in_words(says: bytes, told: tuple[str, str]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(says)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        outcome = await sent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert told_by(outcome) == told


async def test_each_request_of_a_connection_has_the_whole_time_and_no_more() -> None:
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while await reader.readuntil(b"{}"):
            requests += 1
            if requests != 4:
                await asyncio.sleep(0.3)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with serving(serve) as url, transport(url, timeout={"total": "800ms"}) as made:
        outcomes = [await made.post(b"{}", {}) for _ in range(5)]
    assert [outcome.status for outcome in outcomes] == [204, 204, 204, None, 204]
    assert told_by(outcomes[3]) == ("timeout", "no whole answer in time")


@pytest.mark.parametrize("leaves", [b"HTTP/1.1 204 No Content\r\n\r\n", b""], ids=["an answer", "its end"])
async def test_what_came_before_a_request_is_seen_even_where_the_loop_has_not_read_it(leaves: bytes) -> None:
    peers: list[socket.socket] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("socket"))
        while await reader.readuntil(b"{}"):
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    async with serving(serve) as url, transport(url) as made:
        assert (await made.post(b"{}", {})).status == 500
        with socket.socket(fileno=os.dup(peers[0].fileno())) as peer:
            if leaves:
                peer.send(leaves)
            else:
                peer.shutdown(socket.SHUT_WR)
        assert (await made.post(b"{}", {})).status == 500
    assert len(peers) == 2


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("breaks", [True, False], ids=["broken", "ended"])
async def test_a_request_is_sent_again_only_where_nothing_of_an_answer_came(begin: bytes, breaks: bool) -> None:
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        requests += 1
        await reader.readuntil(b"}")
        requests += 1
        writer.write(begin)
        if breaks:
            await asyncio.sleep(0.05)  # a reset at once would take the beginning with it
            writer.transport.abort()

    async with serving(serve) as url, transport(url) as made:
        assert (await made.post(b"{}", {})).status == 204
        outcome = await made.post(b"{}" + b" " * 5_000_000 * breaks, {})
    assert outcome.status is None
    assert outcome.error == ("reset" if breaks else "protocol")
    assert requests == 2


@pytest.mark.parametrize("status", [b"413 Too Large", b"401 Unauthorized"])
async def test_an_answer_counts_though_the_body_was_not_taken(status: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    async with serving(serve) as url, transport(url) as made:
        for size in (2, 60_000, 20_000_000):
            assert (await made.post(b"x" * size, {})).status == int(status[:3])


async def test_an_attempt_that_is_cancelled_leaves_no_socket_behind(ca: Authority) -> None:
    async def never(_request: web.Request, _n: int) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async with Receiver(never, tls=server(ca.issue("never"))) as receiver:
        before = open_files()
        async with transport(receiver.url, tls={"ca": ca.own.cert}, concurrency=32) as made:
            attempts = [asyncio.create_task(made.post(b"{}", {})) for _ in range(8)]
            for n, attempt in enumerate(attempts):
                await asyncio.sleep(0.005 * n)
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        await until(lambda: open_files() <= before)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_second_try_has_no_time_of_its_own() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.readuntil(b"x")
        await asyncio.sleep(0.3)

    async with serving(serve) as url, transport(url, timeout={"connect": "400ms", "total": "400ms"}) as made:
        assert (await made.post(b"{}", {})).status == 204
        outcome = await made.post(b"x", {})
    assert outcome.error == "timeout"
    assert outcome.duration_s < 0.6


async def test_of_several_addresses_one_that_answers_is_taken_and_only_those_that_were_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Receiver() as receiver:

        async def found(*_: object, **_more: object) -> list[tuple[Any, ...]]:
            hosts = ["169.254.169.254", "127.0.0.9", "127.0.0.1"]  # refused here; nobody there
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, receiver.port)) for host in hosts]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        assert (await sent(f"http://ops.example.com:{receiver.port}/")).status == 204
    assert receiver.got[0].headers["host"] == f"ops.example.com:{receiver.port}"


async def test_who_answers_before_it_is_asked_is_not_asked() -> None:
    async with port(b"220 mail.example.com ESMTP\r\n") as mail:
        outcome = await sent(f"http://127.0.0.1:{mail}/")
    assert outcome.error == "protocol"


# -- TLS


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def server(pair: Pair, asks_for: Path | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for)
    if version is not None:
        context.maximum_version = version
    return context


async def test_a_receiver_is_verified_by_the_ca_of_the_configuration(ca: Authority) -> None:
    async with Receiver(tls=server(ca.issue("good"))) as receiver:
        assert (await sent(receiver.url, tls={"ca": ca.own.cert})).status == 204
        refused = await sent(receiver.url)
    assert told_by(refused) == (
        "tls",
        f"127.0.0.1:{receiver.port}: its certificate is of a CA that is not known here: name that as `tls.ca`",
    )
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("dates", "why"),
    [
        (
            {"until": 2021},
            "its certificate has expired (valid from Jan  1 00:00:00 2020 GMT until Dec 31 23:59:59 2021 GMT)",
        ),
        (
            {"since": 2090, "until": 2091},
            "is the clock right? (valid from Jan  1 00:00:00 2090 GMT until Dec 31 23:59:59 2091 GMT)",
        ),
        ({"names": "DNS:elsewhere"}, "its certificate is for another host (certificate is not valid for '127.0.0.1')"),
    ],
)
async def test_a_certificate_that_is_refused_is_told_with_its_dates(
    ca: Authority, dates: dict[str, Any], why: str
) -> None:
    async with Receiver(tls=server(ca.issue(f"bad{len(why)}", **dates))) as receiver:
        outcome = await sent(receiver.url, tls={"ca": ca.own.cert})
    assert outcome.status is None, "no answer: it is tried again, whatever it takes"
    assert outcome.error == "tls"
    assert why in outcome.detail.replace("IP address mismatch, ", "")
    assert not receiver.got, "nothing was sent but the handshake"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown_where_one_is_asked_for(ca: Authority, version: ssl.TLSVersion) -> None:
    agent = ca.issue(f"agent{version}", names="DNS:agent")
    asking = server(ca.issue(f"asking{version}"), asks_for=ca.own.cert, version=version)
    async with Receiver(tls=asking) as receiver:
        own = {"ca": ca.own.cert, "cert": agent.cert, "key": agent.key}
        assert (await sent(receiver.url, tls=own)).status == 204
        assert (await sent(receiver.url, tls={"ca": ca.own.cert})).status is None
    assert len(receiver.got) == 1


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_client_certificate_that_is_missing_is_told(ca: Authority, version: str) -> None:
    asking = ca.issue(f"strict{version}")
    with tls_server(asking, version, "-Verify", "1", "-CAfile", ca.own.cert) as port:
        outcome = await sent(f"https://127.0.0.1:{port}/", tls={"ca": ca.own.cert})
    assert outcome.error == "tls", outcome
    assert "client certificate" in outcome.detail


async def test_a_dot_behind_the_host_is_none_of_its_certificate(ca: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver(tls=server(ca.issue("dot", names="DNS:ops.example.com"))) as receiver:

        async def found(*_: object, **_more: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", receiver.port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        assert (await sent("https://ops.example.com./", tls={"ca": ca.own.cert})).status == 204


async def test_an_old_version_of_tls_is_refused_where_a_newer_is_asked_for(ca: Authority) -> None:
    with tls_server(ca.issue("old"), "-tls1_2") as port:
        outcome = await sent(f"https://127.0.0.1:{port}/", tls={"ca": ca.own.cert, "min_version": "1.3"})
    assert outcome.error == "tls", outcome
    assert "tls.min_version" in outcome.detail


async def test_a_connection_that_is_cut_in_the_handshake_is_told_in_words(ca: Authority) -> None:
    old = server(ca.issue("cut"), version=ssl.TLSVersion.TLSv1_2)
    async with Receiver(tls=old) as receiver:  # asyncio's server hangs up without an alert
        outcome = await sent(receiver.url, tls={"ca": ca.own.cert, "min_version": "1.3"})
    assert told_by(outcome) == ("reset", f"127.0.0.1:{receiver.port}: it closes the connection")


async def test_files_that_were_renewed_are_read_again_after_tls_has_failed(ca: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    known = tmp_path / "ca.pem"
    known.write_bytes(other.own.cert.read_bytes())
    receiver = Receiver(tls=server(ca.issue("renewed")))
    async with receiver, transport(receiver.url, tls={"ca": known}) as made:
        assert (await made.post(b"{}", {})).error == "tls"
        known.write_text("nothing")
        assert told_by(await made.post(b"{}", {})) == ("tls", f"{known} is no PEM file")
        known.write_bytes(ca.own.cert.read_bytes())
        assert (await made.post(b"{}", {})).status == 204
        known.unlink()
        assert (await made.post(b"{}", {})).status == 204, "one context for all, as long as it is good"


# -- proxies


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "no", "all"):
        for given in (f"{name}_proxy", f"{name.upper()}_PROXY"):
            monkeypatch.delenv(given, raising=False)


async def test_https_goes_through_the_proxy_and_is_verified_end_to_end(
    ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver(tls=server(ca.issue("far", names="DNS:ops.example.com"))) as receiver:
        async with proxy(receiver.port) as between:
            monkeypatch.setenv("HTTPS_PROXY", between.url.replace("http://", "http://me:pw@"))
            assert (await sent("https://ops.example.com/hook", tls={"ca": ca.own.cert})).status == 204
            wrong = await sent("https://other.example.com/hook", tls={"ca": ca.own.cert})
        assert between.asked == [f"CONNECT {name}.example.com:443 HTTP/1.1" for name in ("ops", "other")]
        assert "Proxy-Authorization: Basic bWU6cHc=" in between.heads[0]
        assert (wrong.error, len(receiver.got)) == ("tls", 1)
        assert "proxy-authorization" not in receiver.got[0].headers


async def test_http_goes_through_the_proxy_only_where_it_may_go_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as receiver, proxy(receiver.port) as between:
        monkeypatch.setenv("http_proxy", between.url.removeprefix("http://"))
        assert (await sent("http://ops.example.com/hook", allow_http=True)).status == 204
        assert (await sent("http://192.168.7.7/hook")).status == 204
        refused = await sent("http://ops.example.com/hook")
    assert between.asked == [f"POST http://{host}/hook HTTP/1.1" for host in ("ops.example.com", "192.168.7.7")]
    assert refused.error == "address"
    assert "allow_http" in refused.detail


async def test_a_proxy_that_says_more_than_that_the_way_is_free_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with port(b"HTTP/1.1 200 OK\r\n\r\nand more") as between:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{between}")
        outcome = await sent("https://ops.example.com/")
    assert outcome.error == "proxy"


async def test_a_redirect_is_not_followed_behind_a_proxy_either(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver(answer(307, Location="http://evil.example.com/")) as receiver, proxy(receiver.port) as between:
        monkeypatch.setenv("HTTP_PROXY", between.url)
        outcome = await sent("http://ops.example.com/hook", allow_http=True)
    assert (outcome.status, outcome.location, len(between.asked)) == (307, "http://evil.example.com/", 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    async with Receiver() as receiver:
        assert (await sent(f"http://{host}:{receiver.port}/")).status == 204


async def test_what_no_proxy_names_is_reached_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "metadata.example.com,.lan")
    assert proxy_for("https://ops.example.com/") is not None
    assert proxy_for("https://metadata.example.com/") is None
    assert proxy_for("https://nas.lan/") is None
    assert proxy_for("http://ops.example.com/") is None


async def test_what_is_wrong_with_a_proxy_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = free_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{nobody}")
    outcome = await sent("https://ops.example.com/")
    assert told_by(outcome) == ("refused", f"the proxy 127.0.0.1:{nobody}: Connection refused")
    async with proxy(nobody, refuses=b"407 Proxy Authentication Required") as between:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{between.port}")
        outcome = await sent("https://ops.example.com/")
    assert outcome.status is None, "the receiver has said nothing"
    assert told_by(outcome) == ("proxy", "the proxy answers HTTP 407 Proxy Authentication Required")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hunter2@127.0.0.1:1080")
    outcome = await sent("https://ops.example.com/")
    assert told_by(outcome) == ("proxy", "HTTPS_PROXY has to be http://host:port")


async def test_a_proxy_is_guarded_as_any_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def metadata(*_: object, **_more: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", metadata)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    outcome = await sent("https://ops.example.com/")
    assert outcome.error == "address"
    assert "169.254.169.254 is link-local" in outcome.detail
