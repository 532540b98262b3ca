"""One commit, in its order; and the start, for the agent and for people while none runs.

Every commit carries a number, so that after an error the file, which must then be reopened, tells whether the batch is
there.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from agent.clock import DeviceClock
from agent.model import Moment
from agent.outbox import counting, leaving, marks, owing, start
from agent.outbox.batch import Batch
from agent.outbox.bounds import DEFAULTS, Limits
from agent.outbox.checksums import of_texts
from agent.outbox.claims import Claims
from agent.outbox.counting import Deltas
from agent.outbox.file import File
from agent.outbox.leaving import Outcome
from agent.outbox.packing import Kept, kept

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """A plain synchronous class, used from one thread. Every method may raise sqlite3.Error."""

    def __init__(self, path: Path, limits: Limits = DEFAULTS, claims: Claims | None = None) -> None:
        self.file = File(path, limits, claims)
        self.outcome = Outcome()
        """Of the last commit that was tried: known before it is durable."""
        self._boot_id, self._offset_s = "", 0.0

    def open(self, clock: DeviceClock, webhooks: Sequence[str]) -> start.Loaded:
        """Migrate, adopt the webhooks of the configuration, and read what a start needs."""
        file = self.file
        start.prepare(file, clock)
        file.disk.keep_ballast(file.limits.min_free_bytes)
        with file.transaction():
            start.renew_if_cloned(file)
            self._resume(clock)
            for name in webhooks:
                file.row(name)
            memory, forgotten = start.read_memory(file)
        return start.loaded(file, self._resumed, memory, forgotten)

    def open_idle(self, clock: DeviceClock) -> Moment:
        """Migrate, for people who ask while no agent runs. Returns now, on the agent's time line."""
        start.prepare(self.file, clock)
        self._resume(clock)
        moment = clock.moment()
        return moment._replace(at=moment.at - clock.offset_s + self._offset_s)

    def adopt(self, webhooks: Sequence[str]) -> None:
        """Make the rows of webhooks that are new in the configuration."""
        with self.file.transaction():
            for name in webhooks:
                self.file.row(name)

    def commit(self, number: int, batch: Batch) -> None:
        """Make a batch durable, all or nothing. Raises LogHeld too."""
        file, self.outcome = self.file, Outcome()
        letters = {d.id: kept(d.event_id, d.webhook, d) for owed in batch.owed for d in owed.deliveries}
        file.bound()
        with file.transaction():
            deltas: Deltas = defaultdict(Counter)
            marks.settle(file, batch, deltas)
            marks.freeze(file, batch)
            self._exchange(batch, letters, deltas)
            _remember(file, batch)
            counting.count(file, deltas)
            self._number(number, batch)

    def move(self, batch: Batch) -> None:
        """Send again and give up while no agent runs: when it lived last does not change by that."""
        with self.file.transaction():
            deltas: Deltas = defaultdict(Counter)
            owing.move_again(self.file, batch, deltas, self.outcome)
            leaving.discard(self.file, batch, deltas)
            counting.count(self.file, deltas)
            self.file.db.execute("UPDATE meta SET next_delivery = ?", (batch.numbers.next_delivery,))

    def read(self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask one of `agent.outbox.letters`."""
        return query(self.file.db, *args, **kwargs)

    def reopen(self) -> int:
        """Open the file anew after an error. Returns the number of the last commit that is in it, and durable.

        Raises DiskFull and LogNotWritten too.
        """
        self.file.reopen()
        return counting.number(self.file)

    def close(self) -> None:
        """Close the file; the last connection takes the write-ahead log in."""
        self.file.db.close()

    def _exchange(self, batch: Batch, letters: Mapping[int, Kept], deltas: Deltas) -> None:
        """What goes, so that what comes has room."""
        leaving.discard(self.file, batch, deltas)
        if batch.purge:
            leaving.purge(self.file, batch.moment.at, deltas)
        leaving.make_room(self.file, batch, letters, deltas, self.outcome)
        owing.move_again(self.file, batch, deltas, self.outcome)
        owing.owe(self.file, batch, letters, deltas, self.outcome.refused)

    def _number(self, number: int, batch: Batch) -> None:
        db = self.file.db
        db.execute(
            "UPDATE meta SET commit_number = ?, next_delivery = ?, boot_id = ?, offset_s = ?,"
            " alive_at = ?, alive_wall = ?, alive_synced = ?, ended_well = ?",
            (number, batch.numbers.next_delivery, self._boot_id, self._offset_s, *batch.moment, batch.last),
        )
        if batch.exhausted_before is not None:
            db.execute("UPDATE meta SET exhausted_before = ?", (batch.exhausted_before,))

    def _resume(self, clock: DeviceClock) -> None:
        self._boot_id = clock.boot_id()
        self._resumed = start.resume_time(self.file, clock)
        self._offset_s = self._resumed.offset_s


def _remember(file: File, batch: Batch) -> None:
    """What rules, feeds and breakers know from now on."""
    rows = [(*key, value, of_texts(*key, value)) for key, value in batch.memory.items() if value is not None]
    file.db.executemany(
        "INSERT INTO memory VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
        rows,
    )
    gone = [key for key, value in batch.memory.items() if value is None]
    file.db.executemany("DELETE FROM memory WHERE rule = ? AND sensor = ?", gone)
    for feed, (anew, entries) in batch.ledger.items():
        file.intake.append(file.db, feed, entries, anew=anew)
    for feed, ids in batch.subscriptions.items():
        file.db.execute("DELETE FROM subscriptions WHERE feed = ?", (feed,))
        filters = [(feed, text, identifier) for text, identifier in ids.items()]
        file.db.executemany("INSERT INTO subscriptions VALUES (?, ?, ?)", filters)
    for rest in batch.rests:
        file.db.execute(
            "UPDATE webhooks SET resting_until = ?, disabled = ?, asked_until = ? WHERE name = ?",
            (rest.resting_until, rest.disabled, rest.asked_until, rest.webhook),
        )
