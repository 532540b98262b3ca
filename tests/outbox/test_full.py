"""The outbox at its limits: the file, the counters and what couriers are lent follow the policy (`test_bounds.py`)."""

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from random import randbytes
from typing import Any

import pytest

from agent.model import Content, Ending, Event, Notice, Rest, Settlement
from agent.outbox import Limits, Outbox, owing, room
from agent.outbox.store import Store
from agent.outbox.sweeping import SWEEP_EVERY_S
from tests.outbox.parts import batch_of, deliver, done, event, opened, owe
from tests.support.hands import HandClock
from tests.support.waiting import until


def firing(number: int, alert: int, **more: Any) -> Event:
    return replace(event(number, **more), type="sensor.alert.firing", state="firing", alert_id=f"alt_{alert}")


def repeated(number: int, alert: int, **more: Any) -> Event:
    return replace(firing(number, alert, **more), type="sensor.alert.repeated")


def resolved(number: int, alert: int, **more: Any) -> Event:
    return replace(firing(number, alert, **more), type="sensor.alert.resolved", state="resolved")


def rows(state: Path, query: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(state / "outbox.db")
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def waiting(state: Path, webhook: str = "ops") -> list[str]:
    query = (
        "SELECT l.event_id FROM deliveries d JOIN letters l ON l.delivery = d.id JOIN webhooks w ON w.id = d.webhook"
        f" WHERE d.state = 0 AND w.name = '{webhook}' ORDER BY d.id"
    )
    return [row[0].removeprefix("evt_") for row in rows(state, query)]


def pending_events(state: Path) -> tuple[int, int]:
    """As it is kept, and as it is counted."""
    (kept,), (counted,) = (
        rows(state, query)[0]
        for query in ("SELECT pending_events FROM meta", "SELECT COUNT(DISTINCT event) FROM deliveries WHERE state = 0")
    )
    return kept, counted


def balanced(outbox: Outbox) -> bool:
    return all(counters.balanced for counters in outbox.counters.values())


async def test_the_oldest_pulses_go_and_the_receiver_sees_the_gap(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, limits=Limits(max_events=3)) as (outbox, _):
        for number in range(1, 6):
            await owe(outbox, clock, event(number))
        assert outbox.counters["ops"].dropped_by["full"] == 2
        assert balanced(outbox)
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 3)] == [3, 4, 5]
        assert await outbox.mailboxes["ops"].due(clock.now(), 8) == []
    assert rows(tmp_path, "SELECT COUNT(*) FROM letters") == [(3,)]


async def test_pulses_that_do_not_even_fit_by_themselves_are_numbered_and_dropped(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, limits=Limits(max_events=2)) as (outbox, _):
        await owe(outbox, clock, *(event(number) for number in range(1, 6)))
        counters = outbox.counters["ops"]
        assert (counters.owed, counters.pending, counters.dropped_by["full"]) == (5, 2, 3)
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 2)] == [4, 5]
        await owe(outbox, clock, event(6))
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 1)] == [6]


async def test_an_alert_that_is_over_goes_whole_and_one_that_lasts_never(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, limits=Limits(max_events=5)) as (outbox, _):
        await owe(outbox, clock, firing(1, 1), firing(2, 2, subject="b"), event(3))
        await owe(outbox, clock, repeated(4, 2, subject="b"), resolved(5, 2, subject="b"))
        await owe(outbox, clock, event(6))
        assert waiting(tmp_path) == ["1", "2", "4", "5", "6"], "the pulse went before the alert"
        await owe(outbox, clock, firing(7, 3), firing(8, 4))
        assert waiting(tmp_path) == ["1", "7", "8"], "the other pulse, then the alert with its reminder"
        await owe(outbox, clock, firing(9, 5), firing(10, 6), firing(11, 7))
        assert waiting(tmp_path) == ["1", "7", "8", "9", "10", "11"], "none of them is over"
        await owe(outbox, clock, event(12))
        assert waiting(tmp_path) == ["1", "7", "8", "9", "10", "11"], "so a pulse is refused"
        assert outbox.counters["ops"].dropped_by["full"] == 6
        assert balanced(outbox)


