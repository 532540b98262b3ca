"""The engine maps a reading to its rules and remembers, for each rule and sensor, where it stands.

It changes only by steps (`agent.rules.step`). Time, ids and the wall clock are passed in.
"""

from collections.abc import Mapping
from typing import Self

from agent.model import Moment
from agent.rules.attendance import Attendance
from agent.rules.book import Book
from agent.rules.machine import FIRING, PENDING, RECOVERING
from agent.rules.memories import Memories
from agent.rules.memory import Key
from agent.rules.step import Step
from agent.rules.telling import SOURCES


class Engine:
    """The book of rules, all memories, and who is there."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.memories = Memories(book.rules)
        self.attendance = Attendance()
        # What others look at.
        self.rules, self.routes = book.rules, book.routes
        self.memory, self.census, self.due = self.memories.kept, self.memories.census, self.memories.due
        self.latest, self.unfit = self.attendance.latest, self.attendance.unfit

    def load(
        self, rows: Mapping[Key, str], downtime_s: float | None, moment: Moment, before: Self | None = None
    ) -> Step:
        """Take up what the disk remembers, and tell of alerts whose rule is gone.

        `downtime_s` is the time since the agent was last known to live; None: unknown. The step that is
        returned must be committed before any other.

        For a reload: make an engine of the new configuration, and give it the `rows()` of the one before,
        no downtime, and that one itself, from which it takes what is in memory only: what was said last, signs
        of life, how sources stand.
        """
        if before is not None:
            self.memories.succeed(before.memories)
            self.attendance.succeed(before.attendance, frozenset(self.book.site.sources))
        step = self.step(moment)
        step.resume(rows, downtime_s)
        return step

    def rows(self) -> dict[Key, str]:
        """The whole memory as `load` takes it, with what is not on disk yet."""
        return {key: memory.dump() for key, memory in self.memory.items()}

    def step(self, moment: Moment) -> Step:
        """Begin a step at this moment."""
        return Step(self.book, self.memories, self.attendance, moment)

    def next_due(self) -> float | None:
        """When the next timer ends."""
        timers = self.memories.timers
        return timers[0][0] if timers else None

    def soft_since(self) -> float | None:
        """Since when a soft change waits to be written."""
        return next(iter(self.memories.unsaved.values()), None)

    def skip_timers(self, now: float) -> None:
        """Let the holds that are over begin anew: what they had to tell cannot be stored."""
        self.memories.skip_timers(now)

    @property
    def holds(self) -> bool:
        """Whether time that counts runs: a hold, or the time to a reminder. A restart must know how much of it did.

        Not of sources: those begin anew with a start.
        """
        return any(
            self.census.subjects(name, PENDING)
            or self.census.subjects(name, RECOVERING)
            or (rule.repeat_s is not None and self.census.subjects(name, FIRING))
            for name, rule in self.rules.items()
            if name != SOURCES
        )
