"""A disk and a wall clock that do wrong, for one agent: a small C library that is preloaded into it.

SQLite and Python reach the kernel through libc, so what they ask for passes here.
"""

import errno
import struct
from pathlib import Path

from tests.support.preload import compiled, shared

_SOURCE = Path(__file__).with_suffix(".c")
_CONTROL = struct.Struct("=qiiiiQq")  # struct control of faulty.c


class Faulty:
    """Of the files in `state` and of the clock; all is well until it is told otherwise."""

    def __init__(self, folder: Path, state: Path) -> None:
        library, control = compiled(_SOURCE, folder), folder / "faulty.control"
        self._page = shared(control, _CONTROL.size)
        self.env = {"LD_PRELOAD": str(library), "FAULTY_CONTROL": str(control), "FAULTY_FOLDER": str(state.resolve())}
        """With what the agent is started."""
        self.step_s = 0.0
        """By which the wall clock is wrong."""
        self.passed_s = 0.0

    def fail(self, *, sync: int = 0, write: int = 0) -> None:
        """From now on calls to make durable, or to write, fail with these errors (errno(3)); 0: they work."""
        self._set(sync, write)

    def fail_sync(self) -> None:
        """As a dying card does."""
        self.fail(sync=errno.EIO)

    def heal(self) -> None:
        """The disk works again."""
        self._set(0, 0)

    def slow_sync(self, seconds: float) -> None:
        """To make durable takes so much longer, as on an SD card."""
        struct.pack_into("=i", self._page, 8, round(seconds * 1e6))

    def step_clock(self, seconds: float) -> None:
        """The wall clock is set, by so much more or less than before."""
        self.set_clock(self.step_s + seconds)

    def set_clock(self, wrong_s: float) -> None:
        """The wall clock is wrong by so much; 0: it is right."""
        self.step_s = wrong_s
        struct.pack_into("=q", self._page, 0, round(wrong_s * 1e9))

    def pass_time(self, seconds: float) -> None:
        """So much time has passed, for the agent: on all its clocks but that of asyncio, which wakes it as before."""
        self.passed_s += seconds
        struct.pack_into("=q", self._page, 32, round(self.passed_s * 1e9))

    @property
    def refused(self) -> int:
        """How many calls have failed."""
        return int(_CONTROL.unpack_from(self._page)[5])

    def _set(self, sync: int, write: int) -> None:
        struct.pack_into("=i", self._page, 12, sync)
        struct.pack_into("=i", self._page, 20, write)