@pytest.mark.parametrize("ending", [Ending.AGAIN, Ending.DELIVERED, Ending.DEAD])
async def test_an_alert_whose_firing_was_sent_keeps_its_end(tmp_path: Path, ending: Ending) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, limits=Limits(max_events=2)) as (outbox, _):
        await owe(outbox, clock, firing(1, 1))
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
        outbox.mailboxes["ops"].settle(Settlement(delivery, ending, due_at=delivery.due_at))
        await owe(outbox, clock, resolved(2, 1))
        await owe(outbox, clock, firing(3, 2), firing(4, 3), event(5))
        assert {"2", "3", "4"} <= set(waiting(tmp_path))


async def test_what_is_lent_is_not_dropped_while_that_of_another_subject_is_read(tmp_path: Path) -> None:
    clock, free = HandClock(), threading.Event()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1, subject="a"), event(2, subject="b"))
    async with opened(tmp_path, clock, limits=Limits(max_events=2)) as (outbox, _):
        mailbox = outbox.mailboxes["ops"]
        (first,) = await mailbox.due(clock.now(), 1)
        mailbox.settle(Settlement(first, Ending.AGAIN, due_at=clock.now()))
        await owe(outbox, clock)
        busy = asyncio.create_task(outbox.worker.run(free.wait))
        committing = asyncio.create_task(owe(outbox, clock, event(3, subject="c")))
        await asyncio.sleep(0)
        lending = asyncio.create_task(mailbox.due(clock.now(), 2))
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(busy, committing)
        sent = await lending
        for delivery in sent:
            mailbox.settle(done(delivery))
        await owe(outbox, clock)
        counters = outbox.counters["ops"]
        assert [delivery.event_id for delivery in sent] == ["evt_1"]
        assert (counters.delivered, counters.dropped_by["full"], counters.pending) == (1, 1, 1), "the other was dropped"
        assert balanced(outbox)


async def test_what_a_courier_has_is_not_dropped_nor_is_its_alert(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, limits=Limits(max_events=4)) as (outbox, _):
        await owe(outbox, clock, firing(1, 1, subject="a"), event(2, subject="b"))
        lent = await outbox.mailboxes["ops"].due(clock.now(), 8)
        await owe(outbox, clock, resolved(3, 1, subject="a"), event(4, subject="b"))
        await owe(outbox, clock, event(5, subject="c"))
        assert waiting(tmp_path) == ["1", "2", "3", "5"]
        await owe(outbox, clock, firing(6, 2), firing(7, 3))
        assert waiting(tmp_path) == ["1", "2", "3", "6", "7"]
        for delivery in lent:
            outbox.mailboxes["ops"].settle(done(delivery))
        await owe(outbox, clock)
        counters = outbox.counters["ops"]
        assert (counters.delivered, counters.pending, counters.dropped) == (2, 3, 2)


async def test_what_was_delivered_is_not_dropped_before_its_mark_is_durable(tmp_path: Path) -> None:
    """The mark comes while a commit is on its way that looks for what may go."""
    clock, true_commit = HandClock(), Store.commit
    begun, go_on = threading.Event(), threading.Event()

    def commit(store: Store, number: int, batch: Any) -> None:
        begun.set()
        assert go_on.wait(20)
        true_commit(store, number, batch)

    async with opened(tmp_path, clock, limits=Limits(max_events=1)) as (outbox, _):
        await owe(outbox, clock, event(1))
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
        with pytest.MonkeyPatch.context() as slow:
            slow.setattr(Store, "commit", commit)
            committing = asyncio.create_task(owe(outbox, clock, event(2)))
            await until(begun.is_set)
            outbox.mailboxes["ops"].settle(done(delivery))
            go_on.set()
            await committing
        await owe(outbox, clock)
        assert (outbox.counters["ops"].delivered, outbox.counters["ops"].dropped_by["full"]) == (1, 1)


