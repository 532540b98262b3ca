"""The engine maps a reading to its rules and remembers, for each rule and sensor, where it stands.

It changes only by steps: a `Step` is a staged transaction that sees its own changes; `install` makes them
the engine's memory (after the commit), and a step that is let go of has changed nothing. Time, ids and the
wall clock are passed in.
"""

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from agent.model import Event, Moment
from agent.rules.conditions import Test, compile_condition, is_number
from agent.rules.config import Rule
from agent.rules.machine import OK, PENDING, RECOVERING, Signal, after, tells
from agent.rules.memory import Key, Memory, Said, State, Told, shortened
from drivers.base import Origin, Reading, Value

_LONGEST_KNOWN_DOWNTIME_S = 3600.0
"""After a longer one a hold starts anew."""
_ROUTES_MAX = 100_000
_NO_ORIGIN = Origin("", {}, {}, None, retained=False)


@dataclass(frozen=True, slots=True)
class Compiled:
    """One rule, made ready for readings."""

    name: str
    rule: Rule
    meaning: str
    parts: tuple[str, ...]
    """Of the sensor pattern."""
    send_to: tuple[str, ...]
    test: Test
    """`when` or `each`."""
    clear: Test | None
    told: Told

    def matches(self, parts: Sequence[str]) -> bool:
        """Whether the pattern names this sensor."""
        return len(parts) == len(self.parts) and all(
            mine in ("*", part) for mine, part in zip(self.parts, parts, strict=True)
        )

    def signal(self, value: Value) -> Signal | None:
        """What a value means to the state machine; None where the rule cannot judge it."""
        bad = self.test(value)
        if bad is None:
            return None
        if bad:
            return Signal.BAD
        good = True if self.clear is None else self.clear(value)
        return Signal.GOOD if good else Signal.BAND

    def after(self, state: State, signal: Signal) -> State:
        """The state that follows."""
        return after(state, signal, for_s=self.rule.for_, clear_for_s=self.rule.clear_for)

    def said(self, reading: Reading) -> Said:
        """What is told of a reading. Raises RecursionError for a payload that cannot be written."""
        return Said.of(reading, payload=self.rule.payload)

    def hold_s(self, state: State) -> float | None:
        """How long a state lasts that ends by time."""
        return {PENDING: self.rule.for_, RECOVERING: self.rule.clear_for}.get(state)


class Route(NamedTuple):
    """One rule that wants a sensor's readings."""

    key: Key
    rule: Compiled


class Latest(NamedTuple):
    """What a sensor said last, without the rest of its message."""

    reading: Reading
    at: float


class Weight(Enum):
    """What a change of memory asks of the disk."""

    HARD = auto()
    """Written before the acknowledgement."""
    SOFT = auto()
    """Written with the next commit, at the latest after a minute."""
    NONE = auto()
    """Goes along when the row is written for another reason."""


class Change(NamedTuple):
    """One staged change of memory; None: the row goes."""

    key: Key
    memory: Memory | None
    weight: Weight
    at: float


class Savepoint(NamedTuple):
    """How much a step had staged."""

    events: int
    changes: int
    heard: int
    unfit: int
    hard: bool
    now: float


