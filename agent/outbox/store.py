"""The SQLite file.

A plain synchronous class, used from one thread, with one connection for all writing and checkpoints.

Every commit carries a number, so that after an error the file, which must then be reopened, tells whether
the batch is there. Settling compares and sets: a counter moves only if the row did.
"""

import contextlib
import hashlib
import json
import math
import secrets
import sqlite3
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from agent.clock import DeviceClock
from agent.model import DROP_REASONS, Counters, DeadLetters, Delivery, Ending, Event, Moment, Rest, Settlement
from agent.outbox import room, untimed
from agent.outbox.batch import Batch, Gone, Key, Numbers, Owed
from agent.outbox.bounds import DEFAULTS, Decision, Incoming, Limits, Part, Queue, Room, decide
from agent.outbox.checksums import differs, of_delivery, of_texts
from agent.outbox.claims import Claims
from agent.outbox.disk import Disk, back_with_blocks, size_bytes
from agent.outbox.inspection import Damaged
from agent.outbox.lanes import Head
from agent.outbox.ledger import ENTRY_BYTES, KEPT, split
from agent.outbox.losses import Drop
from agent.outbox.packing import Kept, kept, unpack
from agent.outbox.schema import (
    ATTEMPTS_KEPT,
    DEAD,
    DELIVERED,
    FIRING,
    PAGE_BYTES,
    PENDING,
    PULSE,
    REPEATED,
    RESOLVED,
    migrate,
)
from agent.outbox.writeahead import LogHeld, write_again

P = ParamSpec("P")
T = TypeVar("T")

KEEP_DELIVERED_ROWS = 10_000
SWEEP_ROWS = 500
"""At most so many rows expire, or are deleted, with one commit, so that it stays short."""
_LOOK_ROWS = 5_000
"""So many are looked at in one go, so that a commit never waits for a look at a million."""
_NUMBER_MAX = 2**62
LOG_BYTES = 2 * 1024 * 1024
"""What the write-ahead log keeps of the disk once it was taken in."""
_MACHINE_ID = Path("/etc/machine-id")
_DELIVERY = (
    "d.id, d.sequence, l.event_id, d.subject, d.created_at, d.expires_at, d.due_at, d.attempts, d.refusals, d.held,"
    " l.form, l.body, l.headers, l.suffix, l.checksum, EXISTS (SELECT 1 FROM untimed u WHERE u.delivery = d.id)"
)
_OF_ITS_EVENT = (
    "SELECT o.id FROM deliveries d JOIN deliveries o ON o.id >= d.event AND o.id < d.event + d.fanout WHERE d.id = ?"
)
_LETTER = "LEFT JOIN letters l ON l.delivery = d.id"


_OF_A_FULL_DISK = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite may say of one: that its shared memory could not grow, it calls an I/O error (SQLITE_IOERR_SHMSIZE)."""


class Place(NamedTuple):
    """Where a look through what is pending has come to, in the order of the index."""

    webhook: int
    subject: str
    id: int


BEGINNING = Place(-1, "", 0)


class _Deleted(NamedTuple):
    id: int
    state: int
    webhook: str
    subject: str
    sequence: int


class DiskFull(sqlite3.OperationalError):
    """There is no room to the last blocks, be it even for SQLite's shared memory."""

    sqlite_errorcode = sqlite3.SQLITE_FULL

    def __init__(self) -> None:
        super().__init__("the disk is full")


