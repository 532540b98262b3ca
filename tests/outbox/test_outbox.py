"""The promise of the outbox: one transaction, exact counters, numbers that are never used twice."""

import asyncio
import os
import sqlite3
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model import Content, Ending, Event, Rest, Settlement
from agent.outbox import Batch, BatchRefused, Locked, NewerSchema, Outbox
from agent.outbox.idle import switch_webhook
from agent.outbox.lanes import LOADED_MAX, LOADED_MIN
from agent.outbox.mailbox import SUBJECTS_AT_ONCE
from agent.outbox.store import Store
from tests.outbox.parts import WEEK_S, batch_of, deliver, done, event, opened, owe
from tests.support.hands import HandClock
from tests.support.waiting import until


def balanced(outbox: Outbox) -> bool:
    return all(counters.balanced for counters in outbox.counters.values())


async def test_what_a_batch_holds_is_there_after_a_start_and_delivered_in_order(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
    async with opened(tmp_path, clock) as (outbox, _):
        sent = await deliver(outbox, clock, "ops", 2)
        assert [(d.event_id, d.sequence, d.body) for d in sent] == [
            ("evt_1", 1, b"evt_1 is 1"),
            ("evt_2", 2, b"evt_2 is 2"),
        ]


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    before = os.umask(0o022)
    try:
        async with opened(state, HandClock()):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
    finally:
        os.umask(before)
    assert {"outbox.db", "outbox.db-wal", "outbox.db-shm"} <= modes.keys()
    assert modes.pop("state") == 0o700
    assert set(modes.values()) == {0o600}, modes


async def test_the_sequence_of_each_webhook_goes_on_without_a_gap_over_starts(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "phone"]) as (outbox, _):
        await owe(outbox, clock, event(1, to=["ops", "phone"]), event(2, to=["ops"]))
    async with opened(tmp_path, clock, ["ops", "phone"]) as (outbox, _):
        await owe(outbox, clock, event(3, to=["ops", "phone"]))
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 3)] == [1, 2, 3]
        assert [d.sequence for d in await deliver(outbox, clock, "phone", 2)] == [1, 2]


