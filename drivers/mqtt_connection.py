"""One connection to a broker: a fresh paho client on the asyncio loop, from CONNECT to its loss.

paho connects in a thread, because it blocks on names, TCP and TLS, and is attached to the loop afterwards.
Nothing that a callback does may raise into paho, which would keep the packet and handle it for ever.

paho reads three times for each packet and makes a dozen objects of a message. So the socket is read here, as much as
there is, messages go straight to the listener, and paho is given the other packets, one by one.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers import tls
from drivers.base import DriverError
from drivers.mqtt_packets import PACKET_BYTES_MAX, PUBREL, Inbox, NotMqtt, Publish, acknowledgements, pubcomp
from drivers.threads import in_daemon_thread
from drivers.tls import Tls

_CONNECT_TIMEOUT_S = 5.0
_CONNACK_TIMEOUT_S = 10.0
_MISC_EVERY_S = 1.0
_READ_BYTES = 64 * 1024
"""At once, so that a flood leaves room for the other tasks of the loop."""
_RECEIVE_MAX = 4000
"""The broker is told to leave no more unacknowledged: the ledger, which has to know it again, holds 4,096."""
_RETAINED_ALWAYS, _RETAINED_IF_NEW = 0, 1
"""MQTT 5, 3.8.3.1: whether retained messages come if the subscription existed already."""
_TAKEN_OVER = 0x8E
_NO_ANSWER, _NO_MQTT = 0x8D, 0x82
"""How paho tells of a keepalive that ran out, and of what it cannot read."""
_NO_PACKET = "the broker sent what is no MQTT packet"
_OTHER_VERSION = 0x84
_HINTS = {
    0x84: "see `protocol`",
    0x86: "are `username` and `password` right?",
    0x87: "are `username` and `password` right?",  # brokers mix it up with the one above
    0x9A: "`availability_topic: false` does without retained messages",
}
ONLINE, OFFLINE = "online", "offline"


class VersionRefused(DriverError):
    """The broker does not speak this version of MQTT."""


@dataclass(frozen=True)
class Login:
    """Where a broker is and who the agent is there."""

    url: str
    host: str
    """Or the path of a unix socket."""
    port: int
    unix: bool
    tls: Tls | None
    username: str | None
    password: str | None = field(repr=False)
    client_id: str
    keepalive_s: int
    session_expiry_s: int
    availability_topic: str | None
    """Retained `online` while connected, then `offline`: said at the end, or by the broker as the last will."""
    clean_start: bool = False
    """Take up no session; with MQTT 3.1.1 leave none behind either."""


class Subscription(NamedTuple):
    """How a filter is subscribed."""

    qos: int
    identifier: int
    again: bool
    """Its retained messages come even where the subscription existed."""


class Listener(NamedTuple):
    """What is told of a connection. Nothing of it may raise."""

    messages: Callable[["Connection", Iterator[Publish]], None]
    """It takes as many as it has room for, and where some are left it has the connection pause."""
    subscribed: Callable[["Connection", str, str | None], None]
    """A filter, and why it was refused if it was."""
    unsubscribed: Callable[["Connection", str], None]
    lost: Callable[["Connection"], None]


class _Client(mqtt.Client):
    """paho, that reads what it is given, and closes what it leaves open when a connection cannot be made."""

    _given = b""
    _broken: OSError | None = None
    """Why there is no more to read."""

    def read(self) -> bytes:
        """What has come on the socket; nothing where nothing has, or where it `is_broken`."""
        try:
            data = super()._sock_recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            self._broken = error
            return b""
        if not data:
            self._broken = ConnectionResetError()
        self._last_bytes_received = mqtt.time_func()  # a sign of life: paho need not ask for one
        return data

    def handle(self, packet: bytes = b"") -> bool:
        """Do what a packet asks for, or find that there will be none. Returns whether the connection still stands.

        Raises NotMqtt.
        """
        if packet and packet[0] >> 4 == PUBREL:  # paho leaves it unanswered, as it knows of no message
            self.send(pubcomp(packet))
            return True
        self._given = packet
        return self.loop_read() == mqtt.MQTT_ERR_SUCCESS

    @property
    def is_broken(self) -> bool:
        """Whether there is no more to read; paho does not know of it before it is to handle something."""
        return self._broken is not None

    def send(self, packets: bytes) -> None:
        """Send acknowledgements, in one piece."""
        self._packet_queue(mqtt.PUBACK, packets, 0, 1)

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._given:
            raise self._broken or BlockingIOError
        taken, self._given = self._given[:bufsize], self._given[bufsize:]
        return taken

    def _create_unix_socket_connection(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(_CONNECT_TIMEOUT_S)
            sock.connect(self._host)
        except BaseException:
            sock.close()
            raise
        return sock

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context or ssl.create_default_context()
        return context.wrap_socket(tcp_sock, server_hostname=self._host)


class Connection:
    """`open` it once; `lost` says why it ended."""

    def __init__(self, login: Login, version: MQTTProtocolVersion, listener: Listener) -> None:
        self.lost: str | None = None
        self.may_have_asked = True
        """Whether CONNECT may have been sent."""
        self.offers_subscription_ids = version is MQTTProtocolVersion.MQTTv5
        self.connack: Mapping[str, Any] = {}
        """The properties of the broker's welcome (MQTT 5, 3.2.2.3), such as `MaximumQoS`."""
        self._login = login
        self._version = version
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._client = self._new_client()
        self._connack: asyncio.Future[bool] = self._loop.create_future()
        self._subscribing: dict[int | None, str] = {}
        self._unsubscribing: dict[int | None, str] = {}
        self._inbox = Inbox(is_5=version is MQTTProtocolVersion.MQTTv5)
        self._reading = self._writing = False
        self._alert: str | None = None
        self._misc: asyncio.TimerHandle | None = None
        self._rest: asyncio.Handle | None = None

    def _new_client(self) -> _Client:
        login, is_5 = self._login, self._version is MQTTProtocolVersion.MQTTv5
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=login.client_id,
            protocol=self._version,
            clean_session=None if is_5 else login.clean_start,
            transport="unix" if login.unix else "tcp",
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.on_log = self._note
        if login.username is not None or login.password is not None:
            client.username_pw_set(login.username, login.password)
        if login.availability_topic is not None:
            client.will_set(login.availability_topic, OFFLINE, qos=1, retain=True)
        return client

    async def open(self) -> bool:
        """Connect and log in. Returns whether the broker still has the session. Raises DriverError."""
        url = self._login.url
        try:
            await in_daemon_thread(self._connect, _dispose)
            self._attach()
            async with asyncio.timeout(_CONNACK_TIMEOUT_S):
                return await self._connack
        except TimeoutError:
            self._end(f"{url}: no answer: is it an MQTT broker, and for this `protocol`?")
        except (OSError, ValueError) as error:
            self.may_have_asked = False
            self._end(f"{url}: {tls.why(error)}")
        raise DriverError(self.lost)

    def subscribe(self, filters: Mapping[str, Subscription]) -> None:
        """Subscribe filters; each is told of when the broker has answered."""
        for text, (qos, identifier, again) in filters.items():
            if self._version is MQTTProtocolVersion.MQTTv5:
                properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
                if self.offers_subscription_ids:
                    properties.SubscriptionIdentifier = identifier
                retained = _RETAINED_ALWAYS if again else _RETAINED_IF_NEW
                options = SubscribeOptions(qos=qos, retainHandling=retained)
                _, packet_id = self._client.subscribe(text, options=options, properties=properties)
            else:
                _, packet_id = self._client.subscribe(text, qos)
            self._subscribing[packet_id] = text
        self._write()

    def unsubscribe(self, filters: Iterable[str]) -> None:
        """Unsubscribe filters; each is told of when the broker has answered."""
        for text in filters:
            _, packet_id = self._client.unsubscribe(text)
            self._unsubscribing[packet_id] = text
        self._write()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; what becomes of it is not told."""
        self._client.publish(topic, payload, qos=1)
        self._write()

    def acknowledge(self, messages: Iterable[Publish]) -> None:
        """Acknowledge them in this order, if the connection still stands."""
        if self.lost is None:
            self._client.send(acknowledgements(messages))
            self._write()

    def pause(self) -> None:
        """Read no more, until `resume`."""
        sock = self._client.socket()
        if self._reading and sock is not None:
            self._loop.remove_reader(sock)
        self._reading = False

    def resume(self) -> None:
        """Read again."""
        sock = self._client.socket()
        if not self._reading and sock is not None:
            self._loop.add_reader(sock, self._readable)
            self._reading = True
            self._go_on()

    def close(self, why: str = "closed", *, for_good: bool = False) -> None:
        """Say goodbye, which keeps the session, and close the socket. `for_good`: the agent is offline from now on."""
        self._end(why)
        if self._client.is_connected():
            if for_good:
                self._say(OFFLINE, 0)
            self._client.disconnect()
            self._client.loop_write()
        if (sock := self._client.socket()) is not None:
            self._detach(self._client, None, sock)
            _dispose(self._client)

    # -- in a thread

    def _connect(self) -> mqtt.Client:
        login, client = self._login, self._client
        if login.tls is not None:
            client.tls_set_context(login.tls.context())
        if self._version is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = login.session_expiry_s
            properties.MaximumPacketSize = PACKET_BYTES_MAX
            properties.ReceiveMaximum = _RECEIVE_MAX
            clean = login.clean_start
            client.connect(login.host, login.port, login.keepalive_s, clean_start=clean, properties=properties)
        else:
            client.connect(login.host, login.port, login.keepalive_s)
        return client

    # -- on the loop

    def _attach(self) -> None:
        client = self._client
        if client.socket() is None:  # it was closed while CONNECT was sent
            self._end(self._why_closed())
            return
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_unsubscribe = self._unsubscribed
        client.on_disconnect = self._disconnected
        client.on_socket_close = self._detach
        self.resume()
        self._write()
        self._tick()

    def _detach(self, _client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        self._reading = self._writing = False

    def _write(self) -> None:
        """Write what paho has left; where the socket takes no more, when it does again."""
        client = self._client
        if client.want_write():
            client.loop_write()
        sock = client.socket()
        if sock is None or client.want_write() is self._writing:
            return
        self._writing = not self._writing
        if self._writing:
            self._loop.add_writer(sock, self._write)
        else:
            self._loop.remove_writer(sock)

    def _readable(self) -> None:
        self._inbox.put(self._client.read())
        self._take_in()

    def _take_in(self) -> None:
        """Take in what was read, until something is not there as a whole or the listener has the connection pause."""
        try:
            while self._reading and (packet := self._next_packet()) is not None:
                if not self._client.handle(packet):
                    return  # lost, of which `_disconnected` has told
        except NotMqtt:
            self.pause()
            self._end(_NO_PACKET)
            return
        if self._client.is_broken and self._reading:
            self._client.handle()
            return
        self._write()  # what the packets asked for
        if self._pending():
            self._go_on()

    def _next_packet(self) -> bytes | None:
        """What is for paho, once the listener has taken the messages in front of it."""
        self._listener.messages(self, self._inbox.messages())
        return self._inbox.packet() if self._reading else None

    def _go_on(self) -> None:
        """TLS takes more from the socket than was asked for, and a pause leaves some: the loop sees neither."""
        if self._rest is None:
            self._rest = self._loop.call_soon(self._rest_is_readable)

    def _rest_is_readable(self) -> None:
        self._rest = None
        if self._reading and self._inbox:  # first what there is: else it would grow with each pause
            self._take_in()
        if self._reading and self._pending():
            self._readable()

    def _pending(self) -> int:
        sock = self._client.socket()
        return sock.pending() if isinstance(sock, ssl.SSLSocket) else 0

    def _tick(self) -> None:
        """Let paho look after the keepalive."""
        if self.lost is None:
            self._client.loop_misc()
            self._write()
            self._misc = self._loop.call_later(_MISC_EVERY_S, self._tick)

    def _say(self, word: str, qos: int) -> None:
        if self._login.availability_topic is not None:
            self._client.publish(self._login.availability_topic, word, qos=qos, retain=True)

    def _end(self, why: str, error: type[DriverError] = DriverError) -> None:
        if self.lost is not None:
            return
        self.lost = why
        if self._misc is not None:
            self._misc.cancel()
        if not self._connack.done():
            self._connack.set_exception(error(why))
            self._connack.exception()  # nobody may be waiting for it any more
        self._listener.lost(self)

    # -- what paho calls

    def _connected(
        self,
        client: mqtt.Client,
        _userdata: Any,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._connack.done():
            return
        if reason.is_failure:
            hint = f": {_HINTS[reason.value]}" if reason.value in _HINTS else ""
            kind = VersionRefused if reason.value == _OTHER_VERSION else DriverError
            self._end(f"the broker refuses the connection: {reason}{hint}", kind)
            return
        client.on_log = None
        self.connack = {} if properties is None else properties.json()  # type: ignore[no-untyped-call]
        if self.connack.get("SubscriptionIdentifierAvailable", 1) == 0:
            self.offers_subscription_ids = False
        self._say(ONLINE, 1)
        self._connack.set_result(flags.session_present)

    def _subscribed(
        self, _client: mqtt.Client, _userdata: Any, packet_id: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        text = self._subscribing.pop(packet_id, None)
        if text is not None and reasons:
            self._listener.subscribed(self, text, str(reasons[0]) if reasons[0].is_failure else None)

    def _unsubscribed(
        self, _client: mqtt.Client, _userdata: Any, packet_id: int, _reasons: Any, _properties: Any
    ) -> None:
        text = self._unsubscribing.pop(packet_id, None)
        if text is not None:
            self._listener.unsubscribed(self, text)

    def _note(self, _client: mqtt.Client, _userdata: Any, level: int, said: str) -> None:
        """Keep what TLS says when the broker breaks off before it answers: paho only logs it."""
        if level == LogLevel.MQTT_LOG_ERR:
            self._alert = tls.alert(said) or self._alert

    def _disconnected(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode | None,
        _properties: Any,
    ) -> None:
        code = 0 if reason is None else reason.value
        if code == _TAKEN_OVER:
            self._end(f"another client has connected as {self._login.client_id}: has a second agent the same name?")
        elif flags.is_disconnect_packet_from_server:
            self._end(f"the broker ends the connection: {reason}")
        elif code == _NO_ANSWER:
            self._end("the broker no longer answers")
        elif code == _NO_MQTT:
            self._end(_NO_PACKET)
        else:
            self._end(self._why_closed())

    def _why_closed(self) -> str:
        login = self._login
        if self._alert is not None:
            return f"{login.url}: {self._alert}"
        if not self._connack.done():
            return f"{login.url}: the broker closed the connection before it answered: {_likely(login)}"
        # Brokers (mosquitto 2.0 too) also do so when another client takes the session over.
        return (
            "the broker closed the connection without a word: was it stopped,"
            f" or does another client connect as {login.client_id}?"
        )


def _likely(login: Login) -> str:
    """What may be the matter with a broker that hangs up at once."""
    if login.tls is None:
        return "does it speak TLS there (mqtts://)?"
    if login.tls.cert is None:
        return "does it ask for a client certificate (`tls.cert`)?"
    return "does it refuse the client certificate?"


def _dispose(client: mqtt.Client) -> None:
    sock = client.socket()
    if sock is not None:
        sock.close()
