"""The write-ahead log: what is read of it is on the disk.

After a crash, or an error, it is read from the kernel's memory, and the card may not have it: the kernel tells of each
failed fsync(2) once, takes the pages for written, and says of the next one that all is well. A checkpoint alone is no
cure: it makes the file durable, but a cut while it runs, or behind it, would leave a new file with the beginning of an
old log, and SQLite would lay the one over the other.
"""

import os
import sqlite3
from pathlib import Path

_PIECE_BYTES = 2**20


class LogHeld(sqlite3.OperationalError):
    """Somebody reads the file for so long that its write-ahead log has grown as large as the file may."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY

    def __init__(self) -> None:
        super().__init__("another process has been reading the outbox for too long, and holds up its log")


class LogNotWritten(sqlite3.OperationalError):
    """The disk does not take the log."""

    sqlite_errorcode = sqlite3.SQLITE_IOERR


def write_again(log: Path) -> None:
    """Write the same bytes once more, and bring them to the disk, before anybody believes them. Raises LogNotWritten.

    Where there is no log nothing is done. Whoever reads it meanwhile sees no difference.
    """
    try:
        descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LogNotWritten(str(error)) from error
    try:
        at = 0
        while piece := os.pread(descriptor, _PIECE_BYTES, at):
            at += os.pwrite(descriptor, piece, at)
        if at:
            os.fsync(descriptor)
    except OSError as error:
        raise LogNotWritten(str(error)) from error
    finally:
        os.close(descriptor)
