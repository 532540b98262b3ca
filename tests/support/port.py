"""Real serial ports: a pseudo-terminal behind a path that stays, as in /dev/serial/by-id, and one behind a socket."""

import os
import socket
import tty
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.agent import free_port


class Port:
    """Plugged in from the start; `write` is what the device says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self._master = self._slave = -1
        self.plug()

    def plug(self) -> None:
        """A new device at the same path."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """The device goes, whatever it has not told yet."""
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def close(self) -> None:
        if self._master >= 0:
            self.unplug()

    def write(self, data: bytes) -> int:
        """Say it, as far as there is room. Returns how many bytes found it: none while nobody reads."""
        with suppress(BlockingIOError):
            return os.write(self._master, data)
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RemotePort:
    """The same behind TCP, as ser2net offers it: `socket://host:port`, for one at a time."""

    def __init__(self) -> None:
        self._address = ("127.0.0.1", free_port())
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self.plug()
        self.name = f"socket://127.0.0.1:{self._address[1]}"

    def plug(self) -> None:
        self._listener = socket.create_server(self._address)
        self._listener.setblocking(False)

    def unplug(self) -> None:
        self.hang_up()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def hang_up(self) -> None:
        """Close the connection, and listen on."""
        self.accept()
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def accept(self) -> bool:
        """Take the connection that waits. Returns whether there is one."""
        if self._peer is None and self._listener is not None:
            with suppress(BlockingIOError):
                self._peer, _ = self._listener.accept()
                self._peer.setblocking(False)
        return self._peer is not None

    def close(self) -> None:
        self.unplug()

    def write(self, data: bytes) -> int:
        """Say it, as far as there is room. Returns how many bytes found it."""
        with suppress(BlockingIOError):
            if self.accept() and self._peer is not None:
                return self._peer.send(data)
        return 0
