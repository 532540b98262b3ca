"""The power is cut, short; the long one is `python -m tests.faults power-cut`."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.faults.power_cut import power_cut
from tests.faults.power_cut.disk import WAYS, Disk
from tests.faults.power_cut.judge import lay_out
from tests.faults.power_cut.recording import CREATED, Kind, Record, Recorder
from tests.outbox.parts import opened
from tests.support.faulty import Faulty
from tests.support.hands import HandClock

pytestmark = pytest.mark.timeout(180)


async def test_a_cut_of_power_costs_nothing_that_was_acknowledged_or_told(tmp_path: Path) -> None:
    result = await power_cut(tmp_path, seconds=2, seed=1)
    assert result.good, result
    assert result.strikes > 50


@pytest.mark.parametrize("mutant", ["acknowledge-early", "synchronous-normal"])
async def test_an_agent_that_acknowledges_what_is_not_durable_is_caught_by_a_cut(tmp_path: Path, mutant: str) -> None:
    result = await power_cut(tmp_path, seconds=1, seed=1, mutant=mutant)
    assert result.lost, result


CHILD = """
import asyncio, errno, os, pathlib, struct, sys
from tests.faults.mutants import mutated
from tests.outbox.parts import event, opened, owe
from tests.support.hands import HandClock
from tests.support.waiting import until

async def main():
    async with opened(pathlib.Path(sys.argv[1]), clock := HandClock()) as (outbox, _):
        if sys.argv[2] == "owe":
            await owe(outbox, clock, event(1))
            with open(os.environ["FAULTY_CONTROL"], "r+b") as control:
                control.seek(12)
                control.write(struct.pack("=i", errno.EIO))
            owing = asyncio.create_task(owe(outbox, clock, event(2)))
            await until(lambda: outbox.degraded)
        print(outbox.counters["ops"].owed, flush=True)
        os._exit(0)

with mutated(sys.argv[3] or None):
    asyncio.run(main())
"""


@pytest.mark.parametrize("mutant", [None, "log-believed"])
async def test_what_a_start_finds_behind_a_failed_sync_is_made_durable(tmp_path: Path, mutant: str | None) -> None:
    state = tmp_path / "state"
    state.mkdir()
    faulty, recorder = Faulty(tmp_path, state), Recorder(tmp_path, state)
    libraries = f"{recorder.env['LD_PRELOAD']} {faulty.env['LD_PRELOAD']}"
    env = {**os.environ, **faulty.env, **recorder.env, "LD_PRELOAD": libraries}

    def owed(what: str) -> str:
        command = [sys.executable, "-c", CHILD, str(state), what, mutant if mutant and what == "look" else ""]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    assert owed("owe") == "1", "the second is not durable, so it does not count"
    faulty.heal()
    assert owed("look") == "2", "it was read from the kernel's memory"
    disk = Disk()
    for record in recorder.records():
        disk.follow(record)
    lay_out(disk.dropped(), tmp_path / "cut", Random(1))
    async with opened(tmp_path / "cut", HandClock()) as (outbox, _):
        assert outbox.counters["ops"].owed == (2 if mutant is None else 1)


def followed(*calls: tuple[Kind, str | int]) -> Disk:
    """A disk behind these: a name is opened, a number is a byte that is written 512 times, or what a sync returns."""
    disk = Disk()
    for kind, what in calls:
        name = what.encode() if isinstance(what, str) else b""
        data = bytes([what]) * 512 if kind is Kind.WRITTEN and isinstance(what, int) else name
        result = what if kind is Kind.SYNCED and isinstance(what, int) else 0
        disk.follow(
            Record(kind, 1, 4 if what == "" else 3, result, CREATED if kind is Kind.OPENED else 0, len(data), data)
        )
    return disk


NEW = (Kind.OPENED, "/log"), (Kind.OPENED, ""), (Kind.SYNCING, ""), (Kind.SYNCED, "")


def test_what_was_made_durable_is_there_and_what_was_not_may_be_or_not() -> None:
    disk = followed(*NEW, (Kind.WRITTEN, 1), (Kind.SYNCING, 0), (Kind.SYNCED, 0), (Kind.WRITTEN, 2))
    assert disk.dropped() == {"log": b"\1" * 512}
    assert disk.kept() == {"log": b"\2" * 512}
    chance = Random(1)
    assert {disk.sampled(chance)["log"] for _ in range(100)} >= {b"\1" * 512, b"\2" * 512}


def test_what_failed_to_be_made_durable_is_not_made_so_by_the_next_call_unless_it_is_written_again() -> None:
    failed = (*NEW, (Kind.WRITTEN, 1), (Kind.SYNCING, 0), (Kind.SYNCED, -1))
    disk = followed(*failed, (Kind.SYNCING, 0), (Kind.SYNCED, 0))
    assert (disk.dropped(), disk.kept()) == ({"log": b""}, {"log": b"\1" * 512})
    disk = followed(*failed, (Kind.WRITTEN, 1), (Kind.SYNCING, 0), (Kind.SYNCED, 0))
    assert disk.dropped() == disk.kept()


def test_a_new_name_is_there_once_the_folder_is_durable() -> None:
    disk = followed((Kind.OPENED, "/log"), (Kind.WRITTEN, 1), (Kind.SYNCING, 0), (Kind.SYNCED, 0))
    assert disk.dropped() == {}
    assert {frozenset(disk.sampled(Random(n))) for n in range(20)} == {frozenset(), frozenset({"log"})}


def test_each_way_to_choose_gives_what_was_there_where_all_is_durable() -> None:
    disk = followed(*NEW, (Kind.WRITTEN, 1), (Kind.SYNCING, 0), (Kind.SYNCED, 0))
    assert {way(disk.names["log"], 512, Random(1)) for way in WAYS} == {b"\1" * 512}