async def test_nothing_is_lent_that_a_commit_on_its_way_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, true_owe = HandClock(), owing.owe
    decided, go_on = threading.Event(), threading.Event()

    def slow(*given: Any) -> None:
        decided.set()
        assert go_on.wait(20)
        true_owe(*given)

    async with opened(tmp_path, clock, limits=Limits(max_events=2)) as (outbox, _):
        await owe(outbox, clock, event(1), event(2, subject="b"))
        monkeypatch.setattr(owing, "owe", slow)
        committing = asyncio.create_task(owe(outbox, clock, event(3, subject="c")))
        await until(decided.is_set)
        mailbox = outbox.mailboxes["ops"]
        (delivery,) = await mailbox.due(clock.now(), 8)
        assert delivery.event_id == "evt_2"
        mailbox.changed.clear()
        go_on.set()
        await committing
        assert mailbox.changed.is_set()
        assert [d.event_id for d in await mailbox.due(clock.now(), 8)] == ["evt_3"]


async def test_a_commit_that_fails_gives_back_what_it_would_have_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise sqlite3.DataError("no")

    clock = HandClock()
    async with opened(tmp_path, clock, limits=Limits(max_events=1)) as (outbox, _):
        await owe(outbox, clock, event(1))
        with monkeypatch.context() as failing:
            failing.setattr(owing, "owe", broken)
            with pytest.raises(Exception, match="no"):
                await owe(outbox, clock, event(2))
        assert (outbox.counters["ops"].dropped, outbox.counters["ops"].pending) == (0, 1)
        assert [d.event_id for d in await outbox.mailboxes["ops"].due(clock.now(), 8)] == ["evt_1"]


async def test_drops_of_a_commit_that_met_an_error_behind_it_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, true_commit, failures = HandClock(), Store.commit, list[sqlite3.OperationalError]()

    def commit(store: Store, number: int, batch: Any) -> None:
        true_commit(store, number, batch)
        if not failures:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            failures.append(error)
            raise error

    async with opened(tmp_path, clock, limits=Limits(max_events=2)) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        monkeypatch.setattr(Store, "commit", commit)
        await owe(outbox, clock, event(3), event(4), event(5))
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 2)] == [4, 5]


async def test_the_webhook_with_most_waiting_pays_and_one_that_answers_loses_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["away", "here"], limits=Limits(max_events=5)) as (outbox, _):
        for number in range(1, 21):
            await owe(outbox, clock, event(number, to=["away", "here"]))
            await deliver(outbox, clock, "here", 1)
        await owe(outbox, clock)
        assert outbox.counters["here"].delivered == 20
        assert outbox.counters["away"].dropped_by["full"] == 15
        assert waiting(tmp_path, "away") == ["16", "17", "18", "19", "20"]
        assert balanced(outbox)


async def test_how_many_events_wait_is_kept_exactly_whatever_becomes_of_them(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "phone"], expires_s=60) as (outbox, _):
        await owe(outbox, clock, *(event(number, to=["ops", "phone"]) for number in range(1, 5)), event(5))
        assert pending_events(tmp_path) == (5, 5)
        await deliver(outbox, clock, "ops", 2)
        await deliver(outbox, clock, "phone", 1)
        await owe(outbox, clock)
        assert pending_events(tmp_path) == (4, 4)
        clock.advance(61)
        batch = batch_of(outbox, clock.moment())
        batch.expired = (await outbox.sweeper.sweep(clock.now())).expired
        await outbox.commit(batch)
        assert pending_events(tmp_path) == (0, 0)
    db = sqlite3.connect(tmp_path / "outbox.db")
    db.execute("UPDATE deliveries SET state = 0 WHERE state = 2")
    db.commit()
    db.close()
    assert pending_events(tmp_path) == (4, 4)


