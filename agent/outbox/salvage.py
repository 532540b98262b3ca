"""Saves what is readable of a damaged file into a new one, and sets the damaged one aside.

In this order, so that what is owed comes before what is only history, and conservation holds at any point: counters,
deliveries that wait with their letters, memory, ledgers and subscriptions, then what is settled, and attempts. Rows are
read up to a damage, from behind it back to it, and on. What a webhook was owed and is no more there is counted as
`dropped_by.damaged`, by its counters or, where those are lost too, not at all: then they begin anew, and that is told.

Where the file is whole without its write-ahead log, the log is not its own and is left out. Where nothing can be read,
the new file is an empty one. A full disk is no damage: the damaged file stays in its place.
"""

import contextlib
import logging
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agent.model import DROP_REASONS, Counters
from agent.outbox import placing
from agent.outbox.checksums import of_delivery
from agent.outbox.disk import size_bytes
from agent.outbox.inspection import UNREADABLE, Damaged, check_quickly, is_damage_at_start, read_only
from agent.outbox.packing import PLAIN, unpack
from agent.outbox.schema import DEAD, DELIVERED, PAGE_BYTES, PENDING, VERSION, migrate, texts

log = logging.getLogger(__name__)

HISTORY_WITHIN_S = 6.0
"""Then what of the history was not saved yet is left, so that the agent runs soon: what is owed is saved to the end."""
_CHUNK_ROWS = 500
_LEAP_MAX = 2**40
_NUMBER_MAX = 2**62
_PAGES_AT = 28  # of their number in the header, followed by what it says of free ones (sqlite.org/fileformat2.html)
_KEYS = {"memory": ("rule", "sensor"), "subscriptions": ("feed", "filter"), "attempts": ("delivery", "at")}
"""Of tables whose rows have no number."""
_SAVED = "EXISTS (SELECT 1 FROM deliveries WHERE id = ?1)"
"""Of the letters, those of deliveries that are saved: first of those that wait."""
_EVENTS = """
CREATE TEMP TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, fanout, event_id, type, rule, subject, created_at, wall,
    synced, alert_id)"""
"""Before schema 8 an event was a row of its own, and a delivery had its letter in it."""
_OLD_LETTER = ("id", "event", "body", "headers", "suffix", "checksum")
_FROM_EVENT = f"""
INSERT OR IGNORE INTO letters SELECT ?1, event_id, type, rule, subject, alert_id, created_at, wall, synced,
    {PLAIN}, ?3, ?4, ?5, ?6 FROM events WHERE id = ?2 AND {_SAVED}"""  # noqa: S608
_OF_OLD_DELIVERY = {"fanout": "1", "kind": "1", "tried": "0", "due_at": "COALESCE(settled_at, due_at)"}
"""What a delivery has now and had not in each version, or had elsewhere."""
_DROPPED = " + ".join(f"dropped_{reason}" for reason in DROP_REASONS)


class Known(NamedTuple):
    """What the agent itself still knows, where it runs already."""

    agent_id: str = ""
    """Where it is not known, a machine id that is none lets the start make a new one."""
    machine_id: str = ""
    number: int = 0
    """Of the last commit."""
    next_delivery: int = 1
    sequences: Mapping[str, int] = {}
    counters: Mapping[str, Counters] = {}


@dataclass(slots=True)
class Report:
    """What became of a damaged file."""

    why: str
    folder: str = ""
    """The name of the folder that it lies in now."""
    saved: dict[str, int] = field(default_factory=dict)
    """Rows, by table."""
    lost: dict[str, int] = field(default_factory=dict)
    """Deliveries, by webhook."""
    anew: list[str] = field(default_factory=list)
    """Webhooks whose counters begin anew."""
    unread: list[str] = field(default_factory=list)
    """Tables of which not everything could be read."""
    removed: list[str] = field(default_factory=list)
    """Folders of older damages that are too many."""


