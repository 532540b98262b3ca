"""History: what grows with time alone. 30 days pass in a pipeline and an outbox whose clock is moved by hand.

Ten sensors speak every two minutes, each fires and ends every two hours, and all that is owed is delivered at once. A
copy of the outbox of each age is what a real agent starts on.
"""

import asyncio
import math
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path
from random import Random

from agent.config import load
from agent.model import Ending, Moment, Settlement
from agent.observe import Observer
from agent.outbox import Outbox
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.rules import Book, Engine
from agent.status.snapshot import Window
from agent.tasks import Tasks
from agent.webhooks.writer import Writer
from bench.growth.agent import Agent
from bench.growth.causes import FLAT, LINEAR, READY, RSS, START, Cause, Figures, config_text
from bench.growth.judgement import Cost
from bench.processes import free_port, rss_mib, written_bytes
from drivers.base import Message, Origin, Reading, Receipt, Surroundings

_SENSORS = 10
_HOUR_S = 3600.0
_EVERY_S = 120.0
_FIRES_EVERY_S = 2 * _HOUR_S
_RULES = {
    "high": '{sensor: "meter.*.t", when: {above: 25}, clear: {below: 24}, for: 2m, repeat: 30m}',
    "jump": '{sensor: "meter.*.t", when: {rising: {by: 1000, within: 10m}}}',
    "often": '{sensor: "meter.*.t", when: {above: 28}, count: 1000, within: 1d}',
    "silent": '{sensor: "meter.*.t", when: {silent_for: 1h}}',
    "steps": '{sensor: "meter.*.t", each: {changes_by: 9}, throttle: 1h}',
}
_READING = Cost("a reading, with all that it causes", "us of CPU", FLAT, 60.0)
_WRITTEN = Cost("written for a reading, with all that it causes", "B", FLAT, 1000.0, 0)
_RSS = Cost(RSS.name, RSS.unit, FLAT, 8.0)
_FILE = Cost("the outbox", "kB", LINEAR, 300.0, 0)
_START = Cost(START.name, START.unit, LINEAR, START.noise, 0)
_STATUS = Cost("a snapshot of all", "us of CPU", FLAT, 400.0, 0)
_HISTORY = Cost("the history of a sensor", "us of CPU", LINEAR, 200.0, 0)
_LOOKS = 20


class _Clock:
    """Stands still until it is moved (`agent.clock.DeviceClock`)."""

    def __init__(self, wall: float) -> None:
        self.offset_s = 0.0
        self._at, self._wall = 1000.0, wall

    def now(self) -> float:
        return self._at + self.offset_s

    def wall(self) -> float:
        return self._wall

    def moment(self) -> Moment:
        return Moment(self.now(), self._wall, True)

    def boot_id(self) -> str:
        return "simulated"

    def advance(self, seconds: float) -> None:
        self._at += seconds
        self._wall += seconds


