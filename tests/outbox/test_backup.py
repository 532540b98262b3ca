"""A backup is one state of the outbox, checked; put back it goes on from there, and the world's memory is kept."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.outbox import Locked, back_up, put_back
from tests.outbox.parts import batch_of, deliver, event, opened, owe
from tests.support.hands import HandClock

WALL = 1_790_000_000.0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def commit_ledger(state: Path, clock: HandClock) -> None:
    async with opened(state, clock) as (outbox, _):
        batch = batch_of(outbox, clock.moment(), event(1), event(2))
        batch.memory = {("cold", "a.t"): "as it was"}
        batch.ledger = {"broker:house": (False, b"12345678")}
        batch.subscriptions = {"broker:house": {"x/+": 1}}
        await outbox.commit(batch)


async def test_what_was_sent_since_goes_out_again_and_numbers_and_subscriptions_go_on(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    async with opened(state, clock) as (outbox, _):
        assert back_up(state, file) == file.stat().st_size
        batch = batch_of(outbox, clock.moment(), event(3))
        batch.subscriptions = {"broker:house": {"x/+": 1, "y/+": 2}}
        batch.memory = {("cold", "a.t"): "later"}
        await outbox.commit(batch)
        assert len(await deliver(outbox, clock, "ops", 3)) == 3
        with pytest.raises(Locked):
            put_back(state, file, WALL)
    assert file.stat().st_mode & 0o777 == 0o600
    done = put_back(state, file, WALL)
    assert done.pending == 2
    assert done.replaced
    assert (done.replaced / "outbox.db").exists()
    async with opened(state, clock) as (outbox, loaded):
        assert loaded.memory == {("cold", "a.t"): "as it was"}
        assert loaded.ledgers == {}, "what comes again was evaluated by what is put aside"
        assert loaded.subscriptions == {"broker:house": {"x/+": 1, "y/+": 2}}
        assert outbox.counters["ops"].balanced
        await owe(outbox, clock, event(4))
        sent = await deliver(outbox, clock, "ops", 3)
        assert [(d.event_id, d.sequence) for d in sent] == [("evt_1", 1), ("evt_2", 2), ("evt_4", 4)]


async def test_the_agent_goes_on_while_a_backup_is_made_and_that_is_one_state(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    async with opened(state, clock) as (outbox, _):
        await owe(outbox, clock, *(event(n) for n in range(2000)))
        making = asyncio.create_task(asyncio.to_thread(back_up, state, file))
        number = 2000
        while not making.done():
            await owe(outbox, clock, event(number))
            number += 1
        await making
    put_back(state, file, WALL)
    async with opened(state, clock) as (outbox, _):
        assert outbox.counters["ops"].balanced
        assert 2000 <= outbox.counters["ops"].pending <= number


async def test_no_file_is_replaced_unasked_and_none_is_left_half(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    file.write_text("mine")
    with pytest.raises(FileExistsError):
        back_up(state, file)
    assert file.read_text() == "mine"
    back_up(state, file, replace=True)
    with closing(sqlite3.connect(state / "outbox.db")) as db:
        db.execute("DROP TABLE deliveries")
        db.commit()
    with pytest.raises(OSError, match="no outbox"):
        back_up(state, tmp_path / "other")
    assert names(tmp_path) == ["copy", "state"]


async def test_a_damaged_event_refuses_no_backup_neither_while_it_waits_nor_when_it_is_dead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, state = HandClock(), tmp_path / "state"
    await commit_ledger(state, clock)
    with closing(sqlite3.connect(state / "outbox.db")) as db:
        db.execute("UPDATE deliveries SET body = x'00' WHERE id = (SELECT MIN(id) FROM deliveries WHERE state = 0)")
        db.commit()
    back_up(state, tmp_path / "waits")
    assert "will not be sent" in caplog.text
    async with opened(state, clock) as (outbox, _):
        assert await outbox.mailboxes["ops"].due(clock.now(), 1) == []
        await owe(outbox, clock)
        assert outbox.counters["ops"].dead == 1
    caplog.clear()
    back_up(state, tmp_path / "dead")
    assert "will not be sent" not in caplog.text
    put_back(state, tmp_path / "dead", WALL)
    async with opened(state, clock) as (outbox, _):
        assert outbox.counters["ops"].balanced


@pytest.mark.parametrize("kind", ["empty", "text", "another database", "damaged", "newer"])
async def test_what_is_no_sound_backup_is_refused_and_nothing_changes(tmp_path: Path, kind: str) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    back_up(state, file)
    before = (state / "outbox.db").read_bytes()
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("hello" * 100)
    elif kind == "damaged":
        file.write_bytes(file.read_bytes()[:4096])
    else:
        statement = {
            "another database": "DROP TABLE deliveries",
            "newer": "PRAGMA user_version = 99",
        }[kind]
        with closing(sqlite3.connect(file)) as db:
            db.execute(statement)
            db.commit()
    with pytest.raises(Exception, match=r"backup|malformed|outbox|schema|database"):
        put_back(state, file, WALL)
    assert (state / "outbox.db").read_bytes() == before
    assert not list(state.glob("outbox.replaced*"))


async def test_it_is_put_where_there_is_none_yet(tmp_path: Path) -> None:
    clock, state, file = HandClock(), tmp_path / "state", tmp_path / "copy"
    await commit_ledger(state, clock)
    back_up(state, file)
    done = put_back(tmp_path / "new", file, WALL)
    assert (done.replaced, done.pending) == (None, 2)
    async with opened(tmp_path / "new", clock) as (outbox, loaded):
        assert loaded.subscriptions == {"broker:house": {"x/+": 1}}
        assert len(await deliver(outbox, clock, "ops", 2)) == 2