async def test_marks_are_durable_only_with_the_next_commit_and_then_count(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        await deliver(outbox, clock, "ops", 1)
        assert outbox.counters["ops"].delivered == 0
        await owe(outbox, clock)
        assert (outbox.counters["ops"].delivered, outbox.counters["ops"].pending) == (1, 1)
        await deliver(outbox, clock, "ops", 1)
    async with opened(tmp_path, clock) as (outbox, _):
        assert [d.event_id for d in await deliver(outbox, clock, "ops", 1)] == ["evt_2"], (
            "its mark was lost, so it goes again"
        )
        assert balanced(outbox)


async def test_a_delivery_that_is_settled_twice_is_counted_once(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
        for ending in (Ending.DELIVERED, Ending.DEAD, Ending.DELIVERED):
            outbox.gathering.settle(done(delivery, ending))
        await owe(outbox, clock)
        counters = outbox.counters["ops"]
        assert (counters.owed, counters.delivered, counters.dead, counters.pending) == (1, 1, 0, 0)


async def test_a_retry_keeps_its_attempts_and_its_time_over_a_start(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
        outbox.mailboxes["ops"].settle(
            Settlement(delivery, Ending.AGAIN, due_at=clock.now() + 100, attempts=3, held=True)
        )
        await owe(outbox, clock)
    async with opened(tmp_path, clock) as (outbox, _):
        assert await outbox.mailboxes["ops"].due(clock.now() + 99, 8) == []
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now() + 100, 8)
        assert (delivery.attempts, delivery.held) == (3, True)


async def test_what_becomes_owed_to_a_removed_webhook_is_owed_numbered_and_dropped(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "old"]) as (outbox, _):
        await owe(outbox, clock, event(1, to=["old"]))
    async with opened(tmp_path, clock, ["ops"]) as (outbox, _):
        await owe(outbox, clock, event(2, to=["old", "ops"]))
        old = outbox.counters["old"]
        assert (old.owed, old.pending, old.dropped_by["webhook_removed"]) == (2, 1, 1)
        assert balanced(outbox)
    async with opened(tmp_path, clock, ["ops", "old"]) as (outbox, _):
        await owe(outbox, clock, event(3, to=["old"]))
        assert [d.sequence for d in await deliver(outbox, clock, "old", 2)] == [1, 3], (
            "the receiver sees what was dropped"
        )


async def test_a_webhook_that_comes_back_is_lent_what_the_file_has_and_what_becomes_owed_then(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
    async with opened(tmp_path, clock, ["new"]) as (outbox, _):
        await outbox.adopt({"ops": 60.0, "new": 60.0})
        await owe(outbox, clock, event(2))
        assert [delivery.event_id for delivery in await deliver(outbox, clock, "ops", 2)] == ["evt_1", "evt_2"]
        await outbox.adopt({"new": 60.0})
        await owe(outbox, clock, event(3))
        assert outbox.counters["ops"].dropped_by["webhook_removed"] == 1
        await outbox.adopt({"ops": 60.0})
        await owe(outbox, clock, event(4))
        (delivery,) = await deliver(outbox, clock, "ops", 1)
        assert (delivery.event_id, delivery.sequence) == ("evt_4", 4)
        assert balanced(outbox)


async def test_expired_deliveries_become_dead_letters(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, expires_s=60) as (outbox, _):
        await owe(outbox, clock, event(1), event(2, expires_s=10.0))
        clock.advance(11)
        batch = batch_of(outbox, clock.moment())
        batch.expired = (await outbox.sweeper.sweep(clock.now())).expired
        await outbox.commit(batch)
        assert (outbox.counters["ops"].dead, outbox.counters["ops"].pending) == (1, 1)
        assert balanced(outbox)


async def test_what_waits_for_a_removed_or_a_disabled_webhook_expires_all_the_same(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "old"], expires_s=60) as (outbox, _):
        await owe(outbox, clock, event(1, to=["ops", "old"]))
        outbox.gathering.remember(Rest("ops", None, disabled=True))
    async with opened(tmp_path, clock, ["ops"], expires_s=60) as (outbox, _):
        clock.advance(61)
        batch = batch_of(outbox, clock.moment())
        batch.expired = (await outbox.sweeper.sweep(clock.now())).expired
        await outbox.commit(batch)
        assert [(one.owed, one.pending, one.dead) for one in outbox.counters.values()] == [(1, 0, 1)] * 2


@pytest.mark.parametrize("ending", Ending)
async def test_a_delivery_that_expires_while_it_is_lent_counts_once_and_frees_its_subject(
    tmp_path: Path, ending: Ending
) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, expires_s=60) as (outbox, _):
        await owe(outbox, clock, event(1), event(2, at=1050.0))
        mailbox = outbox.mailboxes["ops"]
        (lent,) = await mailbox.due(clock.now(), 8)
        clock.advance(61)
        batch = batch_of(outbox, clock.moment())
        batch.expired = (await outbox.sweeper.sweep(clock.now())).expired
        await outbox.commit(batch)
        mailbox.settle(Settlement(lent, ending, due_at=clock.now(), attempts=1))
        await owe(outbox, clock)
        counters = outbox.counters["ops"]
        assert (counters.owed, counters.delivered, counters.dead, counters.pending) == (2, 0, 1, 1)
        assert [d.event_id for d in await mailbox.due(clock.now(), 8)] == ["evt_2"]


async def test_only_few_expire_with_one_commit_and_the_others_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("retention", "sweeping"):
        monkeypatch.setattr(f"agent.outbox.{module}.SWEEP_ROWS", 2)
    clock = HandClock()
    async with opened(tmp_path, clock, expires_s=60) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(5)))
        clock.advance(61)
        found = []
        for _ in range(3):
            batch = batch_of(outbox, clock.moment())
            batch.expired, _, more = await outbox.sweeper.sweep(clock.now())
            await outbox.commit(batch)
            found.append((len(batch.expired), more))
        assert found == [(2, True), (2, True), (1, False)]
        assert outbox.counters["ops"].dead == 5


