"""The address of the status page, taken before there is a page: where another program has it, nothing has begun yet."""

import asyncio
import contextlib
import errno
import logging
import os
import ssl
from collections.abc import Callable, Iterator

from agent.config import StatusConfig
from drivers.tls import ServerTls

log = logging.getLogger(__name__)

HANDSHAKE_S = 30.0
"""Patience for that of TLS."""


class Listener:
    """Taken once, closed once."""

    def __init__(self, settings: StatusConfig) -> None:
        self._address = settings.address
        self._tls = None if settings.tls is None else settings.tls.context()
        self._server: asyncio.Server | None = None
        self._accept: Callable[[], asyncio.BaseProtocol]

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self._tls is not None

    async def take(self) -> asyncio.Server:
        """Take the address, unless somebody is heard there; nobody is here yet. Raises OSError that names it."""
        if self._server is None:
            host, port = self._address
            handshake_s = None if self._tls is None else HANDSHAKE_S
            with self._naming():
                self._server = await asyncio.get_running_loop().create_server(
                    lambda: self._accept(),
                    host,
                    port,
                    ssl=self._tls,
                    ssl_handshake_timeout=handshake_s,
                    start_serving=False,
                )
        return self._server

    async def serve(self, accept: Callable[[], asyncio.BaseProtocol]) -> None:
        """Let whoever connects be heard. Raises OSError that names the address: of two who took it one is heard."""
        self._accept = accept
        server = await self.take()
        with self._naming():
            await server.start_serving()
            if not all(server.sockets):  # uvloop tells nobody but its log, and has let go of the socket
                raise OSError(errno.EADDRINUSE, "")

    def renew(self, settings: ServerTls | None) -> None:
        """Show the certificate that stands in the files now.

        By another context: a certificate of another kind of key that were loaded into the same one would leave the old
        one there.
        """
        if self._tls is None or settings is None:
            return
        try:
            renewed = settings.context()
        except OSError as error:  # the files have changed since the configuration was checked
            log.error("status.tls: the certificate stays as it was: %s", error)
            return

        def show(connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
            connection.context = renewed

        self._tls.sni_callback = show  # asked for every client, also for one that names no server
        self._tls.minimum_version = renewed.minimum_version

    def close(self) -> None:
        """Give the address back."""
        if self._server is not None:
            self._server.close()

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            host, port = self._address
            why = os.strerror(error.errno or 0)
            raise OSError(error.errno, f"status.listen {host}:{port}: {why}") from None
