"""What an agent has heard, acknowledged and told up to a point of a recording: what must be there after a cut.

Its packets (MQTT 5) and requests (HTTP/1.1) are read out of the bytes that it said and heard.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.faults.power_cut.recording import Kind, Record

PUBLISH, PUBACK = 3, 4
_DUP = 0x08
_HEAD_ENDS = b"\r\n\r\n"


class Heard(NamedTuple):
    """A message at QoS 1."""

    what: str
    """As `tests.faults.oracle` calls what is told of it: `pulse 17`."""
    entry: bytes
    """Of the intake ledger (agent/outbox/ledger.py): packet id and digest."""
    packet: bytes

    def again(self) -> bytes:
        """The packet, as a broker sends it that was not answered."""
        return bytes([self.packet[0] | _DUP]) + self.packet[1:]


@dataclass
class Story:
    """Of all connections of all agents, from the beginning, to a broker and a receiver on these ports."""

    mqtt: int
    http: int
    acknowledged: set[str] = field(default_factory=set)
    """What must be told, if it is not yet."""
    heard: dict[int, Heard] = field(default_factory=dict)
    """The newest message of each packet id."""
    unacknowledged: dict[int, Heard] = field(default_factory=dict)
    """What the broker will send again, by packet id, in its order."""
    told: dict[str, str] = field(default_factory=dict)
    """What a receiver was told, each with the id under which it was: it may have no other."""
    answered: set[str] = field(default_factory=set)
    """The ids that were answered 2xx."""
    version: int = 0
    """Counts what was acknowledged or told."""
    _said: dict[tuple[int, int], "Reader"] = field(default_factory=dict)
    _heard: dict[tuple[int, int], "Reader"] = field(default_factory=dict)

    def follow(self, record: Record) -> None:
        """Take up the next record."""
        at = record.pid, record.fd
        if record.kind == Kind.CONNECTED:
            self._connected(at, record.at)
        elif record.kind == Kind.SAID and at in self._said:
            self._said[at].read(record.data)
        elif record.kind == Kind.HEARD and at in self._heard:
            self._heard[at].read(record.data)

    def _connected(self, at: tuple[int, int], port: int) -> None:
        if port == self.mqtt:
            self._said[at], self._heard[at] = Reader(_packets, self._packet_said), Reader(_packets, self._packet_heard)
        elif port == self.http:
            asked: deque[str] = deque()
            self._said[at] = Reader(_requests, lambda request: self._request(request, asked))
            self._heard[at] = Reader(_requests, lambda answer: self._answer(answer, asked))
        else:
            self._said.pop(at, None)
            self._heard.pop(at, None)

    def _packet_said(self, packet: bytes) -> None:
        if packet[0] >> 4 == PUBACK:
            done = self.unacknowledged.pop(int.from_bytes(_content(packet)[:2], "big"), None)
            if done is not None:
                self.acknowledged.add(done.what)
                self.version += 1

    def _packet_heard(self, packet: bytes) -> None:
        if packet[0] >> 4 == PUBLISH and packet[0] & 0x06:
            number, heard = _heard(packet)
            self.heard[number] = heard
            self.unacknowledged.pop(number, None)
            self.unacknowledged[number] = heard

    def _request(self, request: bytes, asked: deque[str]) -> None:
        head, _, body = request.partition(_HEAD_ENDS)
        event = json.loads(body)
        asked.append(_header(head, b"webhook-id"))
        self.told[what_of(event)] = asked[-1]
        self.version += 1

    def _answer(self, answer: bytes, asked: deque[str]) -> None:
        message_id, status = asked.popleft(), int(answer[9:12])
        if 200 <= status < 300:
            self.answered.add(message_id)


@dataclass
class Reader:
    """Cuts a stream of bytes into whole messages."""

    cut: Callable[[bytearray], Iterator[bytes]]
    take: Callable[[bytes], None]
    rest: bytearray = field(default_factory=bytearray)

    def read(self, data: bytes) -> None:
        self.rest += data
        for message in self.cut(self.rest):
            self.take(message)


def _packets(stream: bytearray) -> Iterator[bytes]:
    """MQTT: taken off the stream as far as they are whole."""
    while (size := _size(stream)) is not None and len(stream) >= size:
        packet = bytes(stream[:size])
        del stream[:size]
        yield packet


def _size(stream: bytearray) -> int | None:
    """Of the packet that it begins with."""
    length = 0
    for i, digit in enumerate(stream[1:5]):
        length |= (digit & 127) << 7 * i
        if digit < 128:
            return i + 2 + length
    return None


def _content(packet: bytes) -> bytes:
    """Behind the fixed header."""
    return packet[next(i for i in range(1, 5) if packet[i] < 128) + 1 :]


def _heard(packet: bytes) -> tuple[int, Heard]:
    content = _content(packet)
    end = 2 + int.from_bytes(content[:2], "big")
    topic, number = content[2:end].decode(), int.from_bytes(content[end : end + 2], "big")
    assert content[end + 2] < 128, "long properties"
    payload = content[end + 3 + content[end + 2] :]
    digest = hashlib.blake2b(topic.encode() + b"\0" + payload, digest_size=6).digest()
    what = _what(topic, json.loads(payload)["n"])
    return number, Heard(what, number.to_bytes(2, "big") + digest, packet)


def _what(topic: str, number: int) -> str:
    if topic.endswith("button"):
        return f"pulse {number}"
    return f"{'firing' if number > 0 else 'resolved'} {number}"


def what_of(event: dict[str, Any]) -> str:
    """What it tells, as `tests.faults.oracle` calls it."""
    return f"{event['data'].get('state', 'pulse')} {event['data']['value']}"


def _requests(stream: bytearray) -> Iterator[bytes]:
    """HTTP, both ways."""
    while (end := stream.find(_HEAD_ENDS)) >= 0:
        size = end + len(_HEAD_ENDS) + int(_header(bytes(stream[:end]), b"content-length") or 0)
        if len(stream) < size:
            return
        request = bytes(stream[:size])
        del stream[:size]
        yield request


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        before, _, value = line.partition(b":")
        if before.lower() == name:
            return value.strip().decode()
    return ""