async def test_an_event_that_nobody_is_owed_leaves_nothing_behind(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "old"]) as (outbox, _):
        pass
    async with opened(tmp_path, clock, ["ops"]) as (outbox, _):
        assert batch_of(outbox, clock.moment(), event(1, to=[])).owed == []
        await owe(outbox, clock, event(2, to=["old"]))
        assert outbox.counters["old"].dropped_by["webhook_removed"] == 1
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        assert db.execute("SELECT COUNT(*) FROM letters").fetchone() == (0,)
    db.close()


async def test_history_is_deleted_though_much_else_waits_and_events_go_with_their_last_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.retention.KEEP_DELIVERED_ROWS", 1)
    clock = HandClock()
    async with opened(tmp_path, clock, ["ops", "phone"]) as (outbox, _):
        await owe(outbox, clock, *(event(n, to=["ops", "phone"]) for n in range(4)))
        await deliver(outbox, clock, "ops", 4)
        await deliver(outbox, clock, "phone", 1)
        await owe(outbox, clock)
        clock.advance(1)
        batch = batch_of(outbox, clock.moment())
        batch.purge = (await outbox.sweeper.sweep(clock.now())).purge
        await outbox.commit(batch)
        assert [d.event_id for d in await deliver(outbox, clock, "phone", 3)] == ["evt_1", "evt_2", "evt_3"]
        assert balanced(outbox)
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        assert db.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state").fetchall() == [(0, 3), (1, 1)]
        assert db.execute("SELECT DISTINCT event_id FROM letters ORDER BY delivery").fetchall() == [
            ("evt_1",),
            ("evt_2",),
            ("evt_3",),
        ]
    db.close()


async def test_old_history_is_deleted_and_old_dead_letters_are_counted_as_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.retention.KEEP_DELIVERED_ROWS", 2)
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(6)))
        await deliver(outbox, clock, "ops", 5)
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
        outbox.mailboxes["ops"].settle(done(delivery, Ending.DEAD))
        await owe(outbox, clock)
        clock.advance(31 * 86400)
        for _ in range(4):
            batch = batch_of(outbox, clock.moment())
            batch.purge = (await outbox.sweeper.sweep(clock.now())).purge
            await outbox.commit(batch)
        assert not batch.purge
        assert outbox.counters["ops"].dropped_by["purged"] == 1
        assert outbox.counters["ops"].delivered == 5
        assert balanced(outbox)
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        assert db.execute("SELECT COUNT(*) FROM deliveries").fetchone() == (0,)
        assert db.execute("SELECT COUNT(*) FROM letters").fetchone() == (0,)
        assert db.execute("SELECT kept FROM webhooks").fetchone() == (0,)
    db.close()


