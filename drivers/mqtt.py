"""The driver of a broker connection and all its sources.

What arrives waits in the intake; when the intake is full, the socket is not read. A batch is acknowledged
behind its `yield`, in the order of receipt and only on the connection that it came by. What was read on an
earlier connection stays in the intake over a reconnect: the broker sends it again, with the DUP flag, and
the ledger knows it.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from drivers.base import (
    Batch,
    Driver,
    DriverError,
    FeedState,
    Message,
    NewSession,
    Receipt,
    Refusal,
    SourceConfig,
    SourceState,
    Surroundings,
)
from drivers.decoding import Decoder, Names
from drivers.mqtt_connection import Connection
from drivers.topics import Topic, parse_topic, sensor_prefix, subscription_ids
from drivers.units import Duration, Name, Size

_BATCH_MESSAGES = 1000
_BATCH_BYTES = 1024 * 1024
_INTAKE_MESSAGES = 4000
_INTAKE_BYTES = 8 * 1024 * 1024
_ROUTES_MAX = 20_000
SENSORS_MAX = 10_000
"""Of one source: more are refused and counted."""


class BrokerConfig(BaseModel):
    """A broker in the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    username: str | None = None
    password: SecretStr | None = None
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    keepalive: Annotated[Duration, Field(ge=1, le=65_535)] = 60.0
    session_expiry: Annotated[Duration, Field(ge=1, le=0xFFFF_FFFE)] = 7 * 86400.0
    max_payload: Annotated[Size, Field(ge=1, le=8 * 1024 * 1024)] = 256 * 1024

    @field_validator("url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"not a URL: {error}") from None
        if parts.scheme != "mqtt" or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("not a URL of a broker: use mqtt://host or mqtt://host:1883")
        if parts.username or parts.password:
            raise ValueError("a user name or password in the URL: use `username` and `password`")
        return url

    @property
    def host(self) -> str:
        """The host of the URL."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL, 1883 by default."""
        return urlsplit(self.url).port or 1883


class MqttSource(SourceConfig):
    """A topic as a source."""

    driver: Literal["mqtt"]
    broker: Name | None = None
    topic: str
    qos: Literal[0, 1] = 1

    @field_validator("topic")
    @classmethod
    def _is_a_topic(cls, topic: str) -> str:
        parse_topic(topic)
        return topic


class _Arrived(NamedTuple):
    at: float
    connection: Connection
    packet_id: int
    """0 for QoS 0."""
    dup: bool
    retained: bool
    topic: str | None
    """None: it was no UTF-8."""
    payload: bytes
    filters: tuple[int, ...]
    """Subscription identifiers that the broker named."""


@dataclass(slots=True)
class _Plan:
    """One source, made ready for messages."""

    name: str
    topic: Topic
    decoder: Decoder
    sensors: int
    prefixes: set[str] = field(default_factory=set)
    """What was seen in place of the placeholders."""


class _Route(NamedTuple):
    plan: _Plan
    names: Names | None
    """None: the source has too many sensors already."""


class MqttDriver(Driver):
    """One broker."""

    Source = MqttSource

    def __init__(
        self, broker: str, config: BrokerConfig, sources: Mapping[str, MqttSource], around: Surroundings
    ) -> None:
        self.name = f"broker:{broker}"
        self._config = config
        self._clock = around.clock
        self._client_id = config.client_id or f"bellcrank-{around.agent_name}-{around.agent_id[:8]}"
        topics = {name: parse_topic(source.topic) for name, source in sources.items()}
        self._ids = subscription_ids(topic.filter for topic in topics.values())
        self._plans: dict[int, list[_Plan]] = {number: [] for number in self._ids.values()}
        self._wanted: dict[str, tuple[int, int]] = {}
        for name, source in sources.items():
            self._add(name, source, topics[name])
        self._routes: dict[tuple[tuple[int, ...], str], tuple[_Route, ...]] = {}
        self._granted: set[str] = set()
        self._intake: deque[_Arrived] = deque()
        self._intake_bytes = 0
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._closed = False
        self._opening: asyncio.Task[bool] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._states = dict.fromkeys(sources, SourceState(FeedState.CONNECTING))

    @classmethod
    def feeds(cls, sources: Mapping[str, Any], around: Surroundings) -> Sequence[Self]:
        """One feed for each broker that has a source."""
        only = next(iter(around.brokers), "") if len(around.brokers) == 1 else ""
        by_broker: dict[str, dict[str, MqttSource]] = {}
        for name, source in sources.items():
            by_broker.setdefault(source.broker or only, {})[name] = source
        return [cls(broker, around.brokers[broker], theirs, around) for broker, theirs in by_broker.items()]

    async def batches(self) -> AsyncIterator[Batch]:
        """Connect and yield what arrives; see `Driver.batches`."""
        try:
            session_present = await self._open()
            if not session_present and not self._closed:
                while self._intake:
                    yield self._batch(self._take())
                yield [NewSession(self._clock.now())]
                self._granted.clear()
            self._subscribe()
            while not self._closed:
                self._wake.clear()
                if self._intake:
                    taken = self._take()
                    yield self._batch(taken)
                    self._acknowledge(taken)
                elif self._connection is None or self._connection.lost is not None:
                    raise DriverError(self._lost("the connection is lost"))
                else:
                    await self._wake.wait()
        finally:
            self._let_go()

    async def close(self) -> None:
        """Disconnect, keeping the session at the broker."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        self._let_go()
        self._wake.set()

    def states(self) -> Mapping[str, SourceState]:
        """The state of each source."""
        return self._states

    # -- the connection

    def _add(self, name: str, source: MqttSource, topic: Topic) -> None:
        decoder = Decoder(name, source.format, source.sensors, source.labels)
        number = self._ids[topic.filter]
        self._plans[number].append(_Plan(name, topic, decoder, len(source.sensors)))
        qos, _ = self._wanted.get(topic.filter, (0, number))
        self._wanted[topic.filter] = (max(qos, source.qos), number)

    async def _open(self) -> bool:
        if self._closed:
            return True
        config = self._config
        password = config.password.get_secret_value() if config.password else None
        self._connection = Connection(
            self._client_id, int(config.session_expiry), self._on_message, self._on_suback, self._on_lost
        )
        connect = self._connection.open(config.host, config.port, int(config.keepalive), config.username, password)
        self._opening = asyncio.ensure_future(connect)
        try:
            return await self._opening
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return True
        except DriverError as error:
            self._granted.clear()  # the broker may have made a new session and its CONNACK have been lost
            raise DriverError(self._lost(str(error))) from None
        finally:
            self._opening = None

    def _subscribe(self) -> None:
        if self._connection is None or self._connection.lost is not None:
            return
        self._tell_states(self._granted, FeedState.OPEN)
        self._connection.subscribe({text: how for text, how in self._wanted.items() if text not in self._granted})

    def _on_suback(self, text: str, refused: str | None) -> None:
        if refused is None:
            self._granted.add(text)
            self._tell_states([text], FeedState.OPEN)
        else:
            self._tell_states([text], FeedState.REFUSED, f"the broker refuses the topic: {refused}")

    def _on_lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self._lost(connection.lost or "the connection is lost")
            self._wake.set()

    def _lost(self, why: str) -> str:
        """Note the loss on every source. Returns the first reason that was noted."""
        if self._connection is not None and self._connection.lost not in (None, "closed"):
            why = self._connection.lost or why
        self._tell_states(self._wanted, FeedState.LOST, why)
        return why

    def _tell_states(self, filters: Iterable[str], state: FeedState, detail: str = "") -> None:
        for text in filters:
            for plan in self._plans.get(self._ids.get(text, 0), ()):
                self._states[plan.name] = SourceState(state, detail)

    def _let_go(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._closed:
            self._tell_states(self._wanted, FeedState.LOST, "closed")

    # -- the intake

    def _on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None:
        try:
            topic: str | None = message.topic
        except UnicodeDecodeError:
            topic = None
        filters = getattr(message.properties, "SubscriptionIdentifier", ())
        packet_id = message.mid if message.qos else 0
        self._intake.append(
            _Arrived(
                self._clock.now(),
                connection,
                packet_id,
                message.dup,
                message.retain,
                topic,
                bytes(message.payload),
                tuple(filters),
            )
        )
        self._intake_bytes += len(message.payload)
        self._wake.set()
        if self._full(1.0):
            self._pause(connection)

    def _full(self, share: float) -> bool:
        return len(self._intake) >= _INTAKE_MESSAGES * share or self._intake_bytes >= _INTAKE_BYTES * share

    def _pause(self, connection: Connection) -> None:
        connection.pause()
        if self._patience is None:
            wait_s = self._config.keepalive / 2
            self._patience = asyncio.get_running_loop().call_later(wait_s, self._out_of_patience, connection)

    def _out_of_patience(self, connection: Connection) -> None:
        """Leave before the broker thinks that the agent is gone; the session keeps what comes meanwhile."""
        self._patience = None
        connection.close("the agent could not keep up for half the keepalive: connecting again")

    def _take(self) -> list[_Arrived]:
        taken: list[_Arrived] = []
        size = 0
        while self._intake and len(taken) < _BATCH_MESSAGES and size < _BATCH_BYTES:
            arrived = self._intake.popleft()
            size += len(arrived.payload)
            taken.append(arrived)
        self._intake_bytes -= size
        if self._patience is not None and not self._full(0.5):
            self._patience.cancel()
            self._patience = None
            if self._connection is not None:
                self._connection.resume()
        return taken

    def _acknowledge(self, taken: Iterable[_Arrived]) -> None:
        for arrived in taken:
            if arrived.packet_id:
                arrived.connection.acknowledge(arrived.packet_id)

    # -- messages

    def _batch(self, taken: Iterable[_Arrived]) -> Batch:
        return [self._message(arrived) for arrived in taken]

    def _message(self, arrived: _Arrived) -> Message:
        routes = self._route(arrived.filters, arrived.topic)
        readings: list[Any] = []
        refusals: list[Refusal] = []
        too_large = len(arrived.payload) > self._config.max_payload
        for plan, names in routes:
            if too_large:
                refusals.append(Refusal(plan.name, None, "too_large", f"{len(arrived.payload)} bytes"))
            elif names is None:
                refusals.append(Refusal(plan.name, None, "too_many_sensors", str(arrived.topic)[:80]))
            else:
                decoded = plan.decoder.decode(arrived.payload, names, retained=arrived.retained)
                readings += decoded.readings
                refusals += decoded.refusals
        sources = tuple(plan.name for plan, _ in routes)
        return Message(arrived.at, sources, tuple(readings), tuple(refusals), _receipt(arrived))

    def _route(self, filters: tuple[int, ...], topic: str | None) -> tuple[_Route, ...]:
        if topic is None:
            return ()
        routes = self._routes.get((filters, topic))
        if routes is None:
            routes = tuple(self._new_routes(filters, topic))
            if len(self._routes) < _ROUTES_MAX:
                self._routes[(filters, topic)] = routes
        return routes

    def _new_routes(self, filters: tuple[int, ...], topic: str) -> Iterable[_Route]:
        """The sources of the filters that the broker named, or of all where it names none."""
        for number in filters or self._plans:
            for plan in self._plans.get(number, ()):
                values = plan.topic.match(topic)
                if values is not None:
                    yield _Route(plan, _names(plan, values))


def _names(plan: _Plan, values: Mapping[str, str]) -> Names | None:
    prefix = sensor_prefix(plan.name, values)
    if prefix not in plan.prefixes and (len(plan.prefixes) + 1) * plan.sensors > SENSORS_MAX:
        return None
    plan.prefixes.add(prefix)
    return plan.decoder.names(prefix, values)


def _receipt(arrived: _Arrived) -> Receipt | None:
    if not arrived.packet_id:
        return None
    topic = (arrived.topic or "").encode()
    digest = hashlib.blake2b(topic + b"\0" + arrived.payload, digest_size=6).digest()
    return Receipt(arrived.packet_id, arrived.dup, digest)
