"""One request: what can come back of it is an `Outcome`, never an exception."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cached_property
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from agent.webhooks.config import Webhook, literal_address
from agent.webhooks.connections import Connector, Request, Unasked
from agent.webhooks.headers import usual
from agent.webhooks.proxies import BadProxy, proxy_for
from agent.webhooks.retry import Outcome, parse_date, parse_retry_after
from drivers import tls
from drivers.tls import Tls

ANSWER_BYTES_MAX = 64 * 1024
ANSWER_BYTES_KEPT = 512


class _Way:
    """Of one request: by a connection that was there before it, until a socket is made for it."""

    reused = True


_way: ContextVar[_Way] = ContextVar("way")


class RefusedAddress(OSError):
    """A name that leads to an address to which nothing is sent."""


class GuardedResolver(AbstractResolver):
    """The system's resolver, without the addresses that a webhook must not reach."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host. Raises RefusedAddress, OSError."""
        found = await self._resolver.resolve(host, port, family)
        why = ""
        allowed = []
        for result in found:
            address = literal_address(result["host"].partition("%")[0])
            refusal = self._webhook.refuses(address) if address else None
            if refusal is None:
                allowed.append(result)
            else:
                why = refusal
        if not allowed and why:
            raise RefusedAddress(f"{host}: {why}")
        return allowed

    async def close(self) -> None:
        """Nothing is held."""


class UnusableTls(OSError):
    """A file of `tls:` that is no longer what it was."""


class Transport:
    """The connections of one webhook, kept alive between attempts, with one TLS context.

    The files of `tls:` are read again after TLS has failed, as they may have been renewed.
    """

    def __init__(self, webhook: Webhook, wall: Callable[[], float]) -> None:
        """`wall` gives Unix seconds, for a Retry-After that is a date."""
        self._webhook = webhook
        self._wall = wall
        self._is_https = urlsplit(webhook.url).scheme == "https"
        self._urls: dict[str, URL] = {}
        self._tls: ssl.SSLContext | None = None

    async def post(self, body: bytes, headers: Mapping[str, str], suffix: str = "") -> Outcome:
        """Send once; a connection that had gone stale while it was kept alive gets one second try.

        `suffix` goes behind the path of the URL.
        """
        begin = _now()
        for may_repeat in (True, False):
            way = _Way()
            _way.set(way)
            try:
                return await self._once(self._url(suffix), body, headers, begin)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError, Unasked) as error:
                if may_repeat and way.reused and not isinstance(error, aiohttp.ClientConnectorError):
                    continue
                return await self._failed(error, begin)
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                return await self._failed(error, begin)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close all connections."""
        if "_session" in self.__dict__:
            await self._session.close()

    async def _once(self, url: URL, body: bytes, headers: Mapping[str, str], begin: float) -> Outcome:
        async with self._session.request(
            self._webhook.method,
            url,
            data=body,
            headers=headers,
            proxy=self._proxy,
            ssl=self._context() if self._is_https else True,
            allow_redirects=False,  # a redirect would be sent the body and the signature
        ) as answer:
            text = await _read(answer)
            return Outcome(
                duration_s=_now() - begin,
                status=answer.status,
                retry_after_s=parse_retry_after(answer.headers.get("Retry-After"), self._wall()),
                disable=answer.headers.get("webhook-delivery", "").strip().lower() == "disable",
                answer=b"" if 200 <= answer.status < 300 else text[:ANSWER_BYTES_KEPT],
                location=answer.headers.get("Location"),
                date=parse_date(answer.headers.get("Date")),
            )

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        timeout = self._webhook.timeout
        return aiohttp.ClientSession(
            connector=Connector(
                limit=self._webhook.concurrency, resolver=GuardedResolver(self._webhook), socket_factory=_new_socket
            ),
            headers=usual(self._webhook.header_texts()),
            timeout=aiohttp.ClientTimeout(total=timeout.total, sock_connect=timeout.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            request_class=Request,
        )

    @cached_property
    def _proxy(self) -> str | None:
        """The proxy to go through. Raises RefusedAddress where nobody knows whom http:// would reach behind it."""
        proxy = proxy_for(self._webhook.url)
        host = urlsplit(self._webhook.url).hostname or ""
        if proxy and not self._is_https and not self._webhook.allow_http and not literal_address(host):
            raise RefusedAddress(f"{host}: behind a proxy http:// may go anywhere: say `allow_http: true`")
        return proxy

    def _url(self, suffix: str) -> URL:
        """Suffixes are words of presets: few."""
        url = self._urls.get(suffix)
        if url is None:
            url = self._urls[suffix] = URL(_with_suffix(self._webhook.url, suffix))
        return url

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                self._tls = (self._webhook.tls or Tls()).context()
            except OSError as error:
                raise UnusableTls(str(error)) from None
        return self._tls

    async def _failed(self, error: BaseException, begin: float) -> Outcome:
        duration_s, kind, detail = _now() - begin, _kind(error), _detail(error)
        if kind == "tls":
            self._tls = None
        if tls.is_outdated(getattr(error, "certificate_error", None)):
            detail += await self._dates()
        return Outcome(duration_s=duration_s, error=kind, detail=detail[:300])

    async def _dates(self) -> str:
        """When the receiver's certificate is valid, seen by a handshake behind which nothing is sent."""
        parts = urlsplit(self._webhook.url)
        host, port = parts.hostname or "", parts.port or 443
        if proxy_for(self._webhook.url):
            return ""
        try:
            context = tls.blind_to_time(self._webhook.tls or Tls())
            async with asyncio.timeout(self._webhook.timeout.connect):
                found = await GuardedResolver(self._webhook).resolve(host, port, socket.AF_UNSPEC)
                address = found[0]["host"]
                _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
        except OSError:  # of which TimeoutError is one
            return ""
        writer.close()
        return f" ({tls.validity(writer.get_extra_info('peercert'))})"