async def test_the_pages_in_use_stay_within_max_size_and_history_goes_first(tmp_path: Path) -> None:
    clock, max_bytes, kept = HandClock(), 300_000, list[int]()
    async with opened(tmp_path, clock, limits=Limits(max_bytes=max_bytes)) as (outbox, _):
        for number in range(1, 400):
            batch = outbox.draft(clock.moment(), lambda *_: Content(randbytes(1500)))
            batch.owe([event(number)])
            await outbox.commit(batch.batch())
            if number <= 50:
                await deliver(outbox, clock, "ops", 1)
            assert await outbox.worker.call(room.used_bytes, outbox.store.file.db) <= max_bytes + 20_000
            if outbox.counters["ops"].dropped == 0:
                kept.append(number)
        assert max(kept) > 150, "it takes as much as it may"
        assert rows(tmp_path, "SELECT COUNT(*) FROM deliveries WHERE state = 1") == [(0,)]
        assert outbox.counters["ops"].dropped_by["full"] > 150
        assert balanced(outbox)


async def test_dead_letters_that_make_room_are_counted_as_purged_and_told(tmp_path: Path) -> None:
    clock, told = HandClock(), list[Notice]()
    async with opened(tmp_path, clock) as (outbox, _):
        outbox.telling.tell = told.append
        await owe(outbox, clock, event(1), event(2), event(3))
        for ending in (Ending.DEAD, Ending.DEAD):
            (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
            outbox.mailboxes["ops"].settle(done(delivery, ending))
        await owe(outbox, clock)
        outbox.bound(Limits(max_bytes=1))
        assert (await outbox.sweeper.sweep(clock.now())).purge
        await owe(outbox, clock)
        counters = outbox.counters["ops"]
        assert (counters.dead, counters.pending) == (0, 0)
        assert (counters.dropped_by["purged"], counters.dropped_by["full"]) == (2, 1)
        assert [(notice.about, notice.data["sequences"]) for notice in told] == [
            ("ops", {"purged": [[1, 2]], "full": [[3, 3]]})
        ]


async def test_lowered_limits_apply_with_the_next_commits_a_bounded_number_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.leaving.SWEEP_ROWS", 10)
    monkeypatch.setattr("agent.outbox.retention.SWEEP_ROWS", 10)
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(number) for number in range(1, 41)))
        assert not (await outbox.sweeper.sweep(clock.now())).purge
        outbox.bound(Limits(max_events=15))
        found = []
        while (sweep := await outbox.sweeper.sweep(clock.now())).purge:
            batch = batch_of(outbox, clock.moment())
            batch.purge = True
            await outbox.commit(batch)
            found.append((outbox.counters["ops"].pending, sweep.more))
        assert found == [(30, False), (20, True), (15, True)]
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 2)] == [26, 27]


async def test_what_was_dropped_is_told_once_a_minute_with_ranges_and_not_to_the_webhook_itself(tmp_path: Path) -> None:
    clock, told = HandClock(), list[Notice]()
    async with opened(tmp_path, clock, limits=Limits(max_events=2)) as (outbox, _):
        outbox.telling.tell = told.append
        await owe(outbox, clock, event(1), event(2), event(3))
        for number in range(4, 10):
            await owe(outbox, clock, event(number))
        assert [(notice.type, notice.subject, notice.about) for notice in told] == [
            ("outbox.dropped", "webhook:ops", "ops")
        ]
        assert told[0].data["sequences"] == {"full": [[1, 1]]}
        clock.advance(60)
        await outbox.sweeper.sweep(clock.now())
        assert (told[1].data["dropped"], told[1].data["sequences"]) == (6, {"full": [[2, 7]]})
        clock.advance(60)
        await outbox.sweeper.sweep(clock.now())
        assert len(told) == 2


