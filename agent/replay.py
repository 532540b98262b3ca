"""`bellcrank rules test`: a recording through the very rules of a configuration, on a simulated clock.

The recording's own times are the time line; between two lines the timers run, each at its own time. Nothing is
sent and nothing is kept.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from agent.config import Config
from agent.model import Event, Moment
from agent.recording import RecordedValue
from agent.rules import Book, Change, Engine, Key, Memory, State
from drivers.base import Driver, FeedState, Message, Origin, Presence, Raw, Reading, Surroundings
from drivers.registry import driver_classes
from drivers.units import format_duration

_NO_ORIGIN = Origin("", {}, {}, None, retained=False)


class SimulatedClock:
    """Says what the recording says."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        """The time of the line that is being read, in Unix seconds."""
        return self.at

    def wall(self) -> float:
        """The same."""
        return self.at

    def moment(self) -> Moment:
        """Both, and nobody doubts it."""
        return Moment(self.at, self.at, synced=True)


class Happened(NamedTuple):
    """One thing that a rule did, or with `explain` a reading that changed nothing."""

    at: float
    """Unix seconds."""
    rule: str
    sensor: str
    what: str
    """Such as `ok -> pending`, `pulse`."""
    why: str
    told: Sequence[str] = ()
    """The webhooks that would have been owed an event."""


@dataclass(slots=True)
class Tally:
    """What came of one rule."""

    readings: int = 0
    told: Counter[str] = field(default_factory=Counter)
    """Events by their state; `pulse` for those that have none."""
    throttled: int = 0
    at_the_end: dict[str, str] = field(default_factory=dict)
    """Sensors that are not ok, with their state."""


@dataclass(slots=True)
class Report:
    """All that is to be said at the end."""

    rules: dict[str, Tally]
    lines: int = 0
    readings: int = 0
    unwanted: Counter[str] = field(default_factory=Counter)
    """Topics, sources and sensors that the configuration does not know."""
    refused: Counter[str] = field(default_factory=Counter)
    """By source and reason, such as `rooms: null`."""
    backwards: int = 0
    """Lines that are earlier than the one before; they count as of the same time."""


class Replay:
    """One run over one recording; `happened` yields while it goes, `report` is whole at its end."""

    def __init__(self, config: Config, explain: str | None = None) -> None:
        self._config, self._explain = config, explain
        self._clock = SimulatedClock()
        self._drivers = _drivers(config, self._clock)
        ids = itertools.count(1)
        self._engine = Engine(
            Book(
                config.rules,
                list(config.webhooks),
                config.agent.labels,
                lambda kind: f"{kind}{next(ids)}",
                config.meanings(),
                config.site(),
            )
        )
        self.report = Report({name: Tally() for name in config.rules})

    def happened(self, recorded: Iterable[Raw | RecordedValue]) -> Iterator[Happened]:
        """Read the recording and tell what the rules do, in its order. Raises what reading it raises."""
        for line in recorded:
            if not self.report.lines:
                self._begin(line.at)
            self.report.lines += 1
            self.report.backwards += line.at < self._clock.at
            self._clock.at = max(self._clock.at, line.at)
            yield from self._arrived(self._decoded(line))
        self._conclude()

    def _begin(self, at: float) -> None:
        """Start as the first line comes, with every source open."""
        self._clock.at = at
        step = self._engine.load({}, 0.0, self._clock.moment())
        for source in self._config.sources:
            step.presence(Presence(at, source, source, FeedState.OPEN), at)
        step.install(committed=True)

    def _decoded(self, line: Raw | RecordedValue) -> Sequence[Message | Presence]:
        if isinstance(line, RecordedValue):
            reading = Reading(line.sensor, line.value, None, _NO_ORIGIN)
            routed = self._engine.routes(line.sensor)
            found: list[Message | Presence] = [Message(line.at, ("",), (reading,))] if routed else []
        else:
            found = [arrival for driver in self._drivers for arrival in driver.decode(line)]
        if not found:
            self.report.unwanted[_name(line)] += 1
        return found

    def _arrived(self, arrivals: Sequence[Message | Presence]) -> Iterator[Happened]:
        at = self._clock.at
        step = self._engine.step(self._clock.moment())
        step.run_timers(at)
        timers, readings = len(step.changes), list[Reading]()
        for arrival in arrivals:
            if isinstance(arrival, Presence):
                step.presence(arrival, at)
                continue
            readings += arrival.readings
            for refusal in arrival.refusals:
                self.report.refused[f"{refusal.source}: {refusal.reason}"] += 1
        for reading in readings:
            step.reading(reading, at)
        if step.changes or step.events:
            yield from sorted((*self._changed(step.changes, timers, readings), *self._told(step.events)), key=_by_time)
        step.install(committed=True)
        self.report.readings += len(readings)
        for reading in readings:
            yield from self._heard(reading)

    def _changed(self, changes: Sequence[Change], timers: int, readings: Sequence[Reading]) -> Iterator[Happened]:
        """The ways from state to state; the first `timers` of the changes came by time."""
        states = {change.key: _state(self._engine.memory.get(change.key)) for change in changes}
        for i, change in enumerate(changes):
            before, after = states[change.key], _state(change.memory)
            if after is not before and change.key[0] in self.report.rules:
                why = "its time is over" if i < timers else ", ".join(map(_said, readings))
                yield Happened(change.at, *change.key, f"{before} -> {after}", why)
            states[change.key] = after

    def _told(self, events: Sequence[Event]) -> Iterator[Happened]:
        """What is told, also of sources whose devices are away."""
        for event in events:
            state = "repeated" if event.type.endswith(".repeated") else event.state or "pulse"
            rule, what = (event.type, "tells") if event.rule is None else (event.rule, f"tells {state}")
            if event.rule is not None:
                self.report.rules[event.rule].told[state] += 1
            yield Happened(event.at, rule, event.subject, what, event.summary or "", event.send_to)

    def _heard(self, reading: Reading) -> Iterator[Happened]:
        for key, rule, *_ in self._engine.routes(reading.sensor):
            self.report.rules[rule.name].readings += 1
            if rule.name == self._explain:
                state = _state(self._engine.memory.get(key))
                yield Happened(self._clock.at, *key, f"is {state}", self._explained(key, reading))

    def _explained(self, key: Key, reading: Reading) -> str:
        due = self._engine.due(key)
        soon = "" if due is None else f"; its time is over in {format_duration(round(due - self._clock.at, 3))}"
        return f"{_said(reading)}{soon}"

    def _conclude(self) -> None:
        for (rule, sensor), memory in self._engine.memory.items():
            tally = self.report.rules.get(rule)
            if tally is None:
                continue  # the built-in one, of sources
            tally.throttled += memory.throttled
            if memory.state is not State.OK:
                tally.at_the_end[sensor] = str(memory.state)


def _drivers(config: Config, clock: SimulatedClock) -> Sequence[Driver]:
    around = Surroundings(config.agent.name, "0" * 32, clock, Random(0), config.brokers)  # noqa: S311
    by_driver = config.sources_by_driver()
    return [feed for name, sources in by_driver.items() for feed in driver_classes()[name].feeds(sources, around)]


def _state(memory: Memory | None) -> State:
    return State.OK if memory is None else memory.state


def _name(line: Raw | RecordedValue) -> str:
    return line.sensor if isinstance(line, RecordedValue) else line.topic or line.source or ""


def _said(reading: Reading) -> str:
    value = str(reading.value)[:80]
    return f"{reading.sensor} is {value} {reading.unit}" if reading.unit else f"{reading.sensor} is {value}"


def _by_time(happened: Happened) -> float:
    return happened.at
