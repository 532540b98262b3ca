"""On a disk that is really full: nothing is acknowledged that is not durable, marks and deletions still work."""

import asyncio
import os
import sqlite3
from pathlib import Path
from random import randbytes

import pytest

from agent.model import Content
from agent.outbox import Limits, Outbox
from agent.outbox.disk import BALLAST_BYTES, Disk, default_min_free_bytes
from tests.outbox.parts import deliver, event, opened, owe
from tests.support.agent import AgentProcess
from tests.support.hands import HandClock
from tests.support.small_disk import Filler, small_disk
from tests.support.waiting import until

DISKS = pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
NOTHING = """
version: 1
agent: {name: lonely}
sources:
  sea: {driver: simulated, every: 1h, sensors: {tide: {wave: {sine: {min: -1, max: 1, period: 12h}}}}}
status: {listen: "{status}"}
"""
LIMITS = Limits(max_bytes=3 * 10**6)


async def owe_large(outbox: Outbox, clock: HandClock, *numbers: int) -> None:
    draft = outbox.draft(clock.moment(), lambda *_: Content(randbytes(1500)))
    draft.owe(event(number, subject=f"s{number % 7}") for number in numbers)
    await outbox.commit(draft.batch())


def balanced(outbox: Outbox) -> bool:
    return all(counters.balanced for counters in outbox.counters.values())


@DISKS
async def test_a_full_disk_loses_nothing_that_was_acknowledged_and_the_outbox_goes_on_by_itself(
    tmp_path: Path, kind: str
) -> None:
    clock = HandClock()
    with small_disk(tmp_path, kind) as disk:
        filler, acknowledged = Filler(disk), 0
        async with opened(disk, clock, limits=LIMITS) as (outbox, _):
            assert (disk / "ballast").stat().st_size == BALLAST_BYTES
            for first in range(1, 400, 20):
                await owe_large(outbox, clock, *range(first, first + 20))
                acknowledged += 20
            await deliver(outbox, clock, "ops", 50)
            filler.fill()
            committing = asyncio.create_task(owe_large(outbox, clock, 401))

            def is_shown() -> bool:
                nonlocal committing, acknowledged
                filler.fill()
                if committing.done():
                    acknowledged += 1
                    committing = asyncio.create_task(owe_large(outbox, clock, 401 + acknowledged))
                return outbox.degraded is not None

            await until(is_shown, 60, longest_s=0.005)
            assert "full" in (outbox.degraded or "")
            filler.free()
            await asyncio.wait_for(committing, 30)
            acknowledged += 1
            assert outbox.degraded is None
            assert outbox.counters["ops"].owed == acknowledged
            assert outbox.counters["ops"].delivered == 50
            assert balanced(outbox)
        async with opened(disk, clock, limits=LIMITS) as (outbox, _):
            counters = outbox.counters["ops"]
            assert (counters.owed, counters.delivered) == (acknowledged, 50)
            assert len(await deliver(outbox, clock, "ops", counters.pending)) == counters.pending
        db = sqlite3.connect(disk / "outbox.db")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()


@DISKS
async def test_with_the_ballast_marks_and_deletions_are_had_of_a_full_disk_and_new_events_take_their_place(
    tmp_path: Path, kind: str
) -> None:
    clock = HandClock()
    with small_disk(tmp_path, kind) as disk:
        filler = Filler(disk)
        async with opened(disk, clock, limits=LIMITS) as (outbox, _):
            for first in range(1, 1000, 50):
                await owe_large(outbox, clock, *range(first, first + 50))
            filler.fill()
            await deliver(outbox, clock, "ops", 500)
            await asyncio.wait_for(owe_large(outbox, clock, *range(1001, 1301)), 60)
            assert outbox.counters["ops"].delivered == 500
            assert outbox.counters["ops"].owed == 1300
            assert outbox.degraded is None
            assert outbox.counters["ops"].dropped == 0, "what was delivered made room"
            assert balanced(outbox)
            filler.free()
            await outbox.sweeper.sweep(clock.now())
            assert (disk / "ballast").stat().st_size == BALLAST_BYTES, "made anew when there is room"


