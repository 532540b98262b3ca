"""What goes wrong with the card: nothing can be made durable, nothing can be written, it is read-only."""

import asyncio
import errno
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.oracle import conserved
from tests.support.faulty import Faulty
from tests.support.small_disk import Filler, small_disk
from tests.support.waiting import until

KINDS = {
    "EIO at fsync": {"sync": errno.EIO},
    "EIO at write": {"write": errno.EIO},
    "ENOSPC at fsync": {"sync": errno.ENOSPC},
    "ENOSPC at write": {"write": errno.ENOSPC},
    "read-only": {"write": errno.EROFS, "sync": errno.EROFS},
}


async def failing_disk(
    folder: Path, *, seconds: float, seed: int, times: int = len(KINDS), mutant: str | None = None
) -> Result:
    """Calls that write and make durable fail, each kind in turn; meanwhile nothing may be acknowledged.

    At least so many times.
    """
    faulty = Faulty(folder, folder / "state")
    async with house(folder, seed, mutant=mutant, env=faulty.env) as at:
        loop, random = asyncio.get_running_loop(), Random(seed)
        end, done = loop.time() + seconds, 0
        while done < times or loop.time() < end:
            name, fault = list(KINDS.items())[done % len(KINDS)]
            done += 1
            faulty.fail(**fault)
            await at.degrades(name)
            await at.acknowledges_nothing(random.uniform(0.2, 1.5), name)
            if done > len(KINDS) and random.random() < 0.3:
                at.agent.kill()
                faulty.heal()
                at.agent.start(**faulty.env)
            faulty.heal()
            await at.recovers()
        await at.judge()
        at.result.strikes = done
        at.result.figures.update(refused_calls=faulty.refused, descriptors=at.agent.descriptors())
        at.result.demand(at.agent.said().count("cannot be written, nothing is") <= 2 * done, "the log is flooded")
        return at.result


async def read_only(folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    """ext4 meets an error and goes read-only, as on a card that dies; a repaired copy is mounted in its place."""
    with small_disk(folder, "ext4") as disk:
        trigger = _trigger(disk)
        async with house(folder, seed, state=disk, mutant=mutant) as at:
            with at.agent.frozen():  # between two commits: to one that it overtakes, ext4 says that it is durable
                await until(at.agent.stands_still)
                with suppress(OSError):  # it does what it is asked for, and says EROFS
                    trigger.write_text("test")
            at.result.strikes += 1
            await at.degrades("read-only")
            await at.acknowledges_nothing(seconds / 3, "read-only")
            await asyncio.to_thread(_mount_repaired_copy, folder, disk)
            try:
                await at.recovers()
                await asyncio.sleep(seconds / 3)
                await at.judge()
                _demand_words(at)
            finally:
                at.agent.kill()
                await asyncio.to_thread(_run, "umount", "--lazy", str(disk))
        return at.result


async def disk_full(folder: Path, *, seconds: float, seed: int, mutant: str | None = None, times: int = 3) -> Result:
    """Somebody else's file takes all of a small disk, to the last block, and gives it back, at least so often.

    Meanwhile either nothing is acknowledged, or what finds no room is dropped and counted (`dropped_by.full`): of all
    that is missing each one must be.
    """
    loop = asyncio.get_running_loop()
    with small_disk(folder, "ext4") as disk:
        filler = Filler(disk)
        async with house(folder, seed, state=disk, mutant=mutant) as at:
            end = loop.time() + seconds
            while at.result.strikes < times or loop.time() < end:
                at.result.strikes += 1
                await asyncio.to_thread(filler.fill)
                await asyncio.sleep(at.random.uniform(0.5, 3))
                if at.random.random() < 0.3:
                    at.agent.kill()
                    at.agent.start()
                    await asyncio.sleep(at.random.uniform(0.5, 3))
                filler.free()
                if not at.agent.lives():  # it could not begin; a service manager starts it again
                    at.result.demand(at.agent.wait() == 1, f"it does not end as it should: {at.agent.said()[-500:]}")
                    at.agent.start()
                await at.goes_on()
            counts = (await at.settle(dropped=lambda: _found_no_room(at))).get("outbox", {})
            missing, dropped = at.stream.expected - at.oracle.told(), _found_no_room(at)
            at.result.demand(len(missing) == dropped, f"{len(missing)} are missing, and {dropped} counted as such")
            at.oracle.judge_told(at.result, at.stream.expected, may_be_lost=missing)
            at.result.lost = abs(len(missing) - dropped)
            at.result.demand(conserved(at.agent.status()), f"owed is not what became of it: {counts}")
            at.result.figures.update({"published": at.stream.count, "dropped as there was no room": dropped})
            at.agent.kill()
        return at.result


def _found_no_room(at: House) -> int:
    """How many events, as the agent says."""
    return int(at.agent.status().get("outbox", {}).get("dropped_by", {}).get("full", 0))


def _demand_words(at: House) -> None:
    said = at.agent.said()
    at.result.demand("nothing is acknowledged meanwhile" in said, "the log does not tell")
    at.result.demand("can be written again" in said, "the log does not tell that it goes on")


def _trigger(disk: Path) -> Path:
    found = subprocess.run(["findmnt", "-no", "SOURCE", disk], check=True, capture_output=True, text=True).stdout
    trigger = Path("/sys/fs/ext4", Path(found.strip()).name, "trigger_fs_error")
    if not trigger.exists():
        pytest.skip("this kernel makes no ext4 read-only on request")
    _run("mount", "-o", "remount,errors=remount-ro", str(disk))
    return trigger


def _mount_repaired_copy(folder: Path, disk: Path) -> None:
    """What a person does, though with another card, since the kernel gives no such file system free before its end."""
    copy = folder / "repaired.img"
    shutil.copyfile(folder / "disk.img", copy)
    subprocess.run(["e2fsck", "-fy", copy], check=False, capture_output=True)  # 1: it has mended something
    _run("mount", "-o", "loop", str(copy), str(disk))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


FAULTS = [
    Fault(
        "failing-disk",
        "`write` and `fsync` fail with EIO, ENOSPC or EROFS, now and then a `kill -9` meanwhile",
        "failures",
        failing_disk,
        ("acknowledge-early",),
    ),
    Fault(
        "disk-full",
        "another file takes all of the disk, to the last block (what finds no room is dropped, and counted)",
        "times",
        disk_full,
        ("counts-wrong",),
    ),
    Fault(
        "read-only",
        "ext4 meets an error and goes read-only; a repaired copy is mounted",
        "times",
        read_only,
        ("acknowledge-early",),
    ),
]
