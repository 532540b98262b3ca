"""Backups: a copy of the outbox in one file, made beside the agent that runs, and put back while none does.

A restore turns back what the agent knows, but not the world. So what a broker still has (its session's subscriptions,
with identifiers that are never given twice) and what receivers have seen (`sequence`) stay as they are, where the
present file is of the same agent and can be read. The intake ledgers are emptied: a message that comes again was
evaluated by what is put aside, so it has to be evaluated once more.
"""

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.outbox import placing
from agent.outbox.inspection import check_whole, header_version, read_only
from agent.outbox.lock import FileLock
from agent.outbox.owner import hand_over

log = logging.getLogger(__name__)

_PAGES_AT_ONCE = 256
_WARNINGS_MAX = 5


class Restored(NamedTuple):
    """What a restore has done."""

    replaced: Path | None
    """The folder with what lay there; None: nothing did."""
    pending: int
    """Deliveries that go out (again)."""
    made_wall: float
    """About when the backup was made, as Unix seconds."""


class _Present(NamedTuple):
    agent_id: str
    subscriptions: list[tuple[str, str, int]]
    sequences: dict[str, int]


def back_up(state_dir: Path, target: Path, *, replace: bool = False) -> int:
    """Copy the outbox into a file, which is checked before it has its name. Returns its bytes.

    One state of it, whatever is committed meanwhile; no commit waits for that. Raises NewerSchema, OSError.
    """
    path = state_dir / "outbox.db"
    path.stat()
    if target.exists() and not replace:
        raise FileExistsError(errno.EEXIST, "there is a file of this name: choose another, or --force", str(target))
    part = target.with_name(f"{target.name}.part")
    try:
        with _told_of(path):
            _copy(path, part)
        with _told_of(part), read_only(part, log=False) as made:
            _warn_of(check_whole(made))
        placing.sync(part)
        part.replace(target)
        placing.sync(target.absolute().parent)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def put_back(state_dir: Path, file: Path, wall: float) -> Restored:
    """Put a backup in the place of the outbox; what lies there goes into a folder beside it.

    `wall` is Unix seconds. Raises Locked, NewerSchema, OSError; then nothing has changed.
    """
    path = state_dir / "outbox.db"
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(state_dir / "outbox.lock")
    try:
        placing.complete(path, placing.DAMAGED, wall)
        with _told_of(file):
            _check(file)
            _copy(file, placing.part_of(path), log=False)
            hand_over(placing.part_name(path))
        with _told_of(path), contextlib.closing(sqlite3.connect(placing.part_name(path), isolation_level=None)) as db:
            _fit(db, _present(path))
            pending = db.execute("SELECT TOTAL(pending) FROM webhooks").fetchone()[0]
            made_wall = db.execute("SELECT alive_wall FROM meta").fetchone()[0]
        is_there = path.exists()
        placing.make_ready(path)
        folder = placing.complete(path, placing.REPLACED, wall)
    finally:
        lock.release()
    if folder and not is_there:
        folder.rmdir()
    return Restored(folder if is_there else None, int(pending), made_wall)


def _copy(source: Path, target: Path, *, log: bool = True) -> None:
    """One state of a database, read in steps within one transaction, so that it is not begun anew at each commit."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with read_only(source, log=log) as db, contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
        db.execute("BEGIN")
        db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        db.backup(copy, pages=_PAGES_AT_ONCE)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it


def _check(file: Path) -> None:
    if header_version(file) is None:
        raise OSError(errno.EINVAL, "this is no backup of an outbox", str(file))
    with read_only(file, log=False) as db:
        _warn_of(check_whole(db))


def _warn_of(wrong: Sequence[str]) -> None:
    for one in wrong[:_WARNINGS_MAX]:
        log.warning("%s", one)
    if len(wrong) > _WARNINGS_MAX:
        log.warning("and so are %d more checksums", len(wrong) - _WARNINGS_MAX)


def _present(path: Path) -> _Present | None:
    """What the file that is put aside knows of the world; None: there is none, or it cannot be read."""
    if not path.exists():
        return None
    try:
        with read_only(path) as db:
            agent_id = db.execute("SELECT agent_id FROM meta").fetchone()[0]
            subscriptions = db.execute("SELECT feed, filter, identifier FROM subscriptions").fetchall()
            return _Present(agent_id, subscriptions, dict(db.execute("SELECT name, sequence FROM webhooks").fetchall()))
    except (sqlite3.Error, TypeError):
        return None


def _fit(db: sqlite3.Connection, present: _Present | None) -> None:
    """Fit a copy of a backup to the world as it is now."""
    db.execute("DELETE FROM ledger")
    if present is None or present.agent_id != db.execute("SELECT agent_id FROM meta").fetchone()[0]:
        return
    db.execute("DELETE FROM subscriptions")
    db.executemany("INSERT INTO subscriptions VALUES (?, ?, ?)", present.subscriptions)
    db.executemany(
        "INSERT INTO webhooks (name, sequence) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET sequence = MAX(sequence, excluded.sequence)",
        present.sequences.items(),
    )


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """What SQLite says is said of a file."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
