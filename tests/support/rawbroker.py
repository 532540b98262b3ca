"""A broker written by hand, byte by byte: only for what mosquitto cannot be made to do."""

import asyncio
import ssl
from typing import NamedTuple, Self

CONNECT, PUBACK, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT = 1, 4, 8, 10, 14
CONNACK = b"\x20\x03\x00\x00\x00"
"""MQTT 5: welcome, and there is no session."""
CONNACK_SESSION = b"\x20\x03\x01\x00\x00"
"""MQTT 5: welcome, and there is a session."""
CONNACK_3 = b"\x20\x02\x00\x00"
"""MQTT 3.1.1: welcome, and there is no session."""


class Packet(NamedTuple):
    """What a client sent, on the n-th connection (from 0)."""

    connection: int
    type: int
    content: bytes


class RawBroker:
    """Answers CONNECT with `greeting`, grants every subscription and ends it; the rest is the test's to `say`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.greeting = CONNACK
        self.greeting_3 = CONNACK_3
        self.ignores: set[int] = set()
        """Types of packets that it does not answer."""
        self.got: list[Packet] = []
        self._server: asyncio.Server
        self._writer: asyncio.StreamWriter | None = None
        self._connections = 0

    @property
    def url(self) -> str:
        scheme = "mqtts" if self._tls else "mqtt"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()

    def say(self, packet: bytes) -> None:
        """To the newest client."""
        assert self._writer is not None
        self._writer.write(packet)

    def hang_up(self) -> None:
        """Break the newest connection without a goodbye."""
        if self._writer is not None:
            self._writer.transport.abort()

    @property
    def lives(self) -> bool:
        """Whether the newest connection stands."""
        return self._writer is not None and not self._writer.transport.is_closing()

    def acknowledged(self, connection: int) -> list[int]:
        """The packet ids of the PUBACKs on a connection, in their order."""
        acks = [p for p in self.got if p.type == PUBACK and p.connection == connection]
        return [int.from_bytes(ack.content[:2], "big") for ack in acks]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, number, is_3 = writer, self._connections, False
        self._connections += 1
        try:
            while True:
                packet = Packet(number, *await _read(reader))
                self.got.append(packet)
                if packet.type in self.ignores:
                    continue
                if packet.type == CONNECT:
                    is_3 = packet.content[6] < 5
                    writer.write(self.greeting_3 if is_3 else self.greeting)
                elif packet.type == SUBSCRIBE:
                    granted = b"\x01" if is_3 else b"\x00\x01"
                    writer.write(bytes([0x90, 2 + len(granted)]) + packet.content[:2] + granted)
                elif packet.type == UNSUBSCRIBE:
                    ended = b"" if is_3 else b"\x00\x11"
                    writer.write(bytes([0xB0, 2 + len(ended)]) + packet.content[:2] + ended)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            writer.transport.abort()


def publish(packet_id: int, topic: bytes, payload: bytes, *, dup: bool = False) -> bytes:
    """A PUBLISH of MQTT 5 at QoS 1 without properties, shorter than 128 bytes."""
    content = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + b"\0" + payload
    return bytes([0x3A if dup else 0x32, len(content)]) + content


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return head >> 4, await reader.readexactly(length)
