"""The pipeline with the real engine and the real outbox: what is acknowledged when, and what is written."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.clock import DeviceClock, SystemClock
from agent.model import Content, Ending, Event, Notice, Settlement
from agent.outbox import Batch, BatchRefused, Outbox
from agent.outbox.packing import unpack
from agent.outbox.store import Store
from agent.pipeline import Pipeline
from agent.rules import Book, Engine, Memory, Rule, Site
from agent.supervise import keep_open
from drivers.base import (
    Arrival,
    Driver,
    DriverError,
    FeedState,
    Message,
    NewSession,
    Origin,
    Presence,
    Reading,
    Receipt,
    Refusal,
    SourceConfig,
    SourceState,
    Subscriptions,
)
from tests.support.hands import HandClock
from tests.support.waiting import until

FEED = "broker:house"


def envelope(event: Event, _webhook: str, sequence: int) -> Content:
    value = event.attributes.get("value", event.value)
    if event.type == "delivery.exhausted":
        value = json.dumps(event.attributes)
    if value == "unwritable":
        raise ValueError("no JSON")
    if value == "unstorable":
        return Content("\ud800")  # type: ignore[arg-type]
    text = f"{event.rule or event.type} {event.state or 'pulse'} {value} {sequence}"
    return Content(text.encode(errors="replace"))


def rules(**given: dict[str, Any]) -> dict[str, Rule]:
    return {name: Rule.model_validate(rule) for name, rule in given.items()}


LEVEL = {"sensor": "a.t", "when": {"above": 5}}
PULSE = {"sensor": "a.b", "each": {"reading": True}}


class House:
    """A pipeline with what it needs, on one state folder."""

    def __init__(self, outbox: Outbox, engine: Engine, pipeline: Pipeline, path: Path, clock: DeviceClock) -> None:
        self.outbox, self.engine, self.pipeline, self.clock = outbox, engine, pipeline, clock
        self._path = path

    async def take(self, *messages: Arrival) -> None:
        await self.pipeline.take(FEED, messages)

    def message(self, sensor: str, value: Any, receipt: Receipt | None = None, *, retained: bool = False) -> Message:
        origin = Origin("a", {}, {}, None, retained)
        return Message(self.clock.now(), ("a",), (Reading(sensor, value, None, origin),), (), receipt)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is on disk."""
        db = sqlite3.connect(self._path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def commits(self) -> int:
        return int(self.rows("SELECT commit_number FROM meta")[0][0])

    def bodies(self) -> list[str]:
        rows = self.rows("SELECT form, body FROM letters ORDER BY delivery")
        return [(unpack(*row) or b"").decode() for row in rows]


@asynccontextmanager
async def house(
    state: Path,
    given: dict[str, Rule],
    webhooks: Sequence[str] = ("ops",),
    behind: Sequence[float] = (),
    events_to: Sequence[str] = (),
) -> AsyncIterator[House]:
    clock, ids = SystemClock(), count(1)
    outbox = Outbox(state, dict.fromkeys(webhooks, 3600.0))
    loaded = await outbox.open(clock)
    meanings = {name: rule.meaning("") for name, rule in given.items()}
    site = Site(events_to=events_to)
    engine = Engine(Book(given, webhooks, {}, lambda prefix: f"{prefix}{clock.now()}-{next(ids)}", meanings, site))
    step = engine.load(loaded.memory, loaded.downtime_s, clock.moment())
    pipeline = Pipeline(
        engine,
        outbox,
        loaded.ledgers,
        clock,
        envelope,
        loaded.subscriptions,
        lambda: min(behind, default=None),
    )
    await pipeline.begin(step)
    running = asyncio.create_task(pipeline.run())
    try:
        yield House(outbox, engine, pipeline, state / "outbox.db", clock)
    finally:
        pipeline.stop()
        await running
        await outbox.close()


def receipt(packet_id: int, content: int = 0, *, dup: bool = False) -> Receipt:
    return Receipt(packet_id, dup, content.to_bytes(6, "big"))


async def test_what_a_message_caused_is_on_disk_when_it_may_be_acknowledged(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        await at.take(at.message("a.t", 9, receipt(1)))
        assert at.bodies() == ["high firing 9 1"]
        assert at.rows("SELECT rule, sensor FROM memory") == [("high", "a.t")]
        assert at.rows("SELECT feed, length(entries) FROM ledger") == [(FEED, 8)]


async def test_a_reading_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        await at.take(at.message("a.t", 1, receipt(1)))
        before = at.commits()
        for packet_id in range(2, 500):
            await at.take(at.message("a.t", 1, receipt(packet_id)))
        assert at.commits() == before


async def test_the_first_batch_after_a_start_is_committed_for_its_ledger(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        before = at.commits()
        await at.take(at.message("a.t", 1, receipt(1)))
        assert at.commits() == before + 1


async def test_a_message_that_comes_again_is_not_evaluated(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", receipt(1)), at.message("a.b", "on", receipt(1, dup=True)))
        await at.take(at.message("a.b", "on", receipt(1, dup=True)))
        assert len(at.bodies()) == 1
        assert at.pipeline.counts.sources["a"].repeats == 2
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", receipt(1, dup=True)))
        assert len(at.bodies()) == 1, "over a restart too"
        assert "a.b" not in at.engine.latest, "and it is no sign of life"
        await at.take(at.message("a.b", "on", receipt(1)))
        assert len(at.bodies()) == 2, "the same content under the same packet id, but not sent again: a new press"


async def test_a_message_with_an_id_of_its_own_is_one_event_over_a_restart(tmp_path: Path) -> None:
    own = Receipt(None, False, b"digest")
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", own), at.message("a.b", "on", own))
        await at.take(at.message("a.b", "on", own))
        assert len(at.bodies()) == 1
        assert at.pipeline.counts.sources["a"].repeats == 2
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", own))
        assert len(at.bodies()) == 1
        assert at.pipeline.counts.sources["a"].repeats == 1


async def test_after_a_new_session_the_ledger_is_empty_on_disk_and_in_memory(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", "on", receipt(1)))
        await at.pipeline.take("broker:other", [at.message("a.c", "on", receipt(1))])
        await at.take(NewSession(at.clock.now()))
        assert at.rows("SELECT feed FROM ledger") == [("broker:other",)], "of the other broker it stays"
        await at.take(at.message("a.b", "on", receipt(1, dup=True)))
        assert len(at.bodies()) == 2


async def test_what_was_read_before_a_new_session_is_finished_first(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(
            at.message("a.b", 1, receipt(1)), NewSession(at.clock.now()), at.message("a.b", 2, receipt(1, dup=True))
        )
        assert at.bodies() == ["pressed pulse 1 1", "pressed pulse 2 2"]


async def test_the_filters_of_a_feed_are_on_disk_before_it_may_tell_its_broker(tmp_path: Path) -> None:
    async with house(tmp_path, rules()) as at:
        await at.take(Subscriptions(at.clock.now(), {"": 2, "x": 1, "y": 2}))
        assert at.rows("SELECT * FROM subscriptions") == [(FEED, "", 2), (FEED, "x", 1), (FEED, "y", 2)]
        await at.take(at.message("a.b", 1), Subscriptions(at.clock.now(), {"": 2, "y": 2}))
        assert at.rows("SELECT * FROM subscriptions") == [(FEED, "", 2), (FEED, "y", 2)]
        assert at.pipeline.subscriptions == {FEED: {"": 2, "y": 2}}, "for a driver that a reload makes"
    async with house(tmp_path, rules()) as at:
        assert at.pipeline.subscriptions == {FEED: {"": 2, "y": 2}}


async def test_a_message_that_fails_in_the_rules_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        good = at.message("a.t", 7, receipt(1))
        broken = good._replace(readings=(*good.readings, None))  # type: ignore[arg-type]
        await at.take(broken, at.message("a.t", 8, receipt(2)))
        assert at.bodies() == ["high firing 8 1"], "what the first one began was undone"
        assert at.pipeline.counts.sources["a"].refused_by == {"failed": 1}


async def test_a_message_that_cannot_be_stored_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    wild = {"pressed": Rule.model_construct(sensor="a.*", each=rules(p=PULSE)["p"].each, when=None)}
    async with house(tmp_path, wild) as at:
        unstorable = at.message("a.\ud800", 2, receipt(2))
        await at.take(at.message("a.b", 1, receipt(1)), unstorable, at.message("a.b", 3, receipt(3)))
        assert at.bodies() == ["pressed pulse 1 1", "pressed pulse 3 2"]
        assert at.pipeline.counts.sources["a"].refused_by == {"not_storable": 1}
        await at.take(at.message("a.\ud800", 2, receipt(2, dup=True)))
        assert at.pipeline.counts.sources["a"].repeats == 1, "it is in the ledger, for it was acknowledged"


@pytest.mark.parametrize("word", ["unwritable", "unstorable"])
async def test_a_timer_whose_event_cannot_be_told_takes_no_message_with_it(tmp_path: Path, word: str) -> None:
    word_rule = {"sensor": "a.t", "when": {"equals": word}, "for": "10s"}
    async with house(tmp_path, rules(said=word_rule, pressed=PULSE)) as at:
        now = at.clock.now()
        began = at.message("a.t", word, receipt(1))._replace(at=now - 20)
        presses = [at.message("a.b", n, receipt(n))._replace(at=now - n) for n in (15, 5)]
        await at.take(began, *presses)
        assert at.bodies() == ["pressed pulse 15 1", "pressed pulse 5 2"]
        assert not at.pipeline.counts.sources["a"].refused_by
        assert at.rows("SELECT length(entries) FROM ledger") == [(8,)] * 3
        await at.take(at.message("a.b", 4, receipt(4)))
        assert len(at.bodies()) == 3, "and the pipeline goes on"


async def test_a_new_session_in_a_batch_that_could_not_be_stored_empties_the_ledger_all_the_same(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", 1, receipt(1)))
        unstorable = at.message("a.b", "unstorable", receipt(2))
        await at.take(unstorable, NewSession(at.clock.now()), at.message("a.b", 1, receipt(1, dup=True)))
        assert at.bodies() == ["pressed pulse 1 1", "pressed pulse 1 2"]
        assert at.rows("SELECT hex(entries) FROM ledger") == [("0001" + "00" * 6,)]


async def test_refusals_are_counted_with_their_reason(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        refusal = Refusal("a", "a.t", "not_finite", "nan")
        await at.take(Message(at.clock.now(), ("a",), (), (refusal,), receipt(1)))
        assert at.pipeline.counts.sources["a"].refused_by == {"not_finite": 1}
        assert at.pipeline.counts.sensors["a.t"].last == refusal


async def test_what_was_refused_and_comes_again_is_counted_as_refused_once(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        refusal = Refusal("a", "a.t", "not_finite", "nan")
        for dup in (False, True):
            await at.take(Message(at.clock.now(), ("a",), (), (refusal,), receipt(1, dup=dup)))
        count = at.pipeline.counts.sources["a"]
        assert (count.messages, count.repeats, count.refused_by) == (2, 1, {"not_finite": 1})
        assert at.pipeline.counts.sensors["a.t"].refused == 1


async def test_the_first_refusal_of_a_kind_is_logged_and_the_last_one_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        for n, reason in enumerate(["not_json", "not_json", "too_large"]):
            refusal = Refusal("a", None, reason, f"<{n}>")
            await at.take(Message(at.clock.now(), ("a",), (), (refusal,), receipt(n)))
        assert at.pipeline.counts.sources["a"].last == Refusal("a", None, "too_large", "<2>")
    assert caplog.messages == [
        "a: refused (not_json; others like it are only counted): <0>",
        "a: refused (too_large; others like it are only counted): <2>",
    ]


async def test_events_are_counted_by_rule_and_type_once_they_are_owed(tmp_path: Path) -> None:
    given = rules(high=LEVEL, pressed={**PULSE, "event": "door.bell"})
    async with house(tmp_path, given, events_to=["ops"]) as at:
        await at.take(at.message("a.t", 9), at.message("a.b", 1), at.message("a.b", 2), at.message("a.b", "unstorable"))
        at.pipeline.tell(notice(1))
        await until(lambda: at.pipeline.counts.told.total() == 4)
        assert at.pipeline.counts.told == {
            ("high", "sensor.alert.firing"): 1,
            ("pressed", "door.bell"): 2,
            ("", "webhook.odd"): 1,
        }


async def test_events_of_a_rule_that_is_gone_are_counted_no_more(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL, pressed=PULSE)) as at:
        await at.take(at.message("a.t", 9), at.message("a.b", 1))
        await at.pipeline.follow(following(at, rules(pressed=PULSE)), WEEK, envelope)
        assert at.bodies()[-1] == "high resolved 9 3"
        assert at.pipeline.counts.told == {("pressed", "sensor.event"): 1}


async def test_a_hold_ends_by_itself_without_a_new_reading(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high={**LEVEL, "for": "100ms"})) as at:
        await at.take(at.message("a.t", 9))
        assert at.bodies() == []
        await until(at.bodies, what="the timer fires")
        assert at.bodies() == ["high firing 9 1"]


async def test_a_timer_that_is_due_goes_before_a_later_reading_of_the_same_round(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high={**LEVEL, "for": "10s"})) as at:
        now = at.clock.now()
        first = at.message("a.t", 9)._replace(at=now - 20)
        last = at.message("a.t", 1)._replace(at=now - 5)
        await at.take(first, last)
        assert at.bodies() == ["high firing 9 1", "high resolved 1 2"]


async def test_batches_of_several_feeds_are_merged_by_time(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        now = at.clock.now()
        one = [at.message("a.b", n)._replace(at=now - 10 + n) for n in (1, 3)]
        other = [at.message("a.b", n)._replace(at=now - 10 + n) for n in (2, 4)]
        await asyncio.gather(at.pipeline.take("one", one), at.pipeline.take("other", other))
        assert [body.split()[2] for body in at.bodies()] == ["1", "2", "3", "4"]


async def test_a_mark_is_committed_within_about_a_second_with_no_other_input(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", 1))
        (delivery,) = await at.outbox.mailboxes["ops"].due(at.clock.now(), 1)
        at.outbox.mailboxes["ops"].settle(Settlement(delivery, Ending.DELIVERED))
        await until(lambda: at.rows("SELECT delivered FROM webhooks") == [(1,)])


async def test_many_marks_are_committed_at_once_though_they_came_during_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.pipeline.MARKS_WITHIN_S", 3600.0)
    monkeypatch.setattr("agent.pipeline.MARKS_MAX", 2)
    async with house(tmp_path, rules(pressed={**PULSE, "sensor": "a.*"})) as at:
        await at.take(*(at.message(f"a.b{n}", n) for n in range(3)))
        sent = await at.outbox.mailboxes["ops"].due(at.clock.now(), 3)
        at.outbox.gathering._settled = [Settlement(one, Ending.DELIVERED) for one in sent]
        at.outbox.gathering.on_mark()
        await until(lambda: at.rows("SELECT delivered FROM webhooks") == [(3,)])


async def test_until_a_commit_has_succeeded_nothing_is_acknowledged_installed_or_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_commit, room = Store.commit, asyncio.Event()

    def commit(store: Store, number: int, batch: Batch) -> None:
        if not room.is_set():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        true_commit(store, number, batch)

    async with house(tmp_path, rules(high=LEVEL)) as at:
        monkeypatch.setattr(Store, "commit", commit)
        taking = asyncio.create_task(at.take(at.message("a.t", 9, receipt(1))))
        await until(lambda: at.outbox.degraded)
        assert not taking.done()
        assert not at.engine.memory
        assert await at.outbox.mailboxes["ops"].due(at.clock.now(), 8) == []
        room.set()
        await asyncio.wait_for(taking, 20)
        assert at.engine.memory
        assert len(await at.outbox.mailboxes["ops"].due(at.clock.now(), 8)) == 1


async def test_every_commit_appends_all_that_was_read_since_the_last_one(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high={**LEVEL, "for": "100ms"})) as at:
        await at.take(at.message("a.t", 9, receipt(1)))
        await at.take(at.message("a.u", 1, receipt(2)))
        assert at.rows("SELECT SUM(length(entries)) FROM ledger") == [(8,)], "it changed nothing, so it is not written"
        await until(at.bodies, what="the timer fires")
        assert at.rows("SELECT SUM(length(entries)) FROM ledger") == [(16,)]


async def test_there_is_a_commit_before_packet_ids_come_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.outbox.ledger.UNSAVED_MAX", 100)
    async with house(tmp_path, rules()) as at:
        await at.take(at.message("a.t", 1, receipt(1)))
        before = at.commits()
        for first in range(2, 202, 50):
            await at.take(*(at.message("a.t", 1, receipt(packet_id)) for packet_id in range(first, first + 50)))
        assert at.commits() == before + 2


async def test_all_that_is_expired_goes_at_once_a_few_with_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("retention", "sweeping"):
        monkeypatch.setattr(f"agent.outbox.{module}.SWEEP_ROWS", 2)
    async with house(tmp_path, rules(pressed={**PULSE, "expires": "1ms"})) as at:
        now = at.clock.now()
        await at.take(*(at.message("a.b", n)._replace(at=now - 9) for n in range(7)))
        at.pipeline._sweep_due = 0.0
        await at.take()
        await until(lambda: at.rows("SELECT dead FROM webhooks") == [(7,)])


async def test_a_pulse_that_is_sent_to_nobody_writes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed={**PULSE, "send_to": []})) as at:
        before = at.commits()
        await at.take(at.message("a.b", 1))
        assert at.commits() == before


async def test_soft_memory_is_written_at_the_end(tmp_path: Path) -> None:
    throttled = rules(pressed={**PULSE, "throttle": "1h"})
    async with house(tmp_path, throttled) as at:
        for n in range(4):
            await at.take(at.message("a.b", n))
        assert len(at.bodies()) == 1
        assert Memory.load(at.rows("SELECT value FROM memory")[0][0]).throttled == 0, "not yet written"
    async with house(tmp_path, throttled) as at:
        assert at.engine.memory["pressed", "a.b"].throttled == 3
        await at.take(at.message("a.b", 5))
        assert len(at.bodies()) == 1, "throttle is remembered over the restart"


async def test_an_alert_whose_rule_is_gone_is_resolved_at_the_start(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL), ["ops", "old"]) as at:
        await at.take(at.message("a.t", 9))
    async with house(tmp_path, rules(), ["ops"]) as at:
        assert at.bodies()[-1] == "high resolved 9 2"
        assert at.rows("SELECT * FROM memory") == []
        assert at.outbox.counters["old"].dropped_by["webhook_removed"] == 1
        assert all(counters.balanced for counters in at.outbox.counters.values())


@pytest.mark.parametrize("messages", [1, 700])
async def test_what_arrives_together_is_one_commit(tmp_path: Path, messages: int) -> None:
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        before = at.commits()
        await at.take(*(at.message("a.b", n, receipt(n + 1)) for n in range(messages)))
        assert at.commits() == before + 1
        assert len(at.bodies()) == messages


# -- presence, silence, commands


SILENT = {"sensor": "a.t", "when": {"silent_for": "200ms"}}


def opened(at: House, state: FeedState = FeedState.OPEN) -> Presence:
    return Presence(at.clock.now(), "a", "a", state)


async def test_silence_is_told_by_itself_where_the_source_is_open(tmp_path: Path) -> None:
    async with house(tmp_path, rules(silent=SILENT)) as at:
        await at.take(at.message("a.t", 7, receipt(1)))
        await at.take(opened(at))
        await until(at.bodies)
        assert at.bodies() == ["silent firing 7 1"]


async def test_a_repeated_message_is_no_sign_of_life(tmp_path: Path) -> None:
    async with house(tmp_path, rules(silent=SILENT)) as at:
        await at.take(opened(at), at.message("a.t", 7, receipt(1)))
        await until(at.bodies)
        await at.take(at.message("a.t", 7, receipt(1, dup=True)))
        assert at.bodies() == ["silent firing 7 1"]
        await at.take(at.message("a.t", 7, receipt(2)))
        assert at.bodies() == ["silent firing 7 1", "silent resolved 7 2"]


async def test_a_sensor_is_forgotten_durably(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        refusal = Refusal("a", "a.t", "not_finite", "nan")
        await at.take(at.message("a.t", 9, receipt(1))._replace(refusals=(refusal,)))
        assert await at.pipeline.forget("a.t")
        assert at.bodies() == ["high firing 9 1", "high resolved 9 2"]
        assert at.rows("SELECT * FROM memory") == []
        assert "a.t" not in at.engine.latest
        assert "a.t" not in at.pipeline.counts.sensors
        assert not await at.pipeline.forget("a.t")


async def test_no_timer_runs_further_than_what_a_feed_has_read_and_not_handed_over(tmp_path: Path) -> None:
    behind: list[float] = []
    async with house(tmp_path, rules(high={**LEVEL, "for": "100ms"}), behind=behind) as at:
        first = at.message("a.t", 9)
        behind.append(first.at + 0.05)
        await at.take(first)
        await until(lambda: (at.engine.next_due() or at.clock.now()) < at.clock.now(), what="the hold is over")
        await at.take(at.message("a.other", 1))
        assert at.bodies() == []
        assert at.pipeline._due() > at.clock.now(), "and it does not spin meanwhile"
        behind.clear()
        await at.take(first._replace(at=first.at + 0.05, readings=at.message("a.t", 1).readings))
        assert (at.bodies(), at.engine.next_due()) == ([], None), "what waited had something to say"


async def test_a_reading_does_not_overtake_the_end_of_its_own_hold(tmp_path: Path) -> None:
    behind: list[float] = []
    async with house(tmp_path, rules(high={**LEVEL, "for": "10s"}), behind=behind) as at:
        now = at.clock.now()
        behind.append(now - 100)
        await at.take(at.message("a.t", 9)._replace(at=now - 20), at.message("a.t", 1)._replace(at=now - 5))
        assert at.bodies() == ["high firing 9 1", "high resolved 1 2"]


async def test_a_feed_that_is_lost_is_told_of_each_of_its_sources(tmp_path: Path) -> None:
    taken: list[Any] = []

    async def take(feed: str, batch: Any) -> None:
        taken.extend((feed, presence) for presence in batch)
        raise asyncio.CancelledError

    class Broken(Driver):
        name = "broken:one"
        Source = SourceConfig

        @classmethod
        def feeds(cls, sources: Any, around: Any) -> Any:
            raise NotImplementedError

        async def batches(self) -> AsyncIterator[Any]:
            raise DriverError("no such port")
            yield

        async def close(self) -> None:
            raise NotImplementedError

        def states(self) -> Any:
            return dict.fromkeys(("a", "b"), SourceState(FeedState.LOST))

    with pytest.raises(asyncio.CancelledError):
        await keep_open(Broken(), take, HandClock(), Random(1))
    assert taken == [
        ("broken:one", Presence(1000.0, name, name, FeedState.LOST, "no such port")) for name in ("a", "b")
    ]


def following(at: House, given: dict[str, Rule], webhooks: Sequence[str] = ("ops",), new_id: Any = None) -> Engine:
    ids = count(1)
    meanings = {name: rule.meaning("") for name, rule in given.items()}
    new_id = new_id or (lambda prefix: f"{prefix}next-{next(ids)}")
    return Engine(Book(given, webhooks, {}, new_id, meanings, Site(sources=["a"], events_to=webhooks)))


WEEK = {"ops": 3600.0}


async def test_other_rules_take_over_memory_holds_and_what_was_not_yet_written(tmp_path: Path) -> None:
    given = rules(high={**LEVEL, "for": "2s"}, pressed={**PULSE, "throttle": "1h"})
    async with house(tmp_path, given) as at:
        await at.take(at.message("a.t", 9))
        for n in range(3):
            await at.take(at.message("a.b", n))
        await at.pipeline.follow(following(at, {**given, **rules(more=PULSE)}), WEEK, envelope)
        assert at.engine is not at.pipeline.engine
        assert at.pipeline.engine.memory["pressed", "a.b"].throttled == 2, "soft memory too"
        assert at.pipeline.engine.latest["a.t"].reading.value == 9
        await until(lambda: "high firing 9 2" in at.bodies(), what="the hold goes on")
    assert Memory.load(at.rows("SELECT value FROM memory WHERE rule = 'pressed'")[0][0]).throttled == 2


async def test_a_throttle_goes_on_under_other_rules(tmp_path: Path) -> None:
    given = rules(pressed={**PULSE, "throttle": "1h"})
    async with house(tmp_path, given) as at:
        await at.take(at.message("a.b", 1))
        await at.pipeline.follow(following(at, {**given, **rules(more=LEVEL)}), WEEK, envelope)
        await at.take(at.message("a.b", 2))
        assert at.bodies() == ["pressed pulse 1 1"]


async def test_what_came_before_a_change_of_rules_is_judged_by_the_old_ones(tmp_path: Path) -> None:
    async with house(tmp_path, rules(old=PULSE)) as at:
        taken = asyncio.gather(*(at.take(at.message("a.b", n)) for n in range(3)))
        await asyncio.sleep(0)  # they are handed over
        await at.pipeline.follow(following(at, rules(new=PULSE)), WEEK, envelope)
        await taken
        await at.take(at.message("a.b", 3))
        assert at.bodies() == [*(f"old pulse {n} {n + 1}" for n in range(3)), "new pulse 3 4"]


async def test_a_rule_that_is_gone_is_resolved_durably_before_the_change_takes_effect(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL), ["ops", "old"]) as at:
        await at.take(at.message("a.t", 9))
        await at.pipeline.follow(following(at, rules()), {"ops": 3600.0, "new": 3600.0}, envelope)
        assert at.bodies()[-1] == "high resolved 9 2"
        assert at.rows("SELECT * FROM memory") == []
        assert at.outbox.counters["old"].dropped_by["webhook_removed"] == 1, "it is no more"
        assert at.outbox.counters["new"].owed == 0, "it is there, and was owed no firing"
        await at.pipeline.follow(following(at, rules(pressed=PULSE), ["new"]), {"new": 3600.0}, envelope)
        await at.take(at.message("a.b", 1))
        assert at.outbox.counters["new"].pending == 1
        assert all(counters.balanced for counters in at.outbox.counters.values())


async def test_a_change_of_rules_that_fails_changes_nothing(tmp_path: Path) -> None:
    def no_id(_: str) -> str:
        raise RuntimeError("no id")

    async with house(tmp_path, rules(high=LEVEL)) as at:
        await at.take(at.message("a.t", 9))
        with pytest.raises(RuntimeError, match="no id"):
            await at.pipeline.follow(following(at, rules(), new_id=no_id), {"new": 3600.0}, envelope)
        await at.take(at.message("a.t", 1))
        assert at.bodies() == ["high firing 9 1", "high resolved 1 2"]


async def test_a_change_that_fails_when_it_is_stored_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, rules(high=LEVEL)) as at:
        await at.take(at.message("a.t", 9))
        with pytest.raises(BatchRefused):
            new = following(at, rules(), new_id=lambda _: "\ud800")
            await at.pipeline.follow(new, {**WEEK, "new": 3600.0}, envelope)
        await at.take(at.message("a.t", 1))
        assert at.bodies() == ["high firing 9 1", "high resolved 1 2"]


def notice(value: object, about: str | None = None) -> Notice:
    return Notice("webhook.odd", "webhook:ops", {"value": value}, about)


async def test_what_the_agent_tells_of_itself_is_owed_with_all_else_and_in_its_order(tmp_path: Path) -> None:
    async with house(tmp_path, rules(pressed=PULSE), events_to=["ops"]) as at:
        before = at.commits()
        at.pipeline.tell(notice(1))
        await at.take(at.message("a.b", "on"))
        assert at.bodies() == ["webhook.odd pulse 1 1", "pressed pulse on 2"]
        assert at.commits() == before + 1
        at.pipeline.tell(notice(2))
        await until(lambda: at.bodies()[2:] == ["webhook.odd pulse 2 3"], what="a notice needs no other input")


async def test_a_webhook_does_not_hear_of_itself(tmp_path: Path) -> None:
    async with house(tmp_path, rules(), ["ops", "phone"], events_to=["ops", "phone"]) as at:
        at.pipeline.tell(notice(1, about="ops"))
        at.pipeline.tell(notice(2, about="phone"))
        at.pipeline.tell(notice(3))
        await at.take()
        rows = at.rows(
            "SELECT w.name, l.body FROM deliveries d JOIN letters l ON l.delivery = d.id"
            " JOIN webhooks w ON w.id = d.webhook ORDER BY d.id"
        )
        told = [(name, body.split()[2]) for name, body in rows]
        assert told == [("phone", b"1"), ("ops", b"2"), ("ops", b"3"), ("phone", b"3")]


@pytest.mark.parametrize("word", ["unwritable", "unstorable"])
async def test_a_notice_that_cannot_be_told_takes_nothing_with_it(tmp_path: Path, word: str) -> None:
    async with house(tmp_path, rules(pressed=PULSE), events_to=["ops"]) as at:
        at.pipeline.tell(notice(word))
        await at.take(at.message("a.b", 1, receipt(1)))
        assert at.bodies() == ["pressed pulse 1 1"]
        at.pipeline.tell(notice("other"))
        await at.take()
        assert at.bodies()[1:] == ["webhook.odd pulse other 2"], "and no number is missing"


async def dies(at: House, *endings: Ending) -> None:
    """Some events of a rule become dead letters at ops, or not."""
    await at.take(*(at.message("a.b", n) for n in range(len(endings))))
    for ending in endings:
        [delivery] = await at.outbox.mailboxes["ops"].due(at.clock.now(), 1)
        at.outbox.mailboxes["ops"].settle(Settlement(delivery, ending))
    await at.pipeline.flush()


def exhausted(at: House) -> list[Any]:
    """What was told of dead letters."""
    return [json.loads(body.split(" ", 2)[2].rpartition(" ")[0]) for body in at.bodies() if "delivery." in body]


async def test_dead_letters_are_told_of_at_once_and_then_at_most_once_a_minute(tmp_path: Path) -> None:
    given = rules(pressed=PULSE)
    async with house(tmp_path, given, ["ops", "phone"], events_to=["ops", "phone"]) as at:
        await dies(at, Ending.DEAD, Ending.DELIVERED, Ending.EXPIRED)
        await until(lambda: len(exhausted(at)) == 1)
        await dies(at, Ending.DEAD, Ending.DEAD)
        before = at.commits()
        await at.take()
        assert len(exhausted(at)) == 1
        assert at.commits() == before, "looking costs nothing"
    async with house(tmp_path, given, ["ops", "phone"], events_to=["ops", "phone"]) as at:
        await until(lambda: len(exhausted(at)) == 2, what="what died before a start is told after it")
        told = [(one["count"], one["rules"]["pressed"]) for one in exhausted(at)]
        assert [count for count, _ in told] == [2, 2]
        assert [(one["first"], one["last"]) for _, one in told] == [(1, 3), (4, 5)]
    async with house(tmp_path, given, ["ops", "phone"], events_to=["ops", "phone"]) as at:
        await until(lambda: not at.outbox.sweeper.untold)
        assert len(exhausted(at)) == 2, "and nothing twice"


async def test_events_about_the_agent_become_dead_letters_silently(tmp_path: Path) -> None:
    async with house(tmp_path, rules(), ["ops", "phone"], events_to=["ops", "phone"]) as at:
        at.pipeline.tell(notice(1))
        await at.take()
        await until(lambda: not at.outbox.sweeper.untold)
        [delivery] = await at.outbox.mailboxes["ops"].due(at.clock.now(), 1)
        at.outbox.mailboxes["ops"].settle(Settlement(delivery, Ending.DEAD))
        at.pipeline._exhausted_due = 0.0
        await at.pipeline.flush()
        await at.take()
        await until(lambda: not at.outbox.sweeper.untold)
        assert at.outbox.counters["ops"].dead == 1
        assert not exhausted(at)


async def test_an_orderly_end_is_known_at_the_next_start_and_a_crash_is_none(tmp_path: Path) -> None:
    async def ended_well() -> bool | None:
        outbox = Outbox(tmp_path, {"ops": 3600.0})
        loaded = await outbox.open(SystemClock())
        await outbox.close()
        return loaded.ended_well

    assert await ended_well() is None
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", 1))
    assert await ended_well() is True
    async with house(tmp_path, rules(pressed=PULSE)) as at:
        await at.take(at.message("a.b", 1))
        assert at.rows("SELECT ended_well FROM meta") == [(0,)]


async def test_notices_never_fill_the_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, rules(), events_to=["ops"]) as at:
        for n in range(300):
            at.pipeline.tell(notice(n))
        await at.take()
        assert [body.split()[2] for body in at.bodies()] == [str(n) for n in range(256)]
        assert "webhook.odd of webhook:ops is not" in caplog.text
