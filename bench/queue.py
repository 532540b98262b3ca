"""A long queue: `python -m bench.queue [--events 1000000] [--subjects 1 1000 100000]`.

Writes an outbox with so many waiting events, starts the agent on it while the receiver is away, and then lets the
receiver come back. Prints how long the start took, what memory the queue costs beside an empty one, how fast it
drains, and what of it was lost, out of order, or sent over more connections than `concurrency`.

With `--events 20000 --drain 20000` everything is drained.
"""

import argparse
import asyncio
import json
import os
import random
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from aiohttp import web

from agent.clock import SystemClock
from agent.outbox.packing import pack
from agent.outbox.store import Store
from bench.processes import free_port, listening, rss_mib, wait_for

CONFIG = """
version: 1
agent: {{name: bench, events_to: []}}
sources:
  lab: {{driver: simulated, every: 1h, sensors: {{t: {{wave: {{noise: {{min: 1, max: 2}}}}}}}}}}
rules:
  never: {{sensor: lab.t, when: {{above: 100}}}}
webhooks:
  here: {{url: "http://127.0.0.1:{http}/hook", unsigned: true, rest: {{min: 2s, max: 2s}}, ordering: {ordering}}}
outbox: {{max_size: 4GB, max_events: 2000000}}
status: {{listen: "127.0.0.1:{status}"}}
"""
CONCURRENCY = 8
_DELIVERY = """
    INSERT INTO deliveries (id, event, fanout, webhook, sequence, subject, state, kind, tried, attempts, refusals, held,
        due_at, created_at, expires_at) VALUES (?, ?, 1, 1, ?, ?, 0, 1, 0, 0, 0, 0, ?, ?, ?)"""
_LETTER = """
    INSERT INTO letters (delivery, event_id, type, rule, subject, created_at, wall, synced, form, body)
    VALUES (?, ?, 'sensor.event', 'r', ?, ?, ?, 1, ?, ?)"""


class Receiver:
    """Counts what comes, by subject, and over how many connections."""

    def __init__(self, wanted: int) -> None:
        self.enough = asyncio.Event()
        """Set when so many as are wanted have come."""
        self._wanted = wanted
        self._runner: web.AppRunner
        self.last: dict[str, int] = {}
        """The highest number that came of each subject."""
        self.seen: set[int] = set()
        self.out_of_order = self.most_connections = 0

    async def hook(self, request: web.Request) -> web.Response:
        assert self._runner.server is not None
        self.most_connections = max(self.most_connections, len(self._runner.server.connections))
        event = json.loads(await request.read())
        number, subject = event["sequence"], event["subject"]
        self.out_of_order += number < self.last.get(subject, 0) and number not in self.seen
        self.last[subject] = max(number, self.last.get(subject, 0))
        self.seen.add(number)
        if len(self.seen) >= self._wanted:
            self.enough.set()
        return web.Response(status=204)

    @asynccontextmanager
    async def open(self, port: int) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/hook", self.hook)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        try:
            yield
        finally:
            await self._runner.cleanup()


def fill(state: Path, events: int, subjects: int) -> None:
    """Write an outbox in which so many events wait."""
    state.mkdir()
    clock = SystemClock()
    store = Store(state / "outbox.db")
    store.open(clock, ["here"])
    store.close()
    at, wall = clock.now() - 3600, clock.wall() - 3600
    with sqlite3.connect(state / "outbox.db") as db:
        db.execute("PRAGMA synchronous = OFF")
        db.executemany(_DELIVERY, _deliveries(events, subjects, at))
        db.executemany(_LETTER, _letters(events, subjects, at, wall))
        db.execute("UPDATE webhooks SET owed = ?, pending = ?, sequence = ?", (events, events, events))
        db.execute("UPDATE meta SET next_delivery = ?", (events + 1,))
    db.close()


def _deliveries(events: int, subjects: int, at: float) -> Iterator[tuple[object, ...]]:
    for n in range(1, events + 1):
        yield n, n, n, _subject(n, subjects), at, at, at + 7 * 86400


def _letters(events: int, subjects: int, at: float, wall: float) -> Iterator[tuple[object, ...]]:
    for n in range(1, events + 1):
        yield n, f"evt_{n:026}", _subject(n, subjects), at, wall, *pack(_body(n, subjects))


def _body(n: int, subjects: int) -> bytes:
    return json.dumps({"sequence": n, "subject": _subject(n, subjects), "filled": random.randbytes(350).hex()}).encode()


def _subject(n: int, subjects: int) -> str:
    return f"meter.unit{n % subjects}.t"


class Agent:
    """One run of the agent on a state."""

    def __init__(self, folder: Path, http: int, ordering: str) -> None:
        self.folder, self.port = folder, free_port()
        self.config = folder / "bellcrank.yaml"
        self.config.write_text(CONFIG.format(http=http, status=self.port, ordering=ordering))
        self.process: asyncio.subprocess.Process

    @asynccontextmanager
    async def run(self) -> AsyncIterator[float]:
        """Yields how many seconds the start took."""
        begin = monotonic()
        command = [sys.executable, "-m", "agent", "run", "--config", str(self.config)]
        env = {**os.environ, "STATE_DIRECTORY": str(self.folder / "state")}
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*command, env=env, stderr=log, stdout=log)
        try:
            await asyncio.to_thread(wait_for, "the agent", lambda: listening(self.port))
            yield monotonic() - begin
        finally:
            self.process.terminate()
            await self.process.wait()


async def measure(events: int, subjects: int, drain: int, ordering: str) -> dict[str, float]:
    """Figures of one queue."""
    with tempfile.TemporaryDirectory() as text:
        folder, http = Path(text), free_port()
        fill(folder / "state", events, subjects)
        agent = Agent(folder, http, ordering)
        async with agent.run() as start_s:
            await asyncio.sleep(10)  # it finds that nobody answers, and reads the subjects beside that
            figures = {"start, s": start_s, "RSS waiting, MiB": rss_mib(agent.process.pid)}
            if events:
                figures |= await _drained(agent, http, min(drain, events))
        return figures


async def _drained(agent: Agent, http: int, count: int) -> dict[str, float]:
    receiver = Receiver(count)
    async with receiver.open(http):
        begin = monotonic()
        await receiver.enough.wait()
        took_s = monotonic() - begin
        return {
            f"until {count} have arrived, s": took_s,
            "events/s": count / took_s,
            "RSS draining, MiB": rss_mib(agent.process.pid),
            "connections at most": receiver.most_connections,
            "out of order": receiver.out_of_order,
        }


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--subjects", type=int, nargs="+", default=[1, 1_000, 100_000])
    options.add_argument("--drain", type=int, default=5_000, help="so many are waited for once the receiver is back")
    options.add_argument("--ordering", choices=["subject", "none"], default="subject")
    given = options.parse_args()
    _print("nothing waits", asyncio.run(measure(0, 1, 0, given.ordering)))
    for subjects in given.subjects:
        figures = asyncio.run(measure(given.events, subjects, given.drain, given.ordering))
        _print(f"{given.events:,} wait, of {subjects:,} subjects", figures)
        if given.ordering == "subject" and figures["out of order"]:
            sys.exit("the order of a subject was not kept")
        if figures["connections at most"] > CONCURRENCY:
            sys.exit("there were more connections than `concurrency` says")


def _print(what: str, figures: dict[str, float]) -> None:
    print(what, flush=True)
    for name, figure in figures.items():
        print(f"    {name:32} {figure:10.2f}", flush=True)


if __name__ == "__main__":
    main()
