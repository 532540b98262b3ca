"""One request: what can come back of it is an `Outcome`, never an exception."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from urllib.parse import urlsplit

from yarl import URL

from agent.webhooks.answers import Answer, BadAnswer
from agent.webhooks.config import Webhook, literal_address
from agent.webhooks.connections import (
    Closed,
    Connections,
    NoConnection,
    ProxyRefused,
    RefusedAddress,
)
from agent.webhooks.proxies import BadProxy, proxy_for
from agent.webhooks.request import RequestWriter, Route, as_given
from agent.webhooks.retry import Outcome, parse_date, parse_retry_after
from drivers import tls
from drivers.tls import Tls

ANSWER_BYTES_KEPT = 512


class UnusableTls(OSError):
    """A file of `tls:` that is no longer what it was."""


class Transport:
    """The connections of one webhook, kept alive between attempts, with one TLS context.

    What is the same in each request is made once. The files of `tls:` are read again after TLS has failed, as they
    may have been renewed.
    """

    def __init__(self, webhook: Webhook, wall: Callable[[], float]) -> None:
        """`wall` gives Unix seconds, for a Retry-After that is a date."""
        self._webhook = webhook
        self._wall = wall
        self._is_https = urlsplit(webhook.url).scheme == "https"
        self._connections = Connections(webhook)
        self._tls: ssl.SSLContext | None = None

    async def post(self, body: bytes, headers: Mapping[str, str], suffix: str = "") -> Outcome:
        """Send once. `suffix` goes behind the path of the URL."""
        begin = _now()
        try:
            request = self._write(body, headers, suffix)
            tls_context = self._context() if self._is_https else None
            answer = await self._once(request, tls_context, _now() + self._webhook.timeout.total)
        except (TimeoutError, OSError, ValueError) as error:
            return await self._failed(error, begin)
        return self._outcome(answer, begin)

    async def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    async def _once(self, request: bytes, tls_context: ssl.SSLContext | None, until: float) -> Answer:
        """By a connection that was kept alive; had it gone stale, by a new one in the same time."""
        connection = self._connections.kept()
        if connection is not None:
            with suppress(Closed):
                answer = await connection.ask(request, until=until)
                self._connections.keep(connection)
                return answer
        async with asyncio.timeout_at(until):
            connection = await self._connections.open(self._route, tls_context)
            answer = await connection.ask(request)
        self._connections.keep(connection)
        return answer

    def _outcome(self, answer: Answer, begin: float) -> Outcome:
        headers = answer.headers
        retry_after = headers.get("retry-after")
        return Outcome(
            duration_s=_now() - begin,
            status=answer.status,
            retry_after_s=None if retry_after is None else parse_retry_after(retry_after, self._wall()),
            disable=headers.get("webhook-delivery", "").lower() == "disable",
            answer=b"" if 200 <= answer.status < 300 else answer.body[:ANSWER_BYTES_KEPT],
            location=headers.get("location"),
            date=parse_date(headers.get("date")),
        )

    @cached_property
    def _route(self) -> Route:
        """Raises RefusedAddress where nobody knows whom http:// would reach behind the proxy, BadProxy."""
        proxy = proxy_for(self._webhook.url)
        host = urlsplit(self._webhook.url).hostname or ""
        if proxy and not self._is_https and not self._webhook.allow_http and not literal_address(host):
            raise RefusedAddress(f"{host}: behind a proxy http:// may go anywhere: say `allow_http: true`")
        return Route(as_given(self._webhook.url), URL(proxy) if proxy else None)

    @cached_property
    def _write(self) -> RequestWriter:
        return RequestWriter(self._webhook, self._route)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                self._tls = (self._webhook.tls or Tls()).context()
            except OSError as error:
                raise UnusableTls(str(error)) from None
        return self._tls

    async def _failed(self, error: Exception, begin: float) -> Outcome:
        duration_s, cause = _now() - begin, _cause(error)
        kind, detail = _kind(cause), _detail(error, cause)
        if kind == "tls":
            self._tls = None
        if tls.is_outdated(cause):
            detail += await self._dates()
        return Outcome(duration_s=duration_s, error=kind, detail=detail[:300])

    async def _dates(self) -> str:
        """When the receiver's certificate is valid, seen by a handshake behind which nothing is sent."""
        if self._route.proxy is not None:
            return ""
        host, port = self._route.url.raw_host or "", self._route.url.port
        try:
            context = tls.blind_to_time(self._webhook.tls or Tls())
            async with asyncio.timeout(self._webhook.timeout.connect):
                address = (await self._connections.addresses(host, port or 0))[0][4][0]
                _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
        except OSError:  # of which TimeoutError is one
            return ""
        writer.close()
        return f" ({tls.validity(writer.get_extra_info('peercert'))})"


def _cause(error: Exception) -> Exception:
    """What lies behind it where no connection could be made."""
    return error.__cause__ if isinstance(error, NoConnection) and isinstance(error.__cause__, Exception) else error


def _detail(error: Exception, cause: Exception) -> str:
    """What is the matter, in the system's words."""
    if isinstance(error, NoConnection):
        return f"{error}: {_words(cause)}"
    if isinstance(error, TimeoutError):
        return "no whole answer in time"
    return tls.alert(str(error)) or str(error) or type(error).__name__


def _words(cause: Exception) -> str:
    if isinstance(cause, ssl.SSLError):
        return tls.why(cause)
    if isinstance(cause, OSError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0)
    return str(getattr(cause, "strerror", None) or cause) or "it closes the connection"


def _kind(cause: Exception) -> str:
    """One word for the kind of an error."""
    if tls.alert(str(cause)):
        return "tls"
    if getattr(cause, "errno", None) in (errno.ECONNRESET, errno.EPIPE):
        return "reset"
    kinds: tuple[tuple[str, type[Exception] | tuple[type[Exception], ...]], ...] = (
        ("timeout", TimeoutError),
        ("address", RefusedAddress),
        ("tls", (ssl.SSLError, UnusableTls)),
        ("proxy", (ProxyRefused, BadProxy)),
        ("protocol", BadAnswer),
        ("dns", socket.gaierror),
        ("refused", ConnectionRefusedError),
        ("reset", ConnectionError),
    )
    return next((word for word, types in kinds if isinstance(cause, types)), "network")


def _now() -> float:
    return asyncio.get_running_loop().time()