async def test_where_even_the_ballast_is_gone_and_blocks_are_small_it_waits_and_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's shared memory, made anew on a full disk, ended the process."""
    monkeypatch.setattr(Disk, "give_up_ballast", lambda _: None)
    clock = HandClock()
    with small_disk(tmp_path, "ext4") as disk:
        filler = Filler(disk)
        async with opened(disk, clock, limits=LIMITS) as (outbox, _):
            for first in range(1, 1000, 50):
                await owe_large(outbox, clock, *range(first, first + 50))
            filler.fill()
            await deliver(outbox, clock, "ops", 500)
            owing = asyncio.create_task(owe_large(outbox, clock, *range(1001, 1701)))
            await until(lambda: outbox.degraded == "the disk is full", what=str(outbox.degraded))
            filler.free()
            await asyncio.wait_for(owing, 30)
            assert (outbox.counters["ops"].delivered, outbox.counters["ops"].owed) == (500, 1700)
            assert balanced(outbox)


@DISKS
async def test_below_the_floor_of_free_disk_the_file_does_not_grow(tmp_path: Path, kind: str) -> None:
    clock = HandClock()
    with small_disk(tmp_path, kind) as disk:
        limits = Limits(min_free_bytes=disk_free(disk) - BALLAST_BYTES - 500_000)
        async with opened(disk, clock, limits=limits) as (outbox, _):
            for first in range(1, 1200, 10):
                await owe_large(outbox, clock, *range(first, first + 10))
            assert outbox.counters["ops"].dropped_by["full"] > 500
            assert outbox.store.file.size_bytes() < 500_000 + 2 * 2**20
            assert disk_free(disk) > limits.min_free_bytes - 2 * 2**20, "but for the log"  # type: ignore[operator]
            assert balanced(outbox)


async def test_a_reader_that_stays_does_not_let_the_log_grow_without_limit(tmp_path: Path) -> None:
    clock, max_bytes = HandClock(), 10**6
    async with opened(tmp_path, clock, limits=Limits(max_bytes=max_bytes)) as (outbox, _):
        await owe(outbox, clock, event(1))
        reader = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM deliveries").fetchone()

        number, owing = 2, asyncio.create_task(owe_large(outbox, clock, 1))
        while not outbox.degraded:
            if owing.done():
                owing = asyncio.create_task(owe_large(outbox, clock, *range(number, number + 20)))
                number += 20
            await asyncio.sleep(0.001)
            assert number < 5000, "it is bounded"
        assert "reading" in (outbox.degraded or "")
        assert (tmp_path / "outbox.db-wal").stat().st_size < max_bytes + 200_000
        reader.close()
        await asyncio.wait_for(owing, 30)
        assert outbox.degraded is None
        assert balanced(outbox)


async def test_a_start_on_a_disk_that_is_full_to_the_last_block_ends_in_words_or_goes_well_and_loses_nothing(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path, "ext4") as disk:
        filler, agent = Filler(disk), AgentProcess(tmp_path, NOTHING)
        agent.state = disk
        try:
            agent.start()
            await agent.ready()
            agent.kill()  # so that there is a log to read, into shared memory
            filler.fill()
            agent.start()
            await agent.ready()  # the ballast has made room
            agent.kill()
            filler.fill()
            agent.start()
            assert (agent.wait(), "the disk is full" in agent.said()) == (1, True)
            filler.free()
            agent.start()
            await agent.ready()
        finally:
            agent.kill()


def disk_free(place: Path) -> int:
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


def test_the_place_of_the_ballast_belongs_to_nobody_else(tmp_path: Path) -> None:
    with small_disk(tmp_path, "tmpfs") as place:
        disk = Disk(place)
        without = disk.growth_bytes(0)
        disk.keep_ballast(0)
        assert disk.growth_bytes(0) == without
        disk.give_up_ballast()
        assert disk.growth_bytes(0) == without
        disk.keep_ballast(disk_free(place))
        assert not (place / "ballast").exists(), "nor is the floor there for it"


def test_a_disk_that_cannot_be_asked_is_left_to_sqlite(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "nowhere")
    assert disk.growth_bytes(None) > 2**40
    disk.keep_ballast(None)
    disk.give_up_ballast()


@pytest.mark.parametrize(("disk_mb", "floor_mb"), [(8, 0.4), (640, 32), (10_000, 32)])
def test_5_percent_of_a_disk_are_left_alone_but_no_more_than_32_mb(disk_mb: int, floor_mb: float) -> None:
    assert default_min_free_bytes(disk_mb * 10**6) == floor_mb * 10**6
