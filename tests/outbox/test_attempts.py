"""The log of attempts: what it keeps of each delivery, how much, and for how long."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.model import Attempt, Ending, Settlement
from agent.outbox import Outbox
from agent.outbox.schema import ATTEMPTS_KEPT
from tests.outbox.parts import batch_of, event, opened, owe
from tests.support.hands import HandClock


async def attempt(outbox: Outbox, clock: HandClock, ending: Ending, answer: bytes = b"") -> None:
    """Send what is first in line, and commit what came of it."""
    (delivery,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
    error, status = (None, 204) if ending is Ending.DELIVERED else ("HTTP 500", 500)
    logged = Attempt(clock.now(), clock.wall(), 0.25, status, error, answer)
    outbox.mailboxes["ops"].settle(Settlement(delivery, ending, due_at=clock.now() + 1, attempts=1, attempt=logged))
    await owe(outbox, clock)
    clock.advance(1)


def log_of(folder: Path, delivery: int) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "outbox.db")) as db:
        query = "SELECT at, wall, duration_s, status, error, answer FROM attempts WHERE delivery = ? ORDER BY at"
        return db.execute(query, (delivery,)).fetchall()


@pytest.mark.parametrize("last", [Ending.DELIVERED, Ending.DEAD])
async def test_what_did_not_succeed_at_once_is_logged_with_all_its_attempts(tmp_path: Path, last: Ending) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        await attempt(outbox, clock, Ending.AGAIN, b"try later")
        await attempt(outbox, clock, last)
    end = (204, None) if last is Ending.DELIVERED else (500, "HTTP 500")
    assert log_of(tmp_path, 1) == [
        (1000.0, 1_790_000_000.0, 0.25, 500, "HTTP 500", b"try later"),
        (1001.0, 1_790_000_001.0, 0.25, *end, None),
    ]


async def test_what_succeeds_at_once_writes_no_log(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        await attempt(outbox, clock, Ending.DELIVERED)
    assert log_of(tmp_path, 1) == []


async def test_a_start_knows_what_was_tried_so_that_its_success_is_logged(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2, subject="b"))
        await attempt(outbox, clock, Ending.AGAIN)
    async with opened(tmp_path, clock) as (outbox, _):
        due = await outbox.mailboxes["ops"].due(clock.now(), 2)
        assert {delivery.event_id: delivery.tried for delivery in due} == {"evt_1": True, "evt_2": False}


async def test_only_the_last_attempts_are_kept(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1))
        for _ in range(ATTEMPTS_KEPT + 3):
            await attempt(outbox, clock, Ending.AGAIN)
    assert [row[0] for row in log_of(tmp_path, 1)] == [1003.0 + n for n in range(ATTEMPTS_KEPT)]


async def test_the_log_goes_with_its_delivery(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, _):
        await owe(outbox, clock, event(1), event(2, subject="b"))
        await attempt(outbox, clock, Ending.DEAD)
        clock.advance(20 * 86400)
        await attempt(outbox, clock, Ending.DEAD)
        clock.advance(11 * 86400)
        batch = batch_of(outbox, clock.moment())
        batch.purge = True
        await outbox.commit(batch)
    assert (len(log_of(tmp_path, 1)), len(log_of(tmp_path, 2))) == (0, 1)


async def test_an_attempt_that_ends_when_its_delivery_is_gone_leaves_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock, expires_s=60) as (outbox, _):
        await owe(outbox, clock, event(1))
        (lent,) = await outbox.mailboxes["ops"].due(clock.now(), 1)
        clock.advance(61)
        batch = batch_of(outbox, clock.moment())
        batch.expired = (await outbox.sweeper.sweep(clock.now())).expired
        await outbox.commit(batch)
        clock.advance(31 * 86400)
        batch = batch_of(outbox, clock.moment())
        batch.purge = True
        await outbox.commit(batch)
        logged = Attempt(clock.now(), clock.wall(), 0.25, None, "timeout: no whole answer in time", b"")
        outbox.mailboxes["ops"].settle(Settlement(lent, Ending.DEAD, attempt=logged))
        await owe(outbox, clock)
    assert log_of(tmp_path, 1) == []