@dataclass(slots=True)
class Outcome:
    """What a commit did beside what it was asked for."""

    drops: list[Drop] = field(default_factory=list)
    """For want of room."""
    refused: set[int] = field(default_factory=set)
    """Deliveries of the batch that were dropped at once, and replays of what had to make room itself."""
    gone: list[Gone] = field(default_factory=list)
    """Other pending deliveries that were dropped."""
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
    ended_well: bool | None
    """Whether the agent ended in order the last time; None: this is the first start."""
    memory: Mapping[Key, str]
    forgotten: Sequence[Key]
    """Of the memory, whose rows were damaged: it is no more."""
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
        self._prepare(clock)
        self.disk.keep_ballast(self.limits.min_free_bytes)
        with self._transaction():
            self._renew_if_cloned()
            downtime_s = self._resume_time(clock)
            for name in webhooks:
                self._webhook(name)
            memory, forgotten = self._read_memory()
        return self._loaded(downtime_s, memory, forgotten)

    def open_idle(self, clock: DeviceClock) -> Moment:
        """Migrate, for people who ask while no agent runs. Returns now, on the agent's time line."""
        self._prepare(clock)
        self._resume_time(clock)
        moment = clock.moment()
        return moment._replace(at=moment.at - clock.offset_s + self.offset_s)

    def adopt(self, webhooks: Sequence[str]) -> None:
        """Make the rows of webhooks that are new in the configuration."""
        with self._transaction():
            for name in webhooks:
                self._webhook(name)

    def commit(self, number: int, batch: Batch) -> None:
        """Make a batch durable, all or nothing. Raises LogHeld too."""
        self.outcome = Outcome()
        letters = {d.id: kept(d.event_id, d.webhook, d) for owed in batch.owed for d in owed.deliveries}
        self._bound_file()
        with self._transaction():
            deltas: defaultdict[str, Counter[str]] = defaultdict(Counter)
            self._settle(batch, deltas)
            self._freeze(batch)
            self._discard(batch, deltas)
            if batch.purge:
                self._purge(batch.moment.at, deltas)
            self._make_room(batch, letters, deltas)
            self._move_again(batch, deltas)
            self._owe(batch, letters, deltas)
            self._db.executemany(
                "INSERT INTO memory VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
                [(*key, value, of_texts(*key, value)) for key, value in batch.memory.items() if value is not None],
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
                    "UPDATE webhooks SET resting_until = ?, disabled = ?, asked_until = ? WHERE name = ?",
                    (rest.resting_until, rest.disabled, rest.asked_until, rest.webhook),
                )
            self._count(deltas)
            moment = batch.moment
            self._db.execute(
                "UPDATE meta SET commit_number = ?, next_delivery = ?, boot_id = ?, offset_s = ?,"
                " alive_at = ?, alive_wall = ?, alive_synced = ?, ended_well = ?",
                (number, batch.numbers.next_delivery, self._boot_id, self.offset_s, *moment, batch.last),
            )
            if batch.exhausted_before is not None:
                self._db.execute("UPDATE meta SET exhausted_before = ?", (batch.exhausted_before,))

    def move(self, batch: Batch) -> None:
        """Send again and give up while no agent runs: when it lived last does not change by that."""
        with self._transaction():
            deltas: defaultdict[str, Counter[str]] = defaultdict(Counter)
            self._move_again(batch, deltas)
            self._discard(batch, deltas)
            self._count(deltas)
            self._db.execute("UPDATE meta SET next_delivery = ?", (batch.numbers.next_delivery,))

    def read(self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask one of `agent.outbox.letters`."""
        return query(self._db, *args, **kwargs)

    def numbers(self) -> Numbers:
        """Where the counting stands."""
        (next_delivery,) = self._db.execute("SELECT next_delivery FROM meta").fetchone()
        return Numbers(next_delivery, dict(self._db.execute("SELECT name, sequence FROM webhooks")))

    def reopen(self) -> int:
        """Open the file anew after an error. Returns the number of the last commit that is in it, and durable.

        Raises DiskFull and LogNotWritten too.
        """
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if not self.disk.holds_shared_memory():
            raise DiskFull
        self._db = self._connect()
        self._read_names()
        self._read_ledgers()
        return self.number()

    def close(self) -> None:
        """Close the file; the last connection takes the write-ahead log in."""
        self._db.close()

    def true(self, error: Exception) -> Exception:
        """What is the matter, where SQLite does not know. To be asked before the connection gives its place back."""
        code = getattr(error, "sqlite_errorcode", None)
        is_full = code is not None and code & 0xFF in _OF_A_FULL_DISK and self.disk.is_full()
        return DiskFull() if is_full else error

    def number(self) -> int:
        """The number of the last commit."""
        return int(self._db.execute("SELECT commit_number FROM meta").fetchone()[0])

    def is_misnumbered(self) -> bool:
        """Whether a number was given already that would be given next."""
        query = "SELECT MAX(next_delivery, commit_number), next_delivery, (SELECT MAX(id) FROM deliveries) FROM meta"
        highest, following, given = self._db.execute(query).fetchone()
        return bool(highest > _NUMBER_MAX or (given is not None and given >= following))

    def counters(self) -> dict[str, Counters]:
        """Conservation of every webhook that was ever owed something."""
        dropped = ", ".join(f"dropped_{reason}" for reason in DROP_REASONS)
        rows = self._db.execute(f"SELECT name, owed, delivered, pending, dead, {dropped} FROM webhooks")  # noqa: S608
        return {row[0]: _counters(row[1:]) for row in rows}

    def heads(self, webhook: str, after: str | None, limit: int) -> list[Head]:
        """The first pending delivery of each subject, for so many subjects that follow one in the alphabet.

        Goes from subject to subject through the index, whatever number of deliveries is behind each.
        """
        query = """
            WITH RECURSIVE
                next(subject) AS (
                    SELECT MIN(subject) FROM deliveries WHERE webhook = :webhook AND state = 0 AND subject > :after
                    UNION ALL
                    SELECT (
                        SELECT MIN(subject) FROM deliveries
                        WHERE webhook = :webhook AND state = 0 AND subject > next.subject
                    ) FROM next WHERE next.subject IS NOT NULL
                    LIMIT :limit
                )
            SELECT d.subject, d.id, d.due_at, d.created_at, d.held FROM next JOIN deliveries d ON d.id = (
                SELECT MIN(id) FROM deliveries WHERE webhook = :webhook AND state = 0 AND subject = next.subject
            )"""
        values = {"webhook": self._webhooks.get(webhook, -1), "after": after or "", "limit": limit}
        return [_head(row) for row in self._db.execute(query, values)]

    def first(self, webhook: str, subjects: Mapping[str, int]) -> dict[str, Head | None]:
        """The first pending delivery of each of some subjects that comes behind an id."""
        query = (
            "SELECT subject, id, due_at, created_at, held FROM deliveries"
            " WHERE webhook = ? AND subject = ? AND state = 0 AND id > ? ORDER BY id LIMIT 1"
        )
        places = [(self._webhooks[webhook], *place) for place in subjects.items()]
        rows = {place[1]: self._db.execute(query, place).fetchone() for place in places}
        return {subject: None if row is None else _head(row) for subject, row in rows.items()}

    def tried(self, webhook: str) -> list[Head]:
        """All pending deliveries that are due later than when they became owed."""
        query = (
            "SELECT subject, id, due_at, created_at, held FROM deliveries"
            " WHERE webhook = ? AND state = 0 AND due_at > created_at ORDER BY id"
        )
        return [_head(row) for row in self._db.execute(query, (self._webhooks[webhook],))]

    def untried(self, webhook: str, after: int, limit: int) -> tuple[list[Delivery], int, bool]:
        """Pending deliveries of all subjects behind an id that are due since they became owed, in order.

        Returns also up to which id it has looked, and whether there may be more behind that.
        """
        last = self._db.execute("SELECT MAX(id) FROM deliveries").fetchone()[0] or 0
        reached = min(last, after + _LOOK_ROWS)
        rows = self._db.execute(
            f"SELECT {_DELIVERY} FROM deliveries d NOT INDEXED {_LETTER}"  # noqa: S608
            " WHERE d.id > ? AND d.id <= ? AND d.webhook = ? AND d.state = 0 AND d.due_at <= d.created_at"
            " ORDER BY d.id LIMIT ?",
            (after, reached, self._webhooks[webhook], limit),
        )
        found = [_delivery(webhook, row) for row in rows]
        reached = found[-1].id if len(found) == limit else reached
        return found, reached, reached < last

    def one(self, webhook: str, delivery_id: int) -> list[Delivery]:
        """A delivery, if it is pending."""
        query = f"SELECT {_DELIVERY} FROM deliveries d {_LETTER} WHERE d.id = ? AND d.state = 0"  # noqa: S608
        return [_delivery(webhook, row) for row in self._db.execute(query, (delivery_id,))]

    def pending(self, webhook: str, subject: str, after: int, limit: int) -> list[Delivery]:
        """The next pending deliveries of one subject, in order."""
        rows = self._db.execute(
            f"SELECT {_DELIVERY} FROM deliveries d {_LETTER}"  # noqa: S608
            " WHERE d.webhook = ? AND d.subject = ? AND d.state = 0 AND d.id > ? ORDER BY d.id LIMIT ?",
            (self._webhooks[webhook], subject, after, limit),
        )
        return [_delivery(webhook, row) for row in rows]

    def expired(self, now: float, after: Place) -> tuple[list[Gone], float, Place | None]:
        """Look through a part of what is pending, from a place on.

        Returns whose time is over, at most SWEEP_ROWS; when the first of the others' will be; and from where to go on.
        """
        gone: list[Gone] = []
        next_expiry, looked, place = math.inf, 0, after
        for webhook, subject, delivery_id, expires_at in self._behind(after):
            looked, place = looked + 1, Place(webhook, subject, delivery_id)
            if expires_at > now:
                next_expiry = min(next_expiry, expires_at)
                continue
            gone.append(Gone(delivery_id, self._names[webhook], subject))
            if len(gone) == SWEEP_ROWS:
                return gone, next_expiry, place
        return gone, next_expiry, place if looked == _LOOK_ROWS else None

    def _behind(self, after: Place) -> Iterator[tuple[int, str, int, float]]:
        """The next rows of what is pending: webhook, subject, id and expires_at.

        In two steps, as for a comparison with all three SQLite would begin with the first of the subject each time.
        """
        rows = "SELECT webhook, subject, id, expires_at FROM deliveries WHERE state = 0"
        query = f"{rows} AND webhook = ? AND subject = ? AND id > ? ORDER BY id LIMIT ?"
        same = self._db.execute(query, (*after, _LOOK_ROWS)).fetchall()
        yield from same
        query = f"{rows} AND (webhook, subject) > (?, ?) ORDER BY webhook, subject, id LIMIT ?"
        yield from self._db.execute(query, (after.webhook, after.subject, _LOOK_ROWS - len(same)))

    def exhausted(self, before: float) -> list[DeadLetters]:
        """What became a dead letter since that was last told of; events about the agent itself do so silently."""
        query = """
            SELECT w.name, l.rule, COUNT(*), MIN(d.sequence), MAX(d.sequence) FROM deliveries d
            JOIN letters l ON l.delivery = d.id JOIN webhooks w ON w.id = d.webhook
            WHERE d.state = 2 AND d.due_at >= (SELECT exhausted_before FROM meta) AND d.due_at < ?
            AND d.state > 0 AND l.rule IS NOT NULL GROUP BY w.name, l.rule ORDER BY w.name, l.rule"""
        return [DeadLetters(*row) for row in self._db.execute(query, (before,))]

    def untimed(self, deliveries: Sequence[int]) -> dict[int, str]:
        """The events of those deliveries that have none of a sure time, but what is damaged of them."""
        marks = ", ".join("?" * len(deliveries))
        query = f"SELECT delivery, event, checksum FROM untimed WHERE delivery IN ({marks})"  # noqa: S608
        rows = self._db.execute(query, deliveries).fetchall()
        return {number: text for number, text, kept in rows if not differs(kept, of_texts(str(number), text))}

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
        # A batch that is stored one message at a time may be from before the last telling of dead letters.
        at = max(batch.moment.at, self._db.execute("SELECT exhausted_before FROM meta").fetchone()[0])
        for settlement in batch.settled:
            delivery = settlement.delivery
            self._log_attempt(settlement)
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
                if self._move(delivery.id, PENDING, DELIVERED, at):
                    deltas[delivery.webhook].update(pending=-1, delivered=1, kept=1)
            elif self._move(delivery.id, PENDING, DEAD, at, settlement.attempts or None):
                deltas[delivery.webhook].update(pending=-1, dead=1)
        for gone in batch.expired:
            if self._move(gone.id, PENDING, DEAD, at):
                deltas[gone.webhook].update(pending=-1, dead=1)

    def _log_attempt(self, settlement: Settlement) -> None:
        """Keep how an attempt went, where the delivery is still there; only the last ATTEMPTS_KEPT are kept.

        One that succeeds at once is not logged: the delivery says when, and it would cost a lone event 2 kB.
        """
        number, attempt = settlement.delivery.id, settlement.attempt
        if attempt is None or (settlement.ending is Ending.DELIVERED and not self._has_log(number)):
            return
        self._db.execute(
            "INSERT OR REPLACE INTO attempts SELECT ?, ?, ?, ?, ?, ?, ?"
            " WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = ?)",
            (number, *attempt[:-1], attempt.answer or None, number),
        )
        self._db.execute(
            "DELETE FROM attempts WHERE delivery = ? AND at <="
            " (SELECT at FROM attempts WHERE delivery = ? ORDER BY at DESC LIMIT 1 OFFSET ?)",
            (number, number, ATTEMPTS_KEPT),
        )

    def _has_log(self, delivery_id: int) -> bool:
        query = "SELECT 1 FROM attempts WHERE delivery = ? LIMIT 1"
        return self._db.execute(query, (delivery_id,)).fetchone() is not None

    def _move(self, delivery_id: int, before: int, after: int, at: float, attempts: int | None = None) -> bool:
        """`attempts`: how many were used up; None: as many as before."""
        query = (
            "UPDATE deliveries SET state = ?, due_at = ?, attempts = COALESCE(?, attempts) WHERE id = ? AND state = ?"
        )
        return self._db.execute(query, (after, at, attempts, delivery_id, before)).rowcount == 1

    def _move_again(self, batch: Batch, deltas: defaultdict[str, Counter[str]]) -> None:
        """What was dead is pending; what was delivered stays counted as that, and is owed once more."""
        for old, d in batch.replays:
            if self._renumber(old.id, d, DEAD):
                deltas[d.webhook].update(dead=-1, pending=1)
            elif self._renumber(old.id, d, DELIVERED):
                deltas[d.webhook].update(owed=1, pending=1, kept=-1)
            else:
                self.outcome.refused.add(d.id)
                continue
            for table in ("attempts", "letters"):
                self._db.execute(f"UPDATE {table} SET delivery = ? WHERE delivery = ?", (d.id, old.id))  # noqa: S608
            self._db.execute("DELETE FROM untimed WHERE delivery = ?", (old.id,))  # it is sent as it was written

    def _renumber(self, old: int, d: Delivery, state: int) -> bool:
        query = (
            "UPDATE deliveries SET id = ?, event = ?, fanout = 1, subject = ?, state = ?, attempts = 0, refusals = 0,"
            " held = 0, tried = 1, due_at = ?, created_at = ?, expires_at = ? WHERE id = ? AND state = ?"
        )
        values = (d.id, d.id, d.subject, PENDING, d.due_at, d.created_at, d.expires_at, old, state)
        return self._db.execute(query, values).rowcount == 1

    def _discard(self, batch: Batch, deltas: defaultdict[str, Counter[str]]) -> None:
        for gone in self._delete((given_up.id for given_up in batch.discarded), PENDING, DEAD):
            deltas[gone.webhook].update({"pending" if gone.state == PENDING else "dead": -1, "dropped_discarded": 1})

    def _freeze(self, batch: Batch) -> None:
        for delivery, event, content in batch.frozen:
            self._db.execute("DELETE FROM untimed WHERE delivery = ?", (delivery.id,))
            if event is not None and content is not None:
                values = (*kept(delivery.event_id, delivery.webhook, content), delivery.id)
                columns = "form = ?, body = ?, headers = ?, suffix = ?, checksum = ?"
                self._db.execute(f"UPDATE letters SET {columns} WHERE delivery = ?", values)  # noqa: S608
                query = "UPDATE letters SET wall = ?, synced = ? WHERE delivery IN"
                self._db.execute(f"{query} ({_OF_ITS_EVENT})", (event.wall, event.synced, delivery.id))

    def _owe(self, batch: Batch, letters: Mapping[int, Kept], deltas: defaultdict[str, Counter[str]]) -> None:
        deliveries, told, texts = [], [], []
        for number, event, owed, unwanted in batch.owed:
            taken = [delivery for delivery in owed if delivery.id not in self.outcome.refused]
            of_rule = (event.id, event.type, event.rule, event.subject, event.alert_id)
            facts, kind = (*of_rule, event.at, event.wall, event.synced), _kind(event)
            for d in owed:
                deltas[d.webhook].update(owed=1)
            for d in taken:
                deltas[d.webhook].update(pending=1)
                if d.untimed and (text := untimed.dump(event)) is not None:
                    texts.append((d.id, text, of_texts(str(d.id), text)))
                row = (d.id, number, len(owed), self._webhook(d.webhook), d.sequence, d.subject, PENDING, kind, 0)
                deliveries.append((*row, d.attempts, d.refusals, d.held, d.due_at, d.created_at, d.expires_at))
                told.append((d.id, *facts, *letters[d.id]))
            for name in unwanted:
                deltas[name].update(owed=1, dropped_webhook_removed=1)
        self._db.executemany("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", deliveries)
        self._db.executemany("INSERT INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", told)
        self._db.executemany("INSERT INTO untimed VALUES (?, ?, ?)", texts)
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

    def _make_room(self, batch: Batch, letters: Mapping[int, Kept], deltas: defaultdict[str, Counter[str]]) -> None:
        """Let go of what has to, so that the batch may come. Most commits find room enough."""
        incoming = [_incoming(owed, letters) for owed in batch.owed if owed.deliveries]
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
        self.outcome.refused = decision.refused
        for gone in self._delete(decision.delivered, DELIVERED):
            deltas[gone.webhook].update(kept=-1)
        for gone in self._delete(decision.dead, DEAD):
            deltas[gone.webhook].update(dead=-1, dropped_purged=1)
            self.outcome.drops.append(Drop(gone.webhook, "purged", gone.sequence))
        for gone in self._delete(sorted(decision.pending), PENDING):
            deltas[gone.webhook].update(pending=-1, dropped_full=1)
            self.outcome.drops.append(Drop(gone.webhook, "full", gone.sequence))
            self.outcome.gone.append(Gone(gone.id, gone.webhook, gone.subject))
        for delivery in (delivery for owed in batch.owed for delivery in owed.deliveries):
            if delivery.id in decision.refused:
                deltas[delivery.webhook].update(dropped_full=1)
                self.outcome.drops.append(Drop(delivery.webhook, "full", delivery.sequence))

    def _delete(self, delivery_ids: Iterable[int], *states: int) -> Iterator[_Deleted]:
        """Delete those that are in one of the states, each with its letter and its log."""
        query = (
            f"DELETE FROM deliveries WHERE id = ? AND state IN ({', '.join(map(str, states))})"  # noqa: S608
            " RETURNING state, webhook, subject, sequence"
        )
        for delivery_id in delivery_ids:
            for state, webhook, subject, sequence in self._db.execute(query, (delivery_id,)).fetchall():
                yield _Deleted(delivery_id, state, self._names[webhook], subject, sequence)

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
                raise LogHeld

    # -- history

    def _purge(self, now: float, deltas: defaultdict[str, Counter[str]]) -> None:
        delivered, dead = self._purgeable(now)
        for gone in self._delete(delivered, DELIVERED):
            deltas[gone.webhook].update(kept=-1)
        for gone in self._delete(dead, DEAD):
            deltas[gone.webhook].update(dead=-1, dropped_purged=1)

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
            " WHERE state = ? AND state > 0 AND due_at < ? ORDER BY due_at LIMIT ?"  # as the index says
        )
        return [row[0] for row in self._db.execute(query, (state, than, limit))]

    def _count(self, deltas: Mapping[str, Counter[str]]) -> None:
        for name, delta in deltas.items():
            changes = ", ".join(f"{column} = {column} + {n}" for column, n in delta.items())
            self._db.execute(f"UPDATE webhooks SET {changes} WHERE id = ?", (self._webhook(name),))  # noqa: S608

    # -- the parts of a start

    def _prepare(self, clock: DeviceClock) -> None:
        """Migrate, and make what a new file begins with."""
        migrate(self._db, self._path, clock.wall())
        self._boot_id = clock.boot_id()
        self._db.execute(
            "INSERT OR IGNORE INTO meta (id, commit_number, next_delivery, agent_id, machine_id, boot_id, offset_s,"
            " alive_at, alive_wall, alive_synced) VALUES (1, 0, 1, ?, ?, ?, 0, ?, ?, 0)",
            (secrets.token_hex(16), machine_id(), self._boot_id, clock.now(), clock.wall()),
        )
        self._read_names()

    def _read_names(self) -> None:
        self._names = dict(self._db.execute("SELECT id, name FROM webhooks").fetchall())
        self._webhooks = {name: row for row, name in self._names.items()}

    def _read_memory(self) -> tuple[dict[Key, str], list[Key]]:
        """All that rules remember, and of whom the row is damaged: that is deleted."""
        memory, damaged = {}, []
        for rule, sensor, value, checksum in self._db.execute("SELECT rule, sensor, value, checksum FROM memory"):
            if differs(checksum, of_texts(rule, sensor, value)):
                damaged.append((rule, sensor))
            else:
                memory[rule, sensor] = value
        self._db.executemany("DELETE FROM memory WHERE rule = ? AND sensor = ?", damaged)
        return memory, damaged

    def _loaded(self, downtime_s: float | None, memory: Mapping[Key, str], forgotten: Sequence[Key]) -> Loaded:
        query = "SELECT agent_id, commit_number, ended_well FROM meta"
        agent_id, commits, ended_well = self._db.execute(query).fetchone()
        webhooks = self._db.execute("SELECT name, resting_until, disabled, asked_until FROM webhooks").fetchall()
        return Loaded(
            agent_id=agent_id,
            offset_s=self.offset_s,
            downtime_s=downtime_s,
            ended_well=bool(ended_well) if commits else None,
            memory=memory,
            forgotten=forgotten,
            ledgers=self._read_ledgers(),
            subscriptions=self._subscriptions(),
            rests={name: Rest(name, until, bool(disabled), asked) for name, until, disabled, asked in webhooks},
            numbers=self.numbers(),
        )

    def _read_ledgers(self) -> dict[str, list[bytes]]:
        self._log.clear()
        ledgers: defaultdict[str, list[bytes]] = defaultdict(list)
        for row, feed, entries in self._db.execute("SELECT id, feed, entries FROM ledger ORDER BY id"):
            _check_types((feed, str), (entries, bytes))
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
        self._db.execute("DELETE FROM untimed")  # nobody knows any more when it was
        downtime_s = max(0.0, moment.wall - alive_wall) if alive_synced and moment.synced else None
        self.offset_s = alive_at + (downtime_s or 0.0) - raw
        return downtime_s

    def _renew_if_cloned(self) -> None:
        """A copied card must not pretend to be the same agent."""
        query = "UPDATE meta SET agent_id = ?, machine_id = ? WHERE machine_id != ?"
        self._db.execute(query, (secrets.token_hex(16), machine_id(), machine_id()))

    # -- the connection

    def _connect(self) -> sqlite3.Connection:
        is_new = not size_bytes(self._path)
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            if is_new:
                with contextlib.suppress(OSError):  # of a file system without modes
                    self._path.chmod(0o600)  # before there is a log: that and the shared memory take its mode over
            write_again(self._log_path)
            self._set_up(db)
        except sqlite3.Error as error:
            if (true := self.true(error)) is not error:
                raise true from error
            raise
        return db

    def _set_up(self, db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = OFF")  # which Debian's is built with: zeros over all that was sent
        db.execute("PRAGMA cache_size = -2048")
        db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()  # so that the shared memory is there
        self._shm_bytes = size_bytes(self._shm_path)
        back_with_blocks(self._shm_path)

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


def _check_types(*values: tuple[object, type]) -> None:
    """Raises Damaged where a value is not of the type that its column has: SQLite believes what the row says."""
    if not all(isinstance(value, wanted) for value, wanted in values):
        raise Damaged("a row has a value of a type that it cannot have")


def _head(row: Sequence[Any]) -> Head:
    subject, delivery_id, due_at, created_at, held = row
    _check_types((subject, str), (due_at, float), (created_at, float), (held, int))
    return Head(subject, delivery_id, due_at, created_at, bool(held))


def _incoming(owed: Owed, letters: Mapping[int, Kept]) -> Incoming:
    n = len(owed.deliveries)
    parts = {d.webhook: Part(d.id, owed.id, n, room.size_bytes(letters[d.id])) for d in owed.deliveries}
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
    number, sequence, event_id, subject, created, expires, due, attempts, refusals, held, *more = row
    form, packed, headers, suffix, checksum, is_untimed = more
    body = unpack(form, packed)
    _check_types((event_id, str), (subject, str), (created, float), (expires, float), (due, float))
    _check_types((sequence, int), (attempts, int), (refusals, int), (held, int))
    damaged = differs(checksum, of_delivery(event_id, webhook, body, headers, suffix))
    return Delivery(
        id=number,
        webhook=webhook,
        sequence=sequence,
        event_id=event_id,
        subject=subject,
        body=b"" if damaged or body is None else body,
        created_at=created,
        expires_at=expires,
        due_at=due,
        attempts=attempts,
        refusals=refusals,
        held=bool(held),
        headers={} if damaged or not headers else json.loads(headers),
        suffix="" if damaged else suffix or "",
        untimed=bool(is_untimed),
        damaged=damaged,
    )


def machine_id() -> str:
    """A digest of the machine id, since that id itself is not for sharing (machine-id(5))."""
    try:
        return hashlib.sha256(b"bellcrank" + _MACHINE_ID.read_bytes().strip()).hexdigest()
    except OSError:
        return ""
