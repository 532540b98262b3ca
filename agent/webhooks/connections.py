"""Connections to the receiver of one webhook, kept alive between requests.

HTTP/1.1 on an asyncio protocol: one request at a time, and nothing that a webhook must not do (follow a redirect,
keep a cookie, unpack an answer). A client for every purpose takes three times the CPU for each POST.
"""

import asyncio
import math
import select
import socket
import ssl
from collections.abc import Sequence
from typing import cast

from aiohappyeyeballs import AddrInfoType, start_connection
from yarl import URL

from agent.webhooks.answers import Answer, AnswerReader, BadAnswer
from agent.webhooks.config import Webhook, literal_address
from agent.webhooks.request import Route, connect

_IDLE_MAX_S = 15.0
"""What between here and there forgets a connection tells nobody, so that one is not kept for long."""
_NEXT_ADDRESS_S = 0.25
"""RFC 8305, 5: so long one address may take before the next one is tried beside it."""


class RefusedAddress(OSError):
    """A name that leads to an address to which nothing is sent."""


class NoConnection(OSError):
    """No connection could be made. The text says where to, the cause says why."""


class ProxyRefused(OSError):
    """The proxy answers something else than that the way is free."""


class Closed(ConnectionError):
    """The other side has ended the connection before anything of an answer came."""

    def __init__(self, why: str = "it closes the connection") -> None:
        super().__init__(why)


