"""The words between a driver and whoever runs it.

A driver owns one feed (a broker connection, a port) and all sources that it brings. It yields batches; the
line after ``yield`` is the acknowledgement, because the next batch is asked for only once this one is
durably handled.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from drivers.units import Name

Value = float | int | str | bool
"""What a sensor can say. A number is finite; a text is valid Unicode."""

Json = Any
"""What `json.loads` returns, with valid Unicode only."""


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> float:
        """Seconds on the agent's own time line.

        Never goes back, counts suspended time, goes on over restarts.
        """

    def wall(self) -> float:
        """Seconds since 1970, as far as the device knows."""


class Origin(NamedTuple):
    """What the readings of one source in one message share."""

    source: str
    labels: Mapping[str, str]
    """The labels of the source and the placeholders of its topic."""
    attributes: Mapping[str, Json]
    """Other fields of the message that its events carry."""
    payload: Json
    """The whole message as decoded; text where the format has no structure. It may hold NaN."""
    retained: bool
    """A broker kept it for later subscribers: it says how things stand, not that something happened."""


class Reading(NamedTuple):
    """What a sensor said once."""

    sensor: str
    """In full, as rules name it: `thermostat.temperature`, `rooms.kitchen.temperature`."""
    value: Value
    unit: str | None
    origin: Origin


class Refusal(NamedTuple):
    """Why something that arrived is no value. It is counted and shown, never fatal."""

    source: str
    sensor: str | None
    """In full; None where the whole message was refused."""
    reason: str
    """One of `decoding.REASONS`: short and fixed, to count by."""
    detail: str = ""
    """For people: what stood there, at most 80 characters, control characters escaped."""


class Receipt(NamedTuple):
    """What the intake ledger needs to know an acknowledged message again (MQTT QoS 1)."""

    packet_id: int
    dup: bool
    digest: bytes
    """6 bytes of a hash of topic and payload."""


class Message(NamedTuple):
    """What arrived at once: its receipt and the readings in it, or why it was refused."""

    at: float
    """`Clock.now` when it arrived."""
    sources: tuple[str, ...]
    """The sources that it belongs to: one, or several with overlapping topics. Empty.

    Nobody wants it any more.
    """
    readings: tuple[Reading, ...]
    refusals: tuple[Refusal, ...] = ()
    receipt: Receipt | None = None
    """None where there is nothing to acknowledge: MQTT QoS 0, serial."""


class NewSession(NamedTuple):
    """The broker has forgotten the session, so packet ids start anew.

    The ledger of this feed must be emptied durably.
    """

    at: float


class FeedState(StrEnum):
    """How a source stands. Only of one that is OPEN does silence say something of its sensors."""

    CONNECTING = "connecting"
    OPEN = "open"
    LOST = "lost"
    REFUSED = "refused"
    """The other side answers, but does not give this source (a subscription that the broker denies)."""
    OFFLINE = "offline"
    """The feed is open, but the device behind it is said to be away (its last will)."""
    PAUSED = "paused"
    """The agent itself does not read at the moment, because it cannot keep up."""


class Presence(NamedTuple):
    """From now on a source, or one device of it, stands so.

    A driver yields OPEN for each of its sources once it is open, and PAUSED, OFFLINE, REFUSED and OPEN again as
    they come. It does not yield LOST: whoever runs it makes that of its DriverError.
    """

    at: float
    source: str
    prefix: str
    """Of the sensors that it speaks for: the source, or with placeholders one device of it (`rooms.kitchen`)."""
    state: FeedState
    detail: str = ""


class Subscriptions(NamedTuple):
    """The topic filters of this feed and their identifiers from now on, to be kept over a restart.

    Yielded before the broker is told, so that no identifier is ever given to a second filter. A filter that is
    no longer wanted is among them until the broker has confirmed that.
    """

    at: float
    ids: Mapping[str, int]
    """Under the empty filter the highest one ever given."""


Arrival = Message | NewSession | Presence | Subscriptions
"""What a feed yields."""
Batch = Sequence[Arrival]


class SourceState(NamedTuple):
    """The state of one source, with a sentence for people."""

    state: FeedState
    detail: str = ""


class DriverError(Exception):
    """The feed is lost or could not be opened. The message is for people; the caller opens the feed again."""


Format = Literal["json", "keyvalue", "number", "text"]


class Sensor(BaseModel):
    """One named value of a source, as the configuration has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = None
    """Dots lead into objects and lists (`a.b.0`); None is the whole payload."""
    unit: str | None = None


class SourceConfig(BaseModel):
    """What every source has in the configuration; each driver adds its own keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: str
    labels: dict[str, str] = Field(default_factory=dict)
    sensors: dict[Name, Sensor]
    format: Format = "json"


@dataclass(frozen=True)
class Surroundings:
    """What a driver is given besides its configuration."""

    agent_name: str
    agent_id: str
    """Random hex digits, at least 8, kept with the agent's state."""
    clock: Clock
    random: Random
    """For jitter."""
    brokers: Mapping[str, Any]
    """The `brokers:` of the configuration, by name; only drivers that speak to brokers look at it."""
    subscriptions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What `Subscriptions` each feed yielded last, by its name."""


class Driver(ABC):
    """One feed and all its sources."""

    Source: ClassVar[type[SourceConfig]]
    """The pydantic model of one source, with `driver: Literal[...]` as the discriminator."""

    name: str
    """Of the feed, stable over restarts, as the ledger is kept under it.

    `broker:house`, `serial:thermostat`.
    """

    @classmethod
    @abstractmethod
    def feeds(cls, sources: Mapping[str, Any], around: Surroundings) -> Sequence[Self]:
        """Group the sources of this driver (name -> its `Source`) into feeds, one driver object each."""

    @abstractmethod
    def batches(self) -> AsyncIterator[Batch]:
        """Open the feed and yield what arrived until closed.

        The next batch is asked for only once this one is durably handled, so the driver acknowledges on the
        line after ``yield``. Raises DriverError when the feed is lost; the caller then calls `batches`
        again, on the same object, after a pause.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of the feed at once. A running `batches` ends without an error.

        Closing twice is harmless.
        """

    def behind_since(self) -> float | None:
        """When the oldest message arrived that was read but not yet yielded; None: there is none.

        No hold and no silence ends later than that, since what waits may have something to say about it.
        """
        return None

    @abstractmethod
    def states(self) -> Mapping[str, SourceState]:
        """The state of each source of this feed, by its name."""
