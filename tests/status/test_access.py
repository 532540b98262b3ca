"""Who may see the page and who may change something, decided without I/O."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.status.access import TO_LOGIN, Asked, Policy, Refused, Visitor, further, judge, own_names
from drivers.urls import Authority, parse_authority

TOKEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOSTS = ["cabin.example.com", "lodge.example.com:8443"]
LOGGED_IN = Visitor(may_change=True, logged_in=True)
BEARER = f"Bearer {TOKEN}"


def policy(token: str | None = TOKEN, hosts: list[str] = HOSTS) -> Policy:
    return Policy(token, own_names("127.0.0.1", "Cabin.lan."), further(hosts))


def judged(token: str | None = TOKEN, **asked: Any) -> Visitor | Refused:
    request = {"method": "GET", "path": "/", "host": "localhost:8321", "came_to": "192.168.1.5", **asked}
    return judge(Asked(**request), policy(token))


def status(verdict: Visitor | Refused) -> int:
    return verdict.status if isinstance(verdict, Refused) else 200


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("localhost", True),
        ("LOCALHOST:8321", True),
        ("localhost.", True),
        ("cabin.lan:1", True),
        ("cabin.local", True),
        ("cabin", False),  # as the machine calls itself, or as its `.local`
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("[::1]:8321", True),
        ("[0:0:0:0:0:0:0:1]", True),
        ("::1", False),
        ("[::1", False),
        ("[fe80::1]", False),
        ("192.168.1.5:8321", True),  # the address that the connection came to
        ("192.168.1.6:8321", False),
        ("cabin.example.com", True),
        ("cabin.example.com:9999", True),
        ("lodge.example.com", True),
        ("evil.example.com", False),
        ("localhost.evil.example.com", False),
        ("localhost@evil.example.com", False),
        ("evil.example.com#localhost", False),
        ("localhost/", False),
        ("localhost:8321:8321", False),
        ("localhost\t", False),
        ("localhost..", False),
        ("", False),
    ],
)
def test_only_what_names_the_agent_is_answered(host: str, good: bool) -> None:
    assert status(judged(host=host, authorization=BEARER)) == (200 if good else 421)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/login", "/static/style.css"])
def test_what_is_open_asks_for_no_token_but_for_the_right_host(path: str) -> None:
    assert judged(path=path) == Visitor()
    assert status(judged(path=path, host="evil.example.com")) == 421


@pytest.mark.parametrize("path", ["/static", "/loginx", "/login/x", "/healthz/", "/metrics", "/api/v1/status", "/live"])
def test_all_else_asks_for_it(path: str) -> None:
    assert status(judged(path=path)) == 401
    assert judged(path=path, takes_html=True) == TO_LOGIN
    assert judged(path=path, authorization=BEARER) == Visitor(may_change=True)
    assert judged(path=path, has_session=True) == LOGGED_IN


@pytest.mark.parametrize(
    "authorization",
    [TOKEN, f"Basic {TOKEN}", f"{BEARER}x", BEARER[:-1], "Bearer", "Bearer ", "", f"Bearer\t{TOKEN}", "Bearer ü"],
)
def test_what_is_not_the_token_is_none(authorization: str) -> None:
    assert status(judged(authorization=authorization)) == 401
    assert status(judged(method="POST", authorization=authorization)) == 401


def test_without_a_token_all_may_read_and_nobody_may_change_without_a_login() -> None:
    assert judged(None) == Visitor()
    for authorization in (None, "Bearer ", "Bearer None"):
        assert status(judged(None, method="POST", authorization=authorization, origin="http://localhost:8321")) == 401
    assert judged(None, method="POST", has_session=True, origin="http://localhost:8321") == LOGGED_IN


@pytest.mark.parametrize(
    ("origin", "host", "good"),
    [
        ("http://localhost:8321", "localhost:8321", True),
        ("HTTP://LOCALHOST:8321", "localhost:8321", False),  # browsers write it in lower case
        ("https://localhost:8321", "localhost:8321", True),  # a proxy that speaks TLS
        ("http://localhost:3000", "localhost:8321", False),  # another program of this machine
        ("http://localhost", "localhost:8321", False),
        ("http://127.0.0.1:8321", "localhost:8321", False),
        ("https://cabin.example.com", "127.0.0.1:8321", True),  # a proxy that does not hand on the host
        ("http://cabin.example.com:80", "cabin.example.com", True),
        ("https://cabin.example.com:8443", "127.0.0.1:8321", False),
        ("https://lodge.example.com:8443", "127.0.0.1:8321", True),
        ("https://evil.example.com", "localhost:8321", False),
        ("https://cabin.example.com.evil.example.com", "localhost:8321", False),
        ("https://cabin.example.com/", "localhost:8321", False),
        ("https://cabin.example.com@evil.example.com", "localhost:8321", False),
        ("ftp://cabin.example.com", "localhost:8321", False),
        ("file://", "localhost:8321", False),
        ("null", "localhost:8321", False),
        ("", "localhost:8321", False),
        ("http://[::1]:8321", "[::1]:8321", True),
    ],
)
def test_a_change_comes_from_a_page_of_the_agent(origin: str, host: str, good: bool) -> None:
    for who in ({"has_session": True}, {"authorization": BEARER}):
        assert status(judged(method="POST", host=host, origin=origin, **who)) == (200 if good else 403)
    assert status(judged(method="POST", path="/login", host=host, origin=origin)) == (200 if good else 403)


def test_without_an_origin_only_the_token_changes_something() -> None:
    assert judged(method="POST", authorization=BEARER) == Visitor(may_change=True)
    assert status(judged(method="POST", has_session=True)) == 403
    assert status(judged(method="POST", path="/login")) == 403


@pytest.mark.parametrize(
    ("site", "good"), [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)]
)
def test_what_the_browser_says_of_where_a_change_comes_from_is_believed(site: str, good: bool) -> None:
    verdict = judged(method="POST", has_session=True, origin="http://localhost:8321", fetch_site=site)
    assert status(verdict) == (200 if good else 403)


def test_another_page_may_lead_here_and_not_fetch_from_here() -> None:
    for mode, expected in (("navigate", 200), ("no-cors", 403), ("cors", 403), (None, 403)):
        assert status(judged(None, fetch_site="cross-site", fetch_mode=mode)) == expected


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_every_method_but_get_and_head_is_a_change(method: str) -> None:
    assert status(judged(None, method=method)) == 401
    assert status(judged(None, method=method, has_session=True)) == 403


@given(
    st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    st.sampled_from(["/", "/login", "/static/a", "/api/v1/status"]),
    st.text(max_size=20),
    st.none() | st.text(max_size=20),
    st.none() | st.sampled_from(["same-origin", "same-site", "cross-site", "none", "x"]),
    st.booleans(),
)
def test_nobody_without_token_and_session_may_change_anything(
    method: str, path: str, host: str, origin: str | None, site: str | None, html: bool
) -> None:
    asked = Asked(method, path, host, "127.0.0.1", origin, site, None, "Bearer x", takes_html=html)
    verdict = judge(asked, policy())
    assert isinstance(verdict, Refused) or not verdict.may_change
    assert isinstance(verdict, Refused) or method in ("GET", "HEAD") or path == "/login"


def test_host_and_port_are_compared_in_one_form() -> None:
    assert parse_authority("Cabin.Example.com.:443") == Authority("cabin.example.com", None)
    assert parse_authority("[2001:DB8:0::1]:8321") == Authority("2001:db8::1", "8321")
    assert parse_authority("cabin:") == Authority("cabin", None)
    for text in ("", ":80", "a b", "a:b", "[::1]x", "[a]", "ä", "a/b", "user@host", "http://cabin"):
        assert parse_authority(text) is None
