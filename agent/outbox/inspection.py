"""Looks at a file before anything writes to it: whether it is an outbox, of a schema that is known, and whole.

Read only, so that a write-ahead log that does not belong to it is not taken in. A full file of 64 MB takes 0.3 s of
CPU (x86) to look through, and a card as long as it takes to read. So a start looks only where the last end was none
(the log is still there), and no longer than QUICK_S: what is not found by then is found when it is read. Header, schema
and the small tables are looked at each time.
"""

import contextlib
import errno
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from agent.outbox.checksums import differs, of_delivery, of_texts
from agent.outbox.disk import size_bytes
from agent.outbox.packing import unpack
from agent.outbox.schema import FINGERPRINT, VERSION, NewerSchema, fingerprint

QUICK_S = 2.0
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What is raised where rows cannot be read; the second by what SQLite says of a text that is none."""
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OF_THE_DEVICE = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOLFS,
    }
)
"""The file may be whole, though it cannot be read or written now."""
_OF_A_SCHEMA = (
    "no such ",
    "malformed ",
    "error in ",
    "unsupported file format",
    "duplicate column name",
    "has no column named ",
)
"""In what SQLite says of a schema that is not ours, as all statements are."""
_SMALL = ("meta", "webhooks", "ledger", "subscriptions")
"""Tables that are looked at at each start."""
_MAGIC = b"SQLite format 3\0"
_VERSION_AT = 60  # of `user_version` in the header (sqlite.org/fileformat2.html)
_WEBHOOKS = "(SELECT name FROM webhooks w WHERE w.id = d.webhook)"


class Damaged(sqlite3.DatabaseError):
    """The file is not what was written."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def check_types(*values: tuple[object, type]) -> None:
    """Raises Damaged where a value is not of the type that its column has: SQLite believes what the row says."""
    if not all(isinstance(value, wanted) for value, wanted in values):
        raise Damaged("a row has a value of a type that it cannot have")


def is_damage(error: BaseException) -> bool:
    """Whether it, or what it comes from, means that the file is damaged: not that it cannot be read or written now."""
    return any(_tells_damage(one) for one in (error, error.__cause__) if one is not None)


def _tells_damage(error: BaseException) -> bool:
    if isinstance(error, UnicodeDecodeError):
        return True
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # sqlite3 itself
        return str(error).startswith("Could not decode")
    return code & 0xFF in _DAMAGE or (code == sqlite3.SQLITE_ERROR and any(text in str(error) for text in _OF_A_SCHEMA))


def is_damage_at_start(error: Exception) -> bool:
    """Whether it means that at a start, when nobody wants anything of the file yet but to read it.

    Whatever it is, then: it would come again at the next start, and at each, unless it is of the device.
    """
    if is_damage(error):
        return True
    if isinstance(error, OSError | MemoryError | NewerSchema):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in _OF_THE_DEVICE