class Engine:
    """Memory, timers and routes; see `Step` for what happens to them."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        webhooks: Sequence[str],
        labels: Mapping[str, str],
        new_id: Callable[[str], str],
        meanings: Mapping[str, str],
    ) -> None:
        """`webhooks`: who is told where a rule names nobody.

        `new_id("evt_")` gives an id that was never given before.
        """
        self.labels = labels
        self.new_id = new_id
        self.rules = {name: _compile(name, rule, tuple(webhooks), meanings[name]) for name, rule in rules.items()}
        self.memory: dict[Key, Memory] = {}
        self.latest: dict[str, Latest] = {}
        self.unfit: dict[str, int] = {}
        """Readings, by sensor, of a kind that one of its rules cannot judge."""
        self.unsaved: dict[Key, float] = {}
        """Soft changes that are not on disk, and since when."""
        self.timers: list[tuple[float, Key]] = []
        """One for each hold that runs, in order."""
        self.now = 0.0
        self._routes: dict[str, tuple[Route, ...]] = {}

    def load(self, rows: Mapping[Key, str], downtime_s: float | None, moment: Moment) -> "Step":
        """Take up what the disk remembers, and tell of alerts whose rule is gone.

        `downtime_s` is the time since the agent was last known to live; None: unknown. The step that is
        returned must be committed before any other.
        """
        step = Step(self, moment)
        for key, row in rows.items():
            step.take_up(key, row, downtime_s)
        return step

    def take_over(self, before: "Engine", moment: Moment) -> "Step":
        """Go on where an engine with other rules stands, which stays as it is.

        The step that is returned must be committed before any other.
        """
        self.now = before.now
        self.latest, self.unfit, self.unsaved = dict(before.latest), dict(before.unfit), dict(before.unsaved)
        return self.load(before.rows(), 0.0, moment)

    def rows(self) -> dict[Key, str]:
        """The whole memory as the disk has it, soft changes included."""
        return {key: memory.dump() for key, memory in self.memory.items()}

    def step(self, moment: Moment) -> "Step":
        """Begin a step at this moment."""
        return Step(self, moment)

    def next_due(self) -> float | None:
        """When the next timer ends."""
        return self.timers[0][0] if self.timers else None

    def soft_since(self) -> float | None:
        """Since when a soft change waits to be written."""
        return min(self.unsaved.values(), default=None)

    def due(self, key: Key) -> float | None:
        """When the installed state of a key ends by itself."""
        memory = self.memory.get(key)
        return None if memory is None else due_at(self.rules[key[0]], memory)

    def skip_timers(self, now: float) -> None:
        """Let the holds that are over begin anew: what they had to tell cannot be stored."""
        for key, memory in self.memory.items():
            due = self.due(key)
            if due is not None and due <= now:
                self.put(key, memory._replace(since=now))

    def routes(self, sensor: str) -> tuple[Route, ...]:
        """The rules that want a sensor's readings."""
        routes = self._routes.get(sensor)
        if routes is None:
            parts = sensor.split(".")
            matching = [rule for rule in self.rules.values() if rule.matches(parts)]
            routes = tuple(Route((rule.name, sensor), rule) for rule in matching)
            if len(self._routes) < _ROUTES_MAX:
                self._routes[sensor] = routes
        return routes

    def put(self, key: Key, memory: Memory | None) -> None:
        """Install one memory and its timer; None or nothing remembered: forget it."""
        before = self.due(key)
        if memory is None or memory.is_nothing:
            self.memory.pop(key, None)
        else:
            self.memory[key] = memory
        due = self.due(key)
        if due == before:
            return
        if before is not None:
            del self.timers[bisect_left(self.timers, (before, key))]
        if due is not None:
            insort(self.timers, (due, key))


