"""What a broker sends, out of the bytes that came: messages are read here, all other packets are cut out whole. No I/O.

MQTT 3.1.1 and 5: a first byte with the type and flags, the remaining length in one to four bytes, and so many bytes
(2.1). Of all packets PUBLISH alone is many, so it is read without a detour, with what of its properties (MQTT 5,
3.3.2.3) the agent asked for: the subscription identifiers.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_PUBLISH = 3
_LENGTH_BYTES_MAX = 4
_SUBSCRIPTION_ID = 0x0B
_FIXED_BYTES = {0x01: 1, 0x02: 4}
"""Properties of a PUBLISH of fixed size: payload format, message expiry."""
_LENGTHS = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}
"""So many parts with two bytes of length each: content type, response topic, correlation data, user property.

A topic alias (0x23) is not among them: no broker may send one to who allows none.
"""
_PUBACK = struct.Struct(">HH")


class NotMqtt(Exception):
    """What came is no packet of MQTT, or none that a broker may send to this agent."""


class Publish(NamedTuple):
    """A message as a broker sends it."""

    packet_id: int
    """0 for QoS 0."""
    dup: bool
    retained: bool
    topic: bytes
    numbers: tuple[int, ...]
    """The identifiers of the subscriptions that it is sent for; none with MQTT 3.1.1."""
    payload: bytes


class Inbox:
    """The bytes of one connection, in their order: taken as messages while they are that, else as packets."""

    def __init__(self, *, is_5: bool) -> None:
        self._is_5 = is_5
        self._bytes = bytearray()
        self._at = 0
        """So many of them are taken."""

    def __bool__(self) -> bool:
        return self._at < len(self._bytes)

    def put(self, data: bytes) -> None:
        """Bytes that came, of whole packets or not."""
        del self._bytes[: self._at]
        self._at = 0
        self._bytes += data

    def messages(self) -> Iterator[Publish]:
        """Take those at the front; who breaks off finds the others there later. Raises NotMqtt."""
        while (packet := self._whole()) is not None and self._bytes[self._at] >> 4 == _PUBLISH:
            begin, end = packet
            message = self._publish(self._bytes[self._at], begin, end)
            self._at = end
            yield message

    def packet(self) -> bytes | None:
        """Take the packet at the front, once it is there as a whole. Raises NotMqtt."""
        packet = self._whole()
        if packet is None:
            return None
        begin, self._at = self._at, packet[1]
        return bytes(self._bytes[begin : self._at])

    def _whole(self) -> tuple[int, int] | None:
        """Where the content of the packet at the front begins and ends; None: it is not there yet."""
        there = len(self._bytes)
        if there < self._at + 2:
            return None
        length, begin = _number(self._bytes, self._at + 1, there)
        if begin < 0 or begin + length > there:
            return None
        return begin, begin + length

    def _publish(self, first: int, begin: int, end: int) -> Publish:
        data = self._bytes
        topic_at = begin + 2
        at = topic_at + (data[begin] << 8 | data[begin + 1]) if topic_at < end else end
        topic, qos, packet_id = bytes(data[topic_at:at]), first & 6, 0
        numbers: tuple[int, ...] = ()
        if qos:
            packet_id = int.from_bytes(data[at : at + 2], "big")
            at += 2
        if self._is_5:
            length, at = (data[at], at + 1) if at < end and data[at] < 128 else _number(data, at, end)
            if length:
                numbers = _numbers(bytes(data[at : at + length]))
                at += length
        if not topic or qos > 2 or at > end or at < 0:
            raise NotMqtt
        return Publish(packet_id, first & 8 != 0, first & 1 != 0, topic, numbers, bytes(data[at:end]))


def pubacks(packet_ids: Iterable[int]) -> bytes:
    """An acknowledgement of each, in this order (3.4)."""
    return b"".join([_PUBACK.pack(0x4002, packet_id) for packet_id in packet_ids])


def _numbers(properties: bytes) -> tuple[int, ...]:
    """The subscription identifiers among the properties of a message. Raises NotMqtt."""
    if len(properties) == 2 and properties[0] == _SUBSCRIPTION_ID and properties[1] < 128:
        return (properties[1],)
    numbers, at, end = [], 0, len(properties)
    while at < end:
        kind, at = properties[at], at + 1
        if kind == _SUBSCRIPTION_ID:
            number, at = _number(properties, at, end)
            numbers.append(number)
        elif kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        elif kind in _LENGTHS:
            for _ in range(_LENGTHS[kind]):
                at += 2 + int.from_bytes(properties[at : at + 2], "big")
        else:
            raise NotMqtt
        if at < 0:
            raise NotMqtt
    if at > end:
        raise NotMqtt
    return tuple(numbers)


def _number(data: bytes | bytearray, at: int, end: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5, 1.5.5), and where it ends: -1 where it is not there as a whole.

    Raises NotMqtt for one that is too long.
    """
    number = 0
    for place in range(_LENGTH_BYTES_MAX):
        if at + place >= end:
            return 0, -1
        digit = data[at + place]
        number |= (digit & 127) << 7 * place
        if digit < 128:
            return number, at + place + 1
    raise NotMqtt
