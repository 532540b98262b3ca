"""A receiver written by hand, byte by byte: it answers what no HTTP server would."""

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Self

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
_SEEN_S = 0.1
"""Who asks so long behind a surplus answer has seen before that it is there."""
_ID = re.compile(rb"webhook-id: (\S+)", re.IGNORECASE)
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Talk:
    """One connection to the liar."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.surplus_at: float | None = None

    async def say(self, pieces: Iterable[bytes], pause_s: float = 0.0) -> None:
        """Say it in pieces, with a pause behind each; of endless ones, until the other has had enough."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    async def say_surplus(self, answer: bytes) -> None:
        """Say an answer that nobody has asked for."""
        await self.say([answer])
        self.surplus_at = asyncio.get_running_loop().time()

    def reset(self) -> None:
        """Break it with an RST: without lingering the kernel says no goodbye (socket(7))."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def request(self) -> bytes:
        """Read one whole request. Returns its `webhook-id`."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        found, length = _ID.search(head), _LENGTH.search(head)
        await self.reader.readexactly(int(length[1]) if length else 0)
        return found[1] if found else b""

    @property
    def surplus_is_seen(self) -> bool:
        """Whether who asks now knows of a surplus answer. Before that nobody can tell it from a true one."""
        return self.surplus_at is not None and asyncio.get_running_loop().time() - self.surplus_at > _SEEN_S


@dataclass(frozen=True)
class Lie:
    """One way to answer. Behind it the connection ends, but for a surplus answer."""

    name: str
    do: Callable[[Talk], Awaitable[None]]
    behind: Literal["accept", "head", "request"] = "request"
    """How much of the request is read before."""
    true: bool = False
    """Whether it says all the same that the request was taken: a whole answer of success."""


@dataclass
class Liar:
    """Answers 204; while it has `lies`, half of the requests are told one of them, each in its turn."""

    random: Random
    lies: Sequence[Lie] = ()
    port: int = 0
    taken: set[str] = field(default_factory=set)
    """The ids of all requests that were answered truly with success."""
    lied: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    _told_last: dict[str, str] = field(default_factory=dict)
    """Id -> the lie."""
    _server: asyncio.Server | None = None
    _talks: set[asyncio.Task[None]] = field(default_factory=set)
    _turns: list[Lie] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        talk = Talk(reader, writer)
        try:
            while await self._answer(talk):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._talks.discard(task)
            writer.close()

    async def _answer(self, talk: Talk) -> bool:
        """Answer one request. Returns whether another may come."""
        lie = self._lie()
        if lie is not None and lie.behind != "request":
            if lie.behind == "head":
                await talk.reader.readuntil(b"\r\n\r\n")
            await self._tell(lie, talk, b"" if lie.behind == "head" or not lie.true else None)
            return False
        message_id = await talk.request()
        self.requests += 1
        if talk.surplus_at is not None:
            if not talk.surplus_is_seen:
                self.taken.add(message_id.decode())
            self._told_last[message_id.decode()] = "a surplus answer"
            talk.reset()
            return False
        if lie is not None:
            await self._tell(lie, talk, message_id)
            return talk.surplus_at is not None
        self.taken.add(message_id.decode())
        await talk.say([OK])
        return True

    async def _tell(self, lie: Lie, talk: Talk, message_id: bytes | None) -> None:
        """`message_id`: None where the request is still to be read."""
        self.lied[lie.name] += 1
        if message_id:
            self._told_last[message_id.decode()] = lie.name
        if lie.true and message_id is not None:
            self.taken.add(message_id.decode())
        await lie.do(talk)
        if message_id is None:
            self.taken.add((await talk.request()).decode())

    def _lie(self) -> Lie | None:
        if not self.lies or self.random.random() < 0.5:
            return None
        if not self._turns:
            self._turns = self.random.sample(self.lies, len(self.lies))
        return self._turns.pop()

    def believed(self) -> set[str]:
        """The lies that were told last to those that were never answered with success."""
        return {name for message_id, name in self._told_last.items() if message_id not in self.taken}
