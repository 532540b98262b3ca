"""The server under the HTTP driver: bounded connections, bounded bodies, patience that ends."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from drivers.http_connections import Connections
from drivers.http_gate import Denied

CONNECTIONS_MAX = 256
"""More are closed at once: their senders come again."""
HELD_BYTES_MAX = 8 * 1024 * 1024
"""Of all bodies together that are being read or wait for their answer."""
_PATIENCE_S = 15.0
"""For a request to come, for its body, and for its answer to be taken."""
_SHUTDOWN_S = 0.2
_ADVICE = {
    errno.EADDRINUSE: "another program listens there",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "no permission: take a port from 1024 on",
}
Handler = Callable[[web.BaseRequest, "Server", bytearray], Awaitable[int]]
"""Returns the status of the answer. What it reads of the body, by `Server.read`, belongs into the bytearray."""

log = logging.getLogger(__name__)


class Server:
    """Started once, stopped once."""

    def __init__(self, host: str, port: int, handler: Handler) -> None:
        self._host, self._port = host, port
        self._handler = handler
        self._held_bytes = 0
        self._peers: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._connections = Connections(CONNECTIONS_MAX, _PATIENCE_S)

    async def start(self) -> None:
        """Listen. Raises OSError with a sentence."""
        self._peers = peers = web.Server(self._handle)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: self._connections.accept(peers), self._host, self._port, reuse_address=True
            )
        except OSError as error:
            why = _ADVICE.get(error.errno or 0) or error.strerror or str(error)
            raise OSError(error.errno, why) from None

    def refuse_new(self) -> None:
        """Take no more connections."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def stop(self) -> None:
        """Close all, after what is being answered has had a moment."""
        self.refuse_new()
        peers, self._peers = self._peers, None
        if peers is not None:
            peers.pre_shutdown()  # those that wait for a request have none in the making
            await peers.shutdown(_SHUTDOWN_S)
        self._connections.cut_all()

    async def read(self, request: web.BaseRequest, body: bytearray, size_max: int) -> None:
        """Read the body to its end. Raises Denied."""
        if (request.content_length or 0) > size_max:
            raise Denied(413, f"more than {size_max} bytes")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                async for chunk in request.content.iter_any():
                    self._hold(body, chunk, size_max)
        except TimeoutError:
            raise Denied(408, "the body did not come") from None
        except (ConnectionError, web.RequestPayloadError):
            raise Denied(400, "the body was cut") from None

    def _hold(self, body: bytearray, chunk: bytes, size_max: int) -> None:
        body += chunk
        self._held_bytes += len(chunk)
        if len(body) > size_max:
            raise Denied(413, f"more than {size_max} bytes")
        if self._held_bytes > HELD_BYTES_MAX:
            raise Denied(503, "too much at once", {"Retry-After": "1"})

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._connections.busy(request)
        body = bytearray()
        try:
            return web.Response(status=await self._handler(request, self, body))
        except Denied as denied:
            return web.Response(status=denied.status, text=f"{denied.why}\n", headers=denied.headers)
        except Exception:
            log.exception("a request could not be handled")
            return web.Response(status=500)
        finally:
            self._held_bytes -= len(body)
            self._connections.idle(request)
