"""What systemd is told of the agent, by datagrams: sd_notify(3), sd_watchdog_enabled(3). Nothing where it does not ask.

The standard library does it, since the packages for it have no wheels.
"""

import asyncio
import logging
import os
import socket
import weakref
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_STATUS_MAX = 200


class Systemd:
    """Made of the environment that systemd gives its service."""

    def __init__(self, env: Mapping[str, str], monotonic_us: Callable[[], int]) -> None:
        """`monotonic_us` gives CLOCK_MONOTONIC in microseconds."""
        self._address = _address(env.get("NOTIFY_SOCKET", ""))
        self._monotonic_us = monotonic_us
        self._sender: socket.socket | None = None
        if self._address is not None:  # held from the start: the watchdog wants its food when no descriptor is left too
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sender.setblocking(False)
            weakref.finalize(self, self._sender.close)
        self.watchdog_s = _watchdog_s(env) if self._address else None
        """The service is killed if the watchdog is not fed for so long; None: there is no watchdog."""

    def ready(self, status: str) -> None:
        """The agent runs; `status` is a line for people. Ends `reloading` too."""
        self._tell("READY=1", _status(status))

    def reloading(self) -> None:
        """A reload begins."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_us()}", "STATUS=reloading")

    def stopping(self) -> None:
        """The agent ends."""
        self._tell("STOPPING=1", "STATUS=stopping")

    async def feed_watchdog(self, alive: Callable[[], bool]) -> None:
        """Feed it twice as often as it asks, as long as the loop runs and `alive()` holds."""
        while self.watchdog_s is not None:
            await asyncio.sleep(self.watchdog_s / 2)
            if alive():
                self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._sender is None or self._address is None:
            return
        try:
            self._sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("systemd could not be told %s: %s", lines[0], error.strerror)


def _address(given: str) -> str | None:
    """A path, or with @ in place of its first byte the name of an abstract socket (unix(7))."""
    if given.startswith("@"):
        return "\0" + given[1:]
    return given if given.startswith("/") else None


def _watchdog_s(env: Mapping[str, str]) -> float | None:
    """How often it has to be fed, if it is this process that has to."""
    microseconds = env.get("WATCHDOG_USEC", "")
    meant = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if meant and microseconds.isdecimal() and int(microseconds) else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:_STATUS_MAX]