async def test_memory_ledger_and_rest_come_back_and_go(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        batch = batch_of(outbox, clock.moment())
        batch.memory = {("cold", "a.t"): "one", ("warm", "a.t"): "two"}
        batch.ledger = {"broker:house": (False, b"12345678")}
        outbox.gathering.remember(Rest("ops", 77.0, disabled=True))
        await outbox.commit(batch)
        batch = batch_of(outbox, clock.moment())
        batch.memory = {("cold", "a.t"): None, ("warm", "a.t"): "three"}
        batch.ledger = {"broker:house": (False, b"abcdefgh")}
        await outbox.commit(batch)
    async with opened(tmp_path, clock) as (outbox, loaded):
        assert loaded.memory == {("warm", "a.t"): "three"}
        assert loaded.ledgers == {"broker:house": [b"12345678", b"abcdefgh"]}
        assert loaded.rests["ops"] == Rest("ops", 77.0, disabled=True)
        batch = batch_of(outbox, clock.moment())
        batch.ledger = {"broker:house": (True, b"")}
        await outbox.commit(batch)
    async with opened(tmp_path, clock) as (_, loaded):
        assert loaded.ledgers == {}


async def test_the_log_of_a_ledger_on_disk_is_bounded(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        for _ in range(30):
            batch = batch_of(outbox, clock.moment())
            batch.ledger = {"broker:house": (False, bytes(8 * 1000))}
            await outbox.commit(batch)
    async with opened(tmp_path, clock) as (_, loaded):
        assert 4096 <= len(loaded.ledgers["broker:house"]) < 4096 + 1000


async def test_a_second_agent_on_the_file_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, HandClock()):
        with pytest.raises(Locked, match="another agent"):
            async with opened(tmp_path, HandClock()):
                pass
        with pytest.raises(Locked):
            switch_webhook(tmp_path, "ops", enabled=True)


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_webhook_can_be_switched_while_no_agent_runs(tmp_path: Path, enabled: bool) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        outbox.gathering.remember(Rest("ops", None, disabled=enabled))
        await owe(outbox, clock)
    assert switch_webhook(tmp_path, "ops", enabled=enabled)
    assert not switch_webhook(tmp_path, "nobody", enabled=enabled)
    async with opened(tmp_path, clock) as (_, loaded):
        assert loaded.rests["ops"].disabled is not enabled


def test_switching_a_webhook_makes_no_outbox_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        switch_webhook(tmp_path, "ops", enabled=True)
    assert not list(tmp_path.iterdir())


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, HandClock()):
        pass
    db = sqlite3.connect(tmp_path / "outbox.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(NewerSchema, match="update bellcrank"):
        async with opened(tmp_path, HandClock()):
            pass


async def test_a_batch_that_cannot_be_written_is_refused_whole_and_others_go_on(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
        outbox.mailboxes["ops"].settle(done(delivery))
        bad = batch_of(outbox, clock.moment(), event(2), replace(event(3), subject="\ud800"))
        with pytest.raises(BatchRefused):
            await outbox.commit(bad)
        assert outbox.counters["ops"].owed == 1
        await owe(outbox, clock, event(4, to=["ops"]))
        assert (outbox.counters["ops"].owed, outbox.counters["ops"].delivered) == (2, 1), (
            "the mark was not lost with it"
        )
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 1)] == [2]


def descriptors_of(path: Path) -> list[int]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if descriptor.readlink() == path:
                found.append(int(descriptor.name))
    return found


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """The write-ahead log becomes /dev/full under SQLite's hands, whose every write says ENOSPC."""
    log = folder / "outbox.db-wal"
    full = os.open("/dev/full", os.O_RDWR)
    for descriptor in descriptors_of(log):
        os.dup2(full, descriptor)
    os.close(full)
    log.rename(folder / "aside")
    log.symlink_to("/dev/full")
    yield
    log.unlink()
    (folder / "aside").rename(log)


async def test_on_a_full_disk_nothing_is_acknowledged_and_it_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        await deliver(outbox, clock, "ops", 1)
        with full_disk(tmp_path):
            commit = asyncio.create_task(owe(outbox, clock, event(2)))
            await until(lambda: outbox.degraded, what="degraded is shown")
            assert not commit.done()
        await asyncio.wait_for(commit, 20)
        assert outbox.degraded is None
        counters = outbox.counters["ops"]
        assert (counters.owed, counters.delivered, counters.pending) == (2, 1, 1)
    async with opened(tmp_path, clock) as (outbox, _):
        assert [d.event_id for d in await deliver(outbox, clock, "ops", 1)] == ["evt_2"]