def salvage(
    path: Path, why: str, now: Callable[[], float], wall: float, webhooks: Collection[str], known: Known | None = None
) -> Report:
    """Put a sound file in the place of a damaged one. Nobody may have it open.

    `webhooks`: the names in the configuration. Raises OSError and sqlite3.Error where the disk does not let it.
    """
    report = Report(why)
    part = placing.part_of(path)
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as new:
        new.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        new.execute("PRAGMA journal_mode = MEMORY")
        new.execute("PRAGMA synchronous = OFF")
        migrate(new, part, wall)
        _Saving(new, report, now, webhooks, known or Known()).save(path)
    placing.make_ready(path)
    folder = placing.complete(path, placing.DAMAGED, wall)
    report.folder = folder.name if folder else ""
    for old in placing.oldest_beyond(path, placing.DAMAGED):
        placing.remove(old)
        report.removed.append(old.name)
    return report


def start_empty(path: Path, why: str, wall: float) -> Report:
    """Set a file aside from which nothing could be saved."""
    folder = placing.set_aside(path, placing.DAMAGED, wall)
    return Report(why, folder.name, unread=["everything"])


class _Saving:
    """One file that is saved into another."""

    def __init__(
        self,
        new: sqlite3.Connection,
        report: Report,
        now: Callable[[], float],
        webhooks: Collection[str],
        known: Known,
    ) -> None:
        self._new, self._report, self._now, self._until = new, report, now, now() + HISTORY_WITHIN_S
        self._webhooks, self._known = webhooks, known
        self._is_history = False
        """Whether what is saved now may be left off for want of time."""

    def save(self, path: Path) -> None:
        """Save what there is; where not even the schema can be read, by the first page of a new file."""
        log_is_its_own = _is_log_its_own(path)
        if _has_other_texts(path, self._new, log=log_is_its_own):
            with _with_texts(path, self._new, log=log_is_its_own) as corrected:
                self._save_from(corrected, log=True)
        if not self._report.saved:
            self._save_from(path, log=log_is_its_own)
        if not self._report.saved and size_bytes(path):
            with _with_first_page(path, placing.part_name(path)) as grafted:
                self._save_from(grafted, log=True)
        if not self._report.saved:
            self._report.unread.append("everything")
        _tidy(self._new, self._known)
        for row, name in self._new.execute("SELECT id, name FROM webhooks").fetchall():
            self._balance(row, name)

    def _save_from(self, path: Path, *, log: bool) -> None:
        try:
            with read_only(path, log=log) as old:
                old.text_factory = _text
                old.execute("PRAGMA writable_schema = ON")  # it is read whatever its header says of its size
                self._save_all(old)
        except UNREADABLE as error:
            if not is_damage_at_start(error):
                raise

    def _save_all(self, old: sqlite3.Connection) -> None:
        self._copy(old, "meta")
        self._copy(old, "webhooks")
        self._name_webhooks(old)
        if _columns(old, "events"):
            self._new.execute(_EVENTS)
            self._copy(old, "events")
        self._copy(old, "deliveries", f"state = {PENDING}")
        self._copy(old, "letters")
        for table in ("memory", "ledger", "subscriptions", "untimed"):
            self._copy(old, table)
        self._is_history = True
        self._copy(old, "deliveries", f"state IN ({DELIVERED}, {DEAD})")
        self._copy(old, "letters")
        self._copy(old, "attempts")
        self._guess_webhooks()

    def _copy(self, old: sqlite3.Connection, table: str, where: str = "TRUE") -> None:
        source = _source(old, self._new, table)
        if source is None:
            self._note_unread(table)
            return
        rows = _Rows(old, source.table, source.columns, where)
        try:
            for chunk in _batched(rows):
                if self._now() > self._until and self._is_history:
                    rows.is_whole = False
                    break
                self._insert(table, source.insert, chunk)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
                raise
            rows.is_whole = False
            log.error("the disk is too full to save all of the table %s", table)
        if not rows.is_whole:
            self._note_unread(table)

    def _insert(self, table: str, insert: str, chunk: Sequence[tuple[Any, ...]]) -> None:
        saved = self._report.saved
        try:
            with _transaction(self._new):
                n = self._new.executemany(insert, chunk).rowcount
        except (sqlite3.IntegrityError, OverflowError):  # something in it is of a type that it cannot be
            if len(chunk) == 1:
                self._note_unread(table)
                return
            for row in chunk:
                self._insert(table, insert, [row])
            return
        saved[table] = saved.get(table, 0) + n

    def _note_unread(self, table: str) -> None:
        if table not in self._report.unread:
            self._report.unread.append(table)

    def _name_webhooks(self, old: sqlite3.Connection) -> None:
        """Where rows are lost, the index may still have their names."""
        query = "SELECT id, name FROM webhooks INDEXED BY sqlite_autoindex_webhooks_1 ORDER BY name"
        with contextlib.suppress(*UNREADABLE):
            for row, name in old.execute(query):
                self._name_webhook(row, name)

    def _guess_webhooks(self) -> None:
        """Where a name is lost too, the checksums of what it is owed tell it."""
        query = (
            "SELECT d.webhook, l.event_id, l.checksum, l.form, l.body, l.headers, l.suffix FROM deliveries d"
            " JOIN letters l ON l.delivery = d.id"
            " WHERE d.webhook NOT IN (SELECT id FROM webhooks) AND l.checksum IS NOT NULL GROUP BY d.webhook"
        )
        for row, event_id, checksum, form, body, *more in self._new.execute(query).fetchall():
            for name in self._webhooks:
                if of_delivery(event_id, name, unpack(form, body), *more) == checksum:
                    self._name_webhook(row, name)

    def _name_webhook(self, row: int, name: str) -> None:
        if self._new.execute("INSERT OR IGNORE INTO webhooks (id, name) VALUES (?, ?)", (row, name)).rowcount:
            self._report.anew.append(name)

    def _balance(self, row: int, name: str) -> None:
        """Let the counters tell what there is, and what there was."""
        query = "SELECT state, COUNT(*) FROM deliveries WHERE webhook = ? GROUP BY state"
        states = dict(self._new.execute(query, (row,)).fetchall())
        pending, delivered, dead = (states.get(state, 0) for state in (PENDING, DELIVERED, DEAD))
        if (known := self._known.counters.get(name)) is not None:
            self._set(row, owed=known.owed, delivered=known.delivered)
            self._set(row, **{f"dropped_{reason}": n for reason, n in known.dropped_by.items()})
        elif name in self._report.anew:
            self._set(row, owed=pending + delivered + dead, delivered=delivered)
        query = f"SELECT owed, delivered + {_DROPPED}, sequence, dropped_damaged FROM webhooks WHERE id = ?"  # noqa: S608
        owed, over, sequence, damaged = self._new.execute(query, (row,)).fetchone()
        lost = owed - over - pending - dead
        if lost > 0:
            self._report.lost[name] = lost
        query = "SELECT COALESCE(MAX(sequence), 0) FROM deliveries WHERE webhook = ?"
        highest = self._new.execute(query, (row,)).fetchone()[0]
        self._set(
            row,
            owed=owed + max(0, -lost),
            dropped_damaged=damaged + max(0, lost),
            sequence=max(sequence, highest, self._known.sequences.get(name, 0)),
            pending=pending,
            dead=dead,
            kept=delivered,
        )

    def _set(self, row: int, **values: int) -> None:
        changes = ", ".join(f"{column} = {value}" for column, value in values.items())
        self._new.execute(f"UPDATE webhooks SET {changes} WHERE id = ?", (row,))  # noqa: S608


