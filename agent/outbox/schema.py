"""The tables of the outbox, as migrations. A file of a newer version is refused.

A file of an older version is copied beside itself first, then brought to this one in one transaction: a start that is
cut off leaves the old file as it was. sqlite-utils is loaded only for that, as it takes 13 MiB where it finds numpy: a
new file is made by the same migrations without it, and they are noted as it would note them.

    meta        one row: the number of the last commit, the agent's id, when the agent was last known to live,
                how many events have a pending delivery (kept by triggers, whoever changes a delivery)
    webhooks    one row each, kept when the configuration no longer has it: sequence, counters, breaker
    deliveries  one event owed to one webhook; state 0 pending, 1 delivered, 2 dead; those of one event have the ids
                from `event` on, `fanout` of them; `due_at` is when it is due and, once it is settled, when that was: a
                mark must not make the row longer, or it would not fit its page
    letters     what each delivery tells, written once and gone with it, so that a mark, which changes the small row
                only, does not write all of it again; `form` is that of the body (`packing`), `headers` (JSON) and
                `suffix` (of the URL's path) are null where there are none, `checksum` in what is older than it
    attempts    the last ATTEMPTS_KEPT of each delivery that did not succeed at once, gone with it
    memory      what a rule remembers of a sensor (JSON), where it is more than nothing
    ledger      the intake ledgers, a row for each commit that added to one
    subscriptions  the topic filters of each broker with their identifiers; under '' the highest ever given
    untimed     deliveries without a sure time that were never attempted, with the event to write them from (JSON)

Times `..._at` are seconds on the agent's own time line (`agent.clock`), `wall` is Unix seconds.
"""

import contextlib
import errno
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from agent.outbox.owner import hand_over

PENDING, DELIVERED, DEAD = 0, 1, 2
PULSE, FIRING, REPEATED, RESOLVED = 0, 1, 2, 3
"""`deliveries.kind`: what the event is."""
ATTEMPTS_KEPT = 20
SQLITE_VERSION = sqlite3.sqlite_version
"""Of the library that is linked."""
PAGE_BYTES = 1024

_SPINE = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commit_number INTEGER NOT NULL,
    next_delivery INTEGER NOT NULL,
    agent_id TEXT NOT NULL,
    machine_id TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    offset_s REAL NOT NULL,
    alive_at REAL NOT NULL,
    alive_wall REAL NOT NULL,
    alive_synced INTEGER NOT NULL
) STRICT;
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sequence INTEGER NOT NULL DEFAULT 0,
    owed INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    dropped_full INTEGER NOT NULL DEFAULT 0,
    dropped_discarded INTEGER NOT NULL DEFAULT 0,
    dropped_purged INTEGER NOT NULL DEFAULT 0,
    dropped_replaced INTEGER NOT NULL DEFAULT 0,
    dropped_webhook_removed INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0,
    resting_until REAL,
    disabled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    fanout INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    rule TEXT,
    subject TEXT NOT NULL,
    created_at REAL NOT NULL,
    wall REAL NOT NULL,
    synced INTEGER NOT NULL
) STRICT;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    event INTEGER NOT NULL,
    webhook INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    subject TEXT NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    refusals INTEGER NOT NULL,
    held INTEGER NOT NULL,
    due_at REAL NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    settled_at REAL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX pending ON deliveries (webhook, subject, id, expires_at) WHERE state = 0;
CREATE INDEX settled ON deliveries (state, settled_at) WHERE state > 0;
CREATE TABLE memory (
    rule TEXT NOT NULL,
    sensor TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (rule, sensor)
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    entries BLOB NOT NULL
) STRICT;
CREATE TABLE subscriptions (
    feed TEXT NOT NULL,
    filter TEXT NOT NULL,
    identifier INTEGER NOT NULL,
    PRIMARY KEY (feed, filter)
) STRICT, WITHOUT ROWID;
"""

_ATTEMPTS = """
CREATE TABLE attempts (
    delivery INTEGER NOT NULL,
    at REAL NOT NULL,
    wall REAL NOT NULL,
    duration_s REAL NOT NULL,
    status INTEGER,
    error TEXT,
    answer BLOB,
    PRIMARY KEY (delivery, at)
) STRICT, WITHOUT ROWID;
"""
_REQUESTS = """
ALTER TABLE deliveries ADD COLUMN headers TEXT;
ALTER TABLE deliveries ADD COLUMN suffix TEXT;
"""
_QUEUE = """
ALTER TABLE webhooks ADD COLUMN asked_until REAL;
CREATE INDEX due_again ON deliveries (webhook, id, due_at, created_at, held, subject)
    WHERE state = 0 AND due_at > created_at;
