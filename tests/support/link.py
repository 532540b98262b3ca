"""A link between the agent and another that can be cut, also in one direction, so that acknowledgements get lost."""

import asyncio
import contextlib

from tests.support.agent import free_port


class Link:
    """A TCP proxy on a free port of loopback."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.connections = 0
        self._target = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._deaf = self._mute = False
        self.lost_bytes = 0
        """What the broker said in vain."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    def lose_what_the_agent_says(self) -> None:
        """From now on until the next cut nothing of the agent reaches the broker."""
        self._deaf = True

    def lose_what_the_agent_hears(self) -> None:
        """The same the other way: nothing reaches the agent, such as an answer."""
        self._mute = True

    def cut(self) -> None:
        """Break all connections, without a goodbye; new ones are whole again."""
        for writer in list(self._writers):
            writer.transport.abort()
        self._deaf = self._mute = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, ours}
        with contextlib.suppress(asyncio.CancelledError):  # the test is over
            await asyncio.gather(
                self._pump(reader, ours, from_agent=True), self._pump(theirs, writer, from_agent=False)
            )
        self._writers -= {writer, ours}

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, from_agent: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if from_agent and self._deaf:
                    continue
                if not from_agent and self._mute:
                    self.lost_bytes += len(data)
                    continue
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
