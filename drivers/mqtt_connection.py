"""One connection to a broker: a fresh paho client on the asyncio loop, from CONNECT to its loss.

paho connects in a thread, because it blocks on names and TCP, and is attached to the loop afterwards.
Nothing that a callback does may raise into paho, which would keep the packet and handle it for ever.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.base import DriverError
from drivers.threads import in_daemon_thread

_CONNECT_TIMEOUT_S = 5.0
_CONNACK_TIMEOUT_S = 10.0
_MISC_EVERY_S = 1.0
_PACKETS_AT_ONCE = 200
"""So that a flood leaves room for the other tasks of the loop."""
_PACKET_BYTES_MAX = 16 * 1024 * 1024
"""The broker is told not to send more at once: paho holds a packet in memory while it arrives."""
_RETAIN_IF_NEW = 1
"""MQTT 5, 3.8.3.1: retained messages come only if the subscription did not exist."""
_TAKEN_OVER = 0x8E


class Connection:
    """`open` it once; `lost` says why it ended."""

    def __init__(
        self,
        client_id: str,
        session_expiry_s: int,
        on_message: Callable[["Connection", mqtt.MQTTMessage], None],
        on_suback: Callable[[str, str | None], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        """`on_suback` is given a filter, and why it was refused if it was."""
        self.lost: str | None = None
        self.offers_subscription_ids = True
        self._client_id = client_id
        self._session_expiry_s = session_expiry_s
        self._on_message, self._on_suback, self._on_lost = on_message, on_suback, on_lost
        self._loop = asyncio.get_running_loop()
        self._client = self._new_client()
        self._connack: asyncio.Future[bool] = self._loop.create_future()
        self._subscribing: dict[int | None, str] = {}
        self._received = 0
        self._reading = False
        self._misc: asyncio.TimerHandle | None = None

    def _new_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.on_connect = self._connected
        client.on_message = self._message
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        return client

    async def open(self, host: str, port: int, keepalive_s: int, username: str | None, password: str | None) -> bool:
        """Connect and log in. Returns whether the broker still has the session. Raises DriverError."""
        client = self._client
        if username is not None or password is not None:
            client.username_pw_set(username, password)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._session_expiry_s
        properties.MaximumPacketSize = _PACKET_BYTES_MAX

        def connect() -> mqtt.Client:
            client.connect(host, port, keepalive_s, clean_start=False, properties=properties)
            return client

        try:
            await in_daemon_thread(connect, _dispose)
        except (OSError, ValueError) as error:
            raise DriverError(f"mqtt://{host}:{port}: {error}") from None
        self._attach()
        try:
            async with asyncio.timeout(_CONNACK_TIMEOUT_S):
                return await self._connack
        except TimeoutError:
            raise DriverError(f"mqtt://{host}:{port}: connected, but no CONNACK: is it an MQTT broker?") from None

    def subscribe(self, filters: Mapping[str, tuple[int, int]]) -> None:
        """Subscribe filters, each with its QoS and its subscription identifier."""
        for text, (qos, identifier) in filters.items():
            properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
            if self.offers_subscription_ids:
                properties.SubscriptionIdentifier = identifier
            options = SubscribeOptions(qos=qos, retainHandling=_RETAIN_IF_NEW)
            _, packet_id = self._client.subscribe(text, options=options, properties=properties)
            self._subscribing[packet_id] = text

    def acknowledge(self, packet_id: int) -> None:
        """Send a PUBACK, if the connection still stands."""
        if self.lost is None:
            self._client.ack(packet_id, 1)

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

    def close(self, why: str = "closed") -> None:
        """Say goodbye, which keeps the session, and close the socket."""
        self._end(why)  # first, else paho's word for a goodbye becomes the reason
        if self._client.is_connected():
            self._client.disconnect()
            self._client.loop_write()
        if (sock := self._client.socket()) is not None:
            self._detach(self._client, None, sock)
            _dispose(self._client)

    # -- on the loop

    def _attach(self) -> None:
        self._client.on_socket_close = self._detach
        self._client.on_socket_register_write = self._want_write
        self._client.on_socket_unregister_write = self._no_write
        self.resume()
        if self._client.want_write():
            self._want_write(self._client, None, self._client.socket())
        self._tick()

    def _detach(self, _client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        self._reading = False

    def _want_write(self, client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        self._loop.add_writer(sock, client.loop_write)

    def _no_write(self, _client: mqtt.Client, _userdata: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _readable(self) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            before = self._received
            result = self._client.loop_read()
            if result != mqtt.MQTT_ERR_SUCCESS:
                self._end(mqtt.error_string(result))
                return
            if self._received == before or not self._reading:
                return

    def _tick(self) -> None:
        """Let paho look after the keepalive."""
        if self.lost is None:
            self._client.loop_misc()
            self._misc = self._loop.call_later(_MISC_EVERY_S, self._tick)

    def _end(self, why: str) -> None:
        if self.lost is not None:
            return
        self.lost = why
        if self._misc is not None:
            self._misc.cancel()
        if not self._connack.done():
            self._connack.set_exception(DriverError(why))
            self._connack.exception()  # nobody may be waiting for it any more
        self._on_lost(self)

    # -- what paho calls

    def _connected(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._connack.done():
            return
        if reason.is_failure:
            self._connack.set_exception(DriverError(f"the broker refuses the connection: {reason}"))
            return
        self.offers_subscription_ids = getattr(properties, "SubscriptionIdentifierAvailable", 1) == 1
        self._connack.set_result(flags.session_present)

    def _message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._received += 1
        self._on_message(self, message)

    def _subscribed(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        packet_id: int,
        reasons: list[ReasonCode],
        _properties: Properties,
    ) -> None:
        text = self._subscribing.pop(packet_id, None)
        if text is not None:
            self._on_suback(text, str(reasons[0]) if reasons[0].is_failure else None)

    def _disconnected(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Any,
    ) -> None:
        if reason.value == _TAKEN_OVER:
            self._end(f"another client has connected as {self._client_id}: has a second agent the same name?")
        else:
            self._end(f"the connection to the broker is lost: {reason}")


def _dispose(client: mqtt.Client) -> None:
    sock = client.socket()
    if sock is not None:
        sock.close()
