"""Tells when the network comes back: a default route, or an address that others can reach.

The kernel says so by rtnetlink (rtnetlink(7)). Where that is not permitted, the table of routes is looked at
every few seconds. What is told is a hint and no more: who takes it tries again, and sees.
"""

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
_GROUPS = 0x10 | 0x40 | 0x100 | 0x400  # RTMGRP_ of IPv4 and IPv6, IFADDR and ROUTE
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefixlen, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_NEWADDR, _DELADDR, _NEWROUTE, _DELROUTE = 20, 21, 24, 25
_UNICAST, _UNIVERSE, _TENTATIVE = 1, 0, 0x40
_RTA_OIF, _RTA_GATEWAY = 4, 5
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_READ_BYTES = 64 * 1024
_ROUTES, _ROUTES_6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
_UP = 0x1


class Change(NamedTuple):
    """Of a default route or an address of the whole network."""

    there: bool
    """Or gone."""
    what: bytes
    """The same for the same one."""


class Known:
    """What there is of routes and addresses: only what is new is news.

    An address of IPv6 is announced again and again, whenever the router renews it.
    """

    def __init__(self) -> None:
        self._there: set[bytes] = set()

    def take(self, data: bytes) -> bool:
        """Take in what the kernel said. Returns whether something came that was not there."""
        came = False
        for change in changes(data):
            if change.there:
                came = came or change.what not in self._there
                self._there.add(change.what)
            else:
                self._there.discard(change.what)
        return came


def changes(data: bytes) -> Iterator[Change]:
    """What some messages of the kernel tell of default routes and addresses; what is no whole message ends it."""
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        body = data[_HEADER.size : length]
        if kind in (_NEWADDR, _DELADDR) and len(body) >= _ADDRESS.size:
            yield from _address(body, there=kind == _NEWADDR)
        elif kind in (_NEWROUTE, _DELROUTE) and len(body) >= _ROUTE.size:
            yield from _route(body, there=kind == _NEWROUTE)
        data = data[_aligned(length) :]


def default_routes(text: str, text_6: str = "") -> frozenset[str]:
    """The default routes in `/proc/net/route` and `/proc/net/ipv6_route`, by interface and gateway."""
    rows = [line.split() for line in text.splitlines()[1:]]
    found = {
        f"{row[0]} {row[2]}"
        for row in rows
        if len(row) > 7 and row[1] == row[7] == "00000000" and int(row[3], 16) & _UP
    }
    rows = [line.split() for line in text_6.splitlines()]
    found |= {f"{row[9]} {row[4]}" for row in rows if len(row) > 9 and row[:2] == ["0" * 32, "00"] and row[9] != "lo"}
    return frozenset(found)


async def watch(came: Callable[[], None]) -> None:
    """Call `came` whenever the network comes back, until cancelled."""
    try:
        with _listening() as kernel:
            await _listen(kernel, came)
    except OSError as error:
        log.info("the kernel does not tell of the network (%s): its routes are looked at instead", error)
    await _look(came)


def _listening() -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        kernel.setblocking(False)
        kernel.bind((0, _GROUPS))
    except OSError:
        kernel.close()
        raise
    return kernel


async def _listen(kernel: socket.socket, came: Callable[[], None]) -> None:
    """Raises OSError where the kernel says no more."""
    loop, known = asyncio.get_running_loop(), Known()
    readable = asyncio.Event()
    loop.add_reader(kernel.fileno(), readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            if _heard(kernel, known):
                came()
    finally:
        loop.remove_reader(kernel.fileno())


def _heard(kernel: socket.socket, known: Known) -> bool:
    """Read all that the kernel has said. Returns whether something came."""
    came = False
    while True:
        try:
            came = known.take(kernel.recv(_READ_BYTES)) or came
        except BlockingIOError:
            return came
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            came = True  # it said more than was read: something may have come


async def _look(came: Callable[[], None]) -> None:
    before = _routes()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        routes = _routes()
        if routes - before:
            came()
        before = routes


def _routes() -> frozenset[str]:
    try:
        text = _ROUTES.read_text(encoding="ascii")
        return default_routes(text, _ROUTES_6.read_text(encoding="ascii") if _ROUTES_6.exists() else "")
    except (OSError, ValueError):
        return frozenset()


def _address(body: bytes, *, there: bool) -> Iterator[Change]:
    family, prefix, flags, scope, index = _ADDRESS.unpack_from(body)
    if scope == _UNIVERSE and not flags & _TENTATIVE:  # one that is tentative is announced again when it holds
        parts = _attributes(body[_ADDRESS.size :])
        local = parts.get(_IFA_LOCAL) or parts.get(_IFA_ADDRESS, b"")
        yield Change(there, b"a" + bytes([family, prefix]) + struct.pack("=I", index) + local)


def _route(body: bytes, *, there: bool) -> Iterator[Change]:
    family, length, *_, kind, _ = _ROUTE.unpack_from(body)
    if length == 0 and kind == _UNICAST:
        parts = _attributes(body[_ROUTE.size :])
        yield Change(there, b"r" + bytes([family]) + parts.get(_RTA_OIF, b"") + parts.get(_RTA_GATEWAY, b""))


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            break
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3
