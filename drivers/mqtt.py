"""The driver of a broker connection and all its sources.

What arrives waits in the intake; when the intake is full, the socket is not read. A batch is acknowledged
behind its `yield`, in the order of receipt and only on the connection that it came by. What was read on an
earlier connection stays in the intake over a reconnect: the broker sends it again, with the DUP flag, and
the ledger knows it. How the sources stand waits in the intake too, in order with the messages.

The broker keeps the session, so only what is new to it is subscribed. With MQTT 5 a new process subscribes
all once more (retained messages do not come again by that) and the filters are kept before the broker is
told, as each has its identifier. 3.1.1 has no identifiers and sends retained messages at each subscribe:
there a filter is kept once the broker has granted it, and not subscribed again while the session lasts.

Where CONNECT was sent and what came of it is not known (its answer was lost; this process is new), the session
is in doubt: it may be a new one, and the ledger that of the old one, whose packet ids mean other messages.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Self

from paho.mqtt.enums import MQTTProtocolVersion

from drivers.base import (
    Batch,
    Driver,
    DriverError,
    FeedState,
    Message,
    NewSession,
    Presence,
    Raw,
    Receipt,
    Refusal,
    SourceState,
    Subscriptions,
    Surroundings,
)
from drivers.mqtt_config import Availability, BrokerConfig, MqttSource
from drivers.mqtt_connection import Connection, Listener, Login, Subscription, VersionRefused
from drivers.mqtt_packets import Publish
from drivers.mqtt_routing import NOBODY, Router, Routes, decoded, said
from drivers.mqtt_standings import Standings
from drivers.tls import Tls
from drivers.topics import HIGHEST, identifiers

__all__ = ["Availability", "BrokerConfig", "MqttDriver", "MqttSource"]

_BATCH_MESSAGES = 1000
_BATCH_BYTES = 1024 * 1024
_INTAKE_MESSAGES = 3000
"""With the batch in hand as many as the broker may leave unacknowledged."""
_INTAKE_BYTES = 8 * 1024 * 1024
_IN_DOUBT_MAX_S = 10.0
"""So long a broker may take to answer what is asked of it because its session is in doubt."""
_NOBODYS = "bellcrank/nobody/#"
"""A filter that no source can have, as topics of the configuration have no #."""
_VERSIONS = {"auto": MQTTProtocolVersion.MQTTv5, "5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class _Arrived(NamedTuple):
    at: float
    connection: Connection
    message: Publish
    topic: str
    """Empty: it was no UTF-8."""
    routes: Routes

    @property
    def size(self) -> int:
        """What it holds of the intake's bytes."""
        return len(self.topic) + len(self.message.payload)


_Waiting = _Arrived | Presence | Subscriptions


class MqttDriver(Driver):
    """One broker."""

    Source = MqttSource

    def __init__(
        self, broker: str, config: BrokerConfig, sources: Mapping[str, MqttSource], around: Surroundings
    ) -> None:
        self.name = f"broker:{broker}"
        self._config = config
        self._clock, self._tap = around.clock, around.tap
        self._login = _login(config, around)
        self._version = _VERSIONS[config.protocol]
        self._router = Router(sources)
        self._standings = Standings(sources)
        self._kept = dict(around.subscriptions.get(self.name, {}))
        self._ids = identifiers(self._router.wanted, self._kept)
        self._router.number(self._ids)
        self._granted: set[str] | None = None
        """Filters that the session has, as far as it is known; None before the first connection."""
        self._in_doubt = True
        """The session may be another than the one that the ledger is of."""
        self._answered = False
        self._intake: deque[_Waiting] = deque()
        self._intake_bytes = 0
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._closed = False
        self._opening: asyncio.Task[bool] | None = None
        self._patience: asyncio.TimerHandle | None = None

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
            self._forget_how_it_stood()
            while self._intake and not self._closed:
                yield self._batch(self._take())
            session_present = await self._open()
            if self._in_doubt and not (session_present and await self._sends_again()) and not self._closed:
                yield [NewSession(self._clock.now())]
            if not self._closed:
                self._in_doubt = False
                if self._begin(session_present=session_present):
                    yield [self._subscriptions()]
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

    def decode(self, raw: Raw) -> Sequence[Message | Presence]:
        """What the sources of this broker make of it."""
        routes = NOBODY if raw.topic is None or raw.feed not in ("", self.name) else self._router.route((), raw.topic)
        told = [
            Presence(raw.at, source, prefix, FeedState.OPEN if online else FeedState.OFFLINE)
            for source, prefix, online in said(routes, raw.payload)
        ]
        read = self._read(raw.at, raw.topic or "", raw.payload, routes, retained=raw.retained, receipt=None)
        return [read, *told] if routes.sources else ()

    def behind_since(self) -> float | None:
        """When the oldest that waits in the intake arrived."""
        return self._intake[0].at if self._intake else None

    def states(self) -> Mapping[str, SourceState]:
        """The state of each source."""
        return self._standings.states()

    # -- the connection

    async def _open(self) -> bool:
        """Returns whether the broker still has the session."""
        if self._closed:
            return True
        try:
            return await self._connect()
        except VersionRefused as error:
            if self._config.protocol != "auto" or self._version is MQTTProtocolVersion.MQTTv311:
                raise DriverError(self._lost(str(error))) from None
            self._version = MQTTProtocolVersion.MQTTv311
        except DriverError as error:
            raise DriverError(self._lost(str(error))) from None
        self._let_go()
        return await self._open()

    async def _connect(self) -> bool:
        listener = Listener(self._on_messages, self._on_suback, self._on_unsuback, self._on_lost)
        connection = self._connection = Connection(self._login, self._version, listener)
        self._standings.connecting()
        self._opening = asyncio.ensure_future(connection.open())
        session_present = False
        try:
            session_present = await self._opening
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return True
        finally:
            self._opening = None
            if connection.may_have_asked and not session_present:
                # The broker has made a new session, or may have and its CONNACK was lost.
                self._granted, self._in_doubt = set(), True
        return session_present

    async def _sends_again(self) -> bool:
        """Whether the session holds messages that were sent before: then it is the one that the ledger is of.

        A broker sends again what is unacknowledged when it resumes a session (MQTT 5, 4.4), and first, since the
        order of messages is kept (4.6). This relies on its doing so right behind CONNACK, before it reads on, as
        mosquitto does: what has not come when a later question is answered is not there. A broker that does it
        otherwise has some of it told twice, and nothing lost.
        """
        connection, self._answered = self._connection, False
        if connection is None:
            return True  # it was closed meanwhile
        connection.unsubscribe([_NOBODYS])
        with suppress(TimeoutError):
            async with asyncio.timeout(_IN_DOUBT_MAX_S):
                while not (self._is_settled() or connection.lost):
                    self._wake.clear()
                    await self._wake.wait()
        if connection.lost and not self._closed:
            raise DriverError(self._lost("the connection is lost"))
        return self._has_repeats()

    def _is_settled(self) -> bool:
        """Whether it is known if the session sends again. A full intake is not read beyond."""
        return self._answered or self._has_repeats() or self._full(1.0)

    def _has_repeats(self) -> bool:
        return any(isinstance(waiting, _Arrived) and waiting.message.dup for waiting in self._intake)

    def _on_lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self._lost("the connection is lost")
            self._wake.set()

    def _lost(self, why: str) -> str:
        """Note the loss on every source. Returns the first reason that was noted."""
        if self._connection is not None and self._connection.lost not in (None, "closed"):
            why = self._connection.lost or why
        self._standings.lost(why)
        return why

    def _let_go(self) -> None:
        self._lose_patience()
        connection, self._connection = self._connection, None
        if self._closed or (connection is not None and connection.lost is None):
            self._standings.lost("closed")
        if connection is not None:
            connection.close(for_good=self._closed)

    # -- subscriptions

    def _begin(self, *, session_present: bool) -> bool:
        """Find out what the session has. Returns whether identifiers have to be kept before the broker is told."""
        is_5 = self._version is MQTTProtocolVersion.MQTTv5
        if not session_present:
            self._granted = set()
            self._ids = {text: number for text, number in self._ids.items() if self._is_wanted(text)}
        elif self._granted is None:
            self._granted = set() if is_5 else {text for text in self._kept if text in self._router.wanted}
        kept = dict(self._kept)
        if is_5:
            self._kept = dict(self._ids)
        elif not session_present:
            self._kept = {HIGHEST: self._ids[HIGHEST]}
        return self._kept != kept

    def _subscribe(self) -> None:
        """Tell the broker what is new, what is to be told again, and what is no longer wanted."""
        connection, granted = self._connection, self._granted
        if connection is None or connection.lost is not None or granted is None:
            return
        for text in self._router.wanted:
            if text in granted:
                self._tell(self._standings.granted(self._clock.now(), self._router.sources_of(text)))
        connection.subscribe(
            {
                text: Subscription(wanted.qos, self._ids[text], wanted.again)
                for text, wanted in self._router.wanted.items()
                if wanted.again or text not in granted
            }
        )
        connection.unsubscribe([text for text in self._ids if not self._is_wanted(text)])

    def _on_suback(self, connection: Connection, text: str, refused: str | None) -> None:
        if connection is not self._connection or self._granted is None:
            return
        now, sources = self._clock.now(), self._router.sources_of(text)
        if refused is not None:
            why = f"the broker refuses the topic {text}: {refused}"
            self._standings.unwatched(self._router.watched_by(text), why)
            self._tell(self._standings.refused(now, sources, why))
            return
        if text not in self._granted:
            self._granted.add(text)
            self._tell(self._standings.granted(now, sources))
        if text not in self._kept:
            self._kept[text] = self._ids[text]
            self._tell([self._subscriptions()])

    def _on_unsuback(self, connection: Connection, text: str) -> None:
        """The session has a filter no longer that nobody wants; its identifier means nothing any more."""
        if connection is self._connection and not self._is_wanted(text):
            self._answered = True
            self._wake.set()
            self._ids.pop(text, None)
            if self._kept.pop(text, None) is not None:
                self._tell([self._subscriptions()])

    def _is_wanted(self, text: str) -> bool:
        return text in self._router.wanted or text == HIGHEST

    def _subscriptions(self) -> Subscriptions:
        return Subscriptions(self._clock.now(), {**self._kept, HIGHEST: self._ids[HIGHEST]})

    # -- the intake

    def _on_messages(self, connection: Connection, messages: Iterator[Publish]) -> None:
        now, route = self._clock.now(), self._router.route
        self._wake.set()
        for message in messages:
            topic, routes = "", NOBODY
            try:
                topic = message.topic.decode()
                routes = route(message.numbers, topic)
            except UnicodeDecodeError:
                pass  # it is acknowledged, and nobody's
            self._intake.append(_Arrived(now, connection, message, topic, routes))
            self._intake_bytes += len(topic) + len(message.payload)
            if routes.devices:
                for source, prefix, online in said(routes, message.payload):
                    self._tell(self._standings.said(now, source, prefix, online=online))
            if self._full(1.0):
                self._pause(connection)
                return

    def _tell(self, waiting: Iterable[Presence | Subscriptions]) -> None:
        """Let it wait in the intake, behind the messages that came before it."""
        self._intake.extend(waiting)
        self._wake.set()

    def _full(self, share: float) -> bool:
        return len(self._intake) >= _INTAKE_MESSAGES * share or self._intake_bytes >= _INTAKE_BYTES * share

    def _pause(self, connection: Connection) -> None:
        connection.pause()
        if self._patience is None:
            wait_s = self._config.keepalive / 2
            self._patience = asyncio.get_running_loop().call_later(wait_s, self._out_of_patience, connection)
            self._tell(self._standings.paused(self._clock.now()))

    def _out_of_patience(self, connection: Connection) -> None:
        """Leave before the broker thinks that the agent is gone; the session keeps what comes meanwhile."""
        self._patience = None
        connection.close("the agent could not keep up for half the keepalive: connecting again")

    def _lose_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _forget_how_it_stood(self) -> None:
        """What an earlier connection has left is still to be handled; how the sources stood on it is past."""
        self._intake = deque(w for w in self._intake if not isinstance(w, Presence) or w.prefix != w.source)

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._intake and len(taken) < _BATCH_MESSAGES and size < _BATCH_BYTES:
            waiting = self._intake.popleft()
            size += waiting.size if isinstance(waiting, _Arrived) else 0
            taken.append(waiting)
        self._intake_bytes -= size
        if self._patience is not None and not self._full(0.5):
            self._lose_patience()
            self._tell(self._standings.resumed(self._clock.now()))
            if self._connection is not None:
                self._connection.resume()
        return taken

    def _acknowledge(self, taken: Iterable[_Waiting]) -> None:
        by_connection: dict[Connection, list[Publish]] = {}
        for arrived in taken:
            if isinstance(arrived, _Arrived) and arrived.message.qos:
                by_connection.setdefault(arrived.connection, []).append(arrived.message)
        for connection, messages in by_connection.items():
            connection.acknowledge(messages)

    def _batch(self, taken: Iterable[_Waiting]) -> Batch:
        return [self._message(waiting) if isinstance(waiting, _Arrived) else waiting for waiting in taken]

    def _message(self, arrived: _Arrived) -> Message:
        at, _, message, topic, routes = arrived
        if self._tap is not None:
            self._tap(Raw(at, self.name, topic, None, message.payload, message.qos, message.retained))
        receipt = _receipt(message) if message.qos else None
        return self._read(at, topic, message.payload, routes, retained=message.retained, receipt=receipt)

    def _read(
        self, at: float, topic: str, payload: bytes, routes: Routes, *, retained: bool, receipt: Receipt | None
    ) -> Message:
        if len(payload) > self._config.max_payload:
            detail = f"{len(payload)} bytes"
            refusals = tuple(Refusal(source, None, "too_large", detail) for source in routes.sources)
            return Message(at, routes.sources, (), refusals, receipt)
        found = decoded(routes, topic, payload, retained=retained)
        return Message(at, routes.sources, found.readings, found.refusals, receipt)


def _login(config: BrokerConfig, around: Surroundings) -> Login:
    topic = config.availability_topic
    return Login(
        url=config.url,
        host=config.host,
        port=config.port,
        unix=config.is_unix,
        tls=(config.tls or Tls()) if config.url.startswith("mqtts:") else None,
        username=config.username,
        password=config.password.get_secret_value() if config.password else None,
        client_id=config.client_id or f"bellcrank-{around.agent_name}-{around.agent_id[:8]}",
        keepalive_s=int(config.keepalive),
        session_expiry_s=int(config.session_expiry),
        availability_topic=(topic or None) if topic is not None else f"bellcrank/{around.agent_name}/state",
        clean_start=around.guest,
    )


def _receipt(message: Publish) -> Receipt:
    digest = hashlib.blake2b(message.topic + b"\0" + message.payload, digest_size=6).digest()
    return Receipt(message.packet_id, message.dup, digest)
