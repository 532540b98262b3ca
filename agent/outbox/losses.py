"""What was dropped for want of room, or found damaged, until it is told.

At most once a minute, as counts and ranges of `sequence`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent import notices
from agent.model import Notice

DROPPED = "outbox.dropped"
TOLD_EVERY_S = 60.0
RANGES_MAX = 64
"""For each webhook and reason; what is beyond is counted and not listed."""


class Drop(NamedTuple):
    """One delivery that was given up."""

    webhook: str
    reason: str
    """`full` or `purged`, as in `model.DROP_REASONS`, or `damaged`."""
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


def dropped(webhook: str, lost: _Lost) -> Notice:
    """For want of room."""
    data: dict[str, Any] = {
        "webhook": webhook,
        "dropped": lost.count.total(),
        "dropped_by": dict(lost.count),
        "sequences": dict(lost.ranges),
        "sequences_left_off": lost.left_off,
    }
    return Notice(DROPPED, f"webhook:{webhook}", data, about=webhook)


def damaged(webhook: str, lost: _Lost) -> Notice:
    """By the card: the webhook itself may hear of it."""
    ranges = [one for ranges in lost.ranges.values() for one in ranges]
    return notices.damaged_deliveries(webhook, lost.count.total(), ranges, lost.left_off)


class Losses:
    """Gathers drops and tells of them."""

    def __init__(self, told: Callable[[str, _Lost], Notice] = dropped) -> None:
        """`told` makes the notice of what one webhook has lost."""
        self._told = told
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
        return [self._told(webhook, one) for webhook, one in sorted(lost.items())]
