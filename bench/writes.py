"""What the outbox writes, and what that takes: `python -m bench.writes [--events 3000] [--groups 1 10 30 100]`.

Drives the outbox alone, on a real file, with batches as a flood gives them: so many events a commit, each delivered
while the next are on their way, with its mark in the next commit; a group of 1 is a lone event, whose mark has a commit
of its own. Prints the bytes written and the CPU time for each event (proc(5), io; getrusage(2)), and which tables and
indexes the pages of the write-ahead log belong to.
"""

import argparse
import asyncio
import resource
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from agent.clock import SystemClock
from agent.model import Attempt, Ending, Event, Settlement
from agent.outbox import Batch, Limits, Outbox
from agent.webhooks.config import Webhook
from agent.webhooks.writer import Writer

SENSORS = 200
LIMITS = Limits(min_free_bytes=0)
WEBHOOK = Webhook.model_validate({"url": "http://127.0.0.1/hook", "unsigned": True})
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
"""Of the write-ahead log, and of each page in it (sqlite.org/fileformat2.html)."""


class Frames:
    """Which pages a write-ahead log was given, commit by commit."""

    def __init__(self, path: Path) -> None:
        self._path, self._log = path, path.with_name(f"{path.name}-wal")
        self._salt, self._seen = b"", 0
        self.pages: Counter[int] = Counter()

    def note(self) -> None:
        """Count what was appended since the last time."""
        data = self._log.read_bytes()
        page_bytes = int.from_bytes(data[8:12], "big")
        if data[16:24] != self._salt:
            self._salt, self._seen = data[16:24], 0
        for at in range(_LOG_HEADER_BYTES, len(data), _FRAME_HEADER_BYTES + page_bytes)[self._seen :]:
            if data[at + 8 : at + 16] != self._salt:
                break
            self.pages[int.from_bytes(data[at : at + 4], "big")] += 1
            self._seen += 1

    def by_tree(self) -> Counter[str]:
        """Frames by the table or index that has the page now."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
            trees = dict(db.execute("SELECT pageno, name FROM dbstat"))
        found: Counter[str] = Counter()
        for page, n in self.pages.items():
            found[trees.get(page, "free, or pages of the file's own")] += n
        return found


class Cost(NamedTuple):
    """Of some events."""

    written_bytes: int
    cpu_s: float
    frames: Frames
    commits: int


class Driver:
    """One outbox, and the events that it is given."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.outbox = Outbox(folder, {"here": 7 * 86400.0}, limits=LIMITS)
        self.path = folder / "outbox.db"
        self._writer = Writer("bench", "0123456789abcdef0123456789abcdef", {"here": WEBHOOK})
        self._n = 0

    async def commit(self, events: int) -> None:
        """Owe so many, and the entries of their messages in the ledger."""
        moment = self.clock.moment()
        draft = self.outbox.draft(moment, self._writer)
        draft.owe([self._event() for _ in range(events)])
        batch: Batch = draft.batch()
        if events:
            batch.ledger = {"broker:house": (False, b"".join(self._n.to_bytes(8, "big") for _ in range(events)))}
        await self.outbox.commit(batch)

    async def deliver(self) -> None:
        """Let all that waits be delivered; the marks wait for the next commit."""
        mailbox = self.outbox.mailboxes["here"]
        now = self.clock.moment()
        while deliveries := await mailbox.due(now.at, 8):
            for delivery in deliveries:
                attempt = Attempt(now.at, now.wall, 0.001, 204, None, b"")
                mailbox.settle(Settlement(delivery, Ending.DELIVERED, attempt=attempt))

    def _event(self) -> Event:
        self._n += 1
        moment, unit = self.clock.moment(), self._n % SENSORS
        return Event(
            id=f"evt_{self._n * 0x9E3779B97F4A7C15 % 2**104:026x}",
            type="sensor.event",
            subject=f"meter.{unit}.t",
            at=moment.at,
            wall=moment.wall,
            synced=True,
            send_to=("here",),
            rule="each_one",
            sensor=f"meter.{unit}.t",
            value=self._n / 10,
            condition={"above": 0},
        )


async def flood(folder: Path, events: int, group: int, look: Callable[[Frames], Any]) -> Cost:
    """The cost of so many events, behind as many that fill the file."""
    driver = Driver(folder)
    await driver.outbox.open(driver.clock)
    frames = Frames(driver.path)
    await _run(driver, events, group, lambda: None)
    frames.note()
    frames.pages.clear()
    before, cpu_s = written_bytes(), _cpu_s()
    commits = await _run(driver, events, group, lambda: look(frames))
    cost = Cost(written_bytes() - before, _cpu_s() - cpu_s, frames, commits)
    if not all(counters.balanced for counters in driver.outbox.counters.values()):
        raise SystemExit("the counters are not balanced")
    await driver.outbox.close()
    return cost


async def _run(driver: Driver, events: int, group: int, committed: Callable[[], Any]) -> int:
    commits = 0
    for _ in range(events // group):
        await driver.commit(group)
        committed()
        await driver.deliver()
        if group == 1:
            await driver.commit(0)
            committed()
        commits += 1 + (group == 1)
    return commits


def written_bytes() -> int:
    """What this process has caused to be written (proc(5), io)."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(events: int, group: int) -> None:
    """Print the figures of one size of group: bytes and CPU of one run, pages of another."""
    with tempfile.TemporaryDirectory() as folder:
        cost = asyncio.run(flood(Path(folder), events, group, lambda _: None))
    bytes_each, us_each = cost.written_bytes / events, cost.cpu_s / events * 1e6
    print(f"{group} a commit: {bytes_each:,.0f} bytes and {us_each:,.0f} us an event")
    few = min(events, 50 * group)
    with tempfile.TemporaryDirectory() as folder:
        looked = asyncio.run(flood(Path(folder), few, group, Frames.note))
        print(f"    {looked.frames.pages.total() / looked.commits:6.1f} pages a commit")
        for name, n in looked.frames.by_tree().most_common():
            print(f"    {n / looked.commits:6.1f} {name}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.writes", description=__doc__)
    options.add_argument("--events", type=int, default=3_000, help="a run, behind as many that fill the file")
    options.add_argument("--groups", type=int, nargs="+", default=[1, 10, 30, 100])
    given = options.parse_args()
    for group in given.groups:
        measure(min(given.events, 300) if group == 1 else given.events, group)


if __name__ == "__main__":
    main()
