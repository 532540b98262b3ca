"""A step is a staged transaction over the engine's memory that sees its own changes.

`install` makes them the engine's (after the commit), and a step that is let go of has changed nothing.
"""

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from agent.model import Event, Moment
from agent.rules.compiled import Compiled, Route
from agent.rules.conditions import is_number
from agent.rules.machine import OK, PENDING, RECOVERING, Signal, tells
from agent.rules.memory import Key, Memory, Said, State, Truth, Weight, shortened
from agent.rules.operands import Life, at_least, counted
from agent.rules.telling import SOURCES, Teller
from drivers.base import FeedState, Origin, Presence, Reading

if TYPE_CHECKING:
    from agent.rules.engine import Engine

_LONGEST_KNOWN_DOWNTIME_S = 3600.0
"""After a longer one a hold starts anew."""
_CLOCK_STEP_S = 1.0
"""A wall clock that was set by more is looked at anew."""


class Latest(NamedTuple):
    """What a sensor said last, without the rest of its message."""

    reading: Reading
    at: float


class Standing(NamedTuple):
    """How a source or a device stands, and since when."""

    state: FeedState
    since: float


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


class Step:
    """See above. `events` is what it tells, in order."""

    def __init__(self, engine: "Engine", moment: Moment) -> None:
        self.moment = moment
        self.events: list[Event] = []
        self.hard = False
        """Whether something changed that must be on disk before it is acknowledged."""
        self._engine = engine
        self._tell = Teller(engine.new_id, engine.labels, moment, engine.summaries)
        self._now = engine.now
        self.changes: list[Change] = []
        """All that was staged, in order."""
        self._memory: dict[Key, Memory | None] = {}
        """What the changes come to."""
        self._timers: list[tuple[float, Key]] = []
        """A heap of those that this step staged; an entry counts only while the memory agrees with it."""
        self._passed = 0
        """How many of the engine's timers are behind."""
        self.heard: list[tuple[Reading, float]] = []
        """The readings that were put to it, with their times."""
        self._alive: dict[str, float] = {}
        """The signs of life among them."""
        self._standing: dict[str, Standing] = {}
        self._minding: defaultdict[str, set[Key]] = defaultdict(set)
        """Those that this step staged; like the engine's, but some may mind no longer."""
        self.forgotten: list[str] = []
        """Sensors of which nothing is known any more."""
        self._unfit: list[str] = []
        if engine.has_hours and self._clock_was_set():
            self._look_at_hours()

    # -- inputs

    def reading(self, reading: Reading, at: float) -> None:
        """Put a reading to its rules."""
        if at > self._now:
            self._now = at
        now = self._now
        self.heard.append((reading, now))
        if not reading.origin.retained:
            self._alive[reading.sensor] = now
        for route in self._engine.routes(reading.sensor):
            key, rule, _ = route
            if rule.pulses:
                self._pulse(key, rule, reading, now)
                continue
            if self._known(key) is not None:
                self._catch_up(key, rule, at)
            if rule.operands:
                self._hear(route, reading, now)
            else:
                self._level(key, rule, reading, now)

    def presence(self, presence: Presence, at: float) -> None:
        """Take in how a source or a device of it stands from now on."""
        now = self._now = max(self._now, at)
        prefix, state = presence.prefix, presence.state
        before = self._stands(prefix)
        if before is None or before.state is not state:
            self._standing[prefix] = Standing(state, now)
            for key in self._under(prefix):
                memory = self._recall(key)
                self._judge(key, self._engine.rules[key[0]], memory, now)
        self._source(presence, now)

    def may_be_due(self, until: float) -> bool:
        """Whether `run_timers` may have something to do: quickly told, before each message."""
        theirs, passed, own = self._engine.timers, self._passed, self._timers
        return (passed < len(theirs) and theirs[passed][0] <= until) or (len(own) > 0 and own[0][0] <= until)

    def run_timers(self, until: float) -> None:
        """End the holds that are over by then, in their order, each at its own time."""
        while (timer := self._next_timer()) and timer[0] <= until:
            due, key = timer
            self._now = max(self._now, due)
            self._end(key, self._engine.rules[key[0]], due)

    def forget_sensor(self, sensor: str) -> bool:
        """Forget all of a sensor and resolve its alerts; of a compound rule it is then unknown again.

        Returns whether anything was known of it.
        """
        known = sensor in self._engine.latest or any(reading.sensor == sensor for reading, _ in self.heard)
        self.heard = [(reading, at) for reading, at in self.heard if reading.sensor != sensor]
        self._alive.pop(sensor, None)
        self.forgotten.append(sensor)
        for key, rule, indices in self._engine.routes(sensor):
            memory = self._known(key)
            if memory is None:
                continue
            known = True
            truths = tuple(None if i in indices else truth for i, truth in enumerate(memory.truths))
            if any(truth is not None for truth in truths):
                windows = tuple(None if i in indices else window for i, window in enumerate(memory.windows))
                self._keep(key, memory._replace(truths=truths, windows=windows), Weight.HARD)
                self._judge(key, rule, self._recall(key), self._now)
            else:
                self.remove(key, memory, "forgotten")
        return known

    # -- a start

    def take_up(self, key: Key, row: str, downtime_s: float | None) -> None:
        """Go on with what the disk remembers; what it makes of the downtime is kept like any other change."""
        try:
            memory = Memory.load(row)
        except (ValueError, TypeError, RecursionError):
            self.forget(key)
            return
        rule = self._engine.rules.get(key[0])
        if rule is None or rule.meaning != memory.meaning or not self._is_wanted(key):
            self.remove(key, memory, "rule_removed")
            return
        if not rule.fits(memory):
            self.forget(key)
            return
        resumed = _resumed(rule, memory, downtime_s, self.moment.at)
        weight = Weight.NONE if resumed == memory else Weight.HARD
        look = bool(rule.timed or rule.schedule)
        self._keep(key, resumed._replace(wake_at=self.moment.at) if look else resumed, weight)

    def begin(self) -> None:
        """Watch what the configuration names: the silence of sensors, and sources that are not open yet."""
        now = self.moment.at
        for sensor in self._engine.site.sensors:
            for key, rule, indices in self._engine.routes(sensor):
                if rule.knows_sensors:
                    known = rule.knowing(self._recall(key), indices)
                    self._keep(key, known._replace(wake_at=now), Weight.NONE)
        for source in self._engine.site.sources:
            if self._stands(source) is None:
                self._source(Presence(now, source, source, FeedState.LOST, "not open since the start"), now)

    def remove(self, key: Key, memory: Memory, reason: str) -> None:
        """Forget what a rule remembered; an alert of it is resolved."""
        if memory.alert_id is not None:
            self._announce(key, memory, memory.said, "resolved", self.moment.at, reason)
        self.forget(key)

    def forget(self, key: Key) -> None:
        """Delete a row of memory."""
        self.changes.append(Change(key, None, Weight.HARD, self._now))
        self._memory[key] = None
        self.hard = True

    # -- the transaction

    def savepoint(self) -> Savepoint:
        """Mark a point to roll back to, before a message: no presence may come between the two."""
        return Savepoint(len(self.events), len(self.changes), len(self.heard), len(self._unfit), self.hard, self._now)

    def rollback(self, savepoint: Savepoint) -> None:
        """Undo what happened since the savepoint."""
        del self.events[savepoint.events :]
        del self.changes[savepoint.changes :]
        del self.heard[savepoint.heard :]
        del self._unfit[savepoint.unfit :]
        self.hard, self._now = savepoint.hard, savepoint.now
        self._alive = {reading.sensor: at for reading, at in self.heard if not reading.origin.retained}
        self._memory = {change.key: change.memory for change in self.changes}
        dues = {key: self._due(key) for key in self._memory}
        self._timers = sorted((due, key) for key, due in dues.items() if due is not None)
        self._passed = 0

    def rows(self) -> dict[Key, str | None]:
        """What a commit writes: the changes of this step, and soft ones that wait. None: the row goes."""
        mine = dict.fromkeys(change.key for change in self.changes if change.weight is not Weight.NONE)
        memories = {key: self._known(key) for key in {**self._engine.unsaved, **mine}}
        return {key: None if memory is None or memory.is_nothing else memory.dump() for key, memory in memories.items()}

    def install(self, *, committed: bool) -> None:
        """Make the staged changes the engine's; with `committed` all of them are on disk."""
        engine = self._engine
        engine.now = self._now
        self._install_sensors()
        engine.standing.update(self._standing)
        if engine.has_hours and self._clock_was_set():
            engine.clock = self._clock()
        for key, memory in self._memory.items():
            engine.put(key, memory)
        if committed:
            engine.unsaved.clear()
            return
        for change in self.changes:
            if change.weight is Weight.SOFT:
                engine.unsaved.setdefault(change.key, change.at)

    def _install_sensors(self) -> None:
        engine = self._engine
        for sensor in self.forgotten:
            for known in (engine.latest, engine.heard, engine.unfit):
                known.pop(sensor, None)
        for reading, at in {reading.sensor: (reading, at) for reading, at in self.heard}.values():
            engine.latest[reading.sensor] = Latest(_light(reading), at)
        engine.heard.update(self._alive)
        for sensor in self._unfit:
            engine.unfit[sensor] = engine.unfit.get(sensor, 0) + 1

    # -- how rules see it

    def _level(self, key: Key, rule: Compiled, reading: Reading, now: float) -> None:
        signal = rule.signal(reading.value)
        if signal is None:
            self._unfit.append(reading.sensor)
            return
        memory = self._known(key)
        if memory is None and signal is not Signal.BAD:
            return  # nothing was the matter, and nothing is
        memory = memory or rule.blank
        following = rule.after(memory.state, signal)
        if following is not memory.state:
            self._change(key, rule, memory, following, rule.said(reading), now)
        elif following in (PENDING, RECOVERING):
            self._keep(key, memory._replace(said=rule.said(reading)), Weight.NONE)

    def _hear(self, route: Route, reading: Reading, now: float) -> None:
        """Put a reading to the operands of a rule; only what changes a truth is judged."""
        key, rule, indices = route
        memory, weight = self._recall(key), Weight.NONE
        truths, windows, judged = memory.truths, memory.windows, False
        for i in indices:
            heard = rule.operands[i].hear(truths[i], windows[i], reading, now)
            if heard is None:
                continue
            judged = True
            if heard.truth is not truths[i]:
                truths = (*truths[:i], heard.truth, *truths[i + 1 :])
            if heard.window is not windows[i]:
                windows = (*windows[:i], heard.window, *windows[i + 1 :])
                weight = weight if heard.weight is Weight.NONE else heard.weight
        if not judged:
            self._unfit.append(reading.sensor)
            return
        if truths != memory.truths or weight is Weight.HARD:
            changed = memory._replace(truths=truths, windows=windows)
            self._judge(key, rule, changed, now, weight, rule.said(reading))
        elif windows is not memory.windows or memory.state in (PENDING, RECOVERING):
            hold = memory.state in (PENDING, RECOVERING)
            said = rule.said(reading) if hold else memory.said
            self._keep(key, memory._replace(windows=windows, said=said), weight)

    def _judge(
        self,
        key: Key,
        rule: Compiled,
        memory: Memory,
        at: float,
        weight: Weight = Weight.NONE,
        said: Said | None = None,
    ) -> None:
        """See what is true of a memory at a time, and let the state machine follow.

        `weight`: of what the memory already differs in from the one that is known.
        """
        before = self._known(key)
        looked, active = self._look(key, rule, memory, at)
        weight = _weight(rule, rule.blank.truths if before is None else before.truths, looked.truths, weight)
        if rule.is_shared(key):
            self._keep(key, looked, weight)
            if before is None or before.truths != looked.truths:
                self._judge_bindings(rule, at, said)
            return
        following = rule.after(looked.state, rule.signal_of(self._truths(key, rule, looked), active=active))
        if following is looked.state:
            hold = following in (PENDING, RECOVERING)
            self._keep(key, looked._replace(said=said) if hold and said else looked, weight)
        else:
            self._change(key, rule, looked, following, said or self._last_said(key, rule, looked), at)

    def _judge_bindings(self, rule: Compiled, at: float, said: Said | None) -> None:
        """What all bindings have in common has changed."""
        staged = [key for key in self._memory if key[0] == rule.name and not rule.is_shared(key)]
        for key in dict.fromkeys([*self._engine.census.keys(rule.name), *staged]):
            memory = self._known(key)
            if memory is not None:
                self._judge(key, rule, memory, at, said=said)

    def _look(self, key: Key, rule: Compiled, memory: Memory, at: float) -> tuple[Memory, bool]:
        """What time has made of a memory, and whether the rule is active."""
        truths, windows, wakes, minds = list(memory.truths), list(memory.windows), [], False
        own = rule.own(key)
        for i in rule.timed:
            if i in own:
                life = self._life(rule.sensor(key, i))
                truths[i], windows[i], wake_at, minds_this = rule.operands[i].look(truths[i], windows[i], at, life)
                wakes.append(wake_at)
                minds = minds or minds_this
        active, until = self._hours(rule, at)
        wakes.append(until)
        wake_at = min((wake_at for wake_at in wakes if wake_at is not None), default=None)
        looked = memory._replace(truths=tuple(truths), windows=tuple(windows), wake_at=wake_at, minds_source=minds)
        return looked, active

    def _truths(self, key: Key, rule: Compiled, memory: Memory) -> tuple[Truth, ...]:
        """Those of a memory, and those that all bindings have in common."""
        if not rule.shared:
            return memory.truths
        common = self._recall(rule.shared_key).truths
        return tuple(common[i] if i in rule.shared else truth for i, truth in enumerate(memory.truths))

    def _hours(self, rule: Compiled, at: float) -> tuple[bool, float | None]:
        """Whether a rule is active, and until when; with a wrong clock it is."""
        if rule.schedule is None or not self.moment.synced:
            return True, None
        wall = self.moment.wall_of(at)
        active, until = rule.schedule.at(wall)
        return active, at + (until - wall)

    def _change(self, key: Key, rule: Compiled, memory: Memory, following: State, said: Said | None, at: float) -> None:
        told = tells(memory.state, following)
        if told == "firing":
            memory = memory._replace(
                alert_id=self._engine.new_id("alt_"),
                owed=rule.send_to,
                started_wall=self.moment.wall_of(at),
                started_at=None if self.moment.synced else at,
                told_at=None if rule.repeat_s is None else at,
                told=rule.told,
            )
        if told is not None:
            reason = "condition" if self._hours(rule, at)[0] else "inactive"
            self._announce(key, memory, said, told, at, reason, payload=rule.rule.payload)
        # That a source was away for a moment is nobody's business, not even the disk's.
        weight = Weight.NONE if rule.name == SOURCES and told is None else Weight.HARD
        if following is OK:
            self._keep(key, memory.at_rest(), weight)
        else:
            self._keep(key, memory._replace(state=following, since=at, said=said), weight)

    def _end(self, key: Key, rule: Compiled, due: float) -> None:
        """Do what a timer asks for: look again, end a hold, or remind."""
        memory, now = self._recall(key), self._now
        hold_ends_at = rule.hold_ends_at(memory)
        if memory.wake_at is not None and memory.wake_at <= due:
            self._judge(key, rule, memory, now)
        elif hold_ends_at is not None and hold_ends_at <= due:
            self._change(key, rule, memory, rule.after(memory.state, Signal.TIME), memory.said, now)
        else:
            self._announce(key, memory, memory.said, "repeated", now, "condition", payload=rule.rule.payload)
            self._keep(key, memory._replace(told_at=now), Weight.HARD)

    def _catch_up(self, key: Key, rule: Compiled, until: float) -> None:
        """End what was over before a reading of it came.

        Its timers may be behind, where another feed has messages that wait; that feed has nothing to say of it.
        """
        while (due := self._due(key)) is not None and due <= until:
            self._end(key, rule, due)

    def _pulse(self, key: Key, rule: Compiled, reading: Reading, now: float) -> None:
        if reading.origin.retained or reading.value == "" or not self._hours(rule, now)[0]:
            return
        memory = self._recall(key)
        if not self._matches(rule, memory, reading):
            return
        config = rule.rule
        if config.count is not None and config.within is not None:
            window = memory.windows[0] if memory.windows else None
            times = counted(window, now, now=now, count=config.count, within_s=config.within)
            if len(times) < config.count:
                self._keep(key, memory._replace(windows=(times,)), Weight.SOFT)
                return
            memory = memory._replace(windows=())
        if config.throttle and memory.told_at is not None and now - memory.told_at < config.throttle:
            self._keep(key, memory._replace(throttled=memory.throttled + 1), Weight.SOFT)
            return
        self.events.append(self._tell.pulse(rule, reading, now))
        changes_by = config.each is not None and config.each.changes_by is not None
        if config.throttle or changes_by or config.count is not None:
            told_at, baseline = now if config.throttle else None, reading.value if changes_by else None
            self._keep(key, memory._replace(told_at=told_at, baseline=baseline), Weight.HARD)

    def _matches(self, rule: Compiled, memory: Memory, reading: Reading) -> bool:
        each = rule.rule.each
        if each is not None and each.changes_by is not None:
            if not is_number(reading.value):
                self._unfit.append(reading.sensor)
                return False
            told = memory.baseline
            return told is None or at_least(abs(float(reading.value) - float(told)), each.changes_by)
        matches = rule.test(reading.value)
        if matches is None:
            self._unfit.append(reading.sensor)
        return bool(matches)

    # -- who is there

    def _source(self, presence: Presence, now: float) -> None:
        """Put how a source stands to the rule that tells of it, as the value of a sensor that it is itself."""
        origin = Origin(presence.source, {}, {}, presence.detail, False)
        key, rule = (SOURCES, f"source:{presence.prefix}"), self._engine.rules[SOURCES]
        self._catch_up(key, rule, now)
        self._level(key, rule, Reading(presence.prefix, str(presence.state), None, origin), now)

    def _is_wanted(self, key: Key) -> bool:
        """Whether the configuration still has the source that a row is about."""
        source = key[1].removeprefix("source:").partition(".")[0]
        return key[0] != SOURCES or source in self._engine.site.sources

    def _stands(self, prefix: str) -> Standing | None:
        return self._standing.get(prefix) or self._engine.standing.get(prefix)

    def _life(self, sensor: str) -> Life:
        source, device = sensor.partition(".")[0], sensor.rpartition(".")[0]
        known = [self._stands(source), self._stands(device) if device != source else None]
        standing = [one for one in known if one is not None]
        is_open = known[0] is not None and all(one.state is FeedState.OPEN for one in standing)
        heard = self._alive.get(sensor) or self._engine.heard.get(sensor, 0.0)
        return Life(is_open, max(heard, *(one.since for one in standing)) if standing else heard)

    def _under(self, prefix: str) -> list[Key]:
        """The memories that mind whether a source or a device is open."""
        found: set[Key] = set()
        for minding in (self._engine.minding, self._minding):
            devices = [prefix]
            if "." not in prefix:
                devices += [device for device in minding if device.startswith(prefix + ".")]
            found.update(*(minding.get(device, ()) for device in devices))
        return [key for key in sorted(found) if self._recall(key).minds_source]

    def _last_said(self, key: Key, rule: Compiled, memory: Memory) -> Said | None:
        """What is told where time itself changed something: what led into the state, or was said last."""
        if memory.said is not None or not (rule.timed or rule.schedule):
            return memory.said
        sensor = rule.sensor(key, rule.timed[0] if rule.timed else 0)
        latest = self._engine.latest.get(sensor)
        said = next((reading for reading, _ in reversed(self.heard) if reading.sensor == sensor), None)
        if said is None and latest is not None:
            said = latest.reading
        return Said(sensor, None, None, {}, {}, None) if said is None else rule.said(_light(said))

    # -- the wall clock

    def _clock(self) -> tuple[bool, float]:
        return self.moment.synced, self.moment.wall - self.moment.at

    def _clock_was_set(self) -> bool:
        known, (synced, distance) = self._engine.clock, self._clock()
        return known is None or known[0] != synced or abs(known[1] - distance) > _CLOCK_STEP_S

    def _look_at_hours(self) -> None:
        for key, memory in self._engine.memory.items():
            if self._engine.rules[key[0]].schedule is not None:
                self._keep(key, memory._replace(wake_at=self._now), Weight.NONE)

    # -- memory

    def _known(self, key: Key) -> Memory | None:
        return self._memory[key] if key in self._memory else self._engine.memory.get(key)

    def _recall(self, key: Key) -> Memory:
        return self._known(key) or self._engine.rules[key[0]].blank

    def _keep(self, key: Key, memory: Memory, weight: Weight) -> None:
        before = self._due(key)
        rule = self._engine.rules[key[0]]
        if memory.minds_source:
            for device in rule.devices(key):
                self._minding[device].add(key)
        self.changes.append(Change(key, memory, weight, self._now))
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
        return None if memory is None else self._engine.rules[key[0]].due_at(memory)

    def _announce(
        self, key: Key, memory: Memory, said: Said | None, what: str, at: float, reason: str, *, payload: bool = False
    ) -> None:
        if key[0] == SOURCES:
            told = memory.said if what == "resolved" else said
            self.events.append(self._tell.source(key, memory, told, what, at))
        else:
            self.events.append(self._tell.alert(key, memory, said, what, at, reason, payload=payload))