class _Source(NamedTuple):
    """Where the rows of a table are read from, and how they are written."""

    table: str
    columns: Sequence[str]
    insert: str


def _source(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> _Source | None:
    """None: there is no such table."""
    there = _columns(old, table)
    if not there and table == "letters" and (there := _columns(old, "deliveries")):
        return _Source("deliveries", [name if name in there else "NULL" for name in _OLD_LETTER], _FROM_EVENT)
    found = {name: name for name in there}
    if table == "deliveries" and "settled_at" in there:
        found = _OF_OLD_DELIVERY | found | {"due_at": _OF_OLD_DELIVERY["due_at"]}
    names = [name for name in _columns(new, table) if name in found]
    if not names:
        return None
    values = ", ".join(f"?{n}" for n in range(1, len(names) + 1))
    which = _SAVED if table == "letters" else "TRUE"
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) SELECT {values} WHERE {which}"
    return _Source(table, [found[name] for name in names], insert)


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def _tidy(new: sqlite3.Connection, known: Known) -> None:
    """Leave nothing that belongs to nothing, and count what there is."""
    if _columns(new, "events"):
        query = "UPDATE deliveries SET fanout = e.fanout FROM events e WHERE e.id = deliveries.event"
        new.execute(query)
    new.execute(
        "DELETE FROM deliveries WHERE webhook NOT IN (SELECT id FROM webhooks) OR id < event OR id >= event + fanout"
        " OR id NOT IN (SELECT delivery FROM letters)"
    )
    for table in ("letters", "untimed", "attempts"):
        new.execute(f"DELETE FROM {table} WHERE delivery NOT IN (SELECT id FROM deliveries)")  # noqa: S608
    # Of no boot, so that nobody takes the time that has passed since for known.
    new.execute(
        "INSERT OR IGNORE INTO meta (id, commit_number, next_delivery, agent_id, machine_id, boot_id, offset_s,"
        " alive_at, alive_wall, alive_synced)"
        " SELECT 1, ?, 1, ?, ?, '', 0, COALESCE((SELECT MAX(created_at) FROM letters), 0), 0, 0",
        (max(1, known.number), known.agent_id, known.machine_id),
    )
    new.execute(
        "UPDATE meta SET pending_events = (SELECT COUNT(DISTINCT event) FROM deliveries WHERE state = 0),"
        " commit_number = MIN(commit_number, ?),"
        " next_delivery = MAX(next_delivery, ?, COALESCE((SELECT MAX(event + fanout) FROM deliveries), 0))",
        (_NUMBER_MAX, known.next_delivery),
    )


