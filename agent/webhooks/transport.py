"""One POST: what can come back of it is an `Outcome`, never an exception."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from agent.version import __version__
from agent.webhooks.config import Webhook, literal_address
from agent.webhooks.retry import Outcome, parse_date, parse_retry_after

ANSWER_BYTES_MAX = 64 * 1024
ANSWER_BYTES_KEPT = 512
_USER_AGENT = f"bellcrank/{__version__}"


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


class Transport:
    """The connections of one webhook, kept alive between attempts."""

    def __init__(self, webhook: Webhook, wall: Callable[[], float]) -> None:
        """`wall` gives Unix seconds, for a Retry-After that is a date."""
        self._webhook = webhook
        self._wall = wall
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send once; a connection that had gone stale while it was kept alive gets one second try."""
        begin = _now()
        for may_repeat in (True, False):
            reused = SimpleNamespace(connection=False)
            try:
                return await self._once(body, headers, reused, begin)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
                if may_repeat and reused.connection and not isinstance(error, aiohttp.ClientConnectorError):
                    continue
                return _failed(error, begin)
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                return _failed(error, begin)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _once(self, body: bytes, headers: Mapping[str, str], reused: SimpleNamespace, begin: float) -> Outcome:
        timeout = self._webhook.timeout
        async with self._open().post(
            self._webhook.url,
            data=body,
            headers=headers,
            allow_redirects=False,  # a redirect would be sent the body and the signature
            timeout=aiohttp.ClientTimeout(total=timeout.total, sock_connect=timeout.connect),
            trace_request_ctx=reused,
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

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._webhook.concurrency, resolver=GuardedResolver(self._webhook), ssl=_tls()
                ),
                headers={"content-type": "application/json", "user-agent": _USER_AGENT},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[trace],
            )
        return self._session


async def _note_reuse(_session: object, context: Any, _params: object) -> None:
    context.trace_request_ctx.connection = True


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """At most 64 KiB; of a longer answer the connection is dropped."""
    text = b""
    while len(text) < ANSWER_BYTES_MAX:
        chunk = await answer.content.read(ANSWER_BYTES_MAX - len(text))
        if not chunk:
            return text
        text += chunk
    answer.close()
    return text


def _failed(error: BaseException, begin: float) -> Outcome:
    return Outcome(duration_s=_now() - begin, error=_kind(error), detail=_detail(error)[:200])


def _detail(error: BaseException) -> str:
    """What is the matter, in the system's words, without those that aiohttp puts around them."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port}: {_words(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{error.host}:{error.port}: {_words(error.certificate_error)}"
    return str(error) or ("no whole answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _words(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {cause.verify_message}"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0)
    return str(getattr(cause, "strerror", None) or cause)


def _kind(error: BaseException) -> str:
    """One word for the kind of an error."""
    cause = getattr(error, "os_error", error)
    kinds: tuple[tuple[str, type[BaseException] | tuple[type[BaseException], ...]], ...] = (
        ("timeout", (asyncio.TimeoutError, TimeoutError)),
        ("address", RefusedAddress),
        ("tls", (aiohttp.ClientSSLError, ssl.SSLError)),
        ("dns", (aiohttp.ClientConnectorDNSError, socket.gaierror)),
        ("refused", ConnectionRefusedError),
        ("reset", (ConnectionError, aiohttp.ServerDisconnectedError)),
    )
    for word, types in kinds:
        if isinstance(cause, types) or isinstance(error, types):
            return word
    return "protocol" if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError) else "network"


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _now() -> float:
    return asyncio.get_running_loop().time()