class _House:
    """An agent without feeds and couriers, to which sensors speak directly, and from which all is delivered."""

    def __init__(self, folder: Path, days: float) -> None:
        self.clock = _Clock(time.time() - days * 86400)
        self.config_text = config_text(1, _RULES, {"here": 1})
        file = folder / "bellcrank.yaml"
        file.write_text(self.config_text.replace("{status}", f"127.0.0.1:{free_port()}"), encoding="utf-8")
        self._config, self._ids, self._packets = load(file), count(1), count(1)
        self.outbox = Outbox(folder / "aging", self._config.expires_s(), limits=self._config.outbox.limits())
        self.observer: Observer
        self._pipeline: Pipeline

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        config, clock = self._config, self.clock
        loaded = await self.outbox.open(clock)
        engine = Engine(Book(config.rules, list(config.webhooks), {}, self._new_id, config.meanings(), config.site()))
        step = engine.load(loaded.memory, None, clock.moment())
        self._pipeline = Pipeline(engine, self.outbox, {}, clock, Writer("bench", loaded.agent_id, config.webhooks))
        around = Surroundings("bench", "", clock, Random(1), config.brokers)
        parts = Parts(clock, around, self.outbox, self._pipeline, {}, Tasks(lambda: None))
        self.observer = Observer(config, loaded.agent_id, clock, self._pipeline, self.outbox, parts)
        await self._pipeline.begin(step)
        running = asyncio.create_task(self._pipeline.run())
        try:
            yield
        finally:
            self._pipeline.stop()
            await running
            await self.outbox.close()

    async def live(self, hours: float) -> int:
        """Let so much time pass. Returns how many readings came."""
        minutes = round(hours * _HOUR_S / _EVERY_S)
        for _ in range(minutes):
            self.clock.advance(_EVERY_S)
            await self._pipeline.take("house", [self._said(sensor) for sensor in range(_SENSORS)])
            await self._deliver()
        return minutes * _SENSORS

    def _said(self, sensor: int) -> Message:
        turn = self.clock.now() / _FIRES_EVERY_S + sensor / _SENSORS
        value = round(20 + 10 * math.sin(math.tau * turn), 2)
        number = next(self._packets)
        origin = Origin("meter", {"unit": str(sensor)}, {}, {"t": value}, False)
        receipt = Receipt(number % 65535 + 1, False, number.to_bytes(6, "big"))
        return Message(self.clock.now(), ("meter",), (Reading(f"meter.{sensor}.t", value, None, origin),), (), receipt)

    async def _deliver(self) -> None:
        mailbox = self.outbox.mailboxes["here"]
        while due := await mailbox.due(self.clock.now(), 100):
            for delivery in due:
                mailbox.settle(Settlement(delivery, Ending.DELIVERED))

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids):026}"


def _measure(points: Sequence[int], _: int) -> list[Figures]:
    """Points in hours."""
    with tempfile.TemporaryDirectory(prefix="bellcrank-growth-") as folder:
        return asyncio.run(_aged(Path(folder), points))


async def _aged(folder: Path, points: Sequence[int]) -> list[Figures]:
    found: list[Figures] = []
    house, age = _House(folder, points[-1] / 24), 0
    async with house.open():
        for point in points:
            last = min(5, (point - age) / 2)
            await house.live(point - age - last)
            found.append(await _figures(folder / f"of-{point}-hours", house, last))
            age = point
    return found


async def _figures(folder: Path, house: _House, hours: float) -> Figures:
    """Those of an age, once so many more hours have passed."""
    before, written = time.process_time(), written_bytes(os.getpid())
    readings = await house.live(hours)
    taken_s, written = time.process_time() - before, written_bytes(os.getpid()) - written
    rss = rss_mib(os.getpid())
    status_s = _look(lambda: house.observer.snapshot(Window(trends=False)))
    return {
        _READING: taken_s * 1e6 / readings,
        _WRITTEN: written / readings,
        _RSS: rss,
        _FILE: house.outbox.store.file.size_bytes() / 1000,
        _STATUS: status_s * 1e6,
        _HISTORY: _look(lambda: house.observer.history("meter.0.t")) * 1e6,
        **await asyncio.to_thread(_started, folder, house),
    }


def _look(work: Callable[[], object]) -> float:
    before = time.process_time()
    for _ in range(_LOOKS):
        work()
    return (time.process_time() - before) / _LOOKS


def _started(folder: Path, house: _House) -> Figures:
    """A real agent on a copy of the outbox."""
    state = folder / "state"
    state.mkdir(parents=True)
    with (
        closing(sqlite3.connect(folder.parent / "aging" / "outbox.db")) as aging,
        closing(sqlite3.connect(state / "outbox.db")) as copy,
    ):
        aging.backup(copy)
    with Agent(folder, house.config_text).run() as (wall_s, cpu_s):
        return {_START: cpu_s * 1000, READY: wall_s * 1000}


HISTORY = Cause(
    "history",
    "History",
    "Ten sensors speak every two minutes for up to 30 days, watched by five rules with memories of all kinds. Each"
    " fires every two hours, and all is delivered at once; delivered events are kept for 7 days, at most 10,000,"
    " histories of sensors for a day.",
    "hours",
    (1, 6, 24, 168, 720),
    _measure,
    "The outbox and the history of a sensor grow until they hold what is kept, and then no more.",
)