def look(path: Path) -> None:
    """Look at a file before a start, shortly. Raises Damaged, NewerSchema, OSError, sqlite3.Error."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "this is no file, so it cannot be the outbox: move it away", str(path))
    version = header_version(path)
    if version is not None and version > VERSION:
        raise NewerSchema(version)
    has_log = size_bytes(path.with_name(f"{path.name}-wal")) > 0
    if found.st_size == 0 and (has_log or size_bytes(path.with_name("ballast"))):
        raise Damaged("the file is empty")
    if version is not None:
        _check_header(path)
    if found.st_size > 0 and has_log:
        check_quickly(path)
    if version:
        _check_schema(path, log=has_log)
    if version and not has_log:
        with read_only(path, log=False) as db:
            for table in _SMALL:
                _tell(db.execute(f"PRAGMA quick_check({table})").fetchone()[0])


def _check_schema(path: Path, *, log: bool) -> None:
    """A flipped bit in a name or a trigger would let every commit fail. Raises Damaged."""
    with read_only(path, log=log) as db:
        db.execute("PRAGMA writable_schema = ON")  # it is read, whatever can be made of it
        is_current = db.execute("PRAGMA user_version").fetchone()[0] == VERSION
        if is_current and fingerprint(db) != FINGERPRINT:
            raise Damaged("its schema is not that of an outbox")


def _check_header(path: Path) -> None:
    """What SQLite believes, and would read or write otherwise by it. Raises Damaged."""
    with path.open("rb") as file:
        header = file.read(100)
    number = {at: int.from_bytes(header[at : at + 4], "big") for at in (52, 56, 64)}
    if header[18] != header[19] or number[56] not in (0, 1) or number[52] or number[64]:
        raise Damaged("its header is not that of an outbox")


def header_version(path: Path) -> int | None:
    """The schema that the header tells of; None: it is not that of an SQLite file."""
    with path.open("rb") as file:
        header = file.read(100)
    is_sqlite = header.startswith(_MAGIC) and len(header) == 100
    return int.from_bytes(header[_VERSION_AT : _VERSION_AT + 4], "big") if is_sqlite else None


def version_of(path: Path) -> int:
    """The schema of a file, with what its write-ahead log says. Raises OSError."""
    try:
        with read_only(path) as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), str(path)) from error


@contextlib.contextmanager
def read_only(path: Path, *, log: bool = True) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing; without `log` the write-ahead log does not count."""
    uri = f"file:{quote(os.fspath(path.absolute()))}?{'mode=ro' if log else 'immutable=1'}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as db:
        yield db


def check_quickly(path: Path, *, log: bool = True) -> bool:
    """As `check` does, for QUICK_S; the log of another database may be whole too. Raises Damaged, sqlite3.Error."""
    with read_only(path, log=log) as db:
        if header_version(path) and "meta" not in _tables(db):
            raise Damaged("its write-ahead log is that of another database")
        return check(db, QUICK_S)


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def check(db: sqlite3.Connection, within_s: float) -> bool:
    """Look for damage in the structure, for so long. Returns whether that was enough. Raises Damaged."""
    bell = threading.Timer(within_s, db.interrupt)
    bell.start()
    try:
        found = [row[0] for row in db.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    finally:
        bell.cancel()
    _tell(found[0])
    return True


def _tell(found: str) -> None:
    """What a check has found. Raises Damaged."""
    if found != "ok":
        raise Damaged(_first_line(found))


def check_whole(db: sqlite3.Connection) -> list[str]:
    """Look at everything: structure, indexes, checksums. Raises Damaged, NewerSchema, sqlite3.Error.

    Returns what will not be sent or believed, as its checksum is wrong. That refuses no backup: the agent gives it up
    when it comes to it. What is delivered or dead is sent no more, and a replay looks at its checksum again.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise NewerSchema(version)
    _tell(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
    if not {"meta", "webhooks", "deliveries", "memory"} <= _tables(db) or not _has_meta(db):
        raise Damaged("it is no outbox of bellcrank")
    return list(_wrong_rows(db)) if version == VERSION else []


def _has_meta(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT COUNT(*) FROM meta").fetchone()[0])


def _wrong_rows(db: sqlite3.Connection) -> Iterator[str]:
    """Of what waits and of the memory."""
    rows = db.execute(
        f"SELECT l.event_id, {_WEBHOOKS}, l.checksum, l.form, l.body, l.headers, l.suffix"  # noqa: S608
        " FROM deliveries d LEFT JOIN letters l ON l.delivery = d.id WHERE d.state = 0"
    )
    for event_id, webhook, kept, form, body, *more in rows:
        if webhook is None or differs(kept, of_delivery(event_id, webhook, unpack(form, body), *more)):
            yield f"the checksum of the event {event_id} for {webhook} is wrong: it will not be sent"
    for kept, rule, sensor, value in db.execute("SELECT checksum, rule, sensor, value FROM memory"):
        if differs(kept, of_texts(rule, sensor, value)):
            yield f"the checksum of what {rule} remembers of {sensor} is wrong: it will be forgotten"


def _first_line(found: str) -> str:
    return " ".join(found.removeprefix("*** in database main ***").split())[:200]
