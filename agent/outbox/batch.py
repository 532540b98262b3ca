"""One commit in the making.

What becomes owed is numbered here, and everything that must be durable together is gathered.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.model import Content, Delivery, Event, Moment, Rest, Settlement
from agent.outbox import untimed
from agent.outbox.letters import Movable

Key = tuple[str, str]
"""Rule and sensor."""
Envelope = Callable[[Event, str, int], Content]
"""What a webhook is sent of an event, for the `sequence` that it has there."""


class Numbers(NamedTuple):
    """Where the counting stands: installed with the commit that used them."""

    next_delivery: int
    sequences: Mapping[str, int]
    """The last `sequence` of each webhook."""


class Gone(NamedTuple):
    """A delivery that is to be pending no longer."""

    id: int
    webhook: str
    subject: str
    """By which it is in order."""


class Owed(NamedTuple):
    """An event with its deliveries; `unwanted` are the webhooks that the configuration no longer has."""

    id: int
    event: Event
    deliveries: Sequence[Delivery]
    unwanted: Sequence[str]


class Replay(NamedTuple):
    """A delivery that is sent again, as a new one: what was delivered or dead is no more."""

    old: Movable
    delivery: Delivery


class Frozen(NamedTuple):
    """A delivery whose bytes are final from now on."""

    delivery: Delivery
    event: Event | None = None
    """With its time corrected; None: it goes out as it was written."""
    content: Content | None = None
    """What is sent of that event."""


@dataclass(slots=True)
class Batch:
    """All or nothing: what one commit makes durable."""

    moment: Moment
    numbers: Numbers
    owed: list[Owed] = field(default_factory=list)
    memory: Mapping[Key, str | None] = field(default_factory=dict)
    ledger: Mapping[str, tuple[bool, bytes]] = field(default_factory=dict)
    """For each feed: whether its log starts anew, and the entries to append."""
    subscriptions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """For each feed that has others now: all its filters and identifiers."""
    settled: Sequence[Settlement] = ()
    rests: Sequence[Rest] = ()
    frozen: Sequence[Frozen] = ()
    expired: Sequence[Gone] = ()
    """Deliveries whose time is over."""
    exhausted_before: float | None = None
    """Dead letters of before that time are told of by what is owed here."""
    last: bool = False
    """Whether the agent ends with it."""
    purge: bool = False
    """Whether old history is to be deleted."""
    replays: Sequence[Replay] = ()
    discarded: Sequence[Gone] = ()
    """Deliveries, pending or dead, that a person gave up."""
    whole: bool = False
    """Whether memory, ledgers and subscriptions are all that there are, not only what has changed."""
    room_bytes: int = 0
    """What is to be free behind it, for the rest of a batch that has met a full disk."""


class Draft:
    """Numbers events and deliveries; what was owed since a mark can be taken back."""

    def __init__(
        self,
        moment: Moment,
        numbers: Numbers,
        expires_s: Mapping[str, float],
        envelope: Envelope,
        answering: Collection[str] = (),
    ) -> None:
        """`answering`: the webhooks that answered when they were last tried, so that attempts follow at once."""
        self._answering = answering
        self.moment = moment
        self._next = numbers.next_delivery
        self._sequences = dict(numbers.sequences)
        self._expires_s = expires_s
        self._envelope = envelope
        self.owed: list[Owed] = []
        self.replays: list[Replay] = []

    def replay(self, letters: Iterable[Movable]) -> None:
        """Owe some again: the same event, bytes and `sequence`, for as long as the webhook is owed an event.

        They are in order among themselves, and neither wait for the others of their subject nor hold them up.
        """
        now = self.moment.at
        for old in letters:
            delivery = Delivery(
                id=self._next,
                webhook=old.webhook,
                sequence=old.sequence,
                event_id=old.event_id,
                subject=f"replay:{old.subject}",
                body=old.content.body,
                created_at=now,
                expires_at=now + self._expires_s[old.webhook],
                due_at=now,
                headers=old.content.headers,
                suffix=old.content.suffix,
                damaged=old.damaged,
                tried=True,
            )
            self._next += 1
            self.replays.append(Replay(old, delivery))

    def owe(self, events: Iterable[Event]) -> None:
        """Make the deliveries of some events, one for each webhook that each is sent to."""
        for event in (event for event in events if event.send_to):
            first = self._next
            wanted = [name for name in event.send_to if name in self._expires_s]
            unwanted = [name for name in event.send_to if name not in self._expires_s]
            deliveries = [self._delivery(event, name) for name in wanted]
            for name in unwanted:
                self._sequences[name] = self._sequences.get(name, 0) + 1
            self._next = max(self._next, first + 1)
            self.owed.append(Owed(first, event, deliveries, unwanted))

    def mark(self) -> tuple[int, int, dict[str, int]]:
        """A point to come back to."""
        return len(self.owed), self._next, dict(self._sequences)

    def rollback(self, mark: tuple[int, int, dict[str, int]]) -> None:
        """Take back what was owed since the mark."""
        owed, self._next, self._sequences = mark
        del self.owed[owed:]

    def batch(self) -> Batch:
        """The batch of what is owed; the rest is the caller's to fill in."""
        return Batch(self.moment, Numbers(self._next, self._sequences), self.owed, replays=self.replays)

    def _delivery(self, event: Event, name: str) -> Delivery:
        number, sequence = self._next, self._sequences.get(name, 0) + 1
        content = self._envelope(event, name, sequence)
        self._next, self._sequences[name] = number + 1, sequence
        waits = untimed.waits(event, self.moment)
        expires_s = self._expires_s[name] if event.expires_s is None else min(event.expires_s, self._expires_s[name])
        return Delivery(
            id=number,
            webhook=name,
            sequence=sequence,
            event_id=event.id,
            subject=event.subject,
            body=content.body,
            created_at=event.at,
            expires_at=event.at + expires_s,
            due_at=event.at + (untimed.WAIT_S if waits else 0.0),
            headers=content.headers,
            suffix=content.suffix,
            untimed=waits or (not event.synced and name not in self._answering),
        )


def gone_of(letters: Iterable[Movable]) -> list[Gone]:
    """As they are given up."""
    return [Gone(old.id, old.webhook, old.lane) for old in letters]


def no_content(*_: object) -> Content:
    """The contents of a batch that owes nothing new."""
    raise AssertionError("nothing new is owed here")
