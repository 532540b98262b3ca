"""Connections to a receiver that may say anything at any time: what aiohttp would believe or bear, and must not."""

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

_PIECE_BYTES = 4096
_END_OF_HEAD = b"\r\n\r\n"
_ANSWERS_MAX = 16
"""Of what has come at once; but for one, all are of those that say that the answer will come (RFC 9110, 15.2)."""


class Unasked(aiohttp.ClientPayloadError):
    """An answer that was there before the request: it is not of it."""


class Request(aiohttp.ClientRequest):
    """Goes out only where nothing has come in yet.

    A receiver or a proxy that answers twice, or too early, has its surplus answer wait in a kept connection: aiohttp
    would take it for the answer to the next request, and that delivery would be lost (RFC 9112, 9.2).
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it. Raises Unasked."""
        if conn.protocol is not None and conn.protocol.should_close:
            raise Unasked("an answer came before the request")
        return await super().send(conn)


class Answers(ResponseHandler):
    """Takes in little at a time, and the head of an answer before what is behind it.

    So a flood of `100 Continue` is seen to be one before it fills the memory, and a success is one though what follows
    it is wrong (a 204 with a body): aiohttp throws away what it has read together with what it cannot read.
    """

    def data_received(self, data: bytes) -> None:
        """What comes in; the connection ends where it is too many answers."""
        head, end, rest = data.partition(_END_OF_HEAD)
        if not rest and len(data) <= _PIECE_BYTES:
            self._receive(data)
            return
        self._receive_piecewise(head + end)
        self._receive_piecewise(rest)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The end, with what was the matter; a reset is no end of an answer, though it has no length of its own."""
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError("the connection was reset within the answer"))
        super().connection_lost(exc)

    def _receive_piecewise(self, data: bytes) -> None:
        for begin in range(0, len(data), _PIECE_BYTES):
            if not self.is_connected():
                return
            self._receive(data[begin : begin + _PIECE_BYTES])

    def _receive(self, data: bytes) -> None:
        super().data_received(data)
        if len(self._buffer) > _ANSWERS_MAX and self.transport is not None:
            self._buffer.clear()
            self.transport.close()
            self.set_exception(aiohttp.ClientPayloadError("answers without end"))


def _guarded(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return Answers(loop)


class Connector(aiohttp.TCPConnector):
    """Makes connections that are guarded so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_guarded, loop=self._loop)
