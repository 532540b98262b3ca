"""The SQLite file.

A plain synchronous class, used from one thread, with one connection for all writing and checkpoints.

Every commit carries a number, so that after an error the file, which must then be reopened, tells whether
the batch is there. Settling compares and sets: a counter moves only if the row did.
"""

import contextlib
import hashlib
import secrets
import sqlite3
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agent.clock import DeviceClock
from agent.model import DROP_REASONS, Counters, Delivery, Ending, Event, Rest
from agent.outbox import room
from agent.outbox.batch import Batch, Key, Numbers, Owed
from agent.outbox.bounds import DEFAULTS, Decision, Incoming, Limits, Part, Queue, Room, decide
from agent.outbox.claims import Claims
from agent.outbox.disk import Disk, back_with_blocks, size_bytes
from agent.outbox.lanes import Head
from agent.outbox.ledger import ENTRY_BYTES, KEPT, split
from agent.outbox.losses import Drop
from agent.outbox.schema import DEAD, DELIVERED, FIRING, PENDING, PULSE, REPEATED, RESOLVED, migrate

KEEP_DELIVERED_ROWS = 10_000
SWEEP_ROWS = 500
"""At most so many rows expire, or are deleted, with one commit, so that it stays short."""
PAGE_BYTES = 1024
LOG_BYTES = 2 * 1024 * 1024
"""What the write-ahead log keeps of the disk once it was taken in."""
_MACHINE_ID = Path("/etc/machine-id")
_DELIVERY = (
    "d.id, d.sequence, e.event_id, d.subject, d.body, d.created_at, d.expires_at, d.due_at,"
    " d.attempts, d.refusals, d.held"
)


class _Gone(NamedTuple):
    """A delivery that was deleted."""

    webhook: str
    subject: str
    sequence: int


class LogHeld(sqlite3.OperationalError):
    """Somebody reads the file for so long that its write-ahead log has grown as large as the file may."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY


class NoRoomToOpen(sqlite3.OperationalError):
    """The disk is too full even for SQLite's shared memory."""

    sqlite_errorcode = sqlite3.SQLITE_CANTOPEN


@dataclass(slots=True)
class Outcome:
    """What a commit did beside what it was asked for."""

    drops: list[Drop] = field(default_factory=list)
    """For want of room."""
    refused: frozenset[int] = frozenset()
    """Deliveries of the batch that were dropped at once."""
    gone: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """Other pending deliveries that were dropped, by webhook and subject."""
    heads: dict[tuple[str, str], Head | None] = field(default_factory=dict)
    """The first that such a subject has pending now, without the batch."""
    more: bool = False
    """Whether more has to go with the next commit."""


@dataclass(frozen=True)
class Loaded:
    """What a start finds in the file."""

    agent_id: str
    offset_s: float
    """Of the agent's time line to the boot-time clock."""
    downtime_s: float | None
    """Between the last commit and this start; None: not known."""
    memory: Mapping[Key, str]
    ledgers: Mapping[str, Sequence[bytes]]
    subscriptions: Mapping[str, Mapping[str, int]]
    """Of each feed: its filters and their identifiers (`drivers.base.Subscriptions`)."""
    rests: Mapping[str, Rest]
    numbers: Numbers


