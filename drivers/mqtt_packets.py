"""What a broker sends, out of the bytes that came: messages are read here, all other packets are cut out whole. No I/O.

MQTT 3.1.1 and 5: a first byte with the type and flags, the remaining length in one to four bytes, and so many bytes
(2.1). Of all packets PUBLISH alone is many, so it is read without a detour, with what of its properties (MQTT 5,
3.3.2.3) the agent asked for: the subscription identifiers. QoS 2 is asked for by nobody, but an older session under the
same client id may hold such messages: they are taken as any other and let go in its two steps (4.3.3).
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PACKET_BYTES_MAX = 16 * 1024 * 1024
"""So much of one is held: more than any payload that the agent takes. Of a longer message the rest is left out."""
PUBREL = 6
_PUBLISH = 3
_LENGTH_BYTES_MAX = 4
_SUBSCRIPTION_ID = 0x0B
_FIXED_BYTES = {0x01: 1, 0x02: 4}
"""Properties of a PUBLISH of fixed size: payload format, message expiry."""
_LENGTHS = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}
"""So many parts with two bytes of length each: content type, response topic, correlation data, user property.

A topic alias (0x23) is not among them: no broker may send one to who allows none.
"""
_ACKNOWLEDGEMENT = struct.Struct(">HH")
_PUBACK, _PUBREC, _PUBCOMP = 0x4002, 0x5002, 0x7002
"""With the remaining length, as behind them nothing comes but the packet id."""


class NotMqtt(Exception):
    """What came is no packet of MQTT, or none that a broker may send to this agent."""


class Publish(NamedTuple):
    """A message as a broker sends it."""

    packet_id: int
    """0 for QoS 0."""
    qos: int
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
        self._left_out = 0
        """So many that are still to come belong to a message that was too long."""

    def __bool__(self) -> bool:
        return self._at < len(self._bytes)

    def put(self, data: bytes) -> None:
        """Bytes that came, of whole packets or not."""
        del self._bytes[: self._at]
        self._at = 0
        self._bytes += data[self._left_out :] if self._left_out else data
        self._left_out = max(0, self._left_out - len(data))

    def messages(self) -> Iterator[Publish]:
        """Take those at the front; who breaks off finds the others there later. Raises NotMqtt."""
        while (packet := self._whole()) is not None and self._bytes[self._at] >> 4 == _PUBLISH:
            begin, end = packet
            message = self._publish(self._bytes[self._at], begin, min(end, begin + PACKET_BYTES_MAX))
            self._at = min(end, len(self._bytes))
            self._left_out = end - self._at
            yield message

    def packet(self) -> bytes | None:
        """Take the packet at the front, once it is there as a whole. Raises NotMqtt."""
        packet = self._whole()
        if packet is None:
            return None
        begin, end = self._at, packet[1]
        if end > len(self._bytes):
            raise NotMqtt
        self._at = end
        return bytes(self._bytes[begin:end])

    def _whole(self) -> tuple[int, int] | None:
        """Where the content of the packet at the front begins and ends; None: it is not there yet.

        Of one that is too long the beginning is there, and the end is not.
        """
        there = len(self._bytes)
        if there < self._at + 2:
            return None
        length, begin = _number(self._bytes, self._at + 1, there)
        if begin < 0 or begin + min(length, PACKET_BYTES_MAX) > there:
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
        if not topic or at > end or at < 0 or (qos and (qos > 4 or not packet_id)):
            raise NotMqtt
        return Publish(packet_id, qos >> 1, first & 8 != 0, first & 1 != 0, topic, numbers, bytes(data[at:end]))


def acknowledgements(messages: Iterable[Publish]) -> bytes:
    """One of each that waits for one, in this order: PUBACK (3.4), or for QoS 2 PUBREC (3.5)."""
    pack = _ACKNOWLEDGEMENT.pack
    return b"".join([pack(_PUBACK if m.qos == 1 else _PUBREC, m.packet_id) for m in messages if m.qos])


def pubcomp(pubrel: bytes) -> bytes:
    """What a PUBREL is answered with (3.7), always: the message itself is done since its PUBREC. Raises NotMqtt."""
    _, begin = _number(pubrel, 1, len(pubrel))
    if len(pubrel) < begin + 2:
        raise NotMqtt
    return _ACKNOWLEDGEMENT.pack(_PUBCOMP, int.from_bytes(pubrel[begin : begin + 2], "big"))


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
