"""The words between a driver and whoever runs it.

A driver owns one feed (a broker connection, a port) and all sources that it brings. It yields batches; the
line after ``yield`` is the acknowledgement, because the next batch is asked for only once this one is
durably handled.
"""

import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from pydantic import Field, PlainValidator, model_validator

from drivers.paths import ConfiguredAttributes, Format, Path, attribute_paths, path_steps, wrong_path
from drivers.settings import Settings
from drivers.units import Name

Value = float | int | str | bool
"""What a sensor can say. A number is finite; a text is valid Unicode."""

Json = Any
"""What `json.loads` returns, with valid Unicode only."""


class Moment(Protocol):
    """One point in time, as far as drivers look at it."""

    @property
    def wall(self) -> float:
        """Seconds since 1970, as far as the device knows."""

    @property
    def synced(self) -> bool:
        """Whether there is a sign that the wall clock is right."""


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> float:
        """Seconds on the agent's own time line.

        Never goes back, counts suspended time, goes on over restarts.
        """

    def wall(self) -> float:
        """Seconds since 1970, as far as the device knows."""

    def moment(self) -> Moment:
        """Wall time, and whether to believe it."""


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
    """What the intake ledger needs to know an acknowledged message again."""

    packet_id: int | None
    """Of MQTT QoS 1: from 1, and used again and again. None: the digest alone tells, whatever `dup` says."""
    dup: bool
    digest: bytes
    """6 bytes of a hash: of topic and payload, or of the id that the sender chose for the message and its place."""


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
    """None where there is nothing to know it again by: MQTT QoS 0, serial, HTTP without an id."""


class NewSession(NamedTuple):
    """What the broker sends again from now on was not evaluated before.

    It has forgotten the session, so that packet ids start anew, or may have and holds nothing unacknowledged. The
    ledger of this feed must be emptied durably.
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


class Raw(NamedTuple):
    """What arrived, before it is decoded: what a recording holds."""

    at: float
    """On the time line of whoever holds it."""
    feed: str
    """Empty: not known."""
    topic: str | None
    """Of a broker; None for feeds that have no topics."""
    source: str | None
    """Of those feeds."""
    payload: bytes
    qos: int = 0
    retained: bool = False


class DriverError(Exception):
    """The feed is lost or could not be opened. The message is for people; the caller opens the feed again."""


def _a_number(given: Any) -> float | int:
    try:
        good = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    except OverflowError:
        good = False
    if not good:
        raise ValueError("has to be a number")
    number: float | int = given
    return number


def _a_scalar(given: Any) -> Value:
    if isinstance(given, str | bool):
        return given
    try:
        return _a_number(given)
    except ValueError:
        raise ValueError("has to be a number, text, true or false") from None


Number = Annotated[float | int, PlainValidator(_a_number, json_schema_input_type=float)]
Scalar = Annotated[Value, PlainValidator(_a_scalar, json_schema_input_type=float | str | bool)]


class Valid(Settings):
    """What a sensor's values have to be like, after `scale` and `offset`; others are refused."""

    min: Number | None = None
    max: Number | None = None
    not_: Annotated[list[Scalar], Field(min_length=1)] | None = Field(default=None, alias="not")
    """Numbers that are no values, such as 85 of a DS18B20 that has not measured yet."""
    max_jump: Number | None = None
    """How far a value may be from the one before; two in a row that agree with each other are believed."""

    @model_validator(mode="after")
    def _says_something_that_can_hold(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("is empty: name min, max, not or max_jump")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("no number is valid: `min` is above `max`")
        if self.max_jump is not None and self.max_jump <= 0:
            raise ValueError("`max_jump` has to be above 0")
        return self

    @property
    def of_numbers(self) -> bool:
        """Whether it asks for a number."""
        return (self.min, self.max, self.max_jump) != (None, None, None)


class Sensor(Settings):
    """One named value of a source, as the configuration has it."""

    path: Path | None = None
    """None is the whole payload."""
    type: Literal["number", "text", "bool"] | None = None
    """None is as it comes; see `kind`."""
    map: Annotated[dict[str, Scalar], Field(min_length=1)] | None = None
    """From what arrives, as YAML would write it, to the value; what is not in it is refused."""
    scale: Number = 1
    offset: Number = 0
    """A number becomes value * scale + offset."""
    unit: str | None = None
    valid: Valid | None = None

    @property
    def kind(self) -> Literal["number", "text", "bool"] | None:
        """The `type`, or number where a word asks for numbers."""
        numeric = (self.scale, self.offset) != (1, 0) or (self.valid is not None and self.valid.of_numbers)
        return "number" if numeric and self.type is None else self.type

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.scale == 0:
            raise ValueError("`scale: 0` makes all values the same")
        if self.type in ("text", "bool") and self.model_copy(update={"type": None}).kind == "number":
            raise ValueError(f"scale, offset, min, max and max_jump are for numbers, not for `type: {self.type}`")
        for key, value in (self.map or {}).items():
            if self.kind is not None and _kind_of(value) != self.kind:
                raise ValueError(f"`map` makes {key} a {_kind_of(value)}, but the sensor has to be a {self.kind}")
        return self


def _kind_of(value: Value) -> str:
    return "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


class SourceConfig(Settings):
    """What every source has in the configuration; each driver adds its own keys."""

    driver: str
    labels: dict[str, str] = Field(default_factory=dict)
    sensors: dict[Name, Sensor]
    format: Format = "json"
    attributes: ConfiguredAttributes = Field(default_factory=list)
    """Other fields of the message that its events carry."""

    def wrong_paths(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The paths that the format cannot have: where they stand within the source, and what is wrong."""
        for name, sensor in self.sensors.items():
            if wrong := wrong_path(sensor.path, self.format):
                yield ("sensors", name, "path"), wrong
        of_attributes = self.attributes.items() if isinstance(self.attributes, dict) else enumerate(self.attributes)
        for key, path in of_attributes:
            if wrong := wrong_path(path, self.format):
                yield ("attributes", key), wrong
        names = Counter(name for name, _ in attribute_paths(self.attributes, self.format))
        for name in (name for name, count in names.items() if count > 1):
            yield ("attributes",), f"two are named {name}: give names, {{name: path}}"

    def decoding(self, sensor: str) -> str:
        """What decides which values a sensor gives: the same text for what means the same."""
        model = self.sensors[sensor]
        format_ = self.format if isinstance(self.format, str) else self.format.model_dump()
        words = model.model_dump(exclude={"path", "unit"})
        return json.dumps([format_, path_steps(model.path, self.format), words], sort_keys=True)


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
    tap: Callable[[Raw], None] | None = None
    """Shown all that arrives before it is decoded, with `at` as the clock's `now`."""
    guest: bool = False
    """Nothing of it is to stay at a broker when it goes: no session."""


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

    def decode(self, raw: Raw) -> Sequence[Message | Presence]:
        """What this feed makes of something that was recorded, as if it had just arrived; nothing: it is not for it."""
        return ()

    def behind_since(self) -> float | None:
        """When the oldest message arrived that was read but not yet yielded; None: there is none.

        No hold and no silence ends later than that, since what waits may have something to say about it.
        """
        return None

    @abstractmethod
    def states(self) -> Mapping[str, SourceState]:
        """The state of each source of this feed, by its name."""