async def test_what_tells_of_a_full_outbox_does_not_keep_it_telling(tmp_path: Path) -> None:
    clock, told = HandClock(), list[Notice]()
    async with opened(tmp_path, clock, limits=Limits(max_events=1)) as (outbox, _):
        outbox.telling.tell = told.append
        for number in range(1, 4):
            await owe(outbox, clock, replace(event(number), type="outbox.dropped"))
            clock.advance(61)
        assert told == []
        await owe(outbox, clock, event(4))
        assert told[0].data["sequences"] == {"full": [[1, 3]]}


async def test_delivered_and_dead_are_kept_as_long_as_the_configuration_says(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, limits=Limits(keep_delivered_s=100.0, keep_dead_s=200.0)) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        await deliver(outbox, clock, "ops", 1)
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
        outbox.mailboxes["ops"].settle(done(delivery, Ending.DEAD))
        await owe(outbox, clock)
        found = []
        for seconds in (100, 1, 99, 1):
            clock.advance(seconds)
            found.append((await outbox.sweeper.sweep(clock.now())).purge)
            batch = batch_of(outbox, clock.moment())
            batch.purge = True
            await outbox.commit(batch)
        assert found == [False, True, False, True]


async def test_the_age_of_what_waits_is_noted_each_hour_though_nothing_else_is_written(tmp_path: Path) -> None:
    """So that a power cut and a start without a right clock lose an hour of it at most."""
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        outbox.gathering.remember(Rest("ops", None, disabled=True))
        await owe(outbox, clock, event(1))
        clock.advance(3600 - SWEEP_EVERY_S)
        assert not (await outbox.sweeper.sweep(clock.now())).purge
        clock.advance(1)
        assert (await outbox.sweeper.sweep(clock.now())).purge, "the next look would come too late"
        await owe(outbox, clock)
        assert not (await outbox.sweeper.sweep(clock.now())).purge


async def test_while_a_rule_holds_something_the_time_is_noted_every_five_minutes_and_else_never(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock)
        clock.advance(300 - SWEEP_EVERY_S)
        assert not (await outbox.sweeper.sweep(clock.now(), holds=True)).purge
        clock.advance(SWEEP_EVERY_S)
        assert (await outbox.sweeper.sweep(clock.now(), holds=True)).purge
        clock.advance(7 * 86400)
        assert not (await outbox.sweeper.sweep(clock.now())).purge


@pytest.mark.parametrize(("synced", "expired"), [(True, 1), (False, 0)], ids=["a right clock", "no right clock"])
async def test_what_waits_expires_by_known_time_only(tmp_path: Path, synced: bool, expired: int) -> None:
    clock = HandClock(synced=synced)
    async with opened(tmp_path, clock, expires_s=3600) as (outbox, _):
        await owe(outbox, clock, event(1))
        clock.advance(1800)
        await owe(outbox, clock)
    rebooted = HandClock(now=5.0, wall=clock.wall() + 2000, synced=synced)
    rebooted.boot = "second boot"
    async with opened(tmp_path, rebooted, expires_s=3600) as (outbox, _):
        at_once = (await outbox.sweeper.sweep(rebooted.now())).expired
        assert len(at_once) == expired
        rebooted.advance(1801)
        later = (await outbox.sweeper.sweep(rebooted.now())).expired
        assert len([*at_once, *later]) == 1, "the time before the start counts"


async def test_what_rests_expires_though_nobody_asks_for_it(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, expires_s=60) as (outbox, _):
        await owe(outbox, clock, event(1))
        outbox.gathering.remember(Rest("ops", clock.now() + 900, disabled=False))
        clock.advance(61)
        batch = batch_of(outbox, clock.moment())
        batch.expired = (await outbox.sweeper.sweep(clock.now())).expired
        await outbox.commit(batch)
        assert (outbox.counters["ops"].dead, outbox.counters["ops"].pending) == (1, 0)
