"""All memories of an engine, as they are installed, with what follows from them: timers, census, who minds whom."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple, Self

from agent.model import Moment
from agent.rules.census import Census
from agent.rules.compiled import Compiled
from agent.rules.memory import Key, Memory
from agent.rules.timers import Timer

_RETRY_S = 60.0
_CLOCK_STEP_S = 1.0
"""A wall clock that was set by more is looked at anew."""


class WallClock(NamedTuple):
    """How the clock on the wall stands."""

    synced: bool
    distance_s: float
    """To the agent's time line."""

    @classmethod
    def of(cls, moment: Moment) -> Self:
        """At a moment."""
        return cls(moment.synced, moment.wall - moment.at)

    def was_set(self, before: "WallClock | None") -> bool:
        """Whether it stands otherwise than before; None: as was never seen."""
        return (
            before is None or before.synced != self.synced or abs(before.distance_s - self.distance_s) > _CLOCK_STEP_S
        )


class Memories:
    """They change by steps only (`agent.rules.staging`), and where a timer had to be skipped."""

    def __init__(self, rules: Mapping[str, Compiled]) -> None:
        self._rules = rules
        self.kept: dict[Key, Memory] = {}
        self.census = Census()
        self.timers: list[Timer] = []
        """One for each memory that time will change, in order."""
        self.minding: defaultdict[str, set[Key]] = defaultdict(set)
        """Memories that mind whether their source is open, by the device of their sensors; no device has none."""
        self.unsaved: dict[Key, float] = {}
        """Soft changes that are not on disk, and since when, the oldest first."""
        self.now = 0.0
        """The time that they have come to."""
        self.clock: WallClock | None = None
        """By which the hours of the rules were looked at."""

    def succeed(self, before: Self) -> None:
        """Take from those before what no row has."""
        self.now, self.clock = before.now, before.clock
        self.unsaved.update(before.unsaved)

    def see(self, clock: WallClock) -> None:
        """The hours were looked at by this clock; small steps add up until it counts as set."""
        if clock.was_set(self.clock):
            self.clock = clock

    def due(self, key: Key) -> float | None:
        """When a memory changes by itself."""
        memory = self.kept.get(key)
        return None if memory is None else self._rules[key[0]].due_at(memory)

    def skip_timers(self, now: float) -> None:
        """Let the holds that are over begin anew: what they had to tell cannot be stored."""
        for key, memory in list(self.kept.items()):
            due = self.due(key)
            if due is not None and due <= now:
                told_at = None if memory.told_at is None else now
                wake_at = None if memory.wake_at is None else now + _RETRY_S
                self.put(key, memory._replace(since=now if memory.since else 0.0, told_at=told_at, wake_at=wake_at))

    def put(self, key: Key, memory: Memory | None) -> None:
        """Install one memory and its timer; None or nothing remembered: forget it."""
        before, known = self.due(key), self.kept.get(key)
        if memory is None or memory.is_nothing:
            memory = None
            self.kept.pop(key, None)
        else:
            self.kept[key] = memory
        rule = self._rules.get(key[0])
        if rule is not None and not rule.is_shared(key):
            self.census.move(key, known and known.state, memory and memory.state)
        minds = memory is not None and memory.minds_source
        if rule is not None and minds != (known is not None and known.minds_source):
            self._index(key, rule, minds=minds)
        self._move_timer(key, before, self.due(key))

    def _move_timer(self, key: Key, before: float | None, due: float | None) -> None:
        if due == before:
            return
        if before is not None:
            del self.timers[bisect_left(self.timers, (before, key))]
        if due is not None:
            insort(self.timers, (due, key))

    def _index(self, key: Key, rule: Compiled, *, minds: bool) -> None:
        for device in rule.devices(key):
            minding = self.minding[device]
            if minds:
                minding.add(key)
            else:
                minding.discard(key)
            if not minding:
                del self.minding[device]
