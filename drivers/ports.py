"""Where a serial device is: at a path of this machine, or behind `socket://host:port` as ser2net offers it.

Either is opened by a call that blocks, to be made in a thread, and is then read through its descriptor
without blocking.
"""

import errno
import os
import socket
import termios
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from drivers.urls import split_url

SCHEME = "socket://"
OPEN_ERRORS = (OSError, ValueError, termios.error)
"""What `Port.open` raises."""
_CONNECT_S = 10.0
_KEEPALIVE = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""In seconds and probes: a peer that lost its power is noticed within 30 s. It has nothing else to tell by."""
_GONE = "the device is gone"
_DEVICE_ADVICE = {
    errno.ENOENT: "there is no such port: is it plugged in?",
    errno.EACCES: "no permission: the agent's user has to be in the group dialout",
    errno.EBUSY: "another program has the port open",
    errno.EAGAIN: "another program has the port open",
    errno.EIO: _GONE,
    errno.ENXIO: _GONE,
    errno.ENODEV: _GONE,
}
_SOCKET_ADVICE = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.ECONNRESET: "the other side broke the connection",
    errno.ETIMEDOUT: "the other side does not answer",
}


class Opened(Protocol):
    """What can be read, non-blocking, through its descriptor."""

    def fileno(self) -> int:
        """The descriptor."""

    def close(self) -> None:
        """Let go of it."""


class Port(ABC):
    """One place to read lines from."""

    def __init__(self, name: str) -> None:
        """`name` is the `port` of the configuration."""
        self.name = name

    @abstractmethod
    def open(self) -> Opened:
        """Open it; this blocks. Raises OPEN_ERRORS."""

    @abstractmethod
    def is_gone(self, opened: Opened) -> bool:
        """Whether it went away without a sign."""

    @abstractmethod
    def why(self, error: Exception | None) -> str:
        """What to tell people of an error; None: of its end."""


class DevicePort(Port):
    """A serial port of this machine."""

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        """`settings`: baudrate, bytesize, parity, stopbits, as pyserial takes them."""
        super().__init__(path)
        self._settings = settings

    def open(self) -> Opened:
        """Open and set up the device, for nobody else at the same time."""
        import serial  # not before a port is opened

        return serial.Serial(self.name, timeout=0, exclusive=True, **self._settings)

    def is_gone(self, opened: Opened) -> bool:
        """Whether the path is gone, or names another device."""
        try:
            return Path(self.name).stat().st_rdev != os.fstat(opened.fileno()).st_rdev
        except OSError:
            return True

    def why(self, error: Exception | None) -> str:
        """What to tell people."""
        return f"{self.name}: {_GONE if error is None else _advised(error, _DEVICE_ADVICE)}"


class SocketPort(Port):
    """A serial port behind a TCP connection."""

    def open(self) -> Opened:
        """Look up the host and connect."""
        connection = socket.create_connection(address_of(self.name), timeout=_CONNECT_S)
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            connection.setblocking(False)
        except OSError:
            connection.close()
            raise
        return connection

    def is_gone(self, opened: Opened) -> bool:
        """Never: the kernel's keep-alive gives a sign."""
        return False

    def why(self, error: Exception | None) -> str:
        """What to tell people."""
        if isinstance(error, TimeoutError) and error.errno is None:
            return f"{self.name}: no connection within {_CONNECT_S:g} s"
        if error is None:
            return f"{self.name}: the other side closed the connection"
        return f"{self.name}: {_advised(error, _SOCKET_ADVICE)}"


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a `socket://host:port`. Raises ValueError that says what would be valid."""
    wrong = "not the address of a serial port: use socket://host:port, such as socket://10.0.0.5:4001"
    parts = split_url(url, wrong)
    host, port = parts.hostname, parts.port
    if not host or not port or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(wrong)
    return host, port


def _advised(error: Exception, advice: dict[int, str]) -> str:
    number = error.errno if isinstance(error, OSError) else None
    known = advice.get(number) if number is not None else None
    return known or (error.strerror if isinstance(error, socket.gaierror) else None) or str(error)
