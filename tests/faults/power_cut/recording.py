"""What an agent asked of its disk, said to others and heard of them, in one order: recorded by a preloaded library.

SQLite and Python reach the kernel through libc, so all of it passes there.
`recorder.c` writes the records, and says how.
"""

import mmap
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from tests.support.preload import compiled, shared

_SOURCE = Path(__file__).with_name("recorder.c")
_RECORD = struct.Struct("=IiiiqqQ")  # struct record of recorder.c
_CONTROL = struct.Struct("=q")  # struct control


class Kind(IntEnum):
    """As `enum kind` of recorder.c has it."""

    OPENED = 1
    CLOSED = 2
    WRITTEN = 3
    SIZED = 4
    ALLOCATED = 5
    SYNCING = 6
    SYNCED = 7
    RENAMED = 8
    UNLINKED = 9
    MADE = 10
    CONNECTED = 11
    SAID = 12
    HEARD = 13


OF_SOCKETS = frozenset({Kind.CONNECTED, Kind.SAID, Kind.HEARD})
CREATED, EMPTIED = 1, 2
"""Bits of `Record.at` of what was opened."""


class Record(NamedTuple):
    """One call that was done."""

    kind: Kind
    pid: int
    fd: int
    result: int
    """Of a call to make durable: 0, or -1 where it failed."""
    at: int
    """Where in the file; of CONNECTED: the port."""
    length: int
    data: bytes
    """What was written, said or heard; of a file that was opened: its name. Two names have a zero byte between."""

    @property
    def name(self) -> str:
        """Of a file, beneath the folder; empty: the folder itself."""
        return _name(self.data)

    @property
    def names(self) -> tuple[str, str]:
        """Before and after."""
        before, _, after = self.data.partition(b"\0")
        return _name(before), _name(after)


def _name(data: bytes) -> str:
    return data.decode().removeprefix("/")


class Recorder:
    """Of one agent after another on the same files."""

    def __init__(self, folder: Path, state: Path) -> None:
        library, control = compiled(_SOURCE, folder), folder / "recorder.control"
        self._page = shared(control, mmap.PAGESIZE)
        self._log = folder / "recorder.log"
        self.env = {
            "LD_PRELOAD": str(library),
            "RECORDER_LOG": str(self._log),
            "RECORDER_CONTROL": str(control),
            "RECORDER_FOLDER": str(state.resolve()),
        }
        """With what each agent is started."""

    def kill_after(self, calls: int) -> None:
        """The agent kills itself when it has changed files so many times more; 0: it lives on.

        So it dies between two calls, and each is recorded or was not made.
        """
        _CONTROL.pack_into(self._page, 0, calls)

    def size_bytes(self) -> int:
        """Of all records: what is behind it comes later."""
        return self._log.stat().st_size if self._log.exists() else 0

    def records(self, first: int = 0, end: int | None = None) -> Iterator[Record]:
        """All that were written until now, or between two sizes."""
        with self._log.open("rb") as log:
            log.seek(first)
            while (end is None or log.tell() < end) and (head := log.read(_RECORD.size)):
                kind, pid, fd, result, at, length, size = _RECORD.unpack(head)
                yield Record(Kind(kind), pid, fd, result, at, length, log.read(size))