class _Rows:
    """What can be read of a table."""

    def __init__(self, db: sqlite3.Connection, table: str, columns: Sequence[str], where: str) -> None:
        self.is_whole = True
        self._db, self._table, self._columns, self._where = db, table, ", ".join(columns), where

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._both_ways(_KEYS[self._table]) if self._table in _KEYS else self._by_number()

    def _by_number(self) -> Iterator[tuple[Any, ...]]:
        """Up to a damage, back to it from where rows can be read again, and on from there."""
        at, beyond = 0, 1
        while beyond:
            try:
                for row in self._select("rowid > ?", "rowid", at):
                    at = row[0]
                    if row[1]:
                        yield row[2:]
            except UNREADABLE:
                self.is_whole = False
            else:
                return
            beyond = self._leap(at)
            yield from self._back_to(at, beyond or _NUMBER_MAX)
            at = beyond - 1

    def _back_to(self, at: int, beyond: int) -> Iterator[tuple[Any, ...]]:
        with contextlib.suppress(*UNREADABLE):
            for row in self._select("rowid > ? AND rowid < ?", "rowid DESC", at, beyond):
                if row[1]:
                    yield row[2:]

    def _leap(self, at: int) -> int:
        """The first row that can be found beyond a damage; 0: there is none."""
        step = 1
        while step < _LEAP_MAX:
            query = f"SELECT rowid FROM {self._table} NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT 1"  # noqa: S608
            try:
                found = self._db.execute(query, (at + step,)).fetchone()
            except UNREADABLE:
                step *= 2
            else:
                return 0 if found is None or found[0] <= at else int(found[0])
        return 0

    def _both_ways(self, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for direction in ("", " DESC"):
            try:
                for row in self._select("TRUE", ", ".join(key + direction for key in keys)):
                    yield row[2:]
            except UNREADABLE:
                self.is_whole = False
            else:
                return

    def _select(self, which: str, order: str, *values: int) -> Iterator[tuple[Any, ...]]:
        """Rows in order, behind their number and whether they are wanted. Raises Damaged where they are in none."""
        number = "0" if self._table in _KEYS else "rowid"
        query = (
            f"SELECT {number}, {self._where}, {self._columns} FROM {self._table} NOT INDEXED"  # noqa: S608
            f" WHERE {which} ORDER BY {order}"
        )
        before = None
        for row in self._db.execute(query, values):
            if number != "0" and before is not None and (row[0] <= before) is not order.endswith("DESC"):
                raise Damaged("rows are not in order")
            before = row[0]
            yield row


def _has_other_texts(path: Path, new: sqlite3.Connection, *, log: bool) -> bool:
    """Whether it is of this version, but its schema is not what this version makes."""
    try:
        with read_only(path, log=log) as old:
            old.execute("PRAGMA writable_schema = ON")
            return bool(old.execute("PRAGMA user_version").fetchone()[0] == VERSION and texts(old) != texts(new))
    except UNREADABLE:
        return False


@contextlib.contextmanager
def _with_texts(path: Path, new: sqlite3.Connection, *, log: bool) -> Iterator[Path]:
    """A copy of a file with the schema of a new one: one flipped bit in a name would cost all of a table."""
    with _copied(path, log=log) as copy:
        with (
            contextlib.suppress(*UNREADABLE),
            contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db,
        ):
            db.execute("PRAGMA writable_schema = ON")
            db.text_factory = _text
            wanted = {row[:2]: row for row in new.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")}
            found = {(kind, name): row for row, kind, name in db.execute("SELECT rowid, type, name FROM sqlite_schema")}
            pairs = [(found[key], key) for key in found.keys() & wanted.keys()]
            unknown, missing = found.keys() - wanted.keys(), wanted.keys() - found.keys()
            if len(unknown) == len(missing) == 1:  # it is the name itself
                pairs.append((found[unknown.pop()], missing.pop()))
            for row, key in pairs:
                query = "UPDATE sqlite_schema SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?"
                db.execute(query, (*wanted[key], row))
        yield copy


@contextlib.contextmanager
def _copied(path: Path, *, log: bool = True) -> Iterator[Path]:
    copy = path.with_name(f"{path.name}.copy")
    try:
        for suffix in ("", "-wal") if log else ("",):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
        yield copy
    finally:
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _with_first_page(path: Path, new: Path) -> Iterator[Path]:
    """A copy of a file whose first page is that of a new one: in all of one version tables begin at the same pages."""
    with _copied(path) as copy:
        with copy.open("r+b") as file:
            with new.open("rb") as other:
                file.write(other.read(PAGE_BYTES))
            file.seek(_PAGES_AT)
            file.write((size_bytes(copy) // PAGE_BYTES).to_bytes(4, "big") + bytes(8))
        yield copy


def _text(data: bytes) -> str:
    """A text with what is none in it replaced: its checksum tells."""
    return data.decode(errors="replace")


def _batched(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    chunk: list[tuple[Any, ...]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK_ROWS:
            yield chunk
            chunk = []
    yield chunk


def _is_log_its_own(path: Path) -> bool:
    """Whether the write-ahead log counts: it does not where the file is whole without it, and only so."""
    if not size_bytes(path.with_name(f"{path.name}-wal")):
        return True
    with contextlib.suppress(*UNREADABLE):
        check_quickly(path)
        return True
    with contextlib.suppress(*UNREADABLE):
        return not check_quickly(path, log=False)
    return True


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
