"""The disk is copied under load, as a cut of power would leave it: what the file system has written by then.

The agent's state lies on an ext4 of its own, in a file that is mounted as a loop device. That file is the medium: what
the kernel still holds back in its memory is not in it. A copy is taken at a moment at which the device writes nothing,
be it in the middle of an fsync; then the copy is mounted, which replays the journal, and the outbox started from it.
"""

import asyncio
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.power_cut.judge import judge, start
from tests.faults.power_cut.recording import Recorder
from tests.faults.power_cut.story import Story
from tests.support.small_disk import image_of, mounted, small_disk

SIZE_BYTES = 16 * 1024 * 1024
MESSAGES = 600
"""Behind so many begins another disk, since this one gets full."""
COPIES_MIN = 3
_MODES = ("data=ordered", "data=writeback", "data=journal")
_PAUSE_S = (0.05, 0.4)
_TRIES = 20
"""Behind so many that met a write the agent is stopped for a moment."""
_BUSY = 0.1


async def disk_copied(folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    """Copy and start, for so many seconds, one disk after another; each journals its data in another way."""
    result, loop, chance = Result(), asyncio.get_running_loop(), Random(seed)
    end, n = loop.time() + seconds, 0
    while n == 0 or loop.time() < end:
        place = folder / f"disk-{n}"
        place.mkdir()
        with small_disk(place, "ext4", SIZE_BYTES, _MODES[(seed + n) % len(_MODES)]) as disk:
            await _one_disk(place, disk, lambda: loop.time() < end, chance, result, mutant)
        n += 1
    result.figures["disks"] = n
    return result


async def _one_disk(
    place: Path, disk: Path, goes_on: Callable[[], bool], chance: Random, result: Result, mutant: str | None
) -> None:
    state = disk / "state"
    state.mkdir()
    recorder, copies = Recorder(place, state), 0
    async with house(place, chance.randrange(2**32), state=state, mutant=mutant, env=recorder.env, busy=_BUSY) as at:
        story, known = Story(at.link.port, at.oracle.port), 0
        while copies < COPIES_MIN or (goes_on() and at.stream.count < MESSAGES):
            await asyncio.sleep(chance.uniform(*_PAUSE_S))
            before = recorder.size_bytes()
            (place / "copy.img").write_bytes(_copy(place, disk, at))
            for record in recorder.records(known, before):
                story.follow(record)
            known, copies = before, copies + 1
            await _judge(place, story, result)
        result.strikes += copies
        result.figures["messages"] = result.figures.get("messages", 0) + at.stream.count
        at.running.cancel()
        at.agent.kill()


def _copy(place: Path, disk: Path, at: House) -> bytes:
    """All blocks, as they were at one moment."""
    device = subprocess.run(["findmnt", "-no", "SOURCE", disk], check=True, capture_output=True, text=True).stdout
    statistics = Path("/sys/block", Path(device.strip()).name, "stat")
    with ExitStack() as stack:
        for n in range(10 * _TRIES):
            if n == _TRIES:
                stack.enter_context(at.agent.frozen())
            before = statistics.read_text(encoding="ascii")
            image = image_of(place).read_bytes()
            if before == statistics.read_text(encoding="ascii") and before.split()[8] == "0":  # in flight
                return image
    raise AssertionError("the device writes all the time")


async def _judge(place: Path, story: Story, result: Result) -> None:
    with mounted(place / "copy.img", place / "copied") as copied:
        found = await start(copied / "state")
    lost, twice, bad = judge(found, story)
    result.lost = max(result.lost, len(lost))
    result.duplicates = max(result.duplicates, len(twice))
    for sentence in bad:
        result.demand(False, sentence)


FAULTS = [
    Fault(
        "disk-copied",
        "an ext4 with the state is copied under load, block by block as it is at a moment, and started from",
        "copies",
        disk_copied,
        ("synchronous-normal",),
    )
]
