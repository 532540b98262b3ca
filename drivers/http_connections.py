"""The connections of an HTTP server: bounded in number, and none of them may dawdle."""

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web

_quiet = logging.getLogger(f"{__name__}.peers")
_quiet.disabled = True  # what is no HTTP gets its 400 and no trace in the log, which its sender could fill


class Connections:
    """Counts those that are open, and cuts whoever takes too long for what is theirs to do.

    While a request is handled nobody is cut: the handler has to see to the body and to what it sends meanwhile. At all
    other times the other side has `patience_s`: for the handshake of TLS and the head of the first request, for taking
    the answer and sending the next one. aiohttp's own patience ends with the first byte of a request.
    """

    def __init__(self, most: int, patience_s: float, headers: Mapping[str, str] | None = None, **options: Any) -> None:
        """`headers`: of the answer to what is no HTTP; `options`: of `aiohttp.web.RequestHandler`."""
        self.most = most
        self.patience_s = patience_s
        self._headers = headers or {}
        self._options = options
        self._open: dict[_Peer, asyncio.TimerHandle | None] = {}
        """Those that are accepted, and when each is cut; None: its request is handled."""

    def accept(self, server: web.Server) -> asyncio.Protocol:
        """A connection for `loop.create_server`. What is too many is closed at once: who asks comes again."""
        if len(self._open) >= self.most:
            return _Refusal()
        peer = _Peer(self, server)
        self._wait_for(peer)
        return peer

    def busy(self, request: web.BaseRequest) -> None:
        """Its request is being handled."""
        if timer := self._open.get(peer := cast("_Peer", request.protocol)):
            timer.cancel()
            self._open[peer] = None

    def idle(self, request: web.BaseRequest) -> None:
        """Its request was handled."""
        if (peer := cast("_Peer", request.protocol)) in self._open:
            self._wait_for(peer)

    def cut_all(self) -> None:
        """End all, in whatever they are."""
        for peer in list(self._open):
            self._cut(peer)

    def _wait_for(self, peer: "_Peer") -> None:
        self._open[peer] = asyncio.get_running_loop().call_later(self.patience_s, self._cut, peer)

    def _cut(self, peer: "_Peer") -> None:
        transport = peer.transport  # none, where the handshake never came to an end: nobody tells of that
        self._forget(peer)
        peer.force_close()
        if transport is not None:
            transport.abort()  # to close it would wait until what was sent is taken

    def _forget(self, peer: "_Peer") -> None:
        if timer := self._open.pop(peer, None):
            timer.cancel()

    # -- for the peers

    @property
    def options(self) -> dict[str, Any]:
        """Of each connection."""
        return {"access_log": None, "logger": _quiet, "lingering_time": 1.0, "auto_decompress": False, **self._options}

    def lost(self, peer: "_Peer") -> None:
        """A connection has ended."""
        self._forget(peer)

    def bad_request(self, status: int) -> web.Response:
        """What is no HTTP is told no more than that."""
        return web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n", headers=self._headers)


class _Peer(web.RequestHandler):
    """One connection."""

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **connections.options)
        self._connections = connections

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.lost(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Without aiohttp's words, which quote what was sent and name its version."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of the answer was sent already")
        answer = self._connections.bad_request(status)
        answer.force_close()
        return answer


class _Refusal(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()
