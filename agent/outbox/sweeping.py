"""Looks through the file for what the next batch is to expire and to purge, and for dead letters nobody was told of."""

import math
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from agent.model import DeadLetters, Ending
from agent.outbox import leaving, retention
from agent.outbox.batch import Batch, Gone
from agent.outbox.leaving import Outcome
from agent.outbox.mending import SoundStore
from agent.outbox.retention import BEGINNING, SWEEP_ROWS, Place
from agent.outbox.telling import Telling
from agent.outbox.worker import Worker

SWEEP_EVERY_S = 60.0
_AGE_WITHIN_S = 3600.0
"""While something waits, the time that has passed is noted that often, so that a start without a clock knows of it."""
_HOLD_WITHIN_S = 300.0
"""The same while a hold runs, off which a kill takes the time since the last commit.

So much of a hold may be lost: little of one that lasts for hours, and a shorter one began with a commit of its own. A
note writes some 5 KB, so a hold without an end costs the card 1.5 MB a day; one each minute would cost five times that.
"""


class Sweep(NamedTuple):
    """What a look through the file has found."""

    expired: Sequence[Gone]
    """Deliveries whose time is over."""
    purge: bool
    """Whether a commit is due: there is history to delete, too much that waits, or the age of it to note."""
    more: bool
    """Whether to look again at once, as one commit does not take it all."""


class Sweeper:
    """Part by part: one look, and one commit, stay short."""

    def __init__(self, worker: Worker, store: SoundStore, telling: Telling) -> None:
        self._worker, self._store, self._telling = worker, store, telling
        self._next_expiry = 0.0
        self._swept_to: Place | None = None
        """Where the look for what has expired goes on; None: it begins anew when the next expires."""
        self._more = False
        """Whether the last commit has left something to purge."""
        self._committed_at = 0.0
        self._died_at = -math.inf
        """When something became a dead letter last."""
        self.untold = True
        """Whether there may be dead letters that nobody was told of."""

    def begin(self, now: float) -> None:
        """The file was opened."""
        self._committed_at = now

    async def sweep(self, now: float, *, holds: bool = False) -> Sweep:
        """Look for what the next batch is to expire and to purge; tell what was dropped and is not told yet.

        `holds`: whether a rule holds something, so that the time that has passed is to be noted.
        """
        self._telling.tell_due(now)
        expired: Sequence[Gone] = ()
        file = self._store.file
        due = self._more or self._must_note_time(now, holds=holds)
        try:
            expired = await self._expired(now)
            purge = await self._worker.ask(retention.rows_to_purge, now)
            due = due or purge > 0 or await self._worker.ask(leaving.is_full)
            await self._worker.call(file.disk.keep_ballast, file.limits.min_free_bytes)
        except sqlite3.Error as error:
            self._swept_to, self._next_expiry = None, now
            await self._worker.recover(error)
            due, purge = False, 0
        return Sweep(expired, due, self._more or self._swept_to is not None or purge >= SWEEP_ROWS)

    async def exhausted(self, before: float) -> Sequence[DeadLetters]:
        """What became a dead letter before then, and nobody was told of."""
        try:
            found = await self._worker.ask(retention.exhausted, before)
        except sqlite3.Error as error:
            await self._worker.recover(error)
            return ()
        self.untold = bool(found)
        return found

    def expect(self, expires_at: float) -> None:
        """Something is owed until then."""
        self._next_expiry = min(self._next_expiry, expires_at)

    def follow(self, batch: Batch, outcome: Outcome) -> None:
        """A batch was committed."""
        self._committed_at, self._more = batch.moment.at, outcome.more
        if _has_dead(batch):
            self._died_at, self.untold = batch.moment.at, True
        if batch.exhausted_before is not None:  # what died in a part of this batch that went alone is not among them
            self.untold = self._died_at >= batch.exhausted_before

    async def _expired(self, now: float) -> Sequence[Gone]:
        """Look through the next part of what is pending, where something in it may have expired."""
        if self._swept_to is None:
            if now < self._next_expiry:
                return ()
            self._swept_to, self._next_expiry = BEGINNING, math.inf
        expired, next_expiry, self._swept_to = await self._worker.ask(retention.expired, now, self._swept_to)
        self._next_expiry = min(self._next_expiry, next_expiry)
        return expired

    def _must_note_time(self, now: float, *, holds: bool) -> bool:
        """Whether the next look would come too late to note the time."""
        unnoted_s = now + SWEEP_EVERY_S - self._committed_at
        return (holds and unnoted_s > _HOLD_WITHIN_S) or (unnoted_s > _AGE_WITHIN_S and self._waits())

    def _waits(self) -> bool:
        return any(counters.pending for counters in self._store.counters.values())


def _has_dead(batch: Batch) -> bool:
    dead = (Ending.DEAD, Ending.EXPIRED)
    return bool(batch.expired) or any(settlement.ending in dead for settlement in batch.settled)