class Step:
    """A staged transaction over the engine's memory. `events` is what it tells, in order."""

    def __init__(self, engine: Engine, moment: Moment) -> None:
        self.moment = moment
        self.events: list[Event] = []
        self.hard = False
        """Whether something changed that must be on disk before it is acknowledged."""
        self._engine = engine
        self._now = engine.now
        self._changes: list[Change] = []
        self._memory: dict[Key, Memory | None] = {}
        """What the changes come to."""
        self._timers: list[tuple[float, Key]] = []
        """A heap of those that this step staged; an entry counts only while the memory agrees with it."""
        self._passed = 0
        """How many of the engine's timers are behind."""
        self._heard: list[tuple[Reading, float]] = []
        self._unfit: list[str] = []

    # -- inputs

    def reading(self, reading: Reading, at: float) -> None:
        """Put a reading to its rules."""
        now = self._now = max(self._now, at)
        self._heard.append((reading, now))
        for key, rule in self._engine.routes(reading.sensor):
            if rule.rule.each is not None:
                self._pulse(key, rule, reading, now)
            else:
                self._level(key, rule, reading, now)

    def run_timers(self, until: float) -> None:
        """End the holds that are over by then, in their order, each at its own time."""
        while (timer := self._next_timer()) and timer[0] <= until:
            due, key = timer
            self._now = max(self._now, due)
            rule, memory = self._engine.rules[key[0]], self._recall(key)
            self._change(key, rule, memory, rule.after(memory.state, Signal.TIME), memory.said, self._now)

    def take_up(self, key: Key, row: str, downtime_s: float | None) -> None:
        """Go on with what the disk remembers; what it makes of the downtime is kept like any other change."""
        try:
            memory = Memory.load(row)
        except (ValueError, TypeError, RecursionError):
            self.forget(key)
            return
        rule = self._engine.rules.get(key[0])
        if rule is None or rule.meaning != memory.meaning:
            self.remove(key, memory)
            return
        resumed = _resumed(memory, downtime_s, self.moment.at)
        self._keep(key, resumed, Weight.NONE if resumed == memory else Weight.HARD)

    def remove(self, key: Key, memory: Memory) -> None:
        """Forget what a rule remembered that is gone or means something else; an alert of it is resolved."""
        if memory.alert_id is not None:
            self.events.append(self._alert(key, memory, memory.said, "resolved", self.moment.at))
        self.forget(key)

    def forget_sensor(self, sensor: str) -> bool:
        """Forget all of a sensor; its alerts are resolved. Returns whether anything was known of it."""
        keys = [key for key in self._engine.memory if key[1] == sensor]
        for key in keys:
            self.remove(key, self._recall(key))
        self._engine.unfit.pop(sensor, None)
        return self._engine.latest.pop(sensor, None) is not None or bool(keys)

    def forget(self, key: Key) -> None:
        """Delete a row of memory."""
        self._changes.append(Change(key, None, Weight.HARD, self._now))
        self._memory[key] = None
        self.hard = True

    # -- the transaction

    def savepoint(self) -> Savepoint:
        """Mark a point to roll back to."""
        return Savepoint(len(self.events), len(self._changes), len(self._heard), len(self._unfit), self.hard, self._now)

    def rollback(self, savepoint: Savepoint) -> None:
        """Undo what happened since the savepoint."""
        del self.events[savepoint.events :]
        del self._changes[savepoint.changes :]
        del self._heard[savepoint.heard :]
        del self._unfit[savepoint.unfit :]
        self.hard, self._now = savepoint.hard, savepoint.now
        self._memory = {change.key: change.memory for change in self._changes}
        dues = {key: self._due(key) for key in self._memory}
        self._timers = sorted((due, key) for key, due in dues.items() if due is not None)
        self._passed = 0

    def rows(self) -> dict[Key, str | None]:
        """What a commit writes: the changes of this step, and soft ones that wait. None: the row goes."""
        mine = dict.fromkeys(change.key for change in self._changes if change.weight is not Weight.NONE)
        memories = {key: self._known(key) for key in {**self._engine.unsaved, **mine}}
        return {key: None if memory is None or memory.is_nothing else memory.dump() for key, memory in memories.items()}

    def install(self, *, committed: bool) -> None:
        """Make the staged changes the engine's; with `committed` all of them are on disk."""
        engine = self._engine
        engine.now = self._now
        for reading, at in {reading.sensor: (reading, at) for reading, at in self._heard}.values():
            kept = reading._replace(value=shortened(reading.value), origin=_NO_ORIGIN)
            engine.latest[reading.sensor] = Latest(kept, at)
        for key, memory in self._memory.items():
            engine.put(key, memory)
        for sensor in self._unfit:
            engine.unfit[sensor] = engine.unfit.get(sensor, 0) + 1
        if committed:
            engine.unsaved.clear()
            return
        for change in self._changes:
            if change.weight is Weight.SOFT:
                engine.unsaved.setdefault(change.key, change.at)

    # -- how rules see it

    def _level(self, key: Key, rule: Compiled, reading: Reading, now: float) -> None:
        signal = rule.signal(reading.value)
        if signal is None:
            self._unfit.append(reading.sensor)
            return
        memory = self._recall(key)
        following = rule.after(memory.state, signal)
        if following is not memory.state:
            self._change(key, rule, memory, following, rule.said(reading), now)
        elif following in (PENDING, RECOVERING):
            self._keep(key, memory._replace(said=rule.said(reading)), Weight.NONE)

    def _change(self, key: Key, rule: Compiled, memory: Memory, following: State, said: Said | None, at: float) -> None:
        told = tells(memory.state, following)
        if told == "firing":
            memory = memory._replace(
                alert_id=self._engine.new_id("alt_"),
                owed=rule.send_to,
                started_wall=self.moment.wall_of(at),
                told=rule.told,
            )
        if told is not None:
            self.events.append(self._alert(key, memory, said, told, at, rule))
        if following is OK:
            self._keep(key, Memory(rule.meaning), Weight.HARD)
        else:
            self._keep(key, memory._replace(state=following, since=at, said=said), Weight.HARD)

    def _pulse(self, key: Key, rule: Compiled, reading: Reading, now: float) -> None:
        if reading.origin.retained or reading.value == "":
            return
        memory = self._recall(key)
        matches = self._matches(rule, memory, reading)
        if not matches:
            return
        throttle_s = rule.rule.throttle
        if throttle_s and memory.told_at is not None and now - memory.told_at < throttle_s:
            self._keep(key, memory._replace(throttled=memory.throttled + 1), Weight.SOFT)
            return
        self.events.append(self._pulse_event(rule, reading, now))
        changes_by = rule.rule.each is not None and rule.rule.each.changes_by is not None
        if throttle_s or changes_by:
            told = memory._replace(told_at=now if throttle_s else None, baseline=reading.value if changes_by else None)
            self._keep(key, told, Weight.HARD)

    def _matches(self, rule: Compiled, memory: Memory, reading: Reading) -> bool:
        each = rule.rule.each
        if each is not None and each.changes_by is not None:
            if not is_number(reading.value):
                self._unfit.append(reading.sensor)
                return False
            told = memory.baseline
            return told is None or _apart(float(reading.value), float(told), each.changes_by)
        matches = rule.test(reading.value)
        if matches is None:
            self._unfit.append(reading.sensor)
        return bool(matches)

    def _known(self, key: Key) -> Memory | None:
        return self._memory[key] if key in self._memory else self._engine.memory.get(key)

    def _recall(self, key: Key) -> Memory:
        return self._known(key) or Memory(self._engine.rules[key[0]].meaning)

    def _keep(self, key: Key, memory: Memory, weight: Weight) -> None:
        before = self._due(key)
        self._changes.append(Change(key, memory, weight, self._now))
        self._memory[key] = memory
        self.hard = self.hard or weight is Weight.HARD
        due = self._due(key)
        if due is not None and due != before:
            heapq.heappush(self._timers, (due, key))

    def _next_timer(self) -> tuple[float, Key] | None:
        """The first of the engine's timers and this step's own that still counts."""
        # The engine's stay as they are, for the step may be let go of: it only looks past them.
        theirs = self._engine.timers
        while self._passed < len(theirs) and not self._counts(theirs[self._passed]):
            self._passed += 1
        while self._timers and not self._counts(self._timers[0]):
            heapq.heappop(self._timers)
        return min((*theirs[self._passed : self._passed + 1], *self._timers[:1]), default=None)

    def _counts(self, timer: tuple[float, Key]) -> bool:
        due, key = timer
        return self._due(key) == due

    def _due(self, key: Key) -> float | None:
        memory = self._known(key)
        return None if memory is None else due_at(self._engine.rules[key[0]], memory)

    # -- what is told

    def _alert(
        self,
        key: Key,
        memory: Memory,
        said: Said | None,
        state: str,
        at: float,
        rule: Compiled | None = None,
    ) -> Event:
        """Tell of an alert; `rule` is None where it is gone or means something else."""
        name, sensor = key
        wall = self.moment.wall_of(at)
        said = said or _NOTHING_SAID
        told = memory.told or _NOTHING_TOLD
        return Event(
            id=self._engine.new_id("evt_"),
            type=_type(told.event, state),
            subject=sensor,
            at=at,
            wall=wall,
            synced=self.moment.synced,
            send_to=memory.owed,
            expires_s=told.expires_s,
            rule=name,
            state=state,
            severity=told.severity,
            sensor=sensor,
            value=said.value,
            unit=said.unit,
            condition=told.condition,
            reason="rule_removed" if rule is None else "condition",
            alert_id=memory.alert_id,
            started_wall=memory.started_wall,
            ended_wall=wall if state == "resolved" else None,
            labels={**self._engine.labels, **said.labels},
            attributes=said.attributes,
            payload=said.payload,
            has_payload=rule is not None and rule.rule.payload,
            summary=_summary(name, sensor, said, "" if state == "firing" else "resolved, "),
        )

    def _pulse_event(self, rule: Compiled, reading: Reading, at: float) -> Event:
        config, said = rule.rule, rule.said(reading)
        return Event(
            id=self._engine.new_id("evt_"),
            type=config.event or "sensor.event",
            subject=reading.sensor,
            at=at,
            wall=self.moment.wall_of(at),
            synced=self.moment.synced,
            send_to=rule.send_to,
            expires_s=config.expires,
            rule=rule.name,
            severity=config.severity,
            sensor=reading.sensor,
            value=said.value,
            unit=said.unit,
            condition=config.each.words() if config.each else None,
            labels={**self._engine.labels, **said.labels},
            attributes=said.attributes,
            payload=said.payload,
            has_payload=config.payload,
            summary=_summary(rule.name, reading.sensor, said, ""),
        )


