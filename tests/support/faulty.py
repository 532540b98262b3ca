"""A disk and a wall clock that do wrong, for one agent: a small C library that is preloaded into it (ld.so(8)).

SQLite and Python reach the kernel through libc, so what they ask for passes here. It is made with the system's
compiler; without one the test is skipped.
"""

import errno
import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_suffix(".c")
_CONTROL = struct.Struct("=qiiiiQ")  # struct control of faulty.c


class Faulty:
    """Of the files in `state` and of the clock; all is well until it is told otherwise."""

    def __init__(self, folder: Path, state: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("a library that fails has to be compiled, and there is no gcc")
        library, control = folder / "faulty.so", folder / "faulty.control"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True)
        control.write_bytes(bytes(_CONTROL.size))
        with control.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _CONTROL.size)
        self.env = {"LD_PRELOAD": str(library), "FAULTY_CONTROL": str(control), "FAULTY_FOLDER": str(state.resolve())}
        """With what the agent is started."""
        self.step_s = 0.0
        """By which the wall clock is wrong."""

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

    @property
    def refused(self) -> int:
        """How many calls have failed."""
        return int(_CONTROL.unpack_from(self._page)[5])

    def _set(self, sync: int, write: int) -> None:
        struct.pack_into("=i", self._page, 12, sync)
        struct.pack_into("=i", self._page, 20, write)