def _with_suffix(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=parts.path.rstrip("/") + suffix).geturl() if suffix else url


def _new_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    _way.get().reused = False
    family, kind, protocol, *_ = address
    return socket.socket(family, kind, protocol)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """At most 64 KiB; of a longer answer the connection is dropped."""
    text = b""
    while not answer.content.at_eof():
        if len(text) >= ANSWER_BYTES_MAX:
            answer.close()
            break
        text += await answer.content.read(ANSWER_BYTES_MAX - len(text))
    return text


def _detail(error: BaseException) -> str:
    """What is the matter, in the system's words, without those that aiohttp puts around them."""
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy {error.host}:{error.port}: {_words(error.os_error)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answers HTTP {error.status} {error.message[:100]}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port}: {_words(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{error.host}:{error.port}: {_words(error.certificate_error)}"
    if isinstance(error, TimeoutError):
        return "no whole answer in time"
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        return "the connection was closed within the answer"
    return tls.alert(str(error)) or str(error) or type(error).__name__


def _words(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLError):
        return tls.why(cause)
    if isinstance(cause, OSError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0)
    return str(getattr(cause, "strerror", None) or cause) or "it closes the connection"


def _kind(error: BaseException) -> str:
    """One word for the kind of an error."""
    cause = getattr(error, "os_error", error)
    if tls.alert(str(error)):
        return "tls"
    if getattr(cause, "errno", None) in (errno.ECONNRESET, errno.EPIPE):
        return "reset"
    kinds: tuple[tuple[str, type[BaseException] | tuple[type[BaseException], ...]], ...] = (
        ("timeout", (asyncio.TimeoutError, TimeoutError)),
        ("address", RefusedAddress),
        ("tls", (aiohttp.ClientSSLError, ssl.SSLError, UnusableTls)),
        ("proxy", (aiohttp.ClientHttpProxyError, BadProxy)),
        ("dns", (aiohttp.ClientConnectorDNSError, socket.gaierror)),
        ("refused", ConnectionRefusedError),
        ("reset", (ConnectionError, aiohttp.ServerDisconnectedError)),
    )
    for word, types in kinds:
        if isinstance(cause, types) or isinstance(error, types):
            return word
    return "protocol" if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError) else "network"


def _now() -> float:
    return asyncio.get_running_loop().time()
