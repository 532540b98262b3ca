"""A long walk at random: messages, lost acknowledgements, broken links, kills, stops, reloads, lost sessions.

The real pipeline, engine and outbox, on a clock set by hand and a real SQLite file; the broker is a list that sends
again, with the DUP flag, what was not acknowledged. What was told is held against the naive model of the rules, which
knows nothing of all this: to it each message happened once.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from agent.model import Content, Event
from agent.outbox import Outbox
from agent.pipeline import Pipeline
from agent.rules import Book, Engine, Key, Rule
from drivers.base import Arrival, Message, NewSession, Receipt, Value
from tests.faults.fault import Fault, Result
from tests.faults.mutants import mutated
from tests.rules.parts import reading
from tests.rules.test_naive import (
    LEVELS,
    RULES,
    SENSORS,
    VALUES,
    Began,
    Happened,
    LevelStory,
    Passed,
    Read,
    Said,
    pulse_story,
)
from tests.support.hands import HandClock

FEED = "broker:house"
WEBHOOK = "ops"
STEPS = 5_000
"""Of one walk: what it tells fits into the outbox."""
_PACKET_IDS = 3000
"""They come round, as a broker's do after 65,535."""
_GAPS_S = (0, 0, 0, 1, 2, 5, 9)
_DOWNTIMES_S = (0, 1, 8, 3600, 3601, 9000)


class Reloaded(Began):
    """Other rules took over while the agent ran: what was in memory only is not lost."""


class WalkStory(LevelStory):
    """The naive story, with reloads."""

    def begins(self, began: Began) -> None:
        if isinstance(began, Reloaded):
            self.passes(began.at)
            self.written = self.last
        super().begins(began)


@dataclass(slots=True)
class Sent:
    """A message that the broker holds until it is acknowledged."""

    packet_id: int
    sensor: str
    value: Value
    retained: bool
    evaluated: bool = False

    def message(self, at: int, *, dup: bool) -> Message:
        content = repr((self.sensor, self.value, self.retained)).encode()
        receipt = Receipt(self.packet_id, dup, content[-6:].rjust(6, b"."))
        return Message(at, ("t",), (reading(self.value, self.sensor, retained=self.retained),), (), receipt)