"""
# A delivery from before is of a kind that is never dropped.
_BOUNDS = """
ALTER TABLE meta ADD COLUMN pending_events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN alert_id TEXT;
ALTER TABLE deliveries ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;
ALTER TABLE deliveries ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET pending_events = (SELECT COUNT(DISTINCT event) FROM deliveries WHERE state = 0);
CREATE INDEX droppable ON deliveries (webhook, kind, id) WHERE state = 0 AND kind IN (0, 3);
"""
_TRIGGER = """
CREATE TRIGGER {name} AFTER {change} ON deliveries WHEN {when} AND NOT EXISTS (
    SELECT 1 FROM events e JOIN deliveries d ON d.id >= e.id AND d.id < e.id + e.fanout
    WHERE e.id = {row}.event AND d.id != {row}.id AND d.state = 0
)
BEGIN UPDATE meta SET pending_events = pending_events {by}; END"""
_WAITS_OR_NOT = (
    ("owed", "INSERT", "NEW.state = 0", "NEW", "+ 1"),
    ("owed_again", "UPDATE OF state", "OLD.state != 0 AND NEW.state = 0", "NEW", "+ 1"),
    ("settled_last", "UPDATE OF state", "OLD.state = 0 AND NEW.state != 0", "OLD", "- 1"),
    ("dropped_last", "DELETE", "OLD.state = 0", "OLD", "- 1"),
)
_SELF = """
ALTER TABLE meta ADD COLUMN ended_well INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN exhausted_before REAL NOT NULL DEFAULT 0;
CREATE TABLE untimed (
    delivery INTEGER PRIMARY KEY,
    event TEXT NOT NULL
) STRICT;
CREATE TRIGGER untimed_goes AFTER DELETE ON deliveries BEGIN DELETE FROM untimed WHERE delivery = OLD.id; END;
"""
"""Whether the last commit was that of an orderly end; dead letters of before that time were told of."""
# What was there before gets none: one made now would vouch for bytes that nobody has looked at since they were written.
_CHECKSUMS = """
ALTER TABLE deliveries ADD COLUMN checksum INTEGER;
ALTER TABLE memory ADD COLUMN checksum INTEGER;
ALTER TABLE untimed ADD COLUMN checksum INTEGER;
ALTER TABLE webhooks ADD COLUMN dropped_damaged INTEGER NOT NULL DEFAULT 0;
"""
# Rows of deliveries are made anew rather than shortened, which would write all of them for each column.
_LETTERS = """
CREATE TABLE letters (
    delivery INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    rule TEXT,
    subject TEXT NOT NULL,
    alert_id TEXT,
    created_at REAL NOT NULL,
    wall REAL NOT NULL,
    synced INTEGER NOT NULL,
    form INTEGER NOT NULL,
    body BLOB NOT NULL,
    headers TEXT,
    suffix TEXT,
    checksum INTEGER
) STRICT;
INSERT INTO letters SELECT d.id, e.event_id, e.type, e.rule, e.subject, e.alert_id, e.created_at, e.wall, e.synced,
    0, d.body, d.headers, d.suffix, d.checksum FROM deliveries d JOIN events e ON e.id = d.event;
CREATE TABLE owed (
    id INTEGER PRIMARY KEY,
    event INTEGER NOT NULL,
    fanout INTEGER NOT NULL,
    webhook INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    subject TEXT NOT NULL,
    state INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    tried INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    refusals INTEGER NOT NULL,
    held INTEGER NOT NULL,
    due_at REAL NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL
) STRICT;
INSERT INTO owed SELECT d.id, d.event, e.fanout, d.webhook, d.sequence, d.subject, d.state, d.kind, d.tried, d.attempts,
    d.refusals, d.held, COALESCE(d.settled_at, d.due_at), d.created_at, d.expires_at
    FROM deliveries d JOIN events e ON e.id = d.event;
DROP TABLE deliveries;
DROP TABLE events;
ALTER TABLE owed RENAME TO deliveries;
CREATE INDEX pending ON deliveries (webhook, subject, id, expires_at) WHERE state = 0;
CREATE INDEX settled ON deliveries (state, due_at) WHERE state > 0;
CREATE INDEX due_again ON deliveries (webhook, id, due_at, created_at, held, subject)
    WHERE state = 0 AND due_at > created_at;
CREATE INDEX droppable ON deliveries (webhook, kind, id) WHERE state = 0 AND kind IN (0, 3);
"""
_GOES = """
CREATE TRIGGER goes AFTER DELETE ON deliveries BEGIN
    DELETE FROM letters WHERE delivery = OLD.id;
    DELETE FROM attempts WHERE delivery = OLD.id;
    DELETE FROM untimed WHERE delivery = OLD.id;
