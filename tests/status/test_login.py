"""Logging in over real HTTP and TLS: by a link, by the token, behind a proxy; and what ends it."""

import asyncio
import http.cookies
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agent.status import listener
from agent.status.links import IDLE_S, LINK_S, SESSIONS_MAX
from tests.status.serving import TOKEN, Ask, Served, browser, served, until_end
from tests.support.agent import free_port
from tests.support.certificates import Authority, Pair

OTHER_TOKEN = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo4Zjk3"


def code_of(page: Served) -> str:
    return str(page.server.new_link()["path"]).partition("?code=")[2]


def cookie_of(answer: aiohttp.ClientResponse) -> http.cookies.Morsel[str]:
    (morsel,) = answer.cookies.values()
    return morsel


async def test_a_link_shows_a_button_and_only_the_button_uses_it_up() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        link = page.server.new_link()
        assert (link["expires_s"], link["tls"], link["listen"]) == (600.0, False, f"127.0.0.1:{page.port}")
        for method in ("GET", "HEAD", "GET"):
            shown = await ask(method, link["path"])
            assert (shown.status, shown.cookies) == (200, {})
        text = await shown.text()
        code = link["path"].partition("?code=")[2]
        assert f'name="code" value="{code}"' in text
        assert text.count("<button") == 1
        answer = await ask("POST", "/login", {"code": code})
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        assert await (await ask("GET", "/")).json() == {"may_change": True, "logged_in": True}
        assert (await ask("POST", "/change", b"1")).status == 200
        assert (await ask("POST", "/login", {"code": code})).status == 403


async def test_the_cookie_is_for_this_site_only_and_no_script_sees_it() -> None:
    async with served(hosts=["a.example"]) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        cookie = cookie_of(await ask("POST", "/login", {"code": code_of(page)}))
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        assert not cookie["secure"]
        assert len(cookie.value) == 64
        cookie = cookie_of(
            await ask("POST", "/login", {"code": code_of(page)}, Host="a.example", Origin="https://a.example")
        )
        assert cookie["secure"], "the browser speaks TLS, with the proxy"


async def test_the_token_logs_in_too_and_a_wrong_one_does_not() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        assert 'type="password"' in await (await ask("GET", "/login")).text()
        for form in ({"token": TOKEN[:-1]}, {"token": ""}, {"code": TOKEN}, {}, {"code": ""}):
            answer = await ask("POST", "/login", form)
            assert (answer.status, answer.cookies) == (403, {})
            assert 'role="alert"' in await answer.text()
        assert (await ask("POST", "/login", {"token": TOKEN})).status == 303
        assert (await ask("GET", "/")).status == 200


async def test_where_there_is_no_token_none_is_asked_for_and_none_is_right() -> None:
    async with served() as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        assert "password" not in await (await ask("GET", "/login")).text()
        for token in ("", "None"):
            assert (await ask("POST", "/login", {"token": token})).status == 403


async def test_who_guesses_is_slowed_and_locks_out_nobody_who_has_a_link() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        statuses = [(await ask("POST", "/login", {"token": f"guess {n}"})).status for n in range(12)]
        assert statuses == 10 * [403] + 2 * [429]
        refused = await ask("POST", "/login", {"token": TOKEN})
        assert (refused.status, refused.headers["Retry-After"]) == (429, "6")
        assert (await ask("POST", "/login", {"code": code_of(page)})).status == 303
        page.now += 6
        assert (await ask("POST", "/login", {"token": TOKEN})).status == 303


async def test_a_login_from_a_page_of_another_host_is_refused() -> None:
    async with served() as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        code = code_of(page)
        for origin in ("https://evil.example.com", "null"):
            assert (await ask("POST", "/login", {"code": code}, Origin=origin)).status == 403
        assert (await ask("POST", "/login", {"code": code})).status == 303


async def test_links_and_sessions_end_by_themselves() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        code = code_of(page)
        page.now += LINK_S
        assert (await ask("POST", "/login", {"code": code})).status == 403
        await ask("POST", "/login", {"code": code_of(page)})
        assert (await ask("GET", "/")).status == 200
        page.now += IDLE_S
        assert (await ask("GET", "/")).status == 303


async def test_who_logs_out_is_out() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        cookie = cookie_of(await ask("POST", "/login", {"code": code_of(page)}))
        assert "Log out" in await (await ask("GET", "/login")).text()
        assert (await ask("POST", "/logout")).headers["Location"] == "/login"
        kept = {"Cookie": f"{cookie.key}={cookie.value}"}
        assert (await ask("GET", "/", **kept)).status == 303


