"""The disk that the state lies on: how far the file may grow, and the ballast.

Deleting needs space too, in the write-ahead log. The ballast is a file that keeps it: given up when the disk is really
full, made anew when there is room for it. Its place belongs to nobody else, whether it is there or not.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

BALLAST_BYTES = 2 * 1024 * 1024
"""For the log of one transaction that deletes `retention.SWEEP_ROWS` deliveries, and its checkpoint."""
_SHM_PAGE_BYTES = 4096
_SHM_REGION_BYTES = 32768
"""By so much it grows, for each 4 MiB of the log."""


def default_min_free_bytes(disk_bytes: int) -> int:
    """What of a disk is left alone where the configuration does not say: 5 % of it, but no more than 32 MB."""
    return min(32 * 10**6, disk_bytes // 20)


class Disk:
    """Nothing here raises: where the disk cannot be asked, SQLite will tell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def growth_bytes(self, min_free_bytes: int | None) -> int:
        """How much may still be taken; less than nothing where too much is taken already."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return sys.maxsize
        floor = default_min_free_bytes(disk.f_blocks * disk.f_frsize) if min_free_bytes is None else min_free_bytes
        return disk.f_bavail * disk.f_frsize - floor - (0 if self._has_ballast() else BALLAST_BYTES)

    def free_bytes(self) -> int | None:
        """What this process may still take of the file system; None: it cannot be asked."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize

    def keep_ballast(self, min_free_bytes: int | None) -> None:
        """Make the ballast where it is not there and has room."""
        if self._has_ballast() or self.growth_bytes(min_free_bytes) < 0:
            return
        try:
            ballast = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(ballast, 0, BALLAST_BYTES)
            finally:
                os.close(ballast)
        except OSError:
            self.give_up_ballast()

    def give_up_ballast(self) -> None:
        """Let the log have its place."""
        with suppress(OSError):
            self._ballast.unlink(missing_ok=True)

    def is_full(self) -> bool:
        """Whether it is so to the last blocks: SQLite's shared memory, which has to grow in one piece, cannot."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < 2 * _SHM_REGION_BYTES

    def holds_shared_memory(self) -> bool:
        """Whether SQLite's shared memory may be made and filled; see `back_with_blocks`."""
        return not self.is_full() or os.statvfs(self._folder).f_bsize >= _SHM_PAGE_BYTES

    def _has_ballast(self) -> bool:
        return size_bytes(self._ballast) >= BALLAST_BYTES


def back_with_blocks(shared_memory: Path) -> None:
    """Let no page of SQLite's shared memory be a hole in its file.

    SQLite writes one byte of each 4 KiB of it. Where the blocks of the file system are smaller, the rest would get its
    blocks when it is first touched, and on a full disk that ends the process (SIGBUS). It takes the descriptor that
    SQLite itself has, as closing another one would let go of SQLite's locks.
    """
    with suppress(OSError):
        if os.statvfs(shared_memory.parent).f_bsize < _SHM_PAGE_BYTES:
            for descriptor in Path("/proc/self/fd").iterdir():
                if _leads_to(descriptor, shared_memory):
                    os.posix_fallocate(int(descriptor.name), 0, size_bytes(shared_memory))


def _leads_to(descriptor: Path, path: Path) -> bool:
    try:
        return descriptor.readlink() == path
    except OSError:
        return False


def size_bytes(path: Path) -> int:
    """What a file holds; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
