"""What flows through the house after the readings: events, deliveries, and what becomes of an attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from drivers.base import Value


class Moment(NamedTuple):
    """One point in time, on both time lines."""

    at: float
    """`Clock.now`: seconds on the agent's own time line."""
    wall: float
    """Unix seconds, as far as the device knows."""
    synced: bool
    """Whether there is a sign that the wall clock is right."""

    def wall_of(self, at: float) -> float:
        """Unix seconds of another point of the agent's time line."""
        return self.wall + (at - self.at)


@dataclass(slots=True)
class Event:
    """What a rule (or the agent about itself) has to tell. Never changed; a frozen one is slow to make.

    `agent.webhooks.envelope` writes it for the wire.
    """

    id: str
    """`evt_...`; the `webhook-id` in every attempt."""
    type: str
    subject: str
    """The order key: what is told of one subject arrives in the order in which it happened."""
    at: float
    """When it happened, on the agent's time line."""
    wall: float
    """The same as Unix seconds."""
    synced: bool
    send_to: tuple[str, ...]
    """Names of webhooks."""
    corrected: bool = False
    """Whether it was told anew when the clock became right."""
    expires_s: float | None = None
    """None: as each webhook says."""
    rule: str | None = None
    state: str | None = None
    """`firing` (also of a reminder) or `resolved`; None for a pulse."""
    severity: str = "info"
    sensor: str | None = None
    value: Value | None = None
    unit: str | None = None
    condition: Mapping[str, Any] | None = None
    reason: str | None = None
    """`condition`, `inactive`, `rule_removed` or `forgotten`; of a source `lost`, `refused` or `offline`.

    None for a pulse.
    """
    alert_id: str | None = None
    started_wall: float | None = None
    started_at: float | None = None
    """The same on the agent's time line, where the clock showed no sign of being right when it began."""
    ended_wall: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    payload: Any = None
    has_payload: bool = False
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a part has to tell of the agent itself; `agent.notices` makes the event of it."""

    type: str
    """Of the event: `webhook.disabled`."""
    subject: str
    """`agent` or `webhook:NAME`."""
    data: Mapping[str, Any]
    """What can be written as JSON: the event's attributes."""
    about: str | None
    """The webhook that must not hear of it."""


class Content(NamedTuple):
    """What one webhook is sent of an event: made once, kept with the delivery, and the same in every attempt."""

    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    """Beside those of every request: a content type that is not JSON's, and those that hold placeholders."""
    suffix: str = ""
    """Behind the path of the URL, such as `/fail`: a word of a preset, never what a sensor said."""


@dataclass(slots=True)
class Delivery:
    """One event owed to one webhook, with its bytes."""

    id: int
    """Counts up with every delivery of this agent, in the order in which they became owed."""
    webhook: str
    sequence: int
    """Counts up without a gap for each webhook; written in the body."""
    event_id: str
    subject: str
    body: bytes
    """The same in every attempt, as are `headers` and `suffix` (see Content)."""
    created_at: float
    expires_at: float
    due_at: float
    attempts: int = 0
    """How many attempts were used up."""
    refusals: int = 0
    """How many of them were answered with a status that says that this request will never do."""
    held: bool = False
    """Waits for the webhook to answer again, whatever `due_at` says."""
    headers: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    untimed: bool = False
    """Never attempted, and its time is not sure: its bytes are final once it is frozen."""
    damaged: bool = False
    """Its bytes are not those that became owed: it is never sent."""
    tried: bool = False
    """Whether there was an attempt that did not deliver it, so that it may have a log of attempts."""


class Ending(StrEnum):
    """What an attempt means for the delivery."""

    DELIVERED = "delivered"
    AGAIN = "again"
    DEAD = "dead"
    EXPIRED = "expired"


class Attempt(NamedTuple):
    """One POST of a delivery, as its log keeps it."""

    at: float
    """When it began, on the agent's time line."""
    wall: float
    """The same as Unix seconds."""
    duration_s: float
    status: int | None
    """None: no HTTP answer."""
    error: str | None
    """Of a failure: what was the matter, for people, such as `refused: 127.0.0.1:9: Connection refused`."""
    answer: bytes
    """Of a failure: the first 512 bytes of what was answered."""


@dataclass(slots=True)
class Settlement:
    """What became of a delivery. Never changed; a frozen one would take four times as long to make.

    Written with the next commit, where it counts only if the delivery is still pending.
    """

    delivery: Delivery
    ending: Ending
    due_at: float = 0.0
    """For AGAIN, as are `attempts`, `refusals` and `held`: what the delivery has from now on."""
    attempts: int = 0
    refusals: int = 0
    held: bool = False
    attempt: Attempt | None = None
    """For the log; None: there was none, or nobody knows what came of it."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Deliveries of one rule to one webhook that became dead letters."""

    webhook: str
    rule: str
    count: int
    first: int
    """The lowest `sequence` among them."""
    last: int
    """The highest."""


class Rest(NamedTuple):
    """What is kept of a breaker over a restart."""

    webhook: str
    resting_until: float | None
    disabled: bool
    asked_until: float | None = None
    """Until when the receiver has asked for rest (Retry-After): nothing shortens that."""


DROP_REASONS = ("full", "discarded", "purged", "replaced", "webhook_removed", "damaged")


@dataclass(slots=True)
class Counters:
    """Conservation for one webhook: `owed == delivered + pending + dead + dropped`, exact after any fault."""

    owed: int = 0
    delivered: int = 0
    pending: int = 0
    dead: int = 0
    dropped_by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DROP_REASONS, 0))

    @property
    def dropped(self) -> int:
        """All that was given up, whatever the reason."""
        return sum(self.dropped_by.values())

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing and nothing is counted twice."""
        return self.owed == self.delivered + self.pending + self.dead + self.dropped