END"""
_ALONE = """
CREATE TRIGGER {name} AFTER {change} ON deliveries WHEN {when} AND ({row}.fanout = 1 OR NOT EXISTS (
    SELECT 1 FROM deliveries d
    WHERE d.id >= {row}.event AND d.id < {row}.event + {row}.fanout AND d.id != {row}.id AND d.state = 0
))
BEGIN UPDATE meta SET pending_events = pending_events {by}; END"""

_NOTED = """
CREATE TABLE "_sqlite_migrations" ("id" INTEGER PRIMARY KEY, "migration_set" TEXT, "name" TEXT, "applied_at" TEXT);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name" ON "_sqlite_migrations" ("migration_set", "name");
"""
"""Where sqlite-utils looks for what was applied."""
_SET = "bellcrank"


class Database(Protocol):
    """A connection, or what sqlite-utils makes of one."""

    def execute(self, sql: str, /) -> object:
        """Run one statement."""


def _spine(db: Database) -> None:
    _execute(db, _SPINE)


def _attempts(db: Database) -> None:
    _execute(db, _ATTEMPTS)


def _requests(db: Database) -> None:
    _execute(db, _REQUESTS)


def _queue(db: Database) -> None:
    _execute(db, _QUEUE)


def _bounds(db: Database) -> None:
    _execute(db, _BOUNDS)
    _count_pending_events(db, _TRIGGER)


def _events_of_the_agent(db: Database) -> None:
    _execute(db, _SELF)


def _checksums(db: Database) -> None:
    _execute(db, _CHECKSUMS)


def _letters(db: Database) -> None:
    _execute(db, _LETTERS)
    _count_pending_events(db, _ALONE)
    db.execute(_GOES)


def _count_pending_events(db: Database, trigger: str) -> None:
    for name, change, when, row, by in _WAITS_OR_NOT:
        db.execute(trigger.format(name=name, change=change, when=when, row=row, by=by))


_MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _spine,
    _attempts,
    _requests,
    _queue,
    _bounds,
    _events_of_the_agent,
    _checksums,
    _letters,
)
"""In their order; what stands here is never changed, a new one is added at the end."""
VERSION = len(_MIGRATIONS)
"""`PRAGMA user_version` of a file that has all migrations."""
FINGERPRINT = 3006825471
"""Of the schema that they make (`fingerprint`), so that a start need not make it to compare."""


class NewerSchema(Exception):
    """The file was written by a newer version of bellcrank."""

    def __init__(self, version: int) -> None:
        knows = f"this version of bellcrank knows {VERSION}"
        super().__init__(f"the outbox has schema {version}, {knows}: update bellcrank")


def texts(db: sqlite3.Connection) -> list[tuple[bytes, ...]]:
    """The schema as the file has it, without what SQLite and sqlite-utils make for themselves.

    It is the same in a file that was migrated, since a new one is made by all migrations too.
    """
    query = (
        "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(tbl_name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema"
        " WHERE tbl_name != '_sqlite_migrations' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY type, name"
    )
    return db.execute(query).fetchall()


def fingerprint(db: sqlite3.Connection) -> int:
    """A CRC-32 of the schema: it sees every flipped bit."""
    return zlib.crc32(repr(texts(db)).encode())


def migrate(db: sqlite3.Connection, path: Path, wall: float) -> None:
    """Bring the file at `path`, which `db` has open, to this version. `wall` is Unix seconds, for the backup's name.

    Raises NewerSchema, and OSError where the backup or the migration fails; then the file is as it was.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise NewerSchema(version)
    if version == VERSION:
        return
    try:
        backup = _back_up(db, path, version, wall) if version else None
        with _transaction(db):
            if version:
                _apply(db)
            else:
                _make(db, wall)
            db.execute(f"PRAGMA user_version = {VERSION}")
    except sqlite3.Error as error:
        what = f"schema {version} cannot be brought to {VERSION}, and is as it was: {error}"
        raise OSError(errno.EIO, what, str(path)) from error
    for older in path.parent.glob(f"{path.name}.v*.backup"):
        if backup not in (None, older):
            older.unlink()


def _back_up(db: sqlite3.Connection, path: Path, version: int, wall: float) -> Path:
    """Copy the file beside itself, whole or not at all; it is on the disk when this returns."""
    day = datetime.fromtimestamp(wall, UTC).date().isoformat()
    backup = path.with_name(f"{path.name}.v{version}-{day}.backup")
    part = backup.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(0o600)
    hand_over(part)
    with contextlib.closing(sqlite3.connect(part)) as copy:
        db.backup(copy)
    part.replace(backup)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return backup


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _make(db: sqlite3.Connection, wall: float) -> None:
    """All migrations, in a new file."""
    _execute(db, _NOTED)
    note = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)"
    for migration in _MIGRATIONS:
        migration(db)
        db.execute(note, (_SET, _name(migration), str(datetime.fromtimestamp(wall, UTC))))


def _apply(db: sqlite3.Connection) -> None:
    """All migrations that are missing."""
    from sqlite_utils import Database, Migrations

    migrations = Migrations(_SET)
    for migration in _MIGRATIONS:
        migrations(name=_name(migration))(migration)
    migrations.apply(Database(db))


def _name(migration: Callable[[Database], None]) -> str:
    return migration.__name__.removeprefix("_")


def _execute(db: Database, statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)
