"""How far one comes to a host: its name, a TCP connection, TLS. What brokers and receivers have in common."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.doctor.aside import aside
from agent.doctor.finding import Finding, Verdict
from drivers import tls
from drivers.tls import Tls

TIMEOUT_S = 5.0
"""For each step."""
_ADDRESSES_MAX = 3
_ALERT_S = 0.3
"""TLS 1.3: that a client certificate is missing is told only behind the handshake."""
_DAY_S = 86400
_SOON_DAYS = 14


@dataclass(frozen=True, slots=True)
class Reach:
    """Each step's error is None where it went well, or was not come to."""

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    name_error: str | None = None
    connect_s: float | None = None
    """How long TCP took."""
    tcp_error: str | None = None
    tls_version: str | None = None
    not_after: float | None = None
    """Unix seconds: when the certificate ends."""
    tls_error: str | None = None

    @property
    def failed(self) -> bool:
        """Whether nothing further can be looked at."""
        return bool(self.name_error or self.tcp_error or self.tls_error)


Refuses = Callable[[str], str | None]
"""Why an address may not be connected to; None: it may."""


async def reach(host: str, port: int, secured: Tls | None, refuses: Refuses = lambda _: None) -> Reach:
    """Go as far as one comes; nothing is sent behind the handshake. Never raises."""
    begun = Reach(host, port)
    try:
        addresses = await _addresses(host, port)
    except OSError as error:  # of which TimeoutError is one
        return replace(begun, name_error=_words(error) or f"no answer within {TIMEOUT_S:g} s")
    refused = [why for why in map(refuses, addresses) if why]
    addresses = [address for address in addresses if not refuses(address)]
    if not addresses:
        return replace(begun, name_error=refused[0] if refused else "no address")
    return await _connect(replace(begun, addresses=tuple(addresses)), secured)


async def _addresses(host: str, port: int) -> list[str]:
    """Raises OSError. The look-up blocks, and may do so for long."""

    def look_up() -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async with asyncio.timeout(TIMEOUT_S):
        return await aside(look_up)


async def _connect(begun: Reach, secured: Tls | None) -> Reach:
    """To the first of the addresses that answers."""
    clock = asyncio.get_running_loop().time
    error = "no answer"
    for address in begun.addresses[:_ADDRESSES_MAX]:
        begin = clock()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_connection(address, begun.port)
        except OSError as why:
            error = f"{address}: {_words(why) or f'no answer within {TIMEOUT_S:g} s'}"
            continue
        connected = replace(begun, connect_s=clock() - begin)
        try:
            return connected if secured is None else await _shake_hands(connected, secured, reader, writer)
        finally:
            writer.close()
    return replace(begun, tcp_error=error)


async def _shake_hands(
    connected: Reach, secured: Tls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Reach:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await writer.start_tls(secured.context(), server_hostname=connected.host)
    except OSError as error:
        why = _broken_off(error) or tls.why(error)
        dates = await _dates(connected, secured) if tls.is_outdated(error) else ""
        return replace(connected, tls_error=why + dates)
    secure = writer.get_extra_info("ssl_object")
    shaken = replace(
        connected,
        tls_version=secure.version(),
        not_after=float(ssl.cert_time_to_seconds(secure.getpeercert()["notAfter"])),
    )
    try:
        async with asyncio.timeout(_ALERT_S):
            said = await reader.read(1)
    except TimeoutError:
        return shaken
    except ConnectionError:
        said = b""
    except OSError as error:
        return replace(shaken, tls_error=tls.why(error))
    doubt = "ask for" if secured.cert is None else "refuse"
    closed = f"it closes the connection behind the handshake: does it {doubt} a client certificate (`tls.cert`)?"
    return shaken if said else replace(shaken, tls_error=closed)


def _broken_off(error: OSError) -> str | None:
    if isinstance(error, TimeoutError):
        return f"no answer to the handshake within {TIMEOUT_S:g} s: does it speak TLS there?"
    if isinstance(error, ConnectionError):
        return "it breaks the handshake off: does it speak TLS there?"
    return None


async def _dates(connected: Reach, secured: Tls) -> str:
    """When an outdated certificate was valid."""
    try:
        context = tls.blind_to_time(secured)
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                connected.addresses[0], connected.port, ssl=context, server_hostname=connected.host
            )
    except OSError:
        return ""
    writer.close()
    return f" ({tls.validity(writer.get_extra_info('peercert'))})"


def judge(subject: str, label: str, it: Reach, wall: float, if_refused: str) -> list[Finding]:
    """`wall`: Unix seconds now. `if_refused`: what to do where nobody listens."""
    if it.name_error:
        advice = "is the name right, and does this machine know a name server?" + f" Try: getent hosts {it.host}"
        return [Finding(subject, f"{label}: name", Verdict.BAD, f"{it.host}: {it.name_error}", advice)]
    named = f"{it.host} is {', '.join(it.addresses)}" if it.addresses != (it.host,) else it.host
    if it.tcp_error:
        return [Finding(subject, f"{label}: connection", Verdict.BAD, f"{it.tcp_error} (port {it.port})", if_refused)]
    took = f"{named}, port {it.port} answers in {(it.connect_s or 0) * 1000:.1f} ms"
    found = [Finding(subject, f"{label}: connection", Verdict.OK, took)]
    if it.tls_error:
        advice = "see `tls` in the configuration; a clock that is wrong makes certificates look outdated too"
        return [*found, Finding(subject, f"{label}: TLS", Verdict.BAD, it.tls_error, advice)]
    if it.not_after is not None:
        found.append(_certificate(subject, label, it.tls_version or "TLS", (it.not_after - wall) / _DAY_S))
    return found


def _certificate(subject: str, label: str, version: str, days: float) -> Finding:
    seen = f"{version}; the certificate is that of the host, and valid for another {days:.0f} days"
    if days < _SOON_DAYS:
        return Finding(subject, f"{label}: TLS", Verdict.WARN, seen, "is whoever renews it still at work?")
    return Finding(subject, f"{label}: TLS", Verdict.OK, seen)


def _words(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno) if error.errno else str(error)
