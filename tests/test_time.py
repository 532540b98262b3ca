"""A device without a battery for its clock: what is told when, and that no clock fires, expires or loses anything."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from agent.outbox import Filter, Outbox, Span
from agent.outbox.packing import unpack
from agent.pipeline import Pipeline
from agent.rules import Book, Engine, Rule, Site
from agent.templates import rfc3339
from agent.webhooks import courier
from agent.webhooks.config import Webhook
from agent.webhooks.courier import Courier
from agent.webhooks.transport import Transport
from agent.webhooks.writer import Writer
from drivers.base import FeedState, Message, Origin, Presence, Reading
from tests.faults.oracle import SECRET
from tests.support.hands import HandClock
from tests.support.receiver import Receiver, answer, first
from tests.support.waiting import until

YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
RIGHT = datetime(2026, 12, 1, 8, tzinfo=UTC).timestamp()
DAY_S, YEAR_S = 86400.0, 365 * 86400.0
WARM = {"warm": {"sensor": "room.t", "when": {"above": 5}}}
PRESSED = {"pressed": {"sensor": "room.t", "each": {"reading": True}}}


@dataclass
class House:
    """Rules, outbox, pipeline and a courier, all by one clock that is set by hand."""

    clock: HandClock
    outbox: Outbox
    pipeline: Pipeline
    receiver: Receiver
    path: Path

    async def say(self, value: float) -> None:
        reading = Reading("room.t", value, None, Origin("room", {}, {}, None, False))
        await self.pipeline.take("feed", [Message(self.clock.now(), ("room",), (reading,), (), None)])

    async def goes_on(self, seconds: float = 0.0) -> None:
        """Some time passes, and all look at the clock."""
        self.clock.advance(seconds)
        self.outbox.mailboxes["ops"].changed.set()
        await self.pipeline.flush()
        await asyncio.sleep(0)

    def waits_s(self) -> float:
        """How long the courier still lets the first delivery wait."""
        due_at = self.outbox.mailboxes["ops"].next_due()
        assert due_at is not None, "it is being sent"
        return due_at - self.clock.now()

    async def sent(self, n: int) -> list[dict[str, Any]]:
        """The first n events, when they have come."""
        await until(lambda: len(self.receiver.got) >= n)
        return [json.loads(got.body) for got in self.receiver.got]

    def bodies(self) -> list[bytes | None]:
        """What is to be sent, as the file has it."""
        return [unpack(*row) for row in self.rows("SELECT form, body FROM letters")]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        db = sqlite3.connect(self.path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()


@asynccontextmanager
async def house(
    state: Path,
    clock: HandClock,
    receiver: Receiver,
    rules: dict[str, Any] = WARM,
    *,
    sends: bool = True,
    **webhook: Any,
) -> AsyncIterator[House]:
    """Ends as a crash does: what waits for a commit is lost."""
    given = {name: Rule.model_validate(rule) for name, rule in rules.items()}
    config = Webhook.model_validate({"url": receiver.url, "secrets": [SECRET], **webhook})
    outbox = Outbox(state, {"ops": config.expires}, {"ops"} if config.ordering == "none" else ())
    loaded = await outbox.open(clock)
    ids = count(1)
    meanings, site = {name: rule.meaning("") for name, rule in given.items()}, Site(sources=["room"])
    engine = Engine(Book(given, ["ops"], {}, lambda prefix: f"{prefix}{clock.now()}-{next(ids)}", meanings, site))
    step = engine.load(loaded.memory, loaded.downtime_s, clock.moment())
    pipeline = Pipeline(engine, outbox, loaded.ledgers, clock, Writer("cabin", "id", {"ops": config}))
    await pipeline.begin(step)
    transport = Transport(config, clock.wall)
    sender = Courier("ops", config, outbox.mailboxes["ops"], clock, Random(1), transport, loaded.rests["ops"])
    tasks = [asyncio.create_task(work) for work in (pipeline.run(), sender.run() if sends else transport.close())]
    try:
        await pipeline.take("feed", [Presence(clock.now(), "room", "room", FeedState.OPEN, "")])
        yield House(clock, outbox, pipeline, receiver, state / "outbox.db")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.close()


def wrong(year: float = YEAR_2000) -> HandClock:
    return HandClock(wall=year, synced=False)


def set_right(clock: HandClock, unix: float = RIGHT, *, synced: bool = True) -> None:
    clock.unix, clock.synced = unix, synced


@pytest.mark.parametrize("ordering", ["subject", "none"])
async def test_a_first_attempt_waits_for_the_clock_and_its_time_is_corrected(tmp_path: Path, ordering: str) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(), receiver, ordering=ordering) as at:
        await at.say(9)
        await at.goes_on(20)
        assert at.waits_s() == 40
        set_right(at.clock)
        await at.goes_on()
        [event] = await at.sent(1)
        assert event["time"] == event["timestamp"] == event["data"]["started_at"] == rfc3339(RIGHT - 20)
        assert event["data"]["clock"] == "corrected"
        assert at.rows("SELECT wall, synced FROM letters") == [(RIGHT - 20, 1)]
        assert at.bodies() == [receiver.got[0].body]


async def test_a_body_and_headers_of_the_webhooks_own_are_corrected_as_well(tmp_path: Path) -> None:
    own: dict[str, Any] = {"body": {"at": "{time}"}, "headers": {"X-At": "{time}"}}
    async with Receiver() as receiver, house(tmp_path, wrong(), receiver, **own) as at:
        await at.say(9)
        set_right(at.clock)
        await at.goes_on()
        [body] = await at.sent(1)
        assert body == {"at": rfc3339(RIGHT)}
        assert receiver.got[0].headers["x-at"] == rfc3339(RIGHT)
        [(headers,)] = at.rows("SELECT headers FROM letters")
        assert (at.bodies()[0], json.loads(headers)) == (receiver.got[0].body, {"X-At": rfc3339(RIGHT)})


async def test_what_died_without_an_attempt_and_is_sent_again_is_sent_as_it_was_written(tmp_path: Path) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(), receiver, sends=False, expires="1m") as at:
        await at.say(9)
        await at.goes_on(3600)
        await until(lambda: at.outbox.counters["ops"].dead == 1)
        assert at.rows("SELECT COUNT(*) FROM untimed") == [(1,)]
        set_right(at.clock)
        assert (await at.pipeline.replay(Filter(states=("dead",)), Span())).moved == 1
        assert at.rows("SELECT COUNT(*) FROM untimed") == [(0,)]
        [again] = await at.outbox.mailboxes["ops"].due(at.clock.now(), 1)
        assert json.loads(again.body)["time"] == rfc3339(YEAR_2000)


async def test_a_clock_that_stays_wrong_is_waited_for_a_minute(tmp_path: Path) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(), receiver) as at:
        await at.say(9)
        [body] = at.bodies()
        await at.goes_on(59)
        assert at.waits_s() == 1
        await at.goes_on(1)
        [event] = await at.sent(1)
        assert (event["time"], event["data"]["clock"]) == (rfc3339(YEAR_2000), "unsynced")
        assert receiver.got[0].body == body


@pytest.mark.parametrize("year", [YEAR_2000, RIGHT])
async def test_a_pulse_never_waits_and_takes_along_what_goes_before_it(tmp_path: Path, year: float) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(year), receiver, WARM | PRESSED) as at:
        await at.say(9)
        events = await at.sent(2)
        assert [event["type"] for event in events] == ["sensor.alert.firing", "sensor.event"]
        assert [event["data"]["clock"] for event in events] == ["unsynced"] * 2


async def test_with_a_year_that_can_be_nothing_waits(tmp_path: Path) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(RIGHT), receiver) as at:
        await at.say(9)
        [event] = await at.sent(1)
        assert (event["time"], event["data"]["clock"]) == (rfc3339(RIGHT), "unsynced")


async def test_a_year_that_can_be_is_better_than_one_that_cannot_though_nothing_says_that_it_is_right(
    tmp_path: Path,
) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(), receiver) as at:
        await at.say(9)
        set_right(at.clock, synced=False)
        await at.goes_on()
        [event] = await at.sent(1)
        assert (event["time"], event["data"]["clock"]) == (rfc3339(RIGHT), "unsynced")


async def test_bytes_are_final_on_disk_before_the_first_attempt_and_the_same_in_every_one(tmp_path: Path) -> None:
    open_rows = []

    async def looks(request: web.Request, n: int) -> web.StreamResponse:
        open_rows.append(at.rows("SELECT COUNT(*) FROM untimed")[0][0])
        return await first(2, answer(500), answer(204))(request, n)

    async with Receiver(looks) as receiver, house(tmp_path, wrong(RIGHT), receiver, delays=[0, "1s"]) as at:
        await at.say(9)
        await at.sent(1)
        set_right(at.clock, RIGHT + DAY_S)
        for n in (2, 3):
            await until(lambda: at.outbox.marks)
            await at.goes_on(2)
            await at.sent(n)
        assert open_rows == [0, 0, 0]
        assert len({got.body for got in receiver.got}) == 1


@pytest.mark.parametrize(
    ("attempted", "rebooted", "word", "time"),
    [
        (False, False, "corrected", RIGHT + 100),
        (True, False, "unsynced", RIGHT - DAY_S),
        (False, True, "unsynced", RIGHT - DAY_S),
    ],
)
async def test_after_a_crash_only_what_was_never_attempted_in_this_boot_is_corrected(
    tmp_path: Path, attempted: bool, rebooted: bool, word: str, time: float
) -> None:
    clock = wrong(RIGHT - DAY_S)

    async def never(_: web.Request, _n: int) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with Receiver(never) as receiver:
        async with house(tmp_path, clock, receiver, sends=attempted) as at:
            await at.say(9)
            if attempted:
                await at.sent(1)
        bodies = {got.body for got in receiver.got}
        receiver.got.clear()
        receiver.script = answer(204)
        clock.advance(50)
        if rebooted:
            clock.boot, clock.at = "second boot", 10.0
        set_right(clock, RIGHT + 150)
        async with house(tmp_path, clock, receiver) as at:
            [event] = await at.sent(1)
            assert (event["data"]["clock"], event["time"]) == (word, rfc3339(time))
            assert not bodies or {receiver.got[0].body} == bodies
            assert at.rows("SELECT COUNT(*) FROM untimed") == [(0,)]


async def test_what_is_resolved_by_a_right_clock_says_rightly_when_it_began(tmp_path: Path) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(), receiver) as at:
        await at.say(9)
        await at.goes_on(60)
        await at.sent(1)
        set_right(at.clock)
        await at.say(1)
        firing, resolved = await at.sent(2)
        assert firing["data"]["started_at"] == rfc3339(YEAR_2000)
        assert resolved["data"]["clock"] == "synced"
        assert (resolved["data"]["started_at"], resolved["data"]["ended_at"]) == (rfc3339(RIGHT - 60), rfc3339(RIGHT))


async def test_a_webhook_that_answers_is_sent_to_without_a_second_commit(tmp_path: Path) -> None:
    async with Receiver() as receiver, house(tmp_path, wrong(RIGHT), receiver, PRESSED) as at:
        await at.say(1)
        await at.sent(1)
        await until(lambda: at.outbox.mailboxes["ops"].answers)
        await at.say(2)
        assert at.rows("SELECT COUNT(*) FROM untimed") == [(0,)]
        await at.sent(2)


async def test_no_body_that_is_too_long_to_be_kept_is_lost(tmp_path: Path) -> None:
    rule, clock = {"pressed": {"sensor": "room.t", "each": {"reading": True}, "payload": True}}, wrong(RIGHT)
    async with Receiver() as receiver:
        async with house(tmp_path, clock, receiver, rule, sends=False) as at:
            reading = Reading("room.t", 1, None, Origin("room", {}, {}, "x" * 70_000, False))
            await at.pipeline.take("feed", [Message(at.clock.now(), ("room",), (reading,), (), None)])
            assert at.rows("SELECT COUNT(*) FROM untimed") == [(0,)]
        async with house(tmp_path, clock, receiver, rule) as at:
            [event] = await at.sent(1)
            assert event["data"]["truncated"] == ["payload"]


@pytest.mark.parametrize("step_s", [-3600.0, YEAR_S, -YEAR_S, RIGHT - YEAR_2000, YEAR_2000 - RIGHT])
async def test_a_wall_clock_that_is_set_fires_expires_and_loses_nothing(tmp_path: Path, step_s: float) -> None:
    rules = {
        "long": {"sensor": "room.t", "when": {"above": 5}, "for": "10m"},
        "quiet": {"sensor": "room.t", "when": {"silent_for": "15m"}},
    }
    clock = HandClock(wall=RIGHT)
    async with Receiver(answer(500)) as receiver, house(tmp_path, clock, receiver, rules, delays=[0, "1h"]) as at:
        await at.say(9)
        clock.unix += step_s
        await at.goes_on(599)
        assert not receiver.got
        assert not at.rows("SELECT 1 FROM deliveries")
        await at.goes_on(1)
        await at.sent(1)
        await until(lambda: at.outbox.marks)
        clock.unix -= step_s
        await at.goes_on(299)
        assert at.rows("SELECT rule FROM letters") == [("long",)]
        await at.goes_on(1)
        assert at.rows("SELECT rule FROM letters ORDER BY delivery") == [("long",), ("quiet",)]
        clock.unix += step_s
        await at.goes_on(600)
        assert at.waits_s() > 1000, "the retry is due after an hour, whatever the clock says"
        assert at.outbox.counters["ops"].pending == 2
        receiver.script = answer(204)
        await at.goes_on(2 * 3600)
        await until(lambda: at.outbox.marks + at.outbox.counters["ops"].delivered >= 2)
        await at.goes_on(2)
        assert at.outbox.counters["ops"].delivered == 2


async def test_a_device_that_was_suspended_tries_soon_what_is_overdue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "_LONGEST_WAIT_S", 0.05)
    script = first(1, answer(500), answer(204))
    async with Receiver(script) as receiver, house(tmp_path, HandClock(), receiver, delays=[0, "8h"]) as at:
        await at.say(9)
        await until(lambda: at.outbox.marks)
        at.clock.advance(10 * 3600)  # and the loop's own clock has stood still
        await at.sent(2)


async def test_a_device_that_was_suspended_fires_at_once_what_is_overdue(tmp_path: Path) -> None:
    rules = {"long": {"sensor": "room.t", "when": {"above": 5}, "for": "10m"}}
    async with Receiver() as receiver, house(tmp_path, HandClock(), receiver, rules) as at:
        await at.say(9)
        at.clock.advance(8 * 3600)
        await at.say(9)
        [event] = await at.sent(1)
        assert event["data"]["state"] == "firing"
