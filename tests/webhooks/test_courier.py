"""The courier with a real outbox and real receivers, good ones and hostile ones."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook as Judge

from agent.clock import SystemClock
from agent.model import Content, Event, Notice, Settlement
from agent.outbox import Outbox
from agent.webhooks.config import Webhook
from agent.webhooks.courier import Courier
from agent.webhooks.retry import Outcome, why_failed
from agent.webhooks.transport import Transport
from drivers.signing import key_of, verify, verify_github
from tests.faults.oracle import SECRET
from tests.support.agent import free_port
from tests.support.hands import HandClock
from tests.support.receiver import Receiver, answer, first, reset
from tests.support.waiting import until

QUICK: dict[str, Any] = {
    "secrets": [SECRET],
    "delays": [0, "50ms", "50ms"],
    "rest": {"min": "200ms", "max": "400ms"},
    "timeout": {"connect": "500ms", "total": "1s"},
}


@dataclass
class Desk:
    """An outbox with one courier."""

    outbox: Outbox
    courier: Courier
    clock: SystemClock
    count: int = 0

    async def owe(self, *subjects: str) -> None:
        draft = self.outbox.draft(
            self.clock.moment(), lambda event, _, n: Content(b'{"n": %d, "id": "%s"}' % (n, event.id.encode()))
        )
        draft.owe(self.event(subject) for subject in subjects)
        await self.outbox.commit(draft.batch())

    async def commit(self) -> None:
        await self.owe()

    def event(self, subject: str) -> Event:
        self.count += 1
        moment = self.clock.moment()
        return Event(
            f"evt_{self.count}", "sensor.event", subject, moment.at, moment.wall, synced=True, send_to=("ops",)
        )


@asynccontextmanager
async def desk(
    state: Path, url: str, tell: Callable[[Notice], None] = lambda _: None, **more: Any
) -> AsyncIterator[Desk]:
    config = Webhook.model_validate({"url": url, **QUICK, **more})
    clock = SystemClock()
    outbox = Outbox(state, {"ops": config.expires}, {"ops"} if config.ordering == "none" else ())
    loaded = await outbox.open(clock)
    transport = Transport(config, clock.wall)
    courier = Courier("ops", config, outbox.mailboxes["ops"], clock, Random(1), transport, loaded.rests["ops"], tell)
    running = asyncio.create_task(courier.run())
    try:
        yield Desk(outbox, courier, clock)
    finally:
        await courier.stop(1.0)
        await running
        await outbox.close()


async def test_what_is_owed_arrives_signed(tmp_path: Path) -> None:
    async with Receiver() as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a", "b")
        await until(lambda: len(receiver.got) == 2)
        for got in receiver.got:
            Judge(SECRET).verify(got.body, got.headers)
            assert got.headers["content-type"] == "application/json"
            assert got.headers["user-agent"].startswith("bellcrank/")
        await until(lambda: at.outbox.marks == 2)
        await at.commit()
        assert at.outbox.counters["ops"].delivered == 2


async def test_headers_and_suffix_go_with_every_attempt(tmp_path: Path) -> None:
    async with Receiver(first(1, answer(500), answer(204))) as receiver, desk(tmp_path, receiver.url) as at:
        draft = at.outbox.draft(at.clock.moment(), lambda *_: Content(b"x", {"Title": "cold"}, "/fail"))
        draft.owe([at.event("a")])
        await at.outbox.commit(draft.batch())
        await until(lambda: len(receiver.got) == 2)
    for got in receiver.got:
        assert (got.path, got.headers["title"], got.body) == ("/hook/fail", "cold", b"x")
        verify([key_of(SECRET)], got.headers, got.body, None)


async def test_githubs_signature_is_over_the_body_alone(tmp_path: Path) -> None:
    secrets = ["any text will do, as long as this", "the one before, as long as it"]
    given: dict[str, Any] = {"signature": "github", "secrets": secrets}
    async with Receiver() as receiver, desk(tmp_path, receiver.url, **given) as at:
        await at.owe("a")
        await until(lambda: len(receiver.got) == 1)
    (got,) = receiver.got
    verify_github([b"any text will do, as long as this"], got.headers, got.body)
    assert got.headers["x-github-delivery"] == got.headers["webhook-id"] == "evt_1"
    assert "webhook-signature" not in got.headers


async def test_over_retries_id_and_bytes_stay_and_the_timestamp_is_fresh(tmp_path: Path) -> None:
    async with Receiver(first(2, answer(500), answer(204))) as receiver:
        async with desk(tmp_path, receiver.url, delays=[0, "1200ms"]) as at:
            await at.owe("a")
            await until(lambda: len(receiver.got) == 3)
        assert len({(got.id, got.body) for got in receiver.got}) == 1
        assert len({got.headers["webhook-timestamp"] for got in receiver.got}) > 1
        for got in receiver.got:
            Judge(SECRET).verify(got.body, got.headers)


async def test_a_subject_waits_for_its_failed_delivery_and_others_pass(tmp_path: Path) -> None:
    async def script(request: web.Request, _: int) -> web.Response:
        poison = b"evt_1" in await request.read() and len(receiver.got) < 6
        return web.Response(status=500 if poison else 204)

    async with Receiver(script) as receiver, desk(tmp_path, receiver.url, concurrency=4) as at:
        await at.owe("a", "a", "b", "b", "b")
        await until(lambda: len(receiver.got) >= 6 and "evt_2" in [got.id for got in receiver.got])
        ids = [got.id for got in receiver.got]
        assert ids.index("evt_2") > max(n for n, one in enumerate(ids) if one == "evt_1")
        assert [one for one in ids if one in ("evt_3", "evt_4", "evt_5")] == ["evt_3", "evt_4", "evt_5"]


async def test_no_more_are_sent_at_once_than_the_configuration_says(tmp_path: Path) -> None:
    async def slow(_: web.Request, _n: int) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response(status=204)

    async with Receiver(slow) as receiver, desk(tmp_path, receiver.url, concurrency=3) as at:
        await at.owe(*(f"s{n}" for n in range(30)))
        await until(lambda: len(receiver.got) == 30)
        assert receiver.most_at_once == 3


async def test_webhooks_never_wait_for_one_another(tmp_path: Path) -> None:
    async def never(_: web.Request, _n: int) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with Receiver(never) as silent, Receiver() as good, AsyncExitStack() as stack:
        clock, outbox = SystemClock(), Outbox(tmp_path, {"silent": 600.0, "good": 600.0})
        await outbox.open(clock)
        stack.push_async_callback(outbox.close)
        for name, receiver in (("silent", silent), ("good", good)):
            config = Webhook.model_validate(
                {"url": receiver.url, **QUICK, "concurrency": 1, "timeout": {"total": "60s"}}
            )
            courier = Courier(name, config, outbox.mailboxes[name], clock, Random(1), Transport(config, clock.wall))
            stack.push_async_callback(lambda task: task, asyncio.create_task(courier.run()))
            stack.push_async_callback(courier.stop, 0.0)
        draft = outbox.draft(clock.moment(), lambda event, *_: Content(event.id.encode()))
        moment = clock.moment()
        draft.owe(
            Event(f"evt_{n}", "sensor.event", "a", moment.at, moment.wall, synced=True, send_to=("silent", "good"))
            for n in range(20)
        )
        await outbox.commit(draft.batch())
        await until(lambda: len(good.got) == 20)
        await until(lambda: len(silent.got) == 1)


async def test_a_redirect_is_never_followed(tmp_path: Path) -> None:
    async with Receiver() as target, Receiver(answer(307, Location=target.url)) as receiver:
        async with desk(tmp_path, receiver.url) as at:
            await at.owe("a")
            await until(lambda: len(receiver.got) >= 2)
            assert "redirects" in (at.courier.view().last_error or "")
        assert target.got == []


async def test_a_receiver_that_drips_is_given_up_in_total(tmp_path: Path) -> None:
    async def drip(request: web.Request, _: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.05)

    async with Receiver(drip) as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a")
        await until(lambda: (at.courier.view().last_error or "").startswith("timeout"))
        assert receiver.got


async def test_of_a_huge_answer_only_the_beginning_is_read(tmp_path: Path) -> None:
    written = 0

    async def huge(request: web.Request, _: int) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        for _ in range(3000):
            await response.write(bytes(65536))
            written += 65536
        return response

    async with Receiver(huge) as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a")
        await until(lambda: at.courier.view().succeeded == 1)
        assert written < 64 * 1024 * 1024


@pytest.mark.parametrize("script", [reset, answer(503)], ids=["reset", "503"])
async def test_a_webhook_that_fails_rests_is_probed_by_one_and_then_gets_all(tmp_path: Path, script: Any) -> None:
    async with Receiver(script) as receiver, desk(tmp_path, receiver.url, rest={"min": "300ms", "max": "1s"}) as at:
        await at.owe(*(f"s{n}" for n in range(20)))
        await until(lambda: at.courier.view().state == "resting" and at.courier.view().in_flight == 0)
        before = len(receiver.got)
        await until(lambda: len(receiver.got) > before)
        await until(lambda: at.courier.view().in_flight == 0)
        assert len(receiver.got) == before + 1, "behind a rest exactly one probe goes out"
        receiver.script = answer(204)
        await until(lambda: at.courier.view().succeeded == 20)
        assert at.courier.view().state == "answering"


async def test_a_receiver_that_is_gone_uses_up_no_attempt(tmp_path: Path) -> None:
    receiver = Receiver(port=free_port())
    settled: list[Settlement] = []
    async with desk(tmp_path, receiver.url) as at:
        true_settle = at.outbox.gathering.settle

        def settle(settlement: Settlement) -> None:
            settled.append(settlement)
            true_settle(settlement)

        at.outbox.gathering.settle = settle  # type: ignore[method-assign]
        await at.owe(*(f"s{n}" for n in range(6)))
        await until(lambda: at.courier.view().state == "resting")
        assert {one.attempts for one in settled} == {0}
        await receiver.start()
        await until(lambda: at.courier.view().succeeded == 6)
    await receiver.stop()


async def test_the_end_waits_for_all_that_is_in_flight(tmp_path: Path) -> None:
    answers = {b"evt_1": asyncio.Event(), b"evt_2": asyncio.Event()}

    async def slow(request: web.Request, _: int) -> web.Response:
        body = await request.read()
        await next(event for name, event in answers.items() if name in body).wait()
        return web.Response(status=204)

    async with Receiver(slow) as receiver, desk(tmp_path, receiver.url, timeout={"connect": "5s", "total": "9s"}) as at:
        await at.owe("a", "b")
        await until(lambda: receiver.at_once == 2)
        ending = asyncio.create_task(at.courier.stop(9.0))
        answers[b"evt_1"].set()
        await until(lambda: at.courier.view().in_flight == 1)
        answers[b"evt_2"].set()
        await ending
        assert at.courier.view().succeeded == 2


async def test_what_the_end_cuts_off_goes_again(tmp_path: Path) -> None:
    async def never(_: web.Request, _n: int) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with Receiver(never) as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a")
        await until(lambda: receiver.at_once == 1)
        await at.courier.stop(0.0)
        await until(lambda: at.courier.view().in_flight == 0)
        (delivery,) = await at.outbox.mailboxes["ops"].due(at.clock.now(), 8)
        assert (delivery.event_id, delivery.attempts) == ("evt_1", 0)


async def test_what_is_cut_off_behind_an_attempt_that_succeeded_goes_again(tmp_path: Path) -> None:
    hangs = asyncio.Event()

    async def hangs_at_the_second(request: web.Request, _: int) -> web.Response:
        if b"evt_2" in await request.read():
            hangs.set()
            await asyncio.sleep(60)
        return web.Response(status=204)

    more: dict[str, Any] = {"concurrency": 1, "timeout": {"total": "60s"}}
    async with Receiver(hangs_at_the_second) as receiver, desk(tmp_path, receiver.url, **more) as at:
        await at.owe("a", "b")
        await hangs.wait()
        await at.courier.stop(0.0)
        await until(lambda: at.courier.view().in_flight == 0)
        (again,) = await at.outbox.mailboxes["ops"].due(at.clock.now(), 9)
        assert again.event_id == "evt_2"


async def test_an_attempt_that_fails_in_an_unforeseen_way_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_post, posts = Transport.post, list[bytes]()

    async def post(transport: Transport, body: bytes, headers: Any, suffix: str) -> Outcome:
        posts.append(body)
        if len(posts) == 1:
            raise RuntimeError("unforeseen")
        return await true_post(transport, body, headers, suffix)

    monkeypatch.setattr(Transport, "post", post)
    async with Receiver() as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a")
        await until(lambda: at.courier.view().last_error == "failed: RuntimeError")
        await until(lambda: at.courier.view().succeeded == 1)
        assert len(receiver.got) == 1


async def test_a_due_time_that_is_too_far_ahead_is_brought_in_at_the_start(tmp_path: Path) -> None:
    async with Receiver(answer(500)) as receiver, desk(tmp_path, receiver.url, delays=[0, "1h"]) as at:
        await at.owe("a", "b")
        await until(lambda: at.courier.view().failed == 2)
        await at.commit()
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        db.execute("UPDATE deliveries SET due_at = due_at + 1e9 WHERE subject = 'a'")
    db.close()
    async with desk(tmp_path, receiver.url) as at:
        lanes = at.outbox.mailboxes["ops"]._lanes
        assert lanes.next_due() == pytest.approx(at.clock.now() + 3600, abs=900), "a right one stays"
        assert [lane.subject for lane in lanes.take_due(at.clock.now() + 1.2 * 86400, 8)] == ["b", "a"]


class Away:
    """A transport whose receiver is away until it is told otherwise: minutes cannot be had with a real one."""

    def __init__(self) -> None:
        self.outcome = Outcome(0.1, error="refused")
        self.posts = 0

    async def post(self, *_: object) -> Outcome:
        self.posts += 1
        return self.outcome

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(("away_s", "told"), [(170.0, False), (190.0, True)])
async def test_the_end_of_a_long_rest_is_told(tmp_path: Path, away_s: float, told: bool) -> None:
    config = Webhook.model_validate({"url": "http://127.0.0.1:1/", **QUICK, "delays": [0], "rest": {"max": "30s"}})
    clock, outbox, away, said = HandClock(), Outbox(tmp_path, {"ops": config.expires}), Away(), list[Notice]()
    await outbox.open(clock)
    draft = outbox.draft(clock.moment(), lambda event, *_: Content(event.id.encode()))
    moment = clock.moment()
    draft.owe([Event("evt_1", "sensor.event", "a", moment.at, moment.wall, synced=True, send_to=("ops",))])
    await outbox.commit(draft.batch())
    mailbox = outbox.mailboxes["ops"]
    courier = Courier("ops", config, mailbox, clock, Random(1), away, tell=said.append)  # type: ignore[arg-type]
    running = asyncio.create_task(courier.run())
    for seconds in (0, 2, 4, 8, 16):
        clock.advance(seconds)
        mailbox.changed.set()
        posts = away.posts
        await until(lambda: away.posts > posts or courier.view().state == "resting")  # noqa: B023
    await until(lambda: courier.view().state == "resting")
    away.outcome = Outcome(0.1, status=204)
    clock.advance(away_s)
    mailbox.changed.set()
    await until(lambda: courier.view().state == "answering")
    assert [(one.type, one.about, one.data["reason"]) for one in said] == [
        ("webhook.recovered", "ops", "answers")
    ] * told
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await outbox.close()


@pytest.mark.parametrize(
    ("date", "ahead"),
    [("Tue, 01 Jan 2030 00:00:00 GMT", 1_893_456_000.0), ("Sat, 01 Jan 2000 00:00:00 GMT", None), ("soon", None)],
)
async def test_what_the_receivers_clock_says_is_kept_unless_it_cannot_be(
    tmp_path: Path, date: str, ahead: float | None
) -> None:
    async with Receiver(answer(500, date=date)) as receiver, desk(tmp_path, receiver.url, delays=[0, "1h"]) as at:
        await at.owe("a")
        await until(lambda: at.courier.view().failed == 1)
        found = at.courier.view().ahead_s
        assert found == (None if ahead is None else pytest.approx(ahead - at.clock.now(), abs=60))


async def test_a_person_switches_a_webhook_and_it_is_told_once(tmp_path: Path) -> None:
    said = list[Notice]()
    async with Receiver() as receiver, desk(tmp_path, receiver.url, tell=said.append) as at:
        at.courier.enable()
        at.courier.disable()
        at.courier.disable()
        at.courier.enable()
    assert [(one.type, one.data["reason"]) for one in said] == [
        ("webhook.disabled", "asked"),
        ("webhook.recovered", "enabled"),
    ]


async def test_what_waits_is_tried_when_it_is_asked_for_one_first_behind_a_rest(tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(answer(503, Retry_After="3000")) as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe(*(f"s{n}" for n in range(9)))
        await until(lambda: at.courier.view().state == "resting" and not at.courier.view().in_flight)
        receiver.script = gate.script
        at.courier.retry()
        await until(lambda: len(gate.held) == 1)
        assert at.courier.view().in_flight == 1
        receiver.script = answer(204)
        gate.open()
        await until(lambda: at.courier.view().succeeded == 9)


async def test_what_waits_for_its_next_attempt_is_tried_when_it_is_asked_for(tmp_path: Path) -> None:
    async with Receiver(answer(500)) as receiver, desk(tmp_path, receiver.url, delays=[0, "1h"]) as at:
        await at.owe("a", "b")
        await until(lambda: at.courier.view().failed == 2 and not at.courier.view().in_flight)
        receiver.script = answer(204)
        at.courier.retry()
        await until(lambda: at.courier.view().succeeded == 2)


async def test_410_disables_the_webhook_and_keeps_its_queue_over_a_start(tmp_path: Path) -> None:
    async with Receiver(answer(410)) as receiver:
        async with desk(tmp_path, receiver.url) as at:
            await at.owe("a", "a", "b")
            await until(lambda: at.courier.view().state == "disabled")
            await at.commit()
        receiver.script = answer(204)
        sent = len(receiver.got)
        async with desk(tmp_path, receiver.url) as at:
            assert at.courier.view().state == "disabled"
            await at.owe("c")
            assert (at.outbox.counters["ops"].pending, len(receiver.got)) == (4, sent)


async def test_retry_after_is_honoured(tmp_path: Path) -> None:
    async with Receiver(first(1, answer(429, Retry_After="1"), answer(204))) as receiver:
        async with desk(tmp_path, receiver.url) as at:
            await at.owe("a")
            await until(lambda: len(receiver.got) == 2)
        assert receiver.got[1].at - receiver.got[0].at > 0.9


async def test_a_stale_connection_gets_one_immediate_second_try(tmp_path: Path) -> None:
    async def second_on_a_connection_breaks(request: web.Request, number: int) -> web.StreamResponse:
        seen = [got.peer for got in receiver.got[:number]]
        return await (reset if receiver.got[number].peer in seen else answer(204))(request, number)

    async with Receiver(second_on_a_connection_breaks) as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a")
        await until(lambda: at.courier.view().succeeded == 1)
        await at.owe("a")
        await until(lambda: at.courier.view().succeeded == 2)
        assert [got.id for got in receiver.got] == ["evt_1", "evt_2", "evt_2"]
        assert at.courier.view().failed == 0


async def test_a_lost_answer_is_told_again_under_the_same_id(tmp_path: Path) -> None:
    async with Receiver(first(1, reset, answer(204))) as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a")
        await until(lambda: at.courier.view().succeeded == 1)
        assert {got.id for got in receiver.got} == {"evt_1"}
        assert len(receiver.got) == 2


async def test_what_is_expired_is_not_sent(tmp_path: Path) -> None:
    async with Receiver() as receiver, desk(tmp_path, receiver.url, expires="1ms") as at:
        draft = at.outbox.draft(at.clock.moment(), lambda *_: Content(b"{}"))
        old = at.event("a")
        draft.owe([Event(old.id, old.type, "a", old.at - 5, old.wall, synced=True, send_to=("ops",))])
        await at.outbox.commit(draft.batch())
        await until(lambda: at.outbox.marks)
        await at.commit()
        assert (at.outbox.counters["ops"].dead, receiver.got) == (1, [])


async def test_nothing_is_remembered_of_a_delivery_that_expired_between_its_attempts(tmp_path: Path) -> None:
    async with Receiver(reset) as receiver, desk(tmp_path, receiver.url, expires="500ms") as at:
        await at.owe("a")
        await until(lambda: at.courier.view().failed == 1)
        assert at.courier._witness
        await until(lambda: not len(at.outbox.mailboxes["ops"]._lanes))
        assert len(receiver.got) == 1
        assert not at.courier._witness


async def test_the_first_answer_after_a_start_makes_due_what_waited_for_one_before(tmp_path: Path) -> None:
    async with Receiver(answer(503)) as receiver:
        async with desk(tmp_path, receiver.url, delays=[0, "1h"]) as at:
            await at.owe("a", "b")
            await until(lambda: at.courier.view().failed == 2)
            await at.commit()
        receiver.script = answer(204)
        async with desk(tmp_path, receiver.url, delays=[0, "1h"]) as at:
            await at.owe("c")
            await until(lambda: at.courier.view().succeeded == 3)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://nobody.invalid/x", "dns"),
        ("https://127.0.0.1:{closed}/x", "refused"),
        ("https://127.0.0.1:{plain}/x", "tls"),
    ],
)
async def test_the_kind_of_an_error_is_told_in_a_word(tmp_path: Path, url: str, word: str) -> None:
    async with Receiver() as receiver:
        there = url.format(closed=free_port(), plain=receiver.port)
        async with desk(tmp_path, there, allow_http=True) as at:
            await at.owe("a")
            await until(lambda: at.courier.view().last_error)
            assert (at.courier.view().last_error or "").startswith(word)


async def test_each_attempt_is_logged_with_what_was_the_matter(tmp_path: Path) -> None:
    async def busy(_: web.Request, _n: int) -> web.Response:
        return web.Response(status=500, body=b"x" * 600)

    script = first(1, busy, first(2, answer(302, Location="/elsewhere"), answer(204)))
    async with Receiver(script) as receiver, desk(tmp_path, receiver.url) as at:
        await at.owe("a")
        await until(lambda: at.courier.view().succeeded and at.outbox.marks)
        await at.commit()
        (letter,) = at.outbox.archive.whole("evt_1")
    assert [(one.status, one.error, one.answer) for one in letter.log] == [
        (500, "HTTP 500", b"x" * 512),
        (302, "HTTP 302, redirects to '/elsewhere', which is not followed", b""),
        (204, None, b""),
    ]
    assert [one.at for one in letter.log] == sorted(one.at for one in letter.log)


def test_what_was_the_matter_can_always_be_written() -> None:
    outcome = Outcome(0.1, 302, detail="no \udcff", location="/elsewhere\udcff")
    assert why_failed(outcome) == r"HTTP 302, redirects to '/elsewhere\udcff', which is not followed"
    assert why_failed(replace(outcome, status=None, error="protocol", location=None)) == r"protocol: no \udcff"


class Gate:
    """Holds every request until it is let through."""

    def __init__(self) -> None:
        self.held: list[asyncio.Event] = []

    async def script(self, _: web.Request, _n: int) -> web.Response:
        self.held.append(passed := asyncio.Event())
        await passed.wait()
        return web.Response(status=204)

    def open(self) -> None:
        held, self.held = self.held, []
        for passed in held:
            passed.set()

    def drained(self, courier: Courier, count: int) -> bool:
        """Let all through, and tell whether so many were delivered."""
        self.open()
        return courier.view().succeeded == count


@pytest.mark.parametrize("ordering", ["subject", "none"])
async def test_behind_a_rest_the_queue_drains_in_a_slow_start(tmp_path: Path, ordering: str) -> None:
    gate = Gate()
    async with Receiver(reset) as receiver, desk(tmp_path, receiver.url, concurrency=6, ordering=ordering) as at:
        await at.owe(*(f"s{n}" for n in range(40)))
        await until(lambda: at.courier.view().state == "resting" and at.courier.view().in_flight == 0)
        receiver.script = gate.script
        for at_once in (1, 1, 2, 4, 6, 6):  # the first is the probe
            await until(lambda at_once=at_once: len(gate.held) == at_once)  # type: ignore[misc]
            assert at.courier.view().in_flight == at_once
            gate.open()
            await until(lambda: not gate.held)
        receiver.script = answer(204)
        await until(lambda: gate.drained(at.courier, 40))


async def test_one_that_is_enabled_again_begins_with_one(tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.script) as receiver, desk(tmp_path, receiver.url) as at:
        at.courier.disable()
        await at.owe(*(f"s{n}" for n in range(9)))
        at.courier.enable()
        await until(lambda: len(gate.held) == 1)
        assert at.courier.view().in_flight == 1
        receiver.script = answer(204)
        gate.open()
        await until(lambda: at.courier.view().succeeded == 9)


async def test_one_a_minute_sends_one_and_then_waits(tmp_path: Path) -> None:
    async with Receiver() as receiver, desk(tmp_path, receiver.url, rate="1/m") as at:
        await at.owe("a", "b", "c")
        await until(lambda: at.courier.view().succeeded == 1 and not at.courier.view().in_flight)
        wait_s = (at.courier._next_time() or 0.0) - at.clock.now()
        assert 50 < wait_s <= 60


async def test_without_order_one_subject_fills_all_places_and_a_failed_one_is_overtaken(tmp_path: Path) -> None:
    gate = Gate()

    async def script(request: web.Request, number: int) -> web.StreamResponse:
        if (await request.read())[-7:-2] == b"evt_1":
            return web.Response(status=500)
        return await gate.script(request, number)

    more: dict[str, Any] = {"ordering": "none", "concurrency": 4, "delays": [0, "1h"]}
    async with Receiver(script) as receiver, desk(tmp_path, receiver.url, **more) as at:
        await at.owe(*["a"] * 12)
        await until(lambda: len(gate.held) == 4)
        await until(lambda: gate.drained(at.courier, 11))
        assert receiver.most_at_once == 4
        assert [got.id for got in receiver.got].count("evt_1") == 1


async def test_a_probe_is_brought_forward_by_the_network(tmp_path: Path) -> None:
    async with Receiver(reset) as receiver, desk(tmp_path, receiver.url, rest={"min": "1h", "max": "2h"}) as at:
        await at.owe(*"abcde")
        await until(lambda: at.courier.view().state == "resting")
        receiver.script = answer(204)
        at.courier.hurry()
        await until(lambda: at.courier.view().succeeded == 5)