@pytest.mark.parametrize("ending", ["logs out", "is idle", "is pushed out"])
async def test_what_is_live_ends_with_its_session(ending: str) -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        cookie = cookie_of(await ask("POST", "/login", {"code": code_of(page)}))
        reader, _ = await page.raw(
            f"GET /stream HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie.key}={cookie.value}\r\n\r\n".encode()
        )
        await asyncio.wait_for(reader.readuntil(b"retry:"), 20)
        await asyncio.wait_for(reader.readuntil(b"data:"), 20)
        if ending == "logs out":
            await ask("POST", "/logout")
        elif ending == "is idle":
            page.now += IDLE_S
        else:
            for _ in range(SESSIONS_MAX):
                page.server._login._sessions.begin(page.now)
        await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 20)


async def test_another_token_ends_all_that_the_old_one_began() -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        await ask("POST", "/login", {"token": TOKEN})
        old_link = code_of(page)
        page.server.admit(page.settings(hosts=["cabin.example.com"]))
        assert (await ask("GET", "/", Host="cabin.example.com")).status == 200
        reader, _ = await page.raw(
            f"GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        await asyncio.wait_for(reader.readuntil(b"data: 1\n\n"), 20)
        page.server.admit(page.settings(token=OTHER_TOKEN))
        await until_end(reader)  # what is live for the old token ends
        assert (await ask("GET", "/")).status == 303
        assert (await ask("POST", "/login", {"code": old_link})).status == 403
        assert (await ask("POST", "/login", {"token": OTHER_TOKEN})).status == 303


async def test_neither_token_nor_code_nor_session_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        code = code_of(page)
        await ask("GET", f"/login?code={code}")
        session_id = cookie_of(await ask("POST", "/login", {"code": code})).value
        await ask("POST", "/login", {"token": TOKEN})
        await ask("POST", "/login", {"token": f"{TOKEN}x"})
        await ask("GET", "/fail")
    assert "has logged in with a link" in caplog.text
    assert "a login from 127.0.0.1 failed" in caplog.text
    for secret in (code, session_id, TOKEN):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("kind", "form", "status"),
    [
        ("application/x-www-form-urlencoded; charset=foo", b"token=x", 400),
        ("application/x-www-form-urlencoded; charset=utf-16", b"token=x", 400),
        ("application/x-www-form-urlencoded", b"token=\xff", 400),
        ("application/x-www-form-urlencoded; charset=unicode_escape", b"token=\\ud800", 403),
        ("application/x-www-form-urlencoded; charset=unicode_escape", b"code=\\ud800", 403),
        ("multipart/form-data", b"token=x", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n", 400),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=token\r\nContent-Transfer-Encoding: x\r\n\r\nx\r\n--b--\r\n",
            400,
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Type: text/plain; charset=x\r\n", 400),
    ],
)
async def test_a_form_that_no_browser_sends_is_refused_without_a_word_in_the_log(
    kind: str, form: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        answer = await ask("POST", "/login", form, Content_Type=kind)
    assert (answer.status, answer.cookies) == (status, {})
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_who_tries_again_and_again_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with served(token=TOKEN) as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        for _ in range(5):
            await ask("POST", "/login", {"code": "guess"})
        page.now += 60
        await ask("POST", "/login", {"token": "guess"})
    warned = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert warned == ["a login from 127.0.0.1 failed", "a login from 127.0.0.1 failed, and 4 since the last warning"]


async def test_what_stands_in_a_link_stays_text() -> None:
    async with served() as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        text = await (await ask("GET", "/login?code=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")).text()
    assert "<script" not in text


# -- a prefix, and a proxy


@asynccontextmanager
async def proxied(page: Served, strips: bool) -> AsyncIterator[int]:
    """A reverse proxy that shows the page at /bellcrank, and asks it by its own address, as nginx does by default."""

    async def lead(request: web.Request) -> web.Response:
        path = request.rel_url.raw_path_qs
        path = path.removeprefix("/bellcrank") if strips else path
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
        url = f"http://127.0.0.1:{page.port}{path}"
        async with session.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            passed = answer.headers.copy()
            passed.popall("Content-Length", None)
            return web.Response(status=answer.status, body=await answer.read(), headers=passed)

    app = web.Application()
    app.router.add_route("*", "/bellcrank{rest:.*}", lead)
    runner, port = web.AppRunner(app, access_log=None), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            yield port
        finally:
            await runner.cleanup()


async def log_in_at(ask: Ask, page: Served) -> None:
    assert (await ask("GET", "/bellcrank/")).headers["Location"] == "/bellcrank/login"
    path = page.server.new_link()["path"]
    assert path.startswith("/bellcrank/login?code=")
    shown = await (await ask("GET", path)).text()
    found = re.search(r'action="(.+?)">\s*<input type="hidden" name="code" value="(\w+)"', shown)
    assert found
    assert found[1] == "/bellcrank/login"
    answer = await ask("POST", found[1], {"code": found[2]})
    assert (answer.status, answer.headers["Location"]) == (303, "/bellcrank/")
    assert cookie_of(answer)["path"] == "/bellcrank"
    assert (await ask("GET", "/bellcrank/")).status == 200
    assert (await ask("POST", "/bellcrank/change", b"1")).status == 200


@pytest.mark.parametrize("strips", [True, False])
async def test_behind_a_proxy_with_a_prefix_all_is_as_without(strips: bool) -> None:
    hosts: list[str] = []
    page = Served(token=TOKEN, prefix="/bellcrank", hosts=hosts)
    async with proxied(page, strips) as port:
        page.server.admit(page.settings(hosts=[f"127.0.0.1:{port}"]))
        await page.server.start()
        try:
            async with browser(f"http://127.0.0.1:{port}") as ask:
                await log_in_at(ask, page)
        finally:
            await page.server.stop()


async def test_without_a_proxy_a_prefix_leads_there_too() -> None:
    async with served(token=TOKEN, prefix="/bellcrank") as page, browser(f"http://127.0.0.1:{page.port}") as ask:
        await log_in_at(ask, page)
        assert (await ask("GET", "/bellcrank")).headers["Location"] == "/bellcrank/"
        assert (await ask("GET", "/static/style.css")).status == 200


# -- TLS


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.own.cert)


def shown_by(port: int, context: ssl.SSLContext, name: str | None) -> str:
    """The common name of the certificate that a server shows to who names it so, or names nothing."""
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        found: Any = connection.getpeercert()
    return str(dict(pair for (pair,) in found["subject"])["commonName"])


def tls_of(pair: Pair) -> dict[str, str]:
    pair.key.chmod(0o600)
    return {"cert": str(pair.cert), "key": str(pair.key)}


async def test_over_tls_one_logs_in_with_a_cookie_that_goes_nowhere_else(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    async with served(token=TOKEN, tls=tls_of(authority.issue("cabin"))) as page:
        async with browser(f"https://localhost:{page.port}", trusting(authority)) as ask:
            cookie = cookie_of(await ask("POST", "/login", {"code": code_of(page)}))
            assert cookie["secure"]
            assert (await ask("GET", "/")).status == 200
        assert page.server.new_link()["tls"] is True


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_what_is_older_than_tls_1_2_and_what_is_no_tls_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    async with served(tls=tls_of(authority.issue("cabin"))) as page:
        old = trusting(authority)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(shown_by, page.port, old, "localhost")
        reader, _ = await page.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP" not in await until_end(reader)
        assert await asyncio.to_thread(shown_by, page.port, trusting(authority), "localhost") == "cabin"


async def test_a_handshake_that_does_not_go_on_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_S", 0.3)
    async with served(tls=tls_of(Authority(tmp_path / "ca").issue("cabin"))) as page:
        reader, _ = await page.raw(b"\x16\x03\x01")
        assert await until_end(reader) == b""


@pytest.mark.parametrize("name", ["localhost", None])
async def test_a_renewed_certificate_is_shown_from_then_on(tmp_path: Path, name: str | None) -> None:
    authority = Authority(tmp_path / "ca")
    first, second = authority.issue("first"), authority.issue("second")
    context = trusting(authority)
    context.check_hostname = name is not None
    async with served(tls=tls_of(first)) as page:
        assert await asyncio.to_thread(shown_by, page.port, context, name) == "first"
        page.server.admit(page.settings(tls=tls_of(second)))
        assert await asyncio.to_thread(shown_by, page.port, context, name) == "second"
        for old, new in zip(second, authority.issue("third"), strict=True):
            old.write_bytes(new.read_bytes())
        page.server.admit(page.settings(tls=tls_of(second)))
        assert await asyncio.to_thread(shown_by, page.port, context, name) == "third"


async def test_a_certificate_that_cannot_be_read_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("first")
    async with served(tls=tls_of(pair)) as page:
        settings = page.settings()
        pair.cert.write_text("gone")
        page.server.admit(settings)
        assert await asyncio.to_thread(shown_by, page.port, trusting(authority), "localhost") == "first"
    assert "the certificate stays as it was" in caplog.text
