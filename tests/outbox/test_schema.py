"""Files of older versions come to this one with a backup beside them, and whole or not at all."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.model import Content
from agent.outbox import Filter, Span, moving, schema
from agent.outbox.checksums import of_delivery
from tests.outbox.parts import deliver, done, event, opened, owe
from tests.support.hands import HandClock

SPINE = """
CREATE TABLE [_sqlite_migrations] ([id] INTEGER PRIMARY KEY, [migration_set] TEXT, [name] TEXT, [applied_at] TEXT);
CREATE UNIQUE INDEX [idx__sqlite_migrations_migration_set_name] ON [_sqlite_migrations] ([migration_set], [name]);
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1), commit_number INTEGER NOT NULL, next_delivery INTEGER NOT NULL,
    agent_id TEXT NOT NULL, machine_id TEXT NOT NULL, boot_id TEXT NOT NULL, offset_s REAL NOT NULL,
    alive_at REAL NOT NULL, alive_wall REAL NOT NULL, alive_synced INTEGER NOT NULL
) STRICT;
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, sequence INTEGER NOT NULL DEFAULT 0,
    owed INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0, pending INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0, dropped_full INTEGER NOT NULL DEFAULT 0,
    dropped_discarded INTEGER NOT NULL DEFAULT 0, dropped_purged INTEGER NOT NULL DEFAULT 0,
    dropped_replaced INTEGER NOT NULL DEFAULT 0, dropped_webhook_removed INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0, resting_until REAL, disabled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, fanout INTEGER NOT NULL, event_id TEXT NOT NULL, type TEXT NOT NULL, rule TEXT,
    subject TEXT NOT NULL, created_at REAL NOT NULL, wall REAL NOT NULL, synced INTEGER NOT NULL
) STRICT;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, event INTEGER NOT NULL, webhook INTEGER NOT NULL, sequence INTEGER NOT NULL,
    subject TEXT NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL, refusals INTEGER NOT NULL,
    held INTEGER NOT NULL, due_at REAL NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
    settled_at REAL, body BLOB NOT NULL
) STRICT;
CREATE INDEX pending ON deliveries (webhook, subject, id, expires_at) WHERE state = 0;
CREATE INDEX settled ON deliveries (state, settled_at) WHERE state > 0;
CREATE TABLE memory (
    rule TEXT NOT NULL, sensor TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (rule, sensor)
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger (id INTEGER PRIMARY KEY, feed TEXT NOT NULL, entries BLOB NOT NULL) STRICT;
CREATE TABLE subscriptions (
    feed TEXT NOT NULL, filter TEXT NOT NULL, identifier INTEGER NOT NULL, PRIMARY KEY (feed, filter)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
"""
ROWS = """
INSERT INTO _sqlite_migrations VALUES (1, 'bellcrank', 'spine', '2026-01-02 03:04:05+00:00');
INSERT INTO meta VALUES (1, 41, 4, 'an agent', '', 'first boot', 0, 900, 1789999900, 1);
INSERT INTO webhooks (id, name, sequence, owed, delivered, pending, dead, kept, resting_until)
    VALUES (1, 'ops', 3, 3, 1, 1, 1, 1, 77.0);
INSERT INTO events VALUES
    (1, 1, 'evt_1', 'sensor.event', 'r', 'a.t', 800, 1789999800, 1),
    (2, 1, 'evt_2', 'sensor.event', 'r', 'a.t', 801, 1789999801, 1),
    (3, 1, 'evt_3', 'sensor.event', 'r', 'a.t', 802, 1789999802, 1);
INSERT INTO deliveries VALUES
    (1, 1, 1, 1, 'a.t', 1, 0, 0, 0, 800, 800, 99999, 805, x'31'),
    (2, 2, 1, 2, 'a.t', 2, 5, 5, 0, 801, 801, 99999, 806, x'32'),
    (3, 3, 1, 3, 'a.t', 0, 2, 0, 1, 950, 802, 99999, NULL, x'33');
INSERT INTO memory VALUES ('cold', 'a.t', 'one');
INSERT INTO ledger VALUES (1, 'broker:house', x'3132333435363738');
INSERT INTO subscriptions VALUES ('broker:house', 'x/+', 1);
"""
"""What the first schema looked like, with a row or more in each table: never to be changed."""


SEVENTH = """
INSERT INTO meta (id, commit_number, next_delivery, agent_id, machine_id, boot_id, offset_s, alive_at, alive_wall,
    alive_synced, pending_events) VALUES (1, 9, 6, 'an agent', '', 'first boot', 0, 900, 1789999900, 1, 0);
INSERT INTO webhooks (id, name, sequence, owed, delivered, pending, dead, kept, disabled)
    VALUES (1, 'ops', 2, 2, 0, 1, 1, 0, 0), (2, 'log', 2, 2, 1, 1, 0, 1, 1);
INSERT INTO events VALUES (1, 2, 'evt_1', 'sensor.alert.firing', 'r', 'a.t', 800, 1789999800, 1, 'alt_1'),
    (3, 2, 'evt_3', 'sensor.alert.resolved', 'r', 'a.t', 802, 1789999802, 0, 'alt_1');
INSERT INTO deliveries VALUES
    (1, 1, 1, 1, 'a.t', 2, 5, 5, 0, 801, 800, 99999, 806, x'31', NULL, NULL, 1, 1, {ops_1}),
    (2, 1, 2, 1, 'a.t', 1, 0, 0, 0, 800, 800, 99999, 805, x'32', '{{"title": "x"}}', '/fail', 1, 0, {log_1}),
    (3, 3, 1, 2, 'a.t', 0, 2, 0, 1, 950, 802, 99999, NULL, x'33', NULL, NULL, 3, 1, {ops_3}),
    (4, 3, 2, 2, 'a.t', 0, 0, 0, 0, 802, 802, 99999, NULL, x'34', '{{"title": "y"}}', NULL, 3, 0, 7);
INSERT INTO attempts VALUES (1, 805.5, 1789999805, 0.1, 400, 'HTTP 400', x'6e6f'),
    (3, 900, 1789999900, 5, NULL, 'timeout', NULL);
INSERT INTO untimed VALUES (4, 'an event', NULL);
"""
"""What the one before letters looked like, with a row or more in what it changed; 7 is no right checksum."""


def first_version(folder: Path) -> Path:
    path = folder / "outbox.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; {SPINE}{ROWS}")
    return path


def at_version(path: Path, version: int, monkeypatch: pytest.MonkeyPatch, rows: str = "") -> None:
    """A file as an older version made it."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_MIGRATIONS", schema._MIGRATIONS[:version])
        patched.setattr(schema, "VERSION", version)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            schema.migrate(db, path, 0.0)
            db.executescript(rows)


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


def backups(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.backup"))


async def test_a_file_of_the_first_version_goes_on_with_all_that_it_held(tmp_path: Path) -> None:
    first_version(tmp_path)
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, loaded):
        assert loaded.agent_id
        assert loaded.memory == {("cold", "a.t"): "one"}
        assert loaded.ledgers == {"broker:house": [b"12345678"]}
        assert loaded.subscriptions == {"broker:house": {"x/+": 1}}
        assert loaded.rests["ops"].resting_until == 77.0
        assert loaded.numbers == (4, {"ops": 3})
        counters = outbox.counters["ops"]
        assert (counters.owed, counters.delivered, counters.pending, counters.dead) == (3, 1, 1, 1)
        await owe(outbox, clock, event(4))
        letters = outbox.archive.find(Filter(), Span(), 9, newest=False, bodies=True)
        assert [(one.id, one.state, one.settled_at, one.due_at) for one in letters[:3]] == [
            ("evt_1", "delivered", 805, 805),
            ("evt_2", "dead", 806, 806),
            ("evt_3", "pending", None, 950),
        ]
        assert [one.content.body for one in letters[:3] if one.content] == [b"1", b"2", b"3"]
        assert [d.sequence for d in await deliver(outbox, clock, "ops", 2)] == [3, 4]


async def test_a_file_from_before_letters_goes_on_with_what_each_webhook_was_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = {
        "ops_1": of_delivery("evt_1", "ops", b"1", None, None),
        "log_1": of_delivery("evt_1", "log", b"2", '{"title": "x"}', "/fail"),
        "ops_3": of_delivery("evt_3", "ops", b"3", None, None),
    }
    at_version(tmp_path / "outbox.db", 7, monkeypatch, SEVENTH.format(**sums))
    clock = HandClock()
    async with opened(tmp_path, clock, ("ops", "log")) as (outbox, loaded):
        assert not outbox.telling.notices
        assert loaded.rests["log"].disabled
        letters = outbox.archive.find(Filter(), Span(), 9, newest=False, bodies=True)
        assert [(one.id, one.webhook, one.state, one.settled_at, one.content) for one in letters] == [
            ("evt_1", "ops", "dead", 806, Content(b"1")),
            ("evt_1", "log", "delivered", 805, Content(b"2", {"title": "x"}, "/fail")),
            ("evt_3", "ops", "pending", None, Content(b"3")),
            ("evt_3", "log", "pending", None, Content(b"4", {"title": "y"})),
        ]
        [dead, _] = outbox.archive.whole("evt_1")
        assert [(one.status, one.error, one.answer) for one in dead.log] == [(400, "HTTP 400", b"no")]
        file = outbox.store.file
        assert file.db.execute("SELECT pending_events FROM meta").fetchone() == (1,)
        assert file.db.execute("SELECT delivery FROM untimed").fetchall() == [(4,)]
        assert [d.body for d in await deliver(outbox, clock, "ops", 1)] == [b"3"]
        await moving.replay(outbox, clock.moment(), Filter(ids=("evt_1",), states=("dead", "delivered")), Span())
        assert [d.body for d in await deliver(outbox, clock, "ops", 1)] == [b"1"]
        [again] = await outbox.mailboxes["log"].due(clock.now(), 9)
        assert (again.body, again.headers, again.suffix) == (b"2", {"title": "x"}, "/fail")
        outbox.mailboxes["log"].settle(done(again))
        await owe(outbox, clock)
        assert file.db.execute("SELECT pending_events FROM meta").fetchone() == (0,)
        counters = outbox.counters
        assert (counters["ops"].delivered, counters["log"].delivered, counters["log"].dead) == (2, 2, 1)
        assert all(one.balanced for one in counters.values())


async def test_a_damaged_file_of_the_first_version_is_saved_into_one_of_this(tmp_path: Path) -> None:
    path = first_version(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'pending'").fetchone()
    data = bytearray(path.read_bytes())
    data[(page - 1) * schema.PAGE_BYTES : page * schema.PAGE_BYTES] = bytes(range(7, 135)) * 8
    path.write_bytes(data)
    clock = HandClock()
    async with opened(tmp_path, clock) as (outbox, loaded):
        assert [notice.data["lost"] for notice in outbox.telling.notices] == [{}]
        assert loaded.memory == {("cold", "a.t"): "one"}
        letters = outbox.archive.find(Filter(), Span(), 9, newest=False, bodies=True)
        assert [(one.id, one.state, one.content and one.content.body) for one in letters] == [
            ("evt_1", "delivered", b"1"),
            ("evt_2", "dead", b"2"),
            ("evt_3", "pending", b"3"),
        ]
        assert [d.event_id for d in await deliver(outbox, clock, "ops", 1)] == ["evt_3"]


async def test_the_old_file_is_kept_beside_it_until_the_next_migration(tmp_path: Path) -> None:
    before = content(first_version(tmp_path))
    (tmp_path / "outbox.db.v0-2020-01-01.backup").touch()
    clock = HandClock()
    async with opened(tmp_path, clock):
        pass
    name = f"outbox.db.v1-{datetime.fromtimestamp(clock.wall(), UTC).date()}.backup"
    assert backups(tmp_path) == [name]
    assert content(tmp_path / name) == before
    assert (tmp_path / name).stat().st_mode & 0o077 == 0, "it holds what sensors said"
    async with opened(tmp_path, clock):
        pass
    assert backups(tmp_path) == [name], "a start that migrates nothing leaves it"


async def test_a_new_file_needs_no_backup(tmp_path: Path) -> None:
    async with opened(tmp_path, HandClock()):
        pass
    assert backups(tmp_path) == []


async def test_a_file_that_was_migrated_is_like_a_new_one(tmp_path: Path) -> None:
    shapes = []
    for folder in (tmp_path / "old", tmp_path / "new"):
        folder.mkdir()
        if folder.name == "old":
            first_version(folder)
        async with opened(folder, HandClock()):
            pass
        with closing(sqlite3.connect(folder / "outbox.db")) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            shapes.append({table: db.execute(f"PRAGMA table_xinfo({table})").fetchall() for table in tables})
    assert shapes[0] == shapes[1]


async def test_sqlite_utils_finds_a_new_file_as_it_would_have_made_it(tmp_path: Path) -> None:
    dumps = []
    for make in (lambda db: schema._make(db, 0.0), schema._apply):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            make(db)
            noted = db.execute("SELECT id, migration_set, name FROM _sqlite_migrations").fetchall()
            kinds = "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY type, name"
            columns = db.execute("PRAGMA table_xinfo(_sqlite_migrations)").fetchall()
            dumps.append((noted, columns, db.execute(kinds).fetchall(), schema.fingerprint(db)))
            schema._apply(db)  # which finds nothing to do
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize("broken", range(2, schema.VERSION + 1))
async def test_a_migration_that_fails_half_way_leaves_the_old_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    path = first_version(tmp_path)
    before = content(path)
    true = schema._MIGRATIONS

    def cut_off(db: object) -> None:
        true[broken - 1](db)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("disk I/O error")

    cut_off.__name__ = true[broken - 1].__name__
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_MIGRATIONS", (*true[: broken - 1], cut_off, *true[broken:]))
        with pytest.raises(OSError, match="schema 1 cannot be brought to") as failed:
            async with opened(tmp_path, HandClock()):
                pass
    assert failed.value.filename == str(path)
    assert content(path) == before
    async with opened(tmp_path, HandClock()) as (outbox, _):
        assert outbox.counters["ops"].owed == 3


async def test_where_there_is_no_room_for_the_backup_nothing_changes(tmp_path: Path) -> None:
    path = first_version(tmp_path)
    before = content(path)
    part = tmp_path / f"outbox.db.v1-{datetime.fromtimestamp(HandClock().wall(), UTC).date()}.part"
    part.mkdir()
    with pytest.raises(OSError, match=r"\.part"):
        async with opened(tmp_path, HandClock()):
            pass
    assert (content(path), backups(tmp_path)) == (before, [])


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
async def test_a_file_of_any_version_has_the_known_schema_once_it_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    at_version(tmp_path / "outbox.db", version, monkeypatch)
    for _ in range(2):
        async with opened(tmp_path, HandClock()) as (outbox, _):
            assert not outbox.telling.notices, "it is taken for whole"
            await owe(outbox, HandClock(), event(1))
        with closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
            assert schema.fingerprint(db) == schema.FINGERPRINT, "a new migration makes another: write it there"