async def test_while_the_file_cannot_even_be_opened_a_courier_waits_for_what_it_asked(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(2, subject="b"))
        (tmp_path / "outbox.db").rename(tmp_path / "outbox.aside")
        (tmp_path / "outbox.db").mkdir()
        with full_disk(tmp_path):
            commit = asyncio.create_task(owe(outbox, clock, event(3, subject="c")))
            await until(lambda: outbox.degraded == "unable to open database file", what=str(outbox.degraded))
            asked = asyncio.create_task(outbox.mailboxes["ops"].due(clock.now(), 8))
            await asyncio.sleep(0.1)
            assert not asked.done()
            (tmp_path / "outbox.db").rmdir()
            (tmp_path / "outbox.aside").rename(tmp_path / "outbox.db")
        await asyncio.wait_for(commit, 20)
        assert [d.event_id for d in await asyncio.wait_for(asked, 20)] == ["evt_1", "evt_2"]


async def test_a_sweep_that_cannot_read_opens_the_file_anew_and_is_made_later(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, expires_s=60) as (outbox, _):
        await owe(outbox, clock, event(1))
        clock.advance(61)
        outbox.store.file.db.close()
        assert await outbox.sweeper.sweep(clock.now()) == ((), False, False)
        assert len((await outbox.sweeper.sweep(clock.now())).expired) == 1


async def test_marks_that_come_while_the_disk_is_full_are_committed_before_the_rest_of_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that has room for marks alone is had by a commit that says so."""
    clock, true_commit, room = HandClock(), Store.commit, asyncio.Event()

    def commit(store: Store, number: int, batch: Batch) -> None:
        if batch.owed and not room.is_set():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        true_commit(store, number, batch)

    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2, subject="b"))
        monkeypatch.setattr(Store, "commit", commit)
        waiting = asyncio.create_task(owe(outbox, clock, event(3)))
        for delivered in (1, 2):
            await deliver(outbox, clock, "ops", 1)
            await until(lambda n=delivered: outbox.counters["ops"].delivered == n)  # type: ignore[misc]
        assert (outbox.counters["ops"].owed, waiting.done()) == (2, False)
        room.set()
        await asyncio.wait_for(waiting, 20)
        assert outbox.counters["ops"].owed == 3
        assert balanced(outbox)


async def test_what_dies_in_a_part_that_goes_alone_is_still_to_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch tells of those before it alone."""
    clock, true_commit, failed = HandClock(), Store.commit, False

    def commit(store: Store, number: int, batch: Batch) -> None:
        nonlocal failed
        if batch.owed and not failed:
            failed = True
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        true_commit(store, number, batch)

    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
        monkeypatch.setattr(Store, "commit", commit)
        for number, untold in ((2, True), (3, False)):
            batch = batch_of(outbox, clock.moment(), event(number))
            batch.exhausted_before = batch.moment.at
            if untold:
                outbox.mailboxes["ops"].settle(done(delivery, Ending.DEAD))
            await outbox.commit(batch)
            assert (failed, outbox.sweeper.untold) == (True, untold)
            clock.advance(60)


async def test_nothing_is_lent_while_very_many_marks_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.outbox.gathering.MARKS_MAX", 2)
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(4)))
        await deliver(outbox, clock, "ops", 2)
        mailbox = outbox.mailboxes["ops"]
        assert (await mailbox.due(clock.now(), 8), await mailbox.probe(), mailbox.next_due()) == ([], None, None)
        mailbox.changed.clear()
        await owe(outbox, clock)
        assert mailbox.changed.is_set()
        assert len(await deliver(outbox, clock, "ops", 1)) == 1


@pytest.mark.parametrize("error", [KeyError("no such"), RecursionError(), TypeError("none")], ids=repr)
async def test_whatever_else_a_commit_raises_refuses_the_batch_and_keeps_the_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def commit(*_: object) -> None:
        raise error

    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        await deliver(outbox, clock, "ops", 1)
        with monkeypatch.context() as broken:
            broken.setattr(Store, "commit", commit)
            with pytest.raises(BatchRefused):
                await owe(outbox, clock, event(2))
        await owe(outbox, clock)
        assert (outbox.counters["ops"].owed, outbox.counters["ops"].delivered) == (1, 1)


