"""One agent for each outbox.

An flock(2) that the kernel lets go of when the process ends, however it ends.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from agent.outbox.owner import hand_over


class Locked(Exception):
    """Another agent has the outbox."""


class FileLock:
    """Held from the making until `release`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a disk without owners
            hand_over(path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            by = f" (process {owner})" if owner.isdigit() else ""
            raise Locked(f"another agent{by} has the outbox {path.parent}") from error
        with suppress(OSError):  # a full disk: then nobody is told which process it is
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another agent have it."""
        os.close(self._fd)