@dataclass
class Walk:
    """One walk in one folder."""

    folder: Path
    random: Random
    clock: HandClock = field(default_factory=HandClock)
    unacknowledged: list[Sent] = field(default_factory=list)
    fresh: list[Sent] = field(default_factory=list)
    """Evaluated since the last commit."""
    broken: bool = False
    decoding: int = 0
    messages: int = 0
    repeats: int = 0
    steps: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        keys = [(name, s) for name, r in RULES.items() for s in SENSORS if r["sensor"] in ("t.*", s)]
        self.history: dict[Key, list[Happened]] = {key: [] for key in keys}
        self.committed: dict[Key, int] = dict.fromkeys(keys, 0)
        """How much of the history a kill leaves."""
        self._ids, self._packet_ids = count(1), count()
        self.outbox: Outbox
        self.pipeline: Pipeline

    async def run(self, steps: int) -> None:
        await self.start()
        ways = {
            self.messages_arrive: 50,
            self.acknowledgements_get_lost: 12,
            self.the_link_breaks_before_they_arrive: 10,
            self.time_passes: 12,
            self.it_is_killed: 6,
            self.it_stops_and_starts: 3,
            self.it_reloads: 5,
            self.the_broker_forgets: 2,
        }
        for _ in range(steps):
            (way,) = self.random.choices(list(ways), list(ways.values()))
            self.steps[way.__name__] += 1
            await way()
        await self.stop()

    # -- what happens

    async def messages_arrive(self) -> None:
        for sent in await self.hear(self.some()):
            self.unacknowledged.remove(sent)

    async def acknowledgements_get_lost(self) -> None:
        await self.hear(self.some())
        self.broken = True

    async def the_link_breaks_before_they_arrive(self) -> None:
        await self.mend()
        self.unacknowledged += self.some()
        self.broken = True

    async def time_passes(self) -> None:
        self.clock.advance(self.random.randint(1, 12))
        await self.round([])

    async def it_is_killed(self) -> None:
        await self.kill(self.random.choice(_DOWNTIMES_S))

    async def it_stops_and_starts(self) -> None:
        await self.stop()
        await self.restart(self.random.choice(_DOWNTIMES_S))

    async def it_reloads(self) -> None:
        await self.reload(new_meaning=self.random.random() < 0.2)

    async def the_broker_forgets(self) -> None:
        self.unacknowledged.clear()
        self.broken = False
        await self.round([NewSession(self.clock.now())])

    # -- the broker

    def some(self) -> list[Sent]:
        """New messages."""
        chance = self.random
        return [
            Sent(
                next(self._packet_ids) % _PACKET_IDS + 1,
                chance.choice(SENSORS),
                chance.choice(VALUES),
                chance.random() < 0.2,
            )
            for _ in range(chance.randint(1, 4))
        ]

    async def hear(self, new: list[Sent]) -> list[Sent]:
        await self.mend()
        self.unacknowledged += new
        await self.arrive(new, dup=False)
        return new

    async def mend(self) -> None:
        """After a broken link the broker first sends again what was not acknowledged."""
        if self.broken:
            again = list(self.unacknowledged)
            await self.arrive(again, dup=True)
            self.unacknowledged.clear()
            self.broken = False

    async def arrive(self, sent: Sequence[Sent], *, dup: bool) -> None:
        messages = []
        for one in sent:
            self.clock.advance(self.random.choice(_GAPS_S))
            messages.append((int(self.clock.now()), one))
        before = self.outbox.store.number
        await self.round([one.message(at, dup=dup) for at, one in messages], noting=False)
        for at, one in messages:
            self.messages += 1
            self.repeats += one.evaluated
            if not one.evaluated:
                one.evaluated = True
                self.fresh.append(one)
                self.note(Read(at, one.value, one.retained), one.sensor)
        self.passed(before)

    # -- the agent

    async def start(self) -> None:
        self.outbox = Outbox(self.folder, {WEBHOOK: 1e9})
        loaded = await self.outbox.open(self.clock)
        engine = self.engine()
        step = engine.load(loaded.memory, loaded.downtime_s, self.clock.moment())
        self.pipeline = Pipeline(engine, self.outbox, loaded.ledgers, self.clock, _content)
        if loaded.downtime_s is not None and loaded.ended_well is not None:
            self.note(Began(int(self.clock.now()), int(loaded.downtime_s), new_meaning=False))
        before = self.outbox.store.number
        await self.pipeline.begin(step)
        self.passed(before)

    async def kill(self, downtime_s: int) -> None:
        """What was not committed is not there; of that, what was not acknowledged comes again."""
        await self.outbox.close()
        for key, length in self.committed.items():
            del self.history[key][length:]
        for sent in self.fresh:
            sent.evaluated = False
        await self.restart(downtime_s)

    async def restart(self, downtime_s: int) -> None:
        self.clock.advance(downtime_s)
        self.broken = True
        self.fresh.clear()
        await self.start()

    async def reload(self, *, new_meaning: bool) -> None:
        """Other rules; where they change no memory, nothing is committed, and a kill knows nothing of it."""
        self.decoding += new_meaning
        await self.round([])
        before = self.outbox.store.number
        await self.pipeline._follow(self.engine(), {WEBHOOK: 1e9}, _content)
        if new_meaning:
            self.note(Reloaded(int(self.clock.now()), 0, new_meaning=True))
        if self.outbox.store.number > before:
            self.commit()

    async def stop(self) -> None:
        before = self.outbox.store.number
        await self.pipeline._round(last=True)
        self.passed(before)
        await self.outbox.close()

    def engine(self) -> Engine:
        rules = {
            name: Rule.model_validate({**rule, "severity": self.random.choice(["info", "critical"])})
            for name, rule in RULES.items()
        }
        meanings = {name: rule.meaning(str(self.decoding)) for name, rule in rules.items()}
        return Engine(Book(rules, [WEBHOOK], {}, lambda prefix: f"{prefix}{next(self._ids)}", meanings))

    async def round(self, arrivals: Sequence[Arrival], *, noting: bool = True) -> None:
        before = self.outbox.store.number
        done = asyncio.ensure_future(self.pipeline.take(FEED, arrivals))
        await asyncio.sleep(0)
        await self.pipeline._round()
        await done
        if noting:
            self.passed(before)

    # -- the story

    def note(self, happened: Happened, sensor: str | None = None) -> None:
        for key, history in self.history.items():
            if sensor in (None, key[1]):
                history.append(happened)

    def passed(self, before: int) -> None:
        """A round ended."""
        self.note(Passed(int(self.clock.now())))
        if self.outbox.store.number > before:
            self.commit()

    def commit(self) -> None:
        self.fresh.clear()
        self.committed = {key: len(history) for key, history in self.history.items()}

    def judge(self, result: Result) -> None:
        """Hold what is in the outbox against the story."""
        told = self.told()
        result.figures["events"] = result.figures.get("events", 0) + sum(map(len, told.values()))
        for key, history in self.history.items():
            wanted = expected(key, history)
            result.lost += (Counter(wanted) - Counter(told[key])).total()
            result.duplicates += (Counter(told[key]) - Counter(wanted)).total()
            result.demand(told[key] == wanted, f"{key}: {first_difference(told[key], wanted)}")

    def told(self) -> dict[Key, list[Said]]:
        """What is in the outbox."""
        told: dict[Key, list[Said]] = {key: [] for key in self.history}
        with closing(sqlite3.connect(self.folder / "outbox.db")) as db:
            for (body,) in db.execute("SELECT body FROM letters ORDER BY delivery"):
                rule, sensor, state, at, value = body.decode().split("|")
                told[rule, sensor].append((state, int(at), value))
        return told