def _weight(rule: Compiled, before: tuple[Truth, ...], after: tuple[Truth, ...], weight: Weight) -> Weight:
    """What new truths ask of the disk. That one became unknown is known after a start anyway."""
    if weight is Weight.HARD or before == after:
        return weight
    learned = any(new is not old and new is not None for old, new in zip(before, after, strict=True))
    if learned and rule.hard_truths:
        return Weight.HARD
    return Weight.SOFT if learned else weight


def _resumed(rule: Compiled, memory: Memory, downtime_s: float | None, now: float) -> Memory:
    """What a memory is after a downtime, which counts for no hold and no reminder.

    One of unknown length ends every throttle and empties every window.
    """
    downtime_s = None if downtime_s is None or downtime_s < 0 else downtime_s
    known = downtime_s is not None and downtime_s <= _LONGEST_KNOWN_DOWNTIME_S
    since, told_at = memory.since, memory.told_at
    if memory.state in (PENDING, RECOVERING):
        since = since + (downtime_s or 0.0) if known else now
    if told_at is not None and rule.rule.each is None:
        told_at = min(told_at + (downtime_s or 0.0), now) if known else now
    elif told_at is not None:
        told_at = None if downtime_s is None else min(told_at, now)
    memory = memory._replace(since=min(since, now), told_at=told_at)
    return memory if downtime_s is not None else _without_windows(rule, memory)


def _without_windows(rule: Compiled, memory: Memory) -> Memory:
    """Times of which nobody knows how long ago they were are worth nothing."""
    if rule.pulses:
        return memory._replace(windows=())
    lost = [i for i, operand in enumerate(rule.operands) if operand.windowed]
    truths = tuple(None if i in lost else truth for i, truth in enumerate(memory.truths))
    windows = tuple(None if i in lost else window for i, window in enumerate(memory.windows))
    return memory._replace(truths=truths, windows=windows)


def _light(reading: Reading) -> Reading:
    """A reading without what its message was besides; its labels may be told with a silence."""
    origin = reading.origin
    kept = Origin(origin.source, origin.labels, {}, None, origin.retained)
    return Reading(reading.sensor, shortened(reading.value), reading.unit, kept)
