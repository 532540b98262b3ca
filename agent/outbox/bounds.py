"""What goes when the outbox is full: a decision over what the store tells, without I/O.

Events are taken in one by one, in the order in which they became owed. As long as there is no room for the next one,
there goes

1. where bytes are short: the oldest of what was delivered, then the oldest dead letter,
2. of the webhook with most waiting that has such: its oldest pulse, else its oldest alert that is over and of which it
   was never sent anything, whole, from `firing` to `resolved`,
3. where there is neither: nothing. Then a pulse is refused: owed, numbered and dropped at once. What an alert has to
   tell is taken in all the same, so a firing that is still on, or that was sent before, always stays with its end.

The webhook is chosen anew for each, so the longest queue pays: one that answers loses nothing for one that does not.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Limits(NamedTuple):
    """What the outbox may take, and how long it keeps what is settled."""

    max_bytes: int = 64 * 10**6
    """Of database pages in use."""
    max_events: int = 100_000
    """With a pending delivery."""
    min_free_bytes: int | None = None
    """Of the disk, that are left alone; None: `disk.default_min_free_bytes`."""
    keep_delivered_s: float = 7 * 86400.0
    keep_dead_s: float = 30 * 86400.0


class Part(NamedTuple):
    """One delivery that goes, or comes."""

    id: int
    event: int
    pending: int
    """How many deliveries of its event are pending, with this one."""
    size_bytes: int


class Incoming(NamedTuple):
    """An event of the batch that asks for room."""

    pulse: bool
    parts: Mapping[str, Part]
    """One for each webhook that is owed it; never empty."""


@dataclass(slots=True)
class Queue:
    """What waits for one webhook; the iterators give what may go, oldest first, and are read as far as is needed."""

    waiting: int
    pulses: Iterator[Part]
    pairs: Iterator[Sequence[Part]]
    """Whole alerts."""
    new: deque[Part] = field(default_factory=deque)
    """Pulses that were taken in just now, behind all others."""

    def give(self) -> Sequence[Part]:
        """What goes next; nothing where nothing may."""
        if (pulse := next(self.pulses, None)) or (pulse := self.new.popleft() if self.new else None):
            return (pulse,)
        return next(self.pairs, ())


DEFAULTS = Limits()


@dataclass(slots=True)
class Decision:
    """Ids of the deliveries that go."""

    delivered: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    """Of the batch itself: they are never written."""
    capped: bool = False
    """Whether more has to go than one commit may take."""


@dataclass(slots=True)
class Room:
    """What is free, less than nothing where there is too much, and what may go to make more."""

    events: int
    size_bytes: int
    delivered: Iterator[Part]
    dead: Iterator[Part]
    queues: Mapping[str, Queue]
    """By webhook: at least of all that the batch has something for."""


def decide(room: Room, incoming: Iterable[Incoming], rows_max: int) -> Decision:
    """What goes so that a batch may come; `rows_max` bounds the deliveries that one commit deletes."""
    deciding = _Deciding(room, rows_max)
    deciding.make_room(0, 0)
    for event in incoming:
        deciding.take_in(event)
    return deciding.decision


class _Deciding:
    def __init__(self, room: Room, rows_max: int) -> None:
        self.decision = Decision()
        self._room = room
        self._rows_left = rows_max
        self._pending: dict[int, int] = {}
        """Of events of which some delivery goes: how many are left."""
        self._new: set[int] = set()

    def take_in(self, event: Incoming) -> None:
        size_bytes = sum(part.size_bytes for part in event.parts.values())
        if not self.make_room(1, size_bytes) and event.pulse:
            self.decision.refused.update(part.id for part in event.parts.values())
            return
        self._room.events -= 1
        self._room.size_bytes -= size_bytes
        for webhook, part in event.parts.items():
            queue = self._room.queues[webhook]
            queue.waiting += 1
            if event.pulse:
                self._new.add(part.id)
                queue.new.append(part)

    def make_room(self, events: int, size_bytes: int) -> bool:
        """Let go until there is so much. Returns whether there is, or will be with the next commits."""
        while self._room.events < events or self._room.size_bytes < size_bytes:
            if self._rows_left <= 0:
                self.decision.capped = True
                return True
            if not (self._room.size_bytes < size_bytes and self._give_settled()) and not self._give_pending():
                return False
        return True

    def _give_settled(self) -> bool:
        for parts, going in (
            (self._room.delivered, self.decision.delivered),
            (self._room.dead, self.decision.dead),
        ):
            if part := next(parts, None):
                self._let_go(part)
                going.append(part.id)
                return True
        return False

    def _give_pending(self) -> bool:
        queues = self._room.queues
        for webhook in sorted(queues, key=lambda name: (-queues[name].waiting, name)):
            if parts := queues[webhook].give():
                queues[webhook].waiting -= len(parts)
                for part in parts:
                    self._drop(part)
                return True
        return False

    def _drop(self, part: Part) -> None:
        self._let_go(part)
        left = self._pending[part.event] = self._pending.get(part.event, part.pending) - 1
        self._room.events += left == 0
        if part.id in self._new:
            self.decision.refused.add(part.id)
        else:
            self.decision.pending.append(part.id)

    def _let_go(self, part: Part) -> None:
        self._rows_left -= 1
        self._room.size_bytes += part.size_bytes
