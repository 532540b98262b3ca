"""Puts a whole new file in the place of the outbox, and keeps what lay there. Safe against a cut at any moment.

The new file is made under a name of its own (`outbox.db.part`), brought to the disk, and named `outbox.db.next`: from
then on it is the one that counts. Whoever opens the outbox next completes what was cut off: the old file, its
write-ahead log and its shared memory go into a folder, since an old log would be taken in by a new file, and only then
is the new one named `outbox.db`.
"""

import contextlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from agent.outbox.owner import hand_over

DAMAGED, REPLACED = "outbox.damaged", "outbox.replaced"
KEPT = 3
"""Folders with damaged files that are kept; when there is one more, the oldest goes, and that is told."""


def part_of(path: Path) -> Path:
    """Where the new file is made; nothing is there now."""
    part = path.with_name(f"{path.name}.part")
    for suffix in ("", "-journal", "-wal", "-shm"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)
    part.touch(0o600)
    hand_over(part)
    return part


def make_ready(path: Path) -> None:
    """From now on what `part_of` named is the outbox, whatever happens."""
    part = part_name(path)
    sync(part)
    part.replace(next_name(path))
    sync(path.parent)


def complete(path: Path, aside: str, wall: float) -> Path | None:
    """Put what is ready in its place, and what lies there into a folder, which is returned; None: nothing is ready."""
    if not next_name(path).exists():
        return None
    folder = set_aside(path, aside, wall)
    next_name(path).replace(path)
    sync(path.parent)
    return folder


def set_aside(path: Path, name: str, wall: float) -> Path:
    """Move the file with its log and its shared memory into a new folder beside it. Raises OSError."""
    when = datetime.fromtimestamp(wall, UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = path.with_name(f"{name}-{when}")
    for n in range(2, 1000):
        if not folder.exists():
            break
        folder = path.with_name(f"{name}-{when}.{n}")
    folder.mkdir(0o700)
    hand_over(folder)
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(folder / (path.name + suffix))
    sync(folder)
    sync(path.parent)
    return folder


def oldest_beyond(path: Path, name: str, kept: int = KEPT) -> list[Path]:
    """The folders that are too many, oldest first."""
    found = sorted(path.parent.glob(f"{name}-*"), key=lambda folder: folder.stat().st_mtime)
    return found[:-kept]


def remove(folder: Path) -> None:
    """Delete a folder that was set aside."""
    shutil.rmtree(folder, ignore_errors=True)


def part_name(path: Path) -> Path:
    """The new file while it is being made."""
    return path.with_name(f"{path.name}.part")


def next_name(path: Path) -> Path:
    """The new file once it is whole."""
    return path.with_name(f"{path.name}.next")


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
