"""A step is a staged transaction over what an engine knows that sees its own changes.

Here is what goes in, in the order of its time, and how it ends: `install` makes the changes the engine's (after the
commit), and a step that is let go of has changed nothing. What it stages is kept by its parts: memory by `Staging`,
who is there by `Arrivals`, what is told by `Alerts`; what becomes of a memory is for the `Judge` to say.
"""

from collections.abc import Mapping
from typing import NamedTuple

from agent.model import Moment
from agent.rules.alerts import Alerts
from agent.rules.attendance import Arrivals, Attendance
from agent.rules.book import Book
from agent.rules.downtime import resumed
from agent.rules.judging import Judge
from agent.rules.memories import Memories, WallClock
from agent.rules.memory import Key, Memory, Weight
from agent.rules.staging import Staging
from agent.rules.telling import SOURCES
from drivers.base import FeedState, Origin, Presence, Reading


class Savepoint(NamedTuple):
    """How much a step had staged."""

    events: int
    changes: int
    heard: int
    unfit: int
    hard: bool
    now: float


class Step:
    """See above. `changes` of memory, `events`, what it `heard` and the sensors that are `forgotten`, each in order."""

    # One is made in each round: with slots, here and in its parts, that is quicker.
    __slots__ = (
        "_alerts",
        "_arrivals",
        "_book",
        "_judge",
        "_memories",
        "_staging",
        "changes",
        "events",
        "forgotten",
        "heard",
        "moment",
    )

    def __init__(self, book: Book, memories: Memories, attendance: Attendance, moment: Moment) -> None:
        self.moment = moment
        self._book, self._memories = book, memories
        self._staging = staging = Staging(book.rules, memories)
        self._arrivals = arrivals = Arrivals(attendance)
        self._alerts = alerts = Alerts(book.teller, staging, moment)
        self._judge = Judge(staging, arrivals, alerts, moment)
        self.events, self.changes = alerts.events, staging.changes
        self.heard, self.forgotten = arrivals.heard, arrivals.forgotten
        if book.has_hours and WallClock.of(moment).was_set(memories.clock):
            self._look_at_hours()

    @property
    def hard(self) -> bool:
        """Whether something changed that must be on disk before it is acknowledged."""
        return self._staging.hard

    # -- what goes in

    def reading(self, reading: Reading, at: float) -> None:
        """Put a reading to its rules."""
        staging, judge = self._staging, self._judge
        if at > staging.now:
            staging.now = at
        now = staging.now
        self._arrivals.hear(reading, now)
        for route in self._book.routes(reading.sensor):
            key, rule, _ = route
            if rule.pulses:
                judge.pulse(key, rule, reading, now)
            elif rule.operands:
                judge.hear(route, reading, at, now)
            else:
                judge.level(key, rule, reading, at, now)

    def presence(self, presence: Presence, at: float) -> None:
        """Take in how a source or a device of it stands from now on."""
        staging = self._staging
        now = staging.now = max(staging.now, at)
        if self._arrivals.stand(presence.prefix, presence.state, now):
            for key in staging.minding(presence.prefix):
                self._judge.judge(key, self._book.rules[key[0]], staging.recall(key), now)
        self._tell_of_source(presence, now)

    def may_be_due(self, until: float) -> bool:
        """Whether `run_timers` may have something to do: quickly told, before each message."""
        return self._staging.timers.may_be_due(until)

    def run_timers(self, until: float) -> None:
        """End the holds that are over by then, in their order, each at its own time."""
        staging = self._staging
        while staging.timers.may_be_due(until):
            timer = staging.timers.first(staging.due)
            if timer is None or timer[0] > until:
                return
            due, key = timer
            staging.now = max(staging.now, due)
            self._judge.end(key, self._book.rules[key[0]], due)

    def forget_sensor(self, sensor: str) -> bool:
        """Forget all of a sensor and resolve its alerts; of a compound rule it is then unknown again.

        Returns whether anything was known of it.
        """
        staging = self._staging
        known = self._arrivals.forget(sensor)
        for key, rule, indices in self._book.routes(sensor):
            memory = staging.known(key)
            if memory is None:
                continue
            known = True
            truths = tuple(None if i in indices else truth for i, truth in enumerate(memory.truths))
            if any(truth is not None for truth in truths):
                windows = tuple(None if i in indices else window for i, window in enumerate(memory.windows))
                staging.keep(key, memory._replace(truths=truths, windows=windows), Weight.HARD)
                self._judge.judge(key, rule, staging.recall(key), staging.now)
            else:
                self._alerts.remove(key, memory, "forgotten")
        return known

    # -- a start

    def resume(self, rows: Mapping[Key, str], downtime_s: float | None) -> None:
        """Go on with what the disk remembers, and watch what the configuration names."""
        for key, row in rows.items():
            self._take_up(key, row, downtime_s)
        self._watch()

    def _take_up(self, key: Key, row: str, downtime_s: float | None) -> None:
        """What a row makes of the downtime is kept like any other change."""
        try:
            memory = Memory.load(row)
        except (ValueError, TypeError, RecursionError):
            self._staging.forget(key)
            return
        rule = self._book.rules.get(key[0])
        if rule is None or rule.meaning != memory.meaning or not self._book.wants(key):
            self._alerts.remove(key, memory, "rule_removed")
            return
        if not rule.fits(memory):
            self._staging.forget(key)
            return
        after = resumed(rule, memory, downtime_s, self.moment.at)
        weight = Weight.NONE if after == memory else Weight.HARD
        look = bool(rule.timed or rule.schedule)
        self._staging.keep(key, after._replace(wake_at=self.moment.at) if look else after, weight)

    def _watch(self) -> None:
        """The silence of sensors, and sources that are not open yet."""
        now, site = self.moment.at, self._book.site
        for sensor in site.sensors:
            for key, rule, indices in self._book.routes(sensor):
                if rule.knows_sensors:
                    known = rule.knowing(self._staging.recall(key), indices)
                    self._staging.keep(key, known._replace(wake_at=now), Weight.NONE)
        for source in site.sources:
            if self._arrivals.stands(source) is None:
                lost = Presence(now, source, source, FeedState.LOST, "not open since the start")
                self._tell_of_source(lost, now)

    # -- the transaction

    def savepoint(self) -> Savepoint:
        """Mark a point to roll back to, before a message: no presence may come between the two."""
        staging, unfit = self._staging, self._arrivals.unfit
        return Savepoint(len(self.events), len(self.changes), len(self.heard), len(unfit), staging.hard, staging.now)

    def rollback(self, savepoint: Savepoint) -> None:
        """Undo what happened since the savepoint."""
        del self.events[savepoint.events :]
        self._arrivals.rollback(savepoint.heard, savepoint.unfit)
        self._staging.rollback(savepoint.changes, savepoint.now, hard=savepoint.hard)

    def rows(self) -> dict[Key, str | None]:
        """What a commit writes: the changes of this step, and soft ones that wait. None: the row goes."""
        return self._staging.rows()

    def install(self, *, committed: bool) -> None:
        """Make the staged changes the engine's; with `committed` all of them are on disk."""
        self._arrivals.install()
        self._staging.install(committed=committed)
        if self._book.has_hours:
            self._memories.see(WallClock.of(self.moment))

    # -- what no reading says

    def _tell_of_source(self, presence: Presence, now: float) -> None:
        """Put how a source stands to the rule that tells of it, as the value of a sensor that it is itself."""
        origin = Origin(presence.source, {}, {}, presence.detail, False)
        key, rule = (SOURCES, f"source:{presence.prefix}"), self._book.rules[SOURCES]
        self._judge.level(key, rule, Reading(presence.prefix, str(presence.state), None, origin), now, now)

    def _look_at_hours(self) -> None:
        """The clock on the wall was set: let the rules with hours look at it anew."""
        for key, memory in self._memories.kept.items():
            if self._book.rules[key[0]].schedule is not None:
                self._staging.keep(key, memory._replace(wake_at=self._staging.now), Weight.NONE)