def expected(key: Key, history: Sequence[Happened]) -> list[Said]:
    level = LEVELS.get(key[0])
    story = pulse_story(key[0], history)[0] if level is None else WalkStory(level, history).told
    return [(state, at, repr(value)) for state, at, value in story]


def first_difference(told: Sequence[Said], wanted: Sequence[Said]) -> str:
    for i, (one, other) in enumerate(zip(told, wanted, strict=False)):
        if one != other:
            return f"number {i} is {one}, not {other}"
    return f"{len(told)} told, not {len(wanted)}"


def _content(event: Event, _webhook: str, _sequence: int) -> Content:
    return Content(f"{event.rule}|{event.sensor}|{event.state or 'pulse'}|{event.at:.0f}|{event.value!r}".encode())


async def walk(folder: Path, *, seconds: float, seed: int, mutant: str | None = None, steps: int = STEPS) -> Result:
    """Walks of so many steps, one after another, at least one."""
    result, end, walks = Result(), time.monotonic() + seconds, 0
    with mutated(mutant):
        while not walks or time.monotonic() < end:
            one = Walk(_new(folder / f"walk-{walks}"), Random(seed * 1000 + walks))
            await one.run(steps)
            one.judge(result)
            walks += 1
            result.strikes += sum(one.steps.values())
            for name, count in {"messages": one.messages, "came again": one.repeats, **one.steps}.items():
                result.figures[name.replace("_", " ")] = result.figures.get(name.replace("_", " "), 0) + count
    return result


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


FAULTS = [
    Fault(
        "walk",
        "messages, lost acknowledgements, broken links, kills, stops, reloads and lost sessions at random, held against"
        " a naive model of the rules",
        "steps",
        walk,
        ("no-ledger", "memory-lost"),
        can_reload=False,
    )
]
