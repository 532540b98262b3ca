"""The engine maps a reading to its rules and remembers, for each rule and sensor, where it stands.

It changes only by steps: a `Step` is a staged transaction that sees its own changes; `install` makes them
the engine's memory (after the commit), and a step that is let go of has changed nothing. Time, ids and the
wall clock are passed in.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agent.model import Event, Moment
from agent.rules.conditions import Test, compile_condition, is_number
from agent.rules.config import Rule
from agent.rules.machine import OK, PENDING, RECOVERING, Signal, after, tells
from agent.rules.memory import Key, Memory, Said, State
from drivers.base import Reading, Value

_LONGEST_KNOWN_DOWNTIME_S = 3600.0
"""After a longer one a hold starts anew."""
_ROUTES_MAX = 100_000


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

    def hold_s(self, state: State) -> float | None:
        """How long a state lasts that ends by time."""
        return {PENDING: self.rule.for_, RECOVERING: self.rule.clear_for}.get(state)


class Route(NamedTuple):
    """One rule that wants a sensor's readings."""

    key: Key
    rule: Compiled


class Latest(NamedTuple):
    """What a sensor said last."""

    reading: Reading
    at: float


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
        """A heap; an entry counts only while the memory agrees with it."""
        self.now = 0.0
        self._routes: dict[str, tuple[Route, ...]] = {}

    def load(self, rows: Mapping[Key, str], downtime_s: float | None, moment: Moment) -> "Step":
        """Take up what the disk remembers, and tell of alerts whose rule is gone.

        `downtime_s` is the time since the agent was last known to live; None: unknown. The step that is
        returned must be committed before any other.
        """
        step = Step(self, moment)
        for key, row in rows.items():
            self._load_row(step, key, row, downtime_s)
        return step

    def step(self, moment: Moment) -> "Step":
        """Begin a step at this moment."""
        return Step(self, moment)

    def next_due(self) -> float | None:
        """When the next timer ends."""
        while self.timers and self.due(self.timers[0][1]) != self.timers[0][0]:
            heapq.heappop(self.timers)
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

    def put(self, key: Key, memory: Memory) -> None:
        """Install one memory and its timer."""
        if memory.is_nothing:
            self.memory.pop(key, None)
            return
        self.memory[key] = memory
        due = due_at(self.rules[key[0]], memory)
        if due is not None:
            heapq.heappush(self.timers, (due, key))

    def _load_row(self, step: "Step", key: Key, row: str, downtime_s: float | None) -> None:
        try:
            memory = Memory.load(row)
        except (ValueError, TypeError):
            step.forget(key)
            return
        rule = self.rules.get(key[0])
        if rule is None or rule.meaning != memory.meaning:
            step.remove(key, memory)
            return
        self.put(key, _resumed(memory, downtime_s, step.moment.at))