class Store:
    """All SQL of the agent's running. Every method may raise sqlite3.Error."""

    def __init__(self, path: Path, limits: Limits = DEFAULTS, claims: Claims | None = None) -> None:
        self.limits = limits
        """May be set anew; the next commit goes by it."""
        self.disk = Disk(path.parent)
        self.outcome = Outcome()
        """Of the last commit that was tried: known before it is durable."""
        self._claims = claims or Claims()
        self._path = path
        self._log_path = path.with_name(path.name + "-wal")
        self._shm_path = path.resolve().with_name(path.name + "-shm")
        self._shm_bytes = 0
        self._webhooks: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._log: dict[str, deque[tuple[int, int]]] = defaultdict(deque)
        self._db = self._connect()
        self.offset_s = 0.0
        self._boot_id = ""

    def open(self, clock: DeviceClock, webhooks: Sequence[str]) -> Loaded:
        """Migrate, adopt the webhooks of the configuration, and read what a start needs."""
        migrate(self._db)
        self.disk.keep_ballast(self.limits.min_free_bytes)
        self._boot_id = clock.boot_id()
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO meta VALUES (1, 0, 1, ?, ?, ?, 0, ?, ?, 0, 0)",
                (secrets.token_hex(16), _machine(), self._boot_id, clock.now(), clock.wall()),
            )
            self._renew_if_cloned()
            downtime_s = self._resume_time(clock)
            for name in webhooks:
                self._webhook(name)
        return self._loaded(downtime_s)

    def adopt(self, webhooks: Sequence[str]) -> dict[str, list[Head]]:
        """Make the rows of webhooks that are new in the configuration. Returns what is pending for each."""
        with self._transaction():
            for name in webhooks:
                self._webhook(name)
        return {name: self.heads(name) for name in webhooks}

    def commit(self, number: int, batch: Batch) -> None:
        """Make a batch durable, all or nothing. Raises LogHeld too."""
        self.outcome = Outcome()
        self._bound_file()
        with self._transaction():
            deltas: defaultdict[str, Counter[str]] = defaultdict(Counter)
            self._settle(batch, deltas)
            if batch.purge:
                self._purge(batch.moment.at, deltas)
            self._make_room(batch, deltas)
            self._owe(batch, deltas)
            self._db.executemany(
                "INSERT INTO memory VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                [(*key, value) for key, value in batch.memory.items() if value is not None],
            )
            self._db.executemany(
                "DELETE FROM memory WHERE rule = ? AND sensor = ?",
                [key for key, value in batch.memory.items() if value is None],
            )
            for feed, (anew, entries) in batch.ledger.items():
                self._append_ledger(feed, anew=anew, entries=entries)
            for feed, ids in batch.subscriptions.items():
                self._db.execute("DELETE FROM subscriptions WHERE feed = ?", (feed,))
                rows = [(feed, text, number) for text, number in ids.items()]
                self._db.executemany("INSERT INTO subscriptions VALUES (?, ?, ?)", rows)
            for rest in batch.rests:
                self._db.execute(
                    "UPDATE webhooks SET resting_until = ?, disabled = ? WHERE name = ?",
                    (rest.resting_until, rest.disabled, rest.webhook),
                )
            self._count(deltas)
            moment = batch.moment
            self._db.execute(
                "UPDATE meta SET commit_number = ?, next_delivery = ?, boot_id = ?, offset_s = ?,"
                " alive_at = ?, alive_wall = ?, alive_synced = ?",
                (number, batch.numbers.next_delivery, self._boot_id, self.offset_s, *moment),
            )

    def reopen(self) -> int:
        """Open the file anew after an error. Returns the number of the last commit that is in it.

        Raises NoRoomToOpen too.
        """
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if not self.disk.holds_shared_memory():
            raise NoRoomToOpen("the disk is full")
        self._db = self._connect()
        self._names = dict(self._db.execute("SELECT id, name FROM webhooks").fetchall())
        self._webhooks = {name: row for row, name in self._names.items()}
        self._read_ledgers()
        return self.number()

    def close(self) -> None:
        """Close the file; the last connection takes the write-ahead log in."""
        self._db.close()

    def number(self) -> int:
        """The number of the last commit."""
        return int(self._db.execute("SELECT commit_number FROM meta").fetchone()[0])

    def counters(self) -> dict[str, Counters]:
        """Conservation of every webhook that was ever owed something."""
        dropped = ", ".join(f"dropped_{reason}" for reason in DROP_REASONS)
        rows = self._db.execute(f"SELECT name, owed, delivered, pending, dead, {dropped} FROM webhooks")  # noqa: S608
        return {row[0]: _counters(row[1:]) for row in rows}

    def heads(self, webhook: str) -> list[Head]:
        """The first pending delivery of each subject."""
        query = """
            SELECT d.subject, d.id, d.due_at, d.created_at, d.held FROM deliveries d JOIN (
                SELECT MIN(id) AS id FROM deliveries WHERE webhook = ? AND state = 0 GROUP BY subject
            ) head ON d.id = head.id ORDER BY d.id"""
        return [Head(*row) for row in self._db.execute(query, (self._webhooks.get(webhook, -1),))]

    def pending(self, webhook: str, subject: str, after: int, limit: int) -> list[Delivery]:
        """The next pending deliveries of one subject, in order."""
        rows = self._db.execute(
            f"SELECT {_DELIVERY} FROM deliveries d JOIN events e ON e.id = d.event"  # noqa: S608
            " WHERE d.webhook = ? AND d.subject = ? AND d.state = 0 AND d.id > ? ORDER BY d.id LIMIT ?",
            (self._webhooks[webhook], subject, after, limit),
        )
        return [_delivery(webhook, row) for row in rows]

    def expired(self, now: float) -> tuple[list[int], float | None]:
        """Ids of pending deliveries whose time is over, at most SWEEP_ROWS, and when the next one's will be."""
        query = "SELECT id FROM deliveries WHERE state = 0 AND expires_at <= ? LIMIT ?"
        ids = [row[0] for row in self._db.execute(query, (now, SWEEP_ROWS))]
        query = "SELECT MIN(expires_at) FROM deliveries WHERE state = 0 AND expires_at > ?"
        return ids, self._db.execute(query, (now,)).fetchone()[0]

    def rows_to_purge(self, now: float) -> int:
        """How many rows a purge would delete."""
        return sum(map(len, self._purgeable(now)))

    def is_full(self) -> bool:
        """Whether there is more than there may be, as after limits that were lowered."""
        events, free_bytes = self._free()
        return events < 0 or free_bytes < 0

    def switch(self, webhook: str, *, enabled: bool) -> bool:
        """Enable or disable a webhook. Returns whether there is one of this name."""
        with self._transaction():
            query = "UPDATE webhooks SET disabled = ?, resting_until = NULL WHERE name = ?"
            return self._db.execute(query, (not enabled, webhook)).rowcount == 1

    def size_bytes(self) -> int:
        """What the file and its write-ahead log take."""
        return size_bytes(self._path) + size_bytes(self._log_path)

    # -- the parts of a commit

    def _settle(self, batch: Batch, deltas: defaultdict[str, Counter[str]]) -> None:
        for settlement in batch.settled:
            delivery = settlement.delivery
            if settlement.ending is Ending.AGAIN:
                self._db.execute(
                    "UPDATE deliveries SET attempts = ?, refusals = ?, held = ?, due_at = ?, tried = 1"
                    " WHERE id = ? AND state = 0",
                    (
                        settlement.attempts,
                        settlement.refusals,
                        settlement.held,
                        settlement.due_at,
                        delivery.id,
                    ),
                )
            elif settlement.ending is Ending.DELIVERED:
                if self._move(delivery.id, PENDING, DELIVERED, batch.moment.at):
                    deltas[delivery.webhook].update(pending=-1, delivered=1, kept=1)
            elif self._move(delivery.id, PENDING, DEAD, batch.moment.at):
                deltas[delivery.webhook].update(pending=-1, dead=1)
        for delivery_id in batch.expired:
            if self._move(delivery_id, PENDING, DEAD, batch.moment.at):
                deltas[self._webhook_of(delivery_id)].update(pending=-1, dead=1)

    def _move(self, delivery_id: int, before: int, after: int, at: float) -> bool:
        query = "UPDATE deliveries SET state = ?, settled_at = ? WHERE id = ? AND state = ?"
        return self._db.execute(query, (after, at, delivery_id, before)).rowcount == 1

    def _owe(self, batch: Batch, deltas: defaultdict[str, Counter[str]]) -> None:
        events, deliveries = [], []
        for number, event, owed, unwanted in batch.owed:
            taken = [delivery for delivery in owed if delivery.id not in self.outcome.refused]
            told = (event.id, event.type, event.rule, event.subject, event.at, event.wall, event.synced)
            if taken:
                events.append((number, len(owed), *told, event.alert_id))
            for d in owed:
                deltas[d.webhook].update(owed=1)
            for d in taken:
                deltas[d.webhook].update(pending=1)
                row = (d.id, number, self._webhook(d.webhook), d.sequence, d.subject, PENDING, d.attempts, d.refusals)
                deliveries.append((*row, d.held, d.due_at, d.created_at, d.expires_at, None, d.body, _kind(event), 0))
            for name in unwanted:
                deltas[name].update(owed=1, dropped_webhook_removed=1)
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", events)
        self._db.executemany(f"INSERT INTO deliveries VALUES ({', '.join('?' * 16)})", deliveries)  # noqa: S608
        for name in {name for owed in batch.owed for name in owed.event.send_to}:
            query = "UPDATE webhooks SET sequence = ? WHERE id = ?"
            self._db.execute(query, (batch.numbers.sequences[name], self._webhook(name)))

    def _append_ledger(self, feed: str, *, anew: bool, entries: bytes) -> None:
        rows = self._log[feed]
        if anew:
            self._db.execute("DELETE FROM ledger WHERE feed = ?", (feed,))
            rows.clear()
        if entries:
            row = self._db.execute("INSERT INTO ledger (feed, entries) VALUES (?, ?)", (feed, entries)).lastrowid
            rows.append((row or 0, len(entries) // ENTRY_BYTES))
        total = sum(n for _, n in rows)
        while rows and total - rows[0][1] >= KEPT:
            row, n = rows.popleft()
            total -= n
            self._db.execute("DELETE FROM ledger WHERE id = ?", (row,))

    # -- room

    def _make_room(self, batch: Batch, deltas: defaultdict[str, Counter[str]]) -> None:
        """Let go of what has to, so that the batch may come. Most commits find room enough."""
        incoming = [_incoming(owed) for owed in batch.owed if owed.deliveries]
        wanted_bytes = batch.room_bytes + sum(part.size_bytes for event in incoming for part in event.parts.values())
        events, free_bytes = self._free()
        if events < len(incoming) or free_bytes < wanted_bytes:
            queues = self._queues(incoming, deltas)
            free = Room(events, free_bytes - batch.room_bytes, room.delivered(self._db), room.dead(self._db), queues)
            rows_max = SWEEP_ROWS + sum(len(event.parts) for event in incoming)
            self._let_go(decide(free, incoming, rows_max), batch, deltas)

    def _free(self) -> tuple[int, int]:
        """How many events and bytes there is room for; less than nothing where there is too much."""
        limits = self.limits
        growth_bytes = max(0, self.disk.growth_bytes(limits.min_free_bytes))
        most_bytes = min(limits.max_bytes, size_bytes(self._path) + growth_bytes)
        return limits.max_events - room.pending_events(self._db), most_bytes - room.used_bytes(self._db)

    def _queues(self, incoming: Sequence[Incoming], deltas: Mapping[str, Counter[str]]) -> dict[str, Queue]:
        waiting = dict(self._db.execute("SELECT name, pending FROM webhooks").fetchall())
        waiting = {name: n + deltas[name]["pending"] if name in deltas else n for name, n in waiting.items()}
        named = {name for event in incoming for name in event.parts}
        return {
            name: room.queue(self._db, self._claims, self._webhook(name), n)
            for name, n in (dict.fromkeys(named, 0) | waiting).items()
            if n or name in named
        }

    def _let_go(self, decision: Decision, batch: Batch, deltas: defaultdict[str, Counter[str]]) -> None:
        self.outcome.more = decision.capped
        self.outcome.refused = frozenset(decision.refused)
        for delivery_id in decision.delivered:
            deltas[self._delete(delivery_id, DELIVERED).webhook].update(kept=-1)
        for delivery_id in decision.dead:
            gone = self._delete(delivery_id, DEAD)
            deltas[gone.webhook].update(dead=-1, dropped_purged=1)
            self.outcome.drops.append(Drop(gone.webhook, "purged", gone.sequence))
        for delivery_id in sorted(decision.pending):
            gone = self._delete(delivery_id, PENDING)
            deltas[gone.webhook].update(pending=-1, dropped_full=1)
            self.outcome.drops.append(Drop(gone.webhook, "full", gone.sequence))
            self.outcome.gone.setdefault((gone.webhook, gone.subject), set()).add(delivery_id)
        for delivery in (delivery for owed in batch.owed for delivery in owed.deliveries):
            if delivery.id in decision.refused:
                deltas[delivery.webhook].update(dropped_full=1)
                self.outcome.drops.append(Drop(delivery.webhook, "full", delivery.sequence))
        self.outcome.heads = {key: self._head(*key) for key in self.outcome.gone}

    def _head(self, webhook: str, subject: str) -> Head | None:
        query = (
            "SELECT subject, id, due_at, created_at, held FROM deliveries"
            " WHERE webhook = ? AND subject = ? AND state = 0 ORDER BY id LIMIT 1"
        )
        row = self._db.execute(query, (self._webhook(webhook), subject)).fetchone()
        return None if row is None else Head(*row)

    def _delete(self, delivery_id: int, state: int) -> _Gone:
        """Delete a delivery of this state, and its event with its last one."""
        query = "DELETE FROM deliveries WHERE id = ? AND state = ? RETURNING event, webhook, subject, sequence"
        event, webhook, subject, sequence = self._db.execute(query, (delivery_id, state)).fetchone()
        self._db.execute(
            "DELETE FROM events WHERE id = ? AND NOT EXISTS"
            " (SELECT 1 FROM deliveries d WHERE d.id >= events.id AND d.id < events.id + events.fanout)",
            (event,),
        )
        return _Gone(self._names[webhook], subject, sequence)

    def _bound_file(self) -> None:
        """Let the file not grow beyond its limit by much, nor its log, which a reader may hold."""
        pages = (self.limits.max_bytes + max(self.limits.max_bytes // 8, 2**20)) // PAGE_BYTES
        self._db.execute(f"PRAGMA max_page_count = {pages}")
        if size_bytes(self._shm_path) != self._shm_bytes:
            self._shm_bytes = size_bytes(self._shm_path)
            back_with_blocks(self._shm_path)
        if size_bytes(self._log_path) > self.limits.max_bytes:
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise LogHeld("another process has been reading the outbox for too long, and holds up its log")

    # -- history

    def _purge(self, now: float, deltas: defaultdict[str, Counter[str]]) -> None:
        delivered, dead = self._purgeable(now)
        for delivery_id in delivered:
            deltas[self._delete(delivery_id, DELIVERED).webhook].update(kept=-1)
        for delivery_id in dead:
            deltas[self._delete(delivery_id, DEAD).webhook].update(dead=-1, dropped_purged=1)

    def _purgeable(self, now: float) -> tuple[list[int], list[int]]:
        """Delivered and dead deliveries that history no longer holds."""
        kept = self._db.execute("SELECT TOTAL(kept) FROM webhooks").fetchone()[0]
        surplus = min(SWEEP_ROWS, int(kept) - KEEP_DELIVERED_ROWS)
        if surplus > 0:
            delivered = self._older(DELIVERED, now, surplus)
        else:
            delivered = self._older(DELIVERED, now - self.limits.keep_delivered_s, SWEEP_ROWS)
        return delivered, self._older(DEAD, now - self.limits.keep_dead_s, SWEEP_ROWS)

    def _older(self, state: int, than: float, limit: int) -> list[int]:
        query = (
            "SELECT id FROM deliveries"
            " WHERE state = ? AND state > 0 AND settled_at < ? ORDER BY settled_at LIMIT ?"  # as the index says
        )
        return [row[0] for row in self._db.execute(query, (state, than, limit))]

    def _count(self, deltas: Mapping[str, Counter[str]]) -> None:
        for name, delta in deltas.items():
            changes = ", ".join(f"{column} = {column} + {n}" for column, n in delta.items())
            self._db.execute(f"UPDATE webhooks SET {changes} WHERE id = ?", (self._webhook(name),))  # noqa: S608

    # -- the parts of a start

    def _loaded(self, downtime_s: float | None) -> Loaded:
        agent_id, next_delivery = self._db.execute("SELECT agent_id, next_delivery FROM meta").fetchone()
        webhooks = self._db.execute("SELECT name, sequence, resting_until, disabled FROM webhooks").fetchall()
        return Loaded(
            agent_id=agent_id,
            offset_s=self.offset_s,
            downtime_s=downtime_s,
            memory={(rule, sensor): value for rule, sensor, value in self._db.execute("SELECT * FROM memory")},
            ledgers=self._read_ledgers(),
            subscriptions=self._subscriptions(),
            rests={name: Rest(name, until, bool(disabled)) for name, _, until, disabled in webhooks},
            numbers=Numbers(next_delivery, {name: sequence for name, sequence, *_ in webhooks}),
        )

    def _read_ledgers(self) -> dict[str, list[bytes]]:
        self._log.clear()
        ledgers: defaultdict[str, list[bytes]] = defaultdict(list)
        for row, feed, entries in self._db.execute("SELECT id, feed, entries FROM ledger ORDER BY id"):
            self._log[feed].append((row, len(entries) // ENTRY_BYTES))
            ledgers[feed].extend(split(entries))
        return dict(ledgers)

    def _subscriptions(self) -> dict[str, dict[str, int]]:
        found: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for feed, text, number in self._db.execute("SELECT feed, filter, identifier FROM subscriptions"):
            found[feed][text] = number
        return dict(found)

    def _resume_time(self, clock: DeviceClock) -> float | None:
        """Go on with the agent's time line by what is known to have passed. Returns that, or None."""
        query = "SELECT boot_id, offset_s, alive_at, alive_wall, alive_synced FROM meta"
        boot_id, offset_s, alive_at, alive_wall, alive_synced = self._db.execute(query).fetchone()
        moment = clock.moment()
        raw = moment.at - clock.offset_s
        if boot_id == self._boot_id:
            self.offset_s = max(offset_s, alive_at - raw)
            return float(raw + self.offset_s - alive_at)
        downtime_s = max(0.0, moment.wall - alive_wall) if alive_synced and moment.synced else None
        self.offset_s = alive_at + (downtime_s or 0.0) - raw
        return downtime_s

    def _renew_if_cloned(self) -> None:
        """A copied card must not pretend to be the same agent."""
        query = "UPDATE meta SET agent_id = ?, machine_id = ? WHERE machine_id != ?"
        self._db.execute(query, (secrets.token_hex(16), _machine(), _machine()))

    # -- the connection

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1.0)
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -2048")
        db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()  # so that the shared memory is there
        self._shm_bytes = size_bytes(self._shm_path)
        back_with_blocks(self._shm_path)
        return db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _webhook(self, name: str) -> int:
        """The row of a webhook, made where there is none yet."""
        if name not in self._webhooks:
            self._db.execute("INSERT OR IGNORE INTO webhooks (name) VALUES (?)", (name,))
            row = self._db.execute("SELECT id FROM webhooks WHERE name = ?", (name,)).fetchone()[0]
            self._webhooks[name], self._names[row] = row, name
        return self._webhooks[name]

    def _webhook_of(self, delivery_id: int) -> str:
        query = "SELECT name FROM webhooks JOIN deliveries d ON d.webhook = webhooks.id WHERE d.id = ?"
        return str(self._db.execute(query, (delivery_id,)).fetchone()[0])


def _incoming(owed: Owed) -> Incoming:
    n = len(owed.deliveries)
    parts = {d.webhook: Part(d.id, owed.id, n, len(d.body) + room.ROW_BYTES) for d in owed.deliveries}
    return Incoming(owed.event.state is None, parts)


def _kind(event: Event) -> int:
    """What it is to the bounds; where a rule's own type ends like a reminder's, its firing is never dropped."""
    if event.state is None:
        return PULSE
    if event.state == "resolved":
        return RESOLVED
    return REPEATED if event.type.endswith(".repeated") else FIRING


def _counters(row: Sequence[int]) -> Counters:
    owed, delivered, pending, dead, *dropped = row
    return Counters(owed, delivered, pending, dead, dict(zip(DROP_REASONS, dropped, strict=True)))


def _delivery(webhook: str, row: Sequence[Any]) -> Delivery:
    number, sequence, event_id, subject, body, created, expires, due, attempts, refusals, held = row
    return Delivery(
        id=number,
        webhook=webhook,
        sequence=sequence,
        event_id=event_id,
        subject=subject,
        body=body,
        created_at=created,
        expires_at=expires,
        due_at=due,
        attempts=attempts,
        refusals=refusals,
        held=bool(held),
    )


def _machine() -> str:
    """A digest of the machine id, since that id itself is not for sharing (machine-id(5))."""
    try:
        return hashlib.sha256(b"bellcrank" + _MACHINE_ID.read_bytes().strip()).hexdigest()
    except OSError:
        return ""
