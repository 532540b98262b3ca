"""Publishes readings at QoS 1: `python -m bench.load PORT COUNT [--rate R] [--value V]`.

Reading number N (from 1) goes to topic `bench/<N % topics>` and has the value N, so that each is told apart; a fixed
`--value` makes readings that change nothing, `--tell-last` all but the last of them. Without a rate it goes as fast as
the window of unacknowledged ones lets it. The times at which they were sent come out at standard output: doubles,
seconds of the monotonic clock, which all processes share.

All frames are made before the first is sent, and sent by a plain socket (MQTT 3.1.1), so that the load leaves the cores
to who is measured: 60,000 messages take it 0.3 to 0.5 s of CPU, less than a tenth of what the no-op client needs to
hear them; alone on a busy machine it publishes 43,000 a second.
"""

import argparse
import select
import socket
import struct
import sys
import time
from array import array
from collections.abc import Sequence

TOPICS = 16
"""A flood is spread over so many subjects: bellcrank sends one POST at a time for each."""
WINDOW = 500
"""So many may be unacknowledged."""
_CHUNK = 100
"""So many go out in one write at most, and share their time of sending."""


def payload(value: object) -> str:
    """A reading as a Zigbee gateway tells it."""
    return f'{{"t":{value},"h":40.5,"battery":97,"linkquality":120,"voltage":2995}}'


def publish_frame(topic: str, text: str, packet_id: int) -> bytes:
    """PUBLISH at QoS 1 (MQTT 3.1.1, 3.3) of fewer than 16,384 bytes."""
    head = struct.pack("!H", len(topic)) + topic.encode() + struct.pack("!H", packet_id)
    body = head + text.encode()
    return bytes((0x32, 0x80 | len(body) & 0x7F, len(body) >> 7)) + body


def frames(values: Sequence[float], topics: int = TOPICS) -> list[bytes]:
    return [
        publish_frame(f"bench/{n % topics}", payload(value), (n - 1) % 65535 + 1) for n, value in enumerate(values, 1)
    ]


def readings(count: int, value: float | None, *, tell_last: bool) -> Sequence[float]:
    if value is None:
        return range(1, count + 1)
    return [*[value] * (count - 1), count if tell_last else value]


def connect(port: int) -> socket.socket:
    """A clean session at the broker of loopback."""
    name = b"bench-load"
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(name)) + name
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(bytes((0x10, len(body))) + body)
    answer = connection.recv(4)
    if answer != b"\x20\x02\x00\x00":
        raise SystemExit(f"the broker refuses: {answer.hex()}")
    return connection


def send(connection: socket.socket, made: Sequence[bytes], rate: float = 0.0, window: int = WINDOW) -> "array[float]":
    """Send them all and wait for the last acknowledgement; returns when each was sent."""
    times = array("d")
    acknowledged = 0.0  # PUBACKs, four bytes each
    begin = time.monotonic()
    while acknowledged < len(made):
        now = time.monotonic()
        due = min(len(made), int((now - begin) * rate) + 1) if rate else len(made)
        until = min(due, int(acknowledged) + window, len(times) + _CHUNK)
        if until > len(times):
            chunk = made[len(times) : until]
            times.extend([now] * len(chunk))
            connection.sendall(b"".join(chunk))
            patience_s = 0.0
        elif rate and due < len(made) and due == len(times):
            patience_s = max(0.001, begin + due / rate - now)
        else:
            patience_s = 10.0
        if select.select([connection], [], [], patience_s)[0]:
            came = connection.recv(65536)
            if not came:
                raise SystemExit("the broker hung up")
            acknowledged += len(came) / 4
    return times


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("count", type=int)
    options.add_argument("--rate", type=float, default=0.0, help="messages a second")
    options.add_argument("--topics", type=int, default=TOPICS)
    options.add_argument("--window", type=int, default=WINDOW, help="unacknowledged at most")
    options.add_argument("--value", type=float, help="of every reading")
    options.add_argument("--tell-last", action="store_true", help="but the last, which has its number")
    given = options.parse_args()
    made = frames(readings(given.count, given.value, tell_last=given.tell_last), given.topics)
    with connect(given.port) as connection:
        times = send(connection, made, given.rate, given.window)
        connection.sendall(b"\xe0\x00")  # DISCONNECT
    sys.stdout.buffer.write(times.tobytes())


if __name__ == "__main__":
    main()