class Step:
    """A staged transaction over the engine's memory. `events` is what it tells, in order."""

    def __init__(self, engine: Engine, moment: Moment) -> None:
        self.moment = moment
        self.events: list[Event] = []
        self.hard = False
        """Whether something changed that must be on disk before it is acknowledged."""
        self._engine = engine
        self._now = engine.now
        self._memory: dict[Key, Memory | None] = {}
        self._soft: dict[Key, float] = {}
        self._latest: dict[str, Latest] = {}
        self._unfit: list[str] = []
        self._timers: list[tuple[float, Key]] = []
        self._journal: list[tuple[Key, Memory | None, bool]] = []

    # -- inputs

    def reading(self, reading: Reading, at: float) -> None:
        """Put a reading to its rules."""
        now = self._now = max(self._now, at)
        self._latest[reading.sensor] = Latest(reading, now)
        for key, rule in self._engine.routes(reading.sensor):
            if rule.rule.each is not None:
                self._pulse(key, rule, reading, now)
            else:
                self._level(key, rule, reading, now)

    def run_timers(self, until: float) -> None:
        """End the holds that are over by then, in their order, each at its own time."""
        while (timer := self._next_timer()) and timer[0] <= until:
            at, key = timer
            self._now = max(self._now, at)
            rule, memory = self._engine.rules[key[0]], self._recall(key)
            latest = self._latest.get(key[1]) or self._engine.latest.get(key[1])
            said = memory.said if latest is None else _said(rule, latest.reading)
            self._change(key, rule, memory, rule.after(memory.state, Signal.TIME), said, at)

    def remove(self, key: Key, memory: Memory) -> None:
        """Forget what a rule remembered that is gone or means something else; an alert of it is resolved."""
        if memory.alert_id is not None:
            self.events.append(self._alert(key, None, memory, memory.said, "resolved", self.moment.at, "rule_removed"))
        self.forget(key)

    def forget(self, key: Key) -> None:
        """Delete a row of memory."""
        self._memory[key] = None
        self.hard = True

    # -- the transaction

    def savepoint(self) -> tuple[int, int, bool, float]:
        """Mark a point to roll back to."""
        return len(self.events), len(self._journal), self.hard, self._now

    def rollback(self, savepoint: tuple[int, int, bool, float]) -> None:
        """Undo what happened since the savepoint, but for what the sensors said last."""
        events, changes, self.hard, self._now = savepoint
        del self.events[events:]
        for key, before, known in reversed(self._journal[changes:]):
            if known:
                self._memory[key] = before
            else:
                del self._memory[key]
        del self._journal[changes:]

    def rows(self) -> dict[Key, str | None]:
        """What a commit writes: the changes of this step, and soft ones that wait. None: the row goes."""
        waiting = {key: self._engine.memory.get(key) for key in self._engine.unsaved}
        changed = {**waiting, **self._memory}
        return {key: None if memory is None or memory.is_nothing else memory.dump() for key, memory in changed.items()}

    def install(self, *, committed: bool) -> None:
        """Make the staged changes the engine's; with `committed` all of them are on disk."""
        engine = self._engine
        engine.now = self._now
        engine.latest.update(self._latest)
        for key, memory in self._memory.items():
            if key[0] in engine.rules and memory is not None:
                engine.put(key, memory)
            else:
                engine.memory.pop(key, None)
        for sensor in self._unfit:
            engine.unfit[sensor] = engine.unfit.get(sensor, 0) + 1
        if committed:
            engine.unsaved.clear()
        else:
            engine.unsaved = {**self._soft, **engine.unsaved}

    # -- how rules see it

    def _level(self, key: Key, rule: Compiled, reading: Reading, now: float) -> None:
        signal = rule.signal(reading.value)
        if signal is None:
            self._unfit.append(reading.sensor)
            return
        memory = self._recall(key)
        following = rule.after(memory.state, signal)
        if following is not memory.state:
            self._change(key, rule, memory, following, _said(rule, reading), now)

    def _change(self, key: Key, rule: Compiled, memory: Memory, following: State, said: Said | None, at: float) -> None:
        told = tells(memory.state, following)
        if told == "firing":
            memory = memory._replace(
                alert_id=self._engine.new_id("alt_"), owed=rule.send_to, started_wall=self.moment.wall_of(at)
            )
        if told is not None:
            self.events.append(self._alert(key, rule, memory, said, told, at, "condition"))
        if following is OK:
            self._keep(key, Memory(rule.meaning))
        else:
            self._keep(key, memory._replace(state=following, since=at, said=said))

    def _pulse(self, key: Key, rule: Compiled, reading: Reading, now: float) -> None:
        if reading.origin.retained or reading.value == "":
            return
        memory = self._recall(key)
        matches = self._matches(rule, memory, reading)
        if not matches:
            return
        throttle_s = rule.rule.throttle
        if throttle_s and memory.told_at is not None and now - memory.told_at < throttle_s:
            self._keep(key, memory._replace(throttled=memory.throttled + 1), soft=True)
            return
        self.events.append(self._pulse_event(rule, reading, now))
        changes_by = rule.rule.each is not None and rule.rule.each.changes_by is not None
        if throttle_s or changes_by:
            told = memory._replace(told_at=now if throttle_s else None, baseline=reading.value if changes_by else None)
            self._keep(key, told)

    def _matches(self, rule: Compiled, memory: Memory, reading: Reading) -> bool:
        each = rule.rule.each
        if each is not None and each.changes_by is not None:
            if not is_number(reading.value):
                self._unfit.append(reading.sensor)
                return False
            told = memory.baseline
            return told is None or abs(float(reading.value) - float(told)) >= each.changes_by
        matches = rule.test(reading.value)
        if matches is None:
            self._unfit.append(reading.sensor)
        return bool(matches)

    def _recall(self, key: Key) -> Memory:
        staged = key in self._memory
        memory = self._memory[key] if staged else self._engine.memory.get(key)
        return memory or Memory(self._engine.rules[key[0]].meaning)

    def _keep(self, key: Key, memory: Memory, *, soft: bool = False) -> None:
        known = key in self._memory
        self._journal.append((key, self._memory.get(key), known))
        self._memory[key] = memory
        if soft:
            self._soft.setdefault(key, self._now)
            return
        self.hard = True
        due = due_at(self._engine.rules[key[0]], memory)
        if due is not None:
            heapq.heappush(self._timers, (due, key))

    def _next_timer(self) -> tuple[float, Key] | None:
        """The first of the engine's timers and this step's own that still counts."""
        engine = self._engine
        while self._timers and self._due(self._timers[0][1]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        # The engine's heap stays as it is, for the step may be let go of: it looks past what it changed.
        theirs = engine.next_due()
        if theirs is not None and engine.timers[0][1] in self._memory:
            due = [
                timer for timer in engine.timers if timer[1] not in self._memory and engine.due(timer[1]) == timer[0]
            ]
            first = min(due, default=None)
        else:
            first = engine.timers[0] if theirs is not None else None
        return min((timer for timer in (first, *self._timers[:1]) if timer is not None), default=None)

    def _due(self, key: Key) -> float | None:
        memory = self._memory.get(key)
        return None if memory is None else due_at(self._engine.rules[key[0]], memory)

    # -- what is told

    def _alert(
        self,
        key: Key,
        rule: Compiled | None,
        memory: Memory,
        said: Said | None,
        state: str,
        at: float,
        reason: str,
    ) -> Event:
        name, sensor = key
        wall = self.moment.wall_of(at)
        config = None if rule is None else rule.rule
        said = said or Said("", None, {}, {}, None)
        return Event(
            id=self._engine.new_id("evt_"),
            type=_type(config, "sensor.alert.firing", state),
            subject=sensor,
            at=at,
            wall=wall,
            synced=self.moment.synced,
            send_to=memory.owed,
            expires_s=config.expires if config else None,
            rule=name,
            state=state,
            severity=config.severity if config else "info",
            sensor=sensor,
            value=said.value,
            unit=said.unit,
            condition=config.when.words() if config and config.when else None,
            reason=reason,
            alert_id=memory.alert_id,
            started_wall=memory.started_wall,
            ended_wall=wall if state == "resolved" else None,
            labels={**self._engine.labels, **said.labels},
            attributes=said.attributes,
            payload=said.payload,
            has_payload=bool(config and config.payload),
            summary=_summary(name, sensor, said, "" if state == "firing" else "resolved, "),
        )

    def _pulse_event(self, rule: Compiled, reading: Reading, at: float) -> Event:
        config, said = rule.rule, Said.of(reading)
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
    words.pop("changes_by", None)
    return Compiled(
        name=name,
        rule=rule,
        meaning=meaning,
        parts=tuple(rule.sensor.split(".")),
        send_to=webhooks if rule.send_to is None else tuple(rule.send_to),
        test=compile_condition(words),
        clear=compile_condition(rule.clear.words()) if rule.clear else None,
    )


def _resumed(memory: Memory, downtime_s: float | None, now: float) -> Memory:
    """What a memory is after a downtime, which counts for no hold; an unknown one ends every throttle."""
    if memory.state in (PENDING, RECOVERING):
        known = downtime_s is not None and downtime_s <= _LONGEST_KNOWN_DOWNTIME_S
        memory = memory._replace(since=min(now, memory.since + (downtime_s or 0.0)) if known else now)
    return memory._replace(told_at=None) if downtime_s is None else memory


def _said(rule: Compiled, reading: Reading) -> Said:
    said = Said.of(reading)
    return said if rule.rule.payload else said._replace(payload=None)


def _type(rule: Rule | None, standard: str, state: str) -> str:
    """A rule's own type is told as it is, and with `.resolved` behind it."""
    own = rule.event if rule else None
    if own is None:
        return standard.removesuffix("firing") + state
    return own if state == "firing" else f"{own}.resolved"


def _summary(rule: str, sensor: str, said: Said, how: str) -> str:
    unit = f" {said.unit}" if said.unit else ""
    return f"{rule}: {how}{sensor} is {str(said.value)[:200]}{unit}"
