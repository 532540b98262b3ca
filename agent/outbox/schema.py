"""The tables of the outbox, as migrations. A file of a newer version is refused.

sqlite-utils is loaded only where there is a migration to run, since most starts have none.

    meta        one row: the number of the last commit, the agent's id, when the agent was last known to live
    webhooks    one row each, kept when the configuration no longer has it: sequence, counters, breaker
    events      what there is to tell; its deliveries have the ids from `id` on, `fanout` of them
    deliveries  one event owed to one webhook, with its bytes; state 0 pending, 1 delivered, 2 dead
    memory      what a rule remembers of a sensor (JSON), where it is more than nothing
    ledger      the intake ledgers, a row for each commit that added to one
    subscriptions  the topic filters of each broker with their identifiers; under '' the highest ever given
    untimed     deliveries without a sure time that were never attempted, with the event to write them from (JSON)

Times `..._at` are seconds on the agent's own time line (`agent.clock`), `wall` is Unix seconds.
"""

import sqlite3
from typing import Any

VERSION = 2
"""`PRAGMA user_version` of a file that has all migrations."""

PENDING, DELIVERED, DEAD = 0, 1, 2

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
        _run(database, _SPINE)

    @migrations()
    def events_of_the_agent(database: sqlite_utils.Database) -> None:
        _run(database, _SELF)

    migrations.apply(sqlite_utils.Database(db))
    db.execute(f"PRAGMA user_version = {VERSION}")


def _run(database: Any, script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            database.execute(statement)
