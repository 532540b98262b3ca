"""Takes webhooks and notes when which reading came first: `python -m bench.receiver PORT`.

POST /hook/NAME with the body of a contender's webhook; GET /count/NAME gives how many different readings came, GET
/times/NAME when, as doubles of the monotonic clock by number, 0 for those that did not; POST /forget/NAME.

It parses no more of HTTP than clients say (keep-alive, Content-Length, chunks), so that it leaves the cores to who is
measured: 24,000 events of bellcrank take it 0.8 s of CPU with uvloop, so a core of its own would take 29,000 a second,
five times what the bare chain can send.
"""

import asyncio
import re
import resource
import sys
import time
from array import array
from collections import defaultdict
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_NUMBER = re.compile(rb'"(?:value|t)": *(\d+)')
"""Of the reading, in an event of bellcrank or in the payload itself."""
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Arrivals:
    """When which reading came."""

    def __init__(self) -> None:
        self.times = array("d")
        self.count = 0

    def note(self, body: bytes) -> None:
        found = _NUMBER.search(body)
        if found is None:
            return
        number = int(found[1])
        if number >= len(self.times):
            self.times.extend([0.0] * (number + 1 - len(self.times)))
        if not self.times[number]:
            self.times[number] = time.monotonic()
            self.count += 1


class Connection(asyncio.Protocol):
    """One keep-alive connection of a client; requests may come in pieces, or several at once."""

    def __init__(self, arrivals: defaultdict[str, Arrivals]) -> None:
        self._arrivals = arrivals
        self._came = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            head = self._came[:end]
            taken = take_body(head, self._came, end + 4)
            if taken is None:
                return
            body, length = taken
            self._came = self._came[length:]
            self._transport.write(self._answer(head, body))
            if _CLOSE.search(head):
                self._transport.close()

    def _answer(self, head: bytes, body: bytes) -> bytes:
        _, what, name = head.split(b" ", 2)[1].decode().split("/")
        if what == "hook":
            self._arrivals[name].note(body)
            return _OK
        if what == "forget":
            self._arrivals.pop(name, None)
            return _OK
        arrivals = self._arrivals[name]
        said = str(arrivals.count).encode() if what == "count" else arrivals.times.tobytes()
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)


def take_body(head: bytes, came: bytes, begin: int) -> tuple[bytes, int] | None:
    """The body that begins there and where it ends; None where it has not all come."""
    if found := _LENGTH.search(head):
        end = begin + int(found[1])
        return (came[begin:end], end) if len(came) >= end else None
    if _CHUNKED.search(head):
        return _take_chunks(came, begin)
    return b"", begin


def _take_chunks(came: bytes, begin: int) -> tuple[bytes, int] | None:
    parts = []
    while (line := came.find(b"\r\n", begin)) >= 0:
        size = int(came[begin:line].partition(b";")[0], 16)
        begin = line + 2 + size + 2
        if len(came) < begin:
            return None
        parts.append(came[line + 2 : line + 2 + size])
        if not size:
            return b"".join(parts), begin
    return None


async def serve(port: int) -> None:
    arrivals: defaultdict[str, Arrivals] = defaultdict(Arrivals)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(arrivals), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # Node-RED opens a connection for each request
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(int(sys.argv[1])))
    else:
        uvloop.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
