"""Real receivers, good and bad, as the doctor finds them."""

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from agent.doctor.receivers import Facts, judge
from agent.webhooks.retry import Outcome
from drivers.signing import key_of, verify
from tests.doctor.parts import SECRET, by_name, configure, found
from tests.support.agent import free_port
from tests.support.certificates import Authority, Pair, tls_server
from tests.support.receiver import Receiver, answer


def ops(folder: Path, url: str, more: str = "") -> Path:
    return configure(folder, f"sources: {{}}\nwebhooks: {{ops: {{url: '{url}', secrets: [{SECRET}]{more}}}}}\n")


def serving(pair: Pair) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    return context


async def test_without_being_asked_nothing_is_sent(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        it = await found(ops(tmp_path, receiver.url), "receivers")
    assert receiver.got == []
    assert it["ops: connection"][0] == "ok"
    assert it["test event"][0] == "skipped"


async def test_a_test_event_is_signed_and_its_answer_told(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        it = await found(ops(tmp_path, receiver.url), "receivers", send_test=True)
    (got,) = receiver.got
    verify([key_of(SECRET)], got.headers, got.body, None)
    assert it["ops: test event"][0] == "ok"
    assert "it took the signed event" in it["ops: test event"][1]
    assert it["ops: clock"][0] == "ok"


async def test_a_receiver_whose_clock_is_elsewhere_is_told(tmp_path: Path) -> None:
    async def late(_: web.Request, _n: int) -> web.Response:
        return web.Response(headers={"Date": format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True)})

    async with Receiver(late) as receiver:
        it = await found(ops(tmp_path, receiver.url), "receivers", send_test=True)
    assert it["ops: clock"][0] == "warn"
    assert "that of this machine is 2 h ahead of it" in it["ops: clock"][1]


async def test_a_redirect_is_not_followed_and_told_without_moving_the_cursor(tmp_path: Path) -> None:
    async with Receiver(answer(302, Location="https://elsewhere.example/x")) as receiver:
        it = await found(ops(tmp_path, receiver.url), "receivers", send_test=True)
    assert it["ops: test event"][0] == "bad"
    assert "elsewhere.example" in it["ops: test event"][1]
    assert it["ops: test event"][2] == "use the URL that it names"


async def test_nobody_there_is_told_once(tmp_path: Path) -> None:
    it = await found(ops(tmp_path, f"http://127.0.0.1:{free_port()}/canary"), "receivers", send_test=True)
    assert it.keys() == {"ops: connection"}
    assert it["ops: connection"][0] == "bad"
    assert "canary" not in str(it)


async def test_the_certificate_is_told_with_its_days_or_with_what_is_wrong(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    trusting = f", tls: {{ca: {authority.own.cert}}}"
    elsewhere = authority.issue("elsewhere", "DNS:elsewhere.lan")
    async with Receiver(tls=serving(authority.issue("good"))) as receiver:
        url = f"https://localhost:{receiver.port}/hook"
        it = await found(ops(tmp_path, url, trusting), "receivers", send_test=True)
        unknown = await found(ops(tmp_path, url), "receivers")
    assert (it["ops: TLS"][0], it["ops: test event"][0]) == ("ok", "ok")
    assert "CA that is not known" in unknown["ops: TLS"][1]
    async with Receiver(tls=serving(elsewhere)) as receiver:
        it = await found(ops(tmp_path, f"https://localhost:{receiver.port}/hook", trusting), "receivers")
    assert it["ops: TLS"][0] == "bad"
    assert "is for another host" in it["ops: TLS"][1]


async def test_a_receiver_that_asks_for_a_client_certificate_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    server, trusting = authority.issue("good"), f", tls: {{ca: {authority.own.cert}}}"
    context = serving(server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.own.cert)
    async with Receiver(tls=context) as receiver:  # which closes without a word
        it = await found(ops(tmp_path, f"https://localhost:{receiver.port}/hook", trusting), "receivers")
    assert it["ops: TLS"][:2] == (
        "bad",
        "it closes the connection behind the handshake: does it ask for a client certificate (`tls.cert`)?",
    )
    with tls_server(server, "-Verify", "1", "-CAfile", authority.own.cert) as port:
        it = await found(ops(tmp_path, f"https://localhost:{port}/hook", trusting), "receivers")
    assert it["ops: TLS"][:2] == ("bad", "it asks for a client certificate: `tls.cert` and `tls.key`")


@pytest.mark.parametrize(
    ("outcome", "verdict", "meaning"),
    [
        (Outcome(0.1, 204), "ok", "it took the signed event"),
        (Outcome(0.1, error="timeout", detail="no whole answer in time"), "bad", "a delivery waits"),
        (Outcome(0.1, 503), "warn", "the webhook rests"),
        (Outcome(0.1, 500), "warn", "it failed"),
        (Outcome(0.1, 401), "bad", "as somebody may mend it"),
        (Outcome(0.1, 400), "bad", "five times, then it is a dead letter"),
        (Outcome(0.1, 410), "bad", "the webhook is disabled"),
        (Outcome(0.1, 301, location="/x"), "bad", "a redirect is never followed"),
    ],
)
def test_each_answer_is_told_with_what_it_means(outcome: Outcome, verdict: str, meaning: str) -> None:
    it = by_name(judge(Facts("ops", unsigned=False, outcome=outcome), 0.0))
    assert it["ops: test event"][0] == verdict
    assert meaning in it["ops: test event"][1]


@pytest.mark.parametrize(
    ("state", "dead", "verdict"),
    [("ok", 0, "ok"), ("ok", 3, "warn"), ("resting", 0, "warn"), ("disabled", 0, "bad"), ("misconfigured", 0, "bad")],
)
def test_how_a_running_agent_stands_with_it_is_judged(state: str, dead: int, verdict: str) -> None:
    told = {"state": state, "pending": 1, "dead": dead, "last_error": None}
    it = by_name(judge(Facts("ops", unsigned=False, agent=told), 0.0))
    assert it["ops: deliveries"][0] == verdict
