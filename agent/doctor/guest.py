"""A visit to a broker beside the agent: a client id of its own, a session that ends with the connection."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion

from drivers.base import DriverError
from drivers.mqtt import BrokerConfig
from drivers.mqtt_connection import Connection, Listener, Login, Subscription, VersionRefused
from drivers.mqtt_packets import Publish
from drivers.tls import Tls

SYS_VERSION = "$SYS/broker/version"
SYS_DROPPED = "$SYS/broker/publish/messages/dropped"
SYS_HEAP = "$SYS/broker/heap/current"
SYS = (SYS_VERSION, SYS_DROPPED, SYS_HEAP)
"""What mosquitto tells of itself, see mosquitto(8); others may do so too."""
_ANSWER_S, _ECHO_S = 5.0, 3.0
_TOPICS_MAX = 5000
_SYS_BYTES_MAX = 100
_VERSIONS = {
    "auto": (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311),
    "5": (MQTTProtocolVersion.MQTTv5,),
    "3.1.1": (MQTTProtocolVersion.MQTTv311,),
}
_NAMES = {MQTTProtocolVersion.MQTTv5: "5", MQTTProtocolVersion.MQTTv311: "3.1.1"}


@dataclass(slots=True)
class Heard:
    """What came on one topic."""

    messages: int = 0
    retained: int = 0
    """Of them, those that the broker had kept."""
    qos_0: int = 0
    """Of them, those that were published with QoS 0."""


@dataclass(slots=True)
class Visit:
    """What a visit brought."""

    version: str | None = None
    """Of MQTT; None: the broker did not let the guest in."""
    refused: str | None = None
    """Why it did not."""
    login_s: float = 0.0
    """From the look-up of the name to CONNACK."""
    connack: Mapping[str, Any] = field(default_factory=dict)
    """Properties of CONNACK (MQTT 5, 3.2.2.3)."""
    filters: dict[str, str | None] = field(default_factory=dict)
    """Each topic filter that was answered, and why it was refused."""
    topics: dict[str, Heard] = field(default_factory=dict)
    overlooked: int = 0
    """Messages on further topics."""
    sys: dict[str, str] = field(default_factory=dict)
    """Topic below $SYS -> what the broker says there."""
    round_trip_s: float | None = None
    """From publishing to hearing it; None: it did not come back."""
    lost: str | None = None
    """Why the connection broke before the guest took its leave."""


async def visit(broker: BrokerConfig, filters: Sequence[str], echo: str, listen_s: float) -> Visit:
    """Log in, subscribe, listen, publish once on the topic `echo`, and go. Never raises."""
    for version in _VERSIONS[broker.protocol]:
        guest = _Guest(_login(broker), version, echo)
        try:
            return await guest.stay(filters, listen_s)
        except VersionRefused as error:
            refused = Visit(refused=str(error))
        except DriverError as error:
            return Visit(refused=str(error))
    return refused


class _Guest:
    def __init__(self, login: Login, version: MQTTProtocolVersion, echo: str) -> None:
        self._visit = Visit()
        self._version, self._echo = version, echo
        self._lost, self._answered, self._echoed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._awaited: set[str] = set()
        listener = Listener(self._on_messages, self._on_suback, lambda *_: None, self._on_lost)
        self._connection = Connection(login, version, listener)

    async def stay(self, filters: Sequence[str], listen_s: float) -> Visit:
        """Raises DriverError where the broker does not let it in."""
        clock, it = asyncio.get_running_loop().time, self._visit
        begin = clock()
        try:
            await self._connection.open()
            it.version, it.connack, it.login_s = _NAMES[self._version], self._connection.connack, clock() - begin
            await self._subscribe([*filters, self._echo, *SYS])
            await _within(listen_s, self._lost)
            begin = clock()
            self._connection.publish(self._echo, b"a round trip of bellcrank doctor")
            if self._echo_may_come() and await _within(_ECHO_S, self._echoed):
                it.round_trip_s = clock() - begin
            it.lost = self._connection.lost
        finally:
            self._connection.close()
        return it

    async def _subscribe(self, filters: Sequence[str]) -> None:
        self._awaited = set(filters)
        self._connection.subscribe({text: Subscription(1, i, again=True) for i, text in enumerate(filters, 1)})
        await _within(_ANSWER_S, self._answered)

    def _echo_may_come(self) -> bool:
        return self._connection.lost is None and self._visit.filters.get(self._echo, "no answer") is None

    def _on_suback(self, _connection: Connection, text: str, refused: str | None) -> None:
        self._visit.filters[text] = refused
        if self._awaited <= set(self._visit.filters):
            self._answered.set()

    def _on_lost(self, _connection: Connection) -> None:
        for event in (self._lost, self._answered, self._echoed):
            event.set()

    def _on_messages(self, connection: Connection, messages: Iterator[Publish]) -> None:
        for message in messages:
            if message.qos:
                connection.acknowledge([message])
            topic = message.topic.decode(errors="backslashreplace")
            if topic == self._echo:
                self._echoed.set()
            elif topic in SYS:
                self._visit.sys[topic] = message.payload[:_SYS_BYTES_MAX].decode(errors="replace")
            else:
                self._count(topic, message)

    def _count(self, topic: str, message: Publish) -> None:
        topics = self._visit.topics
        if topic not in topics and len(topics) >= _TOPICS_MAX:
            self._visit.overlooked += 1
            return
        heard = topics.setdefault(topic, Heard())
        heard.messages += 1
        heard.retained += message.retained
        heard.qos_0 += message.packet_id == 0


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether it comes in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _login(broker: BrokerConfig) -> Login:
    return Login(
        url=broker.url,
        host=broker.host,
        port=broker.port,
        unix=broker.is_unix,
        tls=(broker.tls or Tls()) if broker.url.startswith("mqtts:") else None,
        username=broker.username,
        password=broker.password.get_secret_value() if broker.password else None,
        client_id=f"bellcrank-doctor-{secrets.token_hex(4)}",
        keepalive_s=int(broker.keepalive),
        session_expiry_s=0,
        availability_topic=None,
        clean_start=True,
    )
