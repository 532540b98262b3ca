"""The tables of the outbox, as migrations. A file of a newer version is refused.

sqlite-utils is loaded only where there is a migration to run, since most starts have none.

    meta        one row: the number of the last commit, the agent's id, when the agent was last known to live,
                how many events have a pending delivery (kept by triggers, whoever changes a delivery)
    webhooks    one row each, kept when the configuration no longer has it: sequence, counters, breaker
    events      what there is to tell; its deliveries have the ids from `id` on, `fanout` of them
    deliveries  one event owed to one webhook, with its bytes; state 0 pending, 1 delivered, 2 dead
    memory      what a rule remembers of a sensor (JSON), where it is more than nothing
    ledger      the intake ledgers, a row for each commit that added to one
    subscriptions  the topic filters of each broker with their identifiers; under '' the highest ever given

Times `..._at` are seconds on the agent's own time line (`agent.clock`), `wall` is Unix seconds.
"""

import sqlite3

VERSION = 2
"""`PRAGMA user_version` of a file that has all migrations."""

PENDING, DELIVERED, DEAD = 0, 1, 2
PULSE, FIRING, REPEATED, RESOLVED = 0, 1, 2, 3
"""`deliveries.kind`: what the event is."""

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
# A delivery from before is of a kind that is never dropped.
_BOUNDS = (
    "ALTER TABLE meta ADD COLUMN pending_events INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE events ADD COLUMN alert_id TEXT",
    f"ALTER TABLE deliveries ADD COLUMN kind INTEGER NOT NULL DEFAULT {FIRING}",
    "ALTER TABLE deliveries ADD COLUMN tried INTEGER NOT NULL DEFAULT 0",
    "UPDATE meta SET pending_events = (SELECT COUNT(DISTINCT event) FROM deliveries WHERE state = 0)",
    "CREATE INDEX droppable ON deliveries (webhook, kind, id) WHERE state = 0 AND kind IN (0, 3)",
    *(
        _TRIGGER.format(name=name, change=change, when=when, row=row, by=by)
        for name, change, when, row, by in _WAITS_OR_NOT
    ),
)


class NewerSchema(Exception):
    """The file was written by a newer version of bellcrank."""


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to this version. Raises NewerSchema, sqlite3.Error."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise NewerSchema(
            f"the outbox has schema {version}, this version of bellcrank knows {VERSION}: update bellcrank"
        )
    if version < VERSION:
        _apply(db)


def _apply(db: sqlite3.Connection) -> None:
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("bellcrank")

    @migrations()
    def spine(database: sqlite_utils.Database) -> None:
        for statement in _SPINE.split(";\n"):
            if statement.strip():
                database.execute(statement)

    @migrations()
    def bounds(database: sqlite_utils.Database) -> None:
        for statement in _BOUNDS:
            database.execute(statement)

    migrations.apply(sqlite_utils.Database(db))
    db.execute(f"PRAGMA user_version = {VERSION}")
