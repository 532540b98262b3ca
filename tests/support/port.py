"""A real pseudo-terminal behind a path that stays, as a serial device has one in /dev/serial/by-id."""

import os
import tty
from contextlib import suppress
from pathlib import Path
from typing import Self


class Port:
    """Plugged in from the start; `write` is what the device says."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