def due_at(rule: Compiled, memory: Memory) -> float | None:
    """When the state of a memory ends by itself."""
    hold_s = rule.hold_s(memory.state)
    return None if hold_s is None else memory.since + hold_s


def _compile(name: str, rule: Rule, webhooks: tuple[str, ...], meaning: str) -> Compiled:
    condition = rule.when or rule.each
    words: dict[str, Any] = {} if condition is None else condition.words()
    told = Told(rule.event, rule.severity, dict(words), rule.expires)
    words.pop("changes_by", None)
    return Compiled(
        name=name,
        rule=rule,
        meaning=meaning,
        parts=tuple(rule.sensor.split(".")),
        send_to=webhooks if rule.send_to is None else tuple(dict.fromkeys(rule.send_to)),
        test=compile_condition(words),
        clear=compile_condition(rule.clear.words()) if rule.clear else None,
        told=told,
    )


def _resumed(memory: Memory, downtime_s: float | None, now: float) -> Memory:
    """What a memory is after a downtime, which counts for no hold; an unknown one ends every throttle."""
    downtime_s = None if downtime_s is None or downtime_s < 0 else downtime_s
    since, told_at = memory.since, memory.told_at
    if memory.state in (PENDING, RECOVERING):
        known = downtime_s is not None and downtime_s <= _LONGEST_KNOWN_DOWNTIME_S
        since = since + (downtime_s or 0.0) if known else now
    if told_at is not None:
        told_at = None if downtime_s is None else min(told_at, now)
    return memory._replace(since=min(since, now), told_at=told_at)


def _apart(value: float, told: float, by: float) -> bool:
    """Whether two values differ by so much; 20.3 and 20.2 do by 0.1, in binary too."""
    difference = abs(value - told)
    return difference >= by or math.isclose(difference, by)


_NOTHING_SAID = Said("", None, {}, {}, None)
_NOTHING_TOLD = Told(None, "warning", {}, None)
"""Of rows that are damaged, but readable."""


def _type(own: str | None, state: str) -> str:
    """A rule's own type is told as it is, and with `.resolved` behind it."""
    if own is None:
        return f"sensor.alert.{state}"
    return own if state == "firing" else f"{own}.resolved"


def _summary(rule: str, sensor: str, said: Said, how: str) -> str:
    value = str(said.value).lower() if isinstance(said.value, bool) else str(said.value)[:200]
    unit = f" {said.unit}" if said.unit else ""
    return f"{rule}: {how}{sensor} is {value}{unit}"