class Connection(asyncio.Protocol):
    """One connection. `ask` it again and again, while it `is_free`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.idle_since = 0.0
        self.is_free = False
        """Whether it stands, and nothing is under way."""
        self._why: Exception = Closed()
        """Where it is not free: why it never will be."""
        self._reader = AnswerReader()
        self._answer: asyncio.Future[Answer] | None = None
        self._loop = asyncio.get_running_loop()
        self._until = math.inf
        self._alarm: asyncio.TimerHandle | None = None
        self._poll = select.poll()

    async def ask(self, request: bytes, *, until: float = math.inf, to_connect: bool = False) -> Answer:
        """Send a request and wait for its answer, at most `until` then (by the loop's time).

        Raises Closed, BadAnswer, OSError, of which TimeoutError is one; then it is closed. Of them Closed alone says
        that nothing of an answer came.
        """
        if not self.is_free:
            raise self._why
        self._reader, self.is_free = AnswerReader(to_connect=to_connect), False
        answered: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answered
        self._set_alarm(until)
        self.transport.write(request)
        try:
            answer = await answered
            stands = not (self.transport.is_closing() or self.transport.get_write_buffer_size())
            self.is_free = answer.keeps and stands
        finally:
            self._answer = None
            if not self.is_free:
                self.transport.abort()
        return answer

    def has_come_unasked(self) -> bool:
        """Whether something waits to be read: the end, or what would be taken for the answer to the next request."""
        return bool(self._poll.poll(0))

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Behind a proxy's answer. Raises OSError."""
        secured = await self._loop.start_tls(self.transport, self, context, server_hostname=name)
        self.transport = cast("asyncio.Transport", secured)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport, self.is_free = cast("asyncio.Transport", transport), True
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._answer is None or self._answer.done():
            self.is_free, self._why = False, BadAnswer("it answers what nobody has asked")
            self.transport.abort()
            return
        try:
            answer = self._reader.feed(data)
        except BadAnswer as error:
            self._answer.set_exception(error)
        else:
            if answer is not None:
                self._answer.set_result(answer)

    def eof_received(self) -> None:
        """Called by the loop, which closes the connection then."""
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.is_free = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._answer is None or self._answer.done():
            return
        if not self._reader.begun and (exc is None or isinstance(exc, ConnectionError)):
            exc = Closed(str(exc)) if exc else Closed()
        if exc is not None:
            self._answer.set_exception(exc)
            return
        try:
            self._answer.set_result(self._reader.end())
        except BadAnswer as error:
            self._answer.set_exception(error)

    def _set_alarm(self, until: float) -> None:
        """Let it ring then, or before: one that comes too early is set again, so that few answers need one."""
        self._until = until
        if until < math.inf and (self._alarm is None or self._alarm.when() > until):
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(until, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._answer is None or self._answer.done():
            return
        if self._loop.time() >= self._until:
            self._answer.set_exception(TimeoutError())
        else:
            self._set_alarm(self._until)


class Connections:
    """Those of one webhook: as many as there are requests at once."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._idle: list[Connection] = []
        self._closing: asyncio.TimerHandle | None = None

    def kept(self) -> Connection | None:
        """One that stood before; None: one has to be opened."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_free and not connection.has_come_unasked():
                return connection
            connection.transport.abort()
        return None

    async def open(self, route: Route, tls: ssl.SSLContext | None) -> Connection:
        """A new one. Raises NoConnection, RefusedAddress, ProxyRefused, BadAnswer, OSError, TimeoutError."""
        first = route.through
        try:
            addresses = await self.addresses(first.raw_host or "", first.port or 0)
            async with asyncio.timeout(self._webhook.timeout.connect):
                return await self._connect(addresses, route, tls)
        except (RefusedAddress, ProxyRefused, TimeoutError):
            raise
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError where a socket is gone
            if route.proxy is None or isinstance(error, ssl.SSLError):
                raise NoConnection(f"{route.url.host}:{route.url.port}") from error
            raise NoConnection(f"the proxy {first.host}:{first.port}") from error

    def keep(self, connection: Connection) -> None:
        """Take one back, for the next request, if it is good for that."""
        if not connection.is_free:
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._closing is None:
            self._closing = loop.call_later(_IDLE_MAX_S, self._close_old)

    def close(self) -> None:
        """Close all that are not in use."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        for connection in self._idle:
            connection.transport.abort()
        self._idle = []

    async def addresses(self, host: str, port: int) -> Sequence[AddrInfoType]:
        """Those of a host that the webhook may reach. Raises RefusedAddress, OSError."""
        why, allowed = "", []
        for found in await _lookup(host, port):
            address = literal_address(str(found[4][0]).partition("%")[0])
            refusal = self._webhook.refuses(address) if address else None
            if refusal is None:
                allowed.append(found)
            else:
                why = refusal
        if not allowed:
            raise RefusedAddress(f"{host}: {why}")
        return allowed

    async def _connect(self, addresses: Sequence[AddrInfoType], route: Route, tls: ssl.SSLContext | None) -> Connection:
        sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        context = tls
        if route.proxy is not None:
            context = ssl.create_default_context() if route.proxy.scheme == "https" else None
        name = None if context is None else _tls_name(route.through)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, sock=sock, ssl=context, server_hostname=name)
        if route.by_tunnel and tls is not None:
            try:
                await _through(connection, route, tls)
            except BaseException:
                connection.transport.abort()
                raise
        return connection

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        old = [one for one in self._idle if one.idle_since <= loop.time() - _IDLE_MAX_S or not one.is_free]
        for connection in old:
            connection.transport.abort()
            self._idle.remove(connection)
        self._closing = loop.call_later(_IDLE_MAX_S, self._close_old) if self._idle else None


async def _lookup(host: str, port: int) -> Sequence[AddrInfoType]:
    """All addresses of a host. Raises OSError."""
    if literal_address(host):  # nobody has to be asked
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


async def _through(connection: Connection, route: Route, tls: ssl.SSLContext) -> None:
    """Let the proxy make a tunnel, and speak TLS through it."""
    answer = await connection.ask(connect(route), to_connect=True)
    if not 200 <= answer.status < 300:
        raise ProxyRefused(f"the proxy answers HTTP {answer.status} {answer.reason[:100]}")
    if not connection.is_free:
        raise ProxyRefused("the proxy says more than that the way is free")
    await connection.start_tls(tls, _tls_name(route.url))


def _tls_name(url: URL) -> str:
    """Whose certificate it has to be: a certificate knows no dot behind the last label."""
    return (url.raw_host or "").rstrip(".")
