"""The open SQLite file: one connection for all writing and checkpoints, used from one thread.

How durable it is, how large it may grow, what its errors mean, and the rows of its webhooks. What is read and written
is said elsewhere.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from agent.outbox.bounds import DEFAULTS, Limits
from agent.outbox.claims import Claims
from agent.outbox.disk import Disk, back_with_blocks, size_bytes
from agent.outbox.intake import Intake
from agent.outbox.schema import PAGE_BYTES
from agent.outbox.writeahead import LogHeld, write_again

LOG_BYTES = 2 * 1024 * 1024
"""What the write-ahead log keeps of the disk once it was taken in."""
_OF_A_FULL_DISK = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite may say of one: that its shared memory could not grow, it calls an I/O error (SQLITE_IOERR_SHMSIZE)."""


class DiskFull(sqlite3.OperationalError):
    """There is no room to the last blocks, be it even for SQLite's shared memory."""

    sqlite_errorcode = sqlite3.SQLITE_FULL

    def __init__(self) -> None:
        super().__init__("the disk is full")


def need_shared_memory(disk: Disk) -> None:
    """Before anything opens a file with a log: SQLite's shared memory takes its place as it is touched.

    The ballast is given up for it. Raises DiskFull where the system would end the process, see `back_with_blocks`.
    """
    if not disk.holds_shared_memory():
        disk.give_up_ballast()
        if not disk.holds_shared_memory():
            raise DiskFull


class File:
    """Every method may raise sqlite3.Error."""

    def __init__(self, path: Path, limits: Limits = DEFAULTS, claims: Claims | None = None) -> None:
        self.limits = limits
        """May be set anew; the next commit goes by it."""
        self.claims = claims or Claims()
        self.path = path
        self.disk = Disk(path.parent)
        self.intake = Intake()
        self.names: dict[int, str] = {}
        """Of the webhooks, by their rows; `rows` is the same the other way."""
        self.rows: dict[str, int] = {}
        self._log_path = path.with_name(path.name + "-wal")
        self._shm_path = path.resolve().with_name(path.name + "-shm")
        self._shm_bytes = 0
        self.db = self._connect()

    def reopen(self) -> None:
        """Open it anew after an error. Raises DiskFull and LogNotWritten too."""
        with contextlib.suppress(sqlite3.Error):
            self.db.close()
        self.db = self._connect()
        self.read_names()
        self.intake.read(self.db)

    def read_names(self) -> None:
        """Know the webhooks that there are."""
        self.names = dict(self.db.execute("SELECT id, name FROM webhooks").fetchall())
        self.rows = {name: row for row, name in self.names.items()}

    def row(self, webhook: str) -> int:
        """The row of a webhook, made where there is none yet."""
        if webhook not in self.rows:
            self.db.execute("INSERT OR IGNORE INTO webhooks (name) VALUES (?)", (webhook,))
            row = self.db.execute("SELECT id FROM webhooks WHERE name = ?", (webhook,)).fetchone()[0]
            self.rows[webhook], self.names[row] = row, webhook
        return self.rows[webhook]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on the disk when it is left."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise

    def bound(self) -> None:
        """Let it not grow beyond its limit by much, nor its log, which a reader may hold. Raises LogHeld."""
        pages = (self.limits.max_bytes + max(self.limits.max_bytes // 8, 2**20)) // PAGE_BYTES
        self.db.execute(f"PRAGMA max_page_count = {pages}")
        if size_bytes(self._shm_path) != self._shm_bytes:
            self._shm_bytes = size_bytes(self._shm_path)
            back_with_blocks(self._shm_path)
        if size_bytes(self._log_path) > self.limits.max_bytes:
            busy, *_ = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise LogHeld

    def true(self, error: Exception) -> Exception:
        """What is the matter, where SQLite does not know. To be asked before the connection gives its place back."""
        code = getattr(error, "sqlite_errorcode", None)
        is_full = code is not None and code & 0xFF in _OF_A_FULL_DISK and self.disk.is_full()
        return DiskFull() if is_full else error

    def size_bytes(self) -> int:
        """What the file and its write-ahead log take."""
        return size_bytes(self.path) + size_bytes(self._log_path)

    def _connect(self) -> sqlite3.Connection:
        need_shared_memory(self.disk)
        is_new = not size_bytes(self.path)
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            if is_new:
                with contextlib.suppress(OSError):  # of a file system without modes
                    self.path.chmod(0o600)  # before there is a log: that and the shared memory take its mode over
            write_again(self._log_path)
            self._set_up(db)
        except Exception as error:
            true = self.true(error)
            with contextlib.suppress(sqlite3.Error):
                db.close()  # what waits for the collector of garbage keeps its descriptors
            if true is not error:
                raise true from error
            raise
        return db

    def _set_up(self, db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")  # bodies may hold keys of receivers; a thousandth of what is written
        db.execute("PRAGMA cache_size = -2048")
        db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()  # so that the shared memory is there
        self._shm_bytes = size_bytes(self._shm_path)
        back_with_blocks(self._shm_path)
