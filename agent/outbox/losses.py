"""What was dropped for want of room, until it is told: at most once a minute, as counts and ranges of `sequence`."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent.model import Notice

DROPPED = "outbox.dropped"
TOLD_EVERY_S = 60.0
RANGES_MAX = 64
"""For each webhook and reason; what is beyond is counted and not listed."""


class Drop(NamedTuple):
    """One delivery that was given up."""

    webhook: str
    reason: str
    """`full` or `purged`, as in `model.DROP_REASONS`."""
    sequence: int


@dataclass(slots=True)
class _Lost:
    """Of one webhook."""

    count: Counter[str] = field(default_factory=Counter)
    ranges: defaultdict[str, list[list[int]]] = field(default_factory=lambda: defaultdict(list))
    left_off: int = 0

    def add(self, reason: str, sequence: int) -> None:
        self.count[reason] += 1
        ranges = self.ranges[reason]
        if ranges and ranges[-1][1] == sequence - 1:
            ranges[-1][1] = sequence
        elif len(ranges) < RANGES_MAX:
            ranges.append([sequence, sequence])
        else:
            self.left_off += 1

    def told(self, webhook: str) -> Notice:
        data: dict[str, Any] = {
            "webhook": webhook,
            "dropped": self.count.total(),
            "dropped_by": dict(self.count),
            "sequences": dict(self.ranges),
            "sequences_left_off": self.left_off,
        }
        return Notice(DROPPED, f"webhook:{webhook}", data, about=webhook)


class Losses:
    """Gathers drops and tells of them."""

    def __init__(self) -> None:
        self._lost: defaultdict[str, _Lost] = defaultdict(_Lost)
        self._told_at: float | None = None
        self._due = False

    def note(self, drops: Iterable[Drop], *, own: bool) -> None:
        """Keep them to be told.

        `own`: nothing but notices such as these made them go. They are told with the next, or a full outbox would fill
        itself with what tells that it is full.
        """
        for drop in drops:
            self._lost[drop.webhook].add(drop.reason, drop.sequence)
            self._due = self._due or not own

    def take(self, now: float) -> list[Notice]:
        """What is to be told now: one for each webhook that has lost something, or nothing yet."""
        if not self._due or (self._told_at is not None and now < self._told_at + TOLD_EVERY_S):
            return []
        lost, self._lost = self._lost, defaultdict(_Lost)
        self._told_at, self._due = now, False
        return [one.told(webhook) for webhook, one in sorted(lost.items())]
