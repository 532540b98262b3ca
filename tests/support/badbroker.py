"""A broker that keeps a session as it has to, and can be made to do all else besides, byte by byte."""

import asyncio
import json
from collections.abc import Iterable
from random import Random
from typing import Self

from tests.support.rawbroker import CONNACK, CONNACK_3, CONNACK_SESSION, CONNECT, RawBroker
from tests.support.waiting import until

CONNACK_SESSION_3 = b"\x20\x02\x01\x00"
"""MQTT 3.1.1: welcome, and there is a session."""
TOPIC, QUIET_TOPIC = "bad/told", "bad/quiet"
"""What is said there is told, or only counted."""


class BadBroker:
    """What it said and was not acknowledged is said again, with the DUP flag, right behind each welcome."""

    def __init__(self, name: int, random: Random, *, is_3: bool) -> None:
        """`name`: the whole part of all numbers that it says."""
        self.raw = RawBroker()
        self.is_3 = is_3
        self.random = random
        self.said: set[float] = set()
        """All numbers that have to be told."""
        self.may_be_twice: set[float] = set()
        self._name, self._count = name, 0
        self._packet_id = random.randrange(1, 60_000)
        self._unacknowledged: dict[int, bytes] = {}
        """Packet id -> what was said by it, without the DUP flag."""
        self._acknowledged = 0
        """So many packets of the client are taken in."""

    async def __aenter__(self) -> Self:
        await self.raw.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.raw.__aexit__()

    @property
    def connections(self) -> int:
        """How often a client has said CONNECT."""
        return sum(packet.type == CONNECT for packet in self.raw.got)

    def number(self) -> float:
        """A new one, that has to be told."""
        self._count += 1
        number = numbered(self._name, self._count)
        self.said.add(number)
        return number

    def packet_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    def publish(self, number: float, packet_id: int | None = None, *, topic: str = TOPIC) -> bytes:
        """A PUBLISH at QoS 1, which is in the session until it is acknowledged."""
        packet_id = packet_id or self.packet_id()
        packet = message(topic, json.dumps({"n": number}).encode(), packet_id, is_3=self.is_3)
        self._unacknowledged[packet_id] = packet
        return packet

    def unacknowledged(self) -> list[bytes]:
        """What a right broker says again."""
        for packet in self.raw.got[self._acknowledged :]:
            if packet.type == 4:
                self._unacknowledged.pop(int.from_bytes(packet.content[:2], "big"), None)
        self._acknowledged = len(self.raw.got)
        return [again(packet) for packet in self._unacknowledged.values()]

    async def settled(self) -> None:
        """Wait until all that was said is acknowledged."""
        await until(lambda: not self.unacknowledged(), 60, what=lambda: f"{len(self._unacknowledged)} acknowledgements")

    def forget(self) -> None:
        """Have nothing to say again."""
        self._unacknowledged.clear()

    def welcome(self, *, session: bool = True, packets: Iterable[bytes] = ()) -> None:
        """How the next client is greeted."""
        behind = b"".join(packets)
        self.raw.greeting = (CONNACK_SESSION if session else CONNACK) + behind
        self.raw.greeting_3 = (CONNACK_SESSION_3 if session else CONNACK_3) + behind

    async def cut(self, *, session: bool = True) -> None:
        """Break the connection, and wait for the next, which is greeted with what is not acknowledged."""
        before = self.connections
        self.raw.hang_up()
        await asyncio.sleep(0)
        self.welcome(session=session, packets=self.unacknowledged())
        await self.client(before)

    async def client(self, before: int) -> None:
        """Wait until a client has come anew."""
        await until(lambda: self.connections > before, 60, what="the agent connects again")


def numbered(name: int, count: int) -> float:
    """The n-th number of one of many: none is like another, nor like that of a stream, and none is high."""
    return round(name + count / 1_000_000, 6)


def message(topic: str, payload: bytes, packet_id: int, *, is_3: bool, qos: int = 1) -> bytes:
    """A PUBLISH of any size; QoS 0 has no packet id."""
    encoded = topic.encode()
    content = len(encoded).to_bytes(2, "big") + encoded
    content += packet_id.to_bytes(2, "big") if qos else b""
    content += b"" if is_3 else b"\0"
    return bytes([0x30 | qos << 1]) + length(len(content) + len(payload)) + content + payload


def again(packet: bytes) -> bytes:
    """The same with the DUP flag."""
    return bytes([packet[0] | 0x08]) + packet[1:]


def length(size: int) -> bytes:
    """A remaining length (MQTT 5, 1.5.5)."""
    digits = bytearray()
    while True:
        size, digit = divmod(size, 128)
        digits.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(digits)