async def test_without_memory_a_batch_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sqlite3 raises MemoryError for SQLITE_NOMEM."""
    true_commit, failures = Store.commit, list[int]()

    def commit(store: Store, number: int, batch: Batch) -> None:
        failures.append(number)
        if len(failures) == 1:
            raise MemoryError
        true_commit(store, number, batch)

    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        monkeypatch.setattr(Store, "commit", commit)
        await owe(outbox, clock, event(1))
        assert outbox.counters["ops"].owed == 1


async def test_a_foreign_writer_holds_a_commit_up_and_no_more(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        foreign = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        commit = asyncio.create_task(owe(outbox, clock, event(2)))
        await until(lambda: outbox.degraded, what="degraded is shown")
        assert not commit.done()
        foreign.execute("ROLLBACK")
        await asyncio.wait_for(commit, 20)
        foreign.execute("BEGIN")
        assert foreign.execute("SELECT COUNT(*) FROM deliveries").fetchone() == (2,)
        await owe(outbox, clock, event(3))
        assert outbox.degraded is None, "a foreign reader holds up nothing"
        foreign.close()
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 3)] == [1, 2, 3]


@pytest.mark.parametrize("there", [True, False], ids=["committed all the same", "not committed"])
async def test_after_an_io_error_a_batch_that_is_there_is_only_installed_and_another_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """No real part gives an error behind a commit that took place, so this one raises by itself, once."""
    clock = HandClock()
    true_commit, failures = Store.commit, list[sqlite3.OperationalError]()

    def commit(store: Store, number: int, batch: Batch) -> None:
        if there or failures:
            true_commit(store, number, batch)
        if not failures:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            failures.append(error)
            raise error

    async with opened(tmp_path, clock) as (outbox, _):
        monkeypatch.setattr(Store, "commit", commit)
        await owe(outbox, clock, event(1))
        assert failures
        assert outbox.counters["ops"].owed == 1
        await owe(outbox, clock, event(2))
        assert [d.event_id for d in await deliver(outbox, clock, "ops", 2)] == ["evt_1", "evt_2"]


async def test_time_goes_on_by_what_is_known_to_have_passed(tmp_path: Path) -> None:
    clock = HandClock(now=1000.0)
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock)
    clock.advance(30)
    async with opened(tmp_path, clock) as (_, loaded):
        assert loaded.downtime_s == pytest.approx(30)
        assert clock.now() == pytest.approx(1030)


async def test_over_a_boot_time_goes_on_by_the_wall_clock_if_it_was_right_at_both_ends(
    tmp_path: Path,
) -> None:
    clock = HandClock(now=1000.0)
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock)
    rebooted = HandClock(now=5.0, wall=clock.wall() + 300)
    rebooted.boot = "second boot"
    async with opened(tmp_path, rebooted) as (_, loaded):
        assert loaded.downtime_s == pytest.approx(300)
        assert rebooted.now() == pytest.approx(1300)


async def test_over_a_boot_without_a_right_clock_no_time_is_known_to_have_passed(tmp_path: Path) -> None:
    clock = HandClock(now=1000.0)
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock)
    rebooted = HandClock(now=5.0, wall=clock.wall() + 9e6, synced=False)
    rebooted.boot = "second boot"
    async with opened(tmp_path, rebooted) as (_, loaded):
        assert loaded.downtime_s is None
        assert rebooted.now() == pytest.approx(1000)


async def test_what_waits_is_not_read_at_the_start_but_when_its_turn_comes(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        for first in range(0, 4000, 500):
            await owe(outbox, clock, *(event(n) for n in range(first, first + 500)))
    async with opened(tmp_path, clock) as (outbox, _):
        lanes = outbox.mailboxes["ops"]._lanes
        assert sum(len(lane.loaded) for lane in lanes._lanes.values()) == 0
        sent = await deliver(outbox, clock, "ops", 4000)
        assert [d.sequence for d in sent] == list(range(1, 4001))
        assert await outbox.mailboxes["ops"].due(clock.now(), 8) == []
        assert outbox.mailboxes["ops"].next_due() is None


async def test_the_filters_of_a_feed_come_back_as_they_were_committed_last(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, loaded):
        assert loaded.subscriptions == {}
        batch = batch_of(outbox, clock.moment())
        batch.subscriptions = {"broker:a": {"": 2, "x/+": 1, "y": 2}, "broker:b": {"": 1, "y": 1}}
        await outbox.commit(batch)
        batch = batch_of(outbox, clock.moment())
        batch.subscriptions = {"broker:a": {"": 3, "y": 2, "z": 3}}
        await outbox.commit(batch)
        await owe(outbox, clock, event(1))
    async with opened(tmp_path, clock) as (_, loaded):
        assert loaded.subscriptions == {"broker:a": {"": 3, "y": 2, "z": 3}, "broker:b": {"": 1, "y": 1}}


async def test_headers_and_suffix_are_kept_with_the_bytes(tmp_path: Path) -> None:
    def write(told: Event, _webhook: str, _sequence: int) -> Content:
        return Content(b"x", {"Title": "Tür"}, "/fail") if told.id == "evt_1" else Content(b"y")

    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        draft = outbox.draft(clock.moment(), write)
        draft.owe([event(1), event(2, subject="b.t")])
        await outbox.commit(draft.batch())
    async with opened(tmp_path, clock) as (outbox, _):
        first, second = await outbox.mailboxes["ops"].due(clock.now(), 2)
        assert (first.body, first.headers, first.suffix) == (b"x", {"Title": "Tür"}, "/fail")
        assert (second.body, second.headers, second.suffix) == (b"y", {}, "")


async def given_up(outbox: Outbox, clock: HandClock) -> int:
    """Sweep until all was looked through; returns how many have expired."""
    count, more = 0, True
    while more:
        batch = batch_of(outbox, clock.moment())
        batch.expired, _, more = await outbox.sweeper.sweep(clock.now())
        count += len(batch.expired)
        await outbox.commit(batch)
    return count


@pytest.mark.parametrize("unordered", [(), ("ops",)])
async def test_what_expires_while_nothing_is_sent_is_not_the_oldest_any_more(
    tmp_path: Path, unordered: Sequence[str]
) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, unordered=unordered) as (outbox, _):
        for number in range(4):
            lasts_s = 60.0 if number < 3 else WEEK_S
            await owe(outbox, clock, event(number, at=clock.now(), expires_s=lasts_s))
            clock.advance(10)
    async with opened(tmp_path, clock, unordered=unordered) as (outbox, _):
        assert outbox.mailboxes["ops"].oldest() == 1000.0
        clock.advance(45)
        assert await given_up(outbox, clock) == 3
        await until(lambda: outbox.mailboxes["ops"].oldest() == 1030.0)
        assert [one.event_id for one in await deliver(outbox, clock, "ops", 1)] == ["evt_3"]


async def test_of_many_subjects_all_are_delivered_those_that_are_read_late_too(tmp_path: Path) -> None:
    clock, count = HandClock(), 2 * SUBJECTS_AT_ONCE + 5
    subjects = [f"s{n}.t" for n in range(count)]
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n, subject=subject) for n, subject in enumerate(subjects)))
    async with opened(tmp_path, clock) as (outbox, _):
        mailbox = outbox.mailboxes["ops"]
        assert not mailbox.whole
        await owe(outbox, clock, *(event(count + n, subject=subject) for n, subject in enumerate(subjects)))
        sent = defaultdict[str, list[int]](list)
        while len(mailbox._lanes) or not mailbox.whole:
            for delivery in await mailbox.due(clock.now(), 64):
                sent[delivery.subject].append(delivery.id)
                mailbox.settle(done(delivery))
            await owe(outbox, clock)
        assert dict(sent) == {subject: [n + 1, count + n + 1] for n, subject in enumerate(subjects)}


async def test_without_order_all_are_delivered_once_over_starts_whatever_was_tried(tmp_path: Path) -> None:
    clock, count = HandClock(), 3 * LOADED_MIN
    sent = Counter[str]()
    for start in range(4):
        async with opened(tmp_path, clock, unordered=["ops"]) as (outbox, _):
            mailbox = outbox.mailboxes["ops"]
            mailbox.share(LOADED_MAX)  # so that each has the least
            if not start:
                await owe(outbox, clock, *(event(n, to=["ops", "gone"]) for n in range(count)))
            for turn in range(count // 12 if start < 3 else count):
                found = await mailbox.due(clock.now(), 4)
                for n, delivery in enumerate(found):
                    if (turn + n) % 3 and start < 3:
                        again_at = clock.now() + 5 + turn
                        mailbox.settle(Settlement(delivery, Ending.AGAIN, due_at=again_at, attempts=start + 1))
                        continue
                    sent[delivery.event_id] += 1
                    mailbox.settle(done(delivery))
                if turn % 10 == 0:
                    await owe(outbox, clock)
            await owe(outbox, clock)
            assert outbox.counters["ops"].delivered == len(sent)
        clock.advance(3600)
    assert set(sent.values()) == {1}
    assert len(sent) == count


async def test_without_order_what_was_tried_keeps_its_count_though_the_file_has_no_mark_yet(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, unordered=["ops"]) as (outbox, _):
        await owe(outbox, clock, event(1), event(2))
        mailbox = outbox.mailboxes["ops"]
        first, second = await mailbox.due(clock.now(), 8)
        mailbox.settle(Settlement(first, Ending.AGAIN, due_at=clock.now() + 5, attempts=3, refusals=2))
        mailbox.settle(done(second))
        clock.advance(5)
        (again,) = await mailbox.due(clock.now(), 8)
        assert (again.event_id, again.attempts, again.refusals) == ("evt_1", 3, 2)


async def test_without_order_each_gets_its_turn_to_probe(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, unordered=["ops"]) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(3)))
        turns = []
        for _ in range(6):
            probe = await outbox.mailboxes["ops"].probe()
            assert probe is not None
            turns.append(probe.event_id)
            outbox.mailboxes["ops"].settle(Settlement(probe, Ending.AGAIN, due_at=9e9, held=True))
        assert turns == ["evt_0", "evt_1", "evt_2"] * 2


async def test_another_order_is_taken_up_with_all_that_waits(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(4)))
        (first,) = await outbox.mailboxes["ops"].due(clock.now(), 8)
        outbox.mailboxes["ops"].settle(Settlement(first, Ending.AGAIN, due_at=clock.now() + 900, attempts=1))
        await owe(outbox, clock)
        await outbox.adopt({"ops": WEEK_S}, {"ops"})
        sent = await outbox.mailboxes["ops"].due(clock.now(), 8)
        assert sorted(one.event_id for one in sent) == [f"evt_{n}" for n in range(4)]
        outbox.mailboxes["ops"].settle(done(sent[0]))
        await owe(outbox, clock)
        await outbox.adopt({"ops": WEEK_S})
        assert len(await outbox.mailboxes["ops"].due(clock.now(), 8)) == 1, "in order again"


async def test_a_look_through_a_long_queue_is_made_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.outbox.retention.LOOK_ROWS", 3)
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        for number in range(10):
            lasts_s = 60.0 if number in (1, 8) else 90.0
            await owe(outbox, clock, event(number, subject=f"s{number}", at=clock.now(), expires_s=lasts_s))
        clock.advance(61)
        parts, more = [], True
        while more:
            expired, _, more = await outbox.sweeper.sweep(clock.now())
            parts.append([gone.subject for gone in expired])
        assert parts == [["s1"], [], ["s8"], []]
        assert await outbox.sweeper.sweep(clock.now()) == ((), False, False), (
            "nothing to look for until the next expires"
        )
        clock.advance(30)
        assert await given_up(outbox, clock) == 10
