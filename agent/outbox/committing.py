"""A batch is committed until it is durable.

An I/O error is met by trying again; the caller, who waits, acknowledges nothing meanwhile. On a full disk what makes
room, or needs none, is committed first and alone (`alone`).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace

from agent.outbox.batch import Batch
from agent.outbox.gathering import Gathering
from agent.outbox.leaving import Outcome
from agent.outbox.mending import SoundStore
from agent.outbox.packing import kept
from agent.outbox.room import size_bytes
from agent.outbox.worker import Worker, pauses_s

_ALONE_MAX = 256
"""On a full disk so many marks are committed at once, or deliveries expire: for more the ballast may not do."""
_IO_ERRORS = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)


class BatchRefused(Exception):
    """The file takes other batches, but not this one: something in it cannot be written. It is not there."""


class Committer:
    """One batch at a time."""

    def __init__(
        self,
        worker: Worker,
        store: SoundStore,
        gathering: Gathering,
        installed: Callable[[Batch, Outcome], None],
        undone: Callable[[], None],
    ) -> None:
        """`installed` is called behind each commit that is durable, `undone` behind each that is not there."""
        self._worker, self._store, self._gathering = worker, store, gathering
        self._installed, self._undone = installed, undone

    async def commit(self, batch: Batch) -> Outcome:
        """Make a batch durable, with all marks that wait. Raises BatchRefused."""
        self._gathering.gather(batch)
        try:
            for pause_s in pauses_s():
                error = await self._fails(batch)
                if error is None:
                    break
                self._gathering.gather(batch)
                for part in alone(batch, make_room=is_full(error)):
                    await self._insist(part)
                await asyncio.sleep(pause_s)
        except BatchRefused:
            self._gathering.give_back(batch)
            raise
        return self._store.outcome

    async def _insist(self, part: Batch) -> None:
        for pause_s in pauses_s():
            if await self._fails(part) is None:
                return
            await asyncio.sleep(pause_s)

    async def _fails(self, batch: Batch) -> Exception | None:
        """Try once. Returns None where it is durable, else the I/O error that prevents it. Raises BatchRefused."""
        store, number = self._store, self._store.number + 1
        try:
            store.counters = await self._worker.call(store.commit, number, batch)
        except Exception as raised:
            error = store.file.true(raised)
            if is_full(error):
                await self._worker.call(store.file.disk.give_up_ballast)
            if await self._worker.reopen() < number:  # else it is there, for all that
                self._undone()
                if not _is_io(error):
                    raise BatchRefused(str(error)) from raised
                self._worker.degrade(error)
                return error
        store.number = number
        self._installed(batch, store.outcome)
        return None


def alone(batch: Batch, *, make_room: bool) -> Iterator[Batch]:
    """What of a batch makes room, or needs none, as small batches; each is to be durable before the next is taken.

    What was durable is no longer in the batch. `make_room`: the last of them makes room for the rest of it.
    """
    first = replace(batch, owed=[], memory={}, ledger={}, subscriptions={}, replays=(), whole=False)
    first = replace(first, exhausted_before=None, last=False, discarded=(), purge=False)
    while batch.settled or batch.expired:
        settled = batch.settled[:_ALONE_MAX]
        expired = () if settled else batch.expired[:_ALONE_MAX]
        yield replace(first, settled=settled, expired=expired, rests=batch.rests, frozen=batch.frozen)
        batch.settled, batch.expired = batch.settled[len(settled) :], batch.expired[len(expired) :]
        batch.rests, batch.frozen = (), ()
    wanted_bytes = _size_bytes(batch) if make_room else 0
    if batch.purge or batch.discarded or wanted_bytes or batch.rests or batch.frozen:
        last = replace(first, settled=(), expired=(), rests=batch.rests, frozen=batch.frozen)
        yield replace(last, purge=batch.purge, discarded=batch.discarded, room_bytes=wanted_bytes)
        batch.rests, batch.frozen, batch.discarded, batch.purge = (), (), (), False


def is_full(error: Exception) -> bool:
    """Whether it says that the disk is full."""
    return _code(error) == sqlite3.SQLITE_FULL


def _is_io(error: Exception) -> bool:
    """Whether the same batch may be written later; sqlite3 raises MemoryError for SQLITE_NOMEM."""
    return isinstance(error, MemoryError) or _code(error) in _IO_ERRORS


def _code(error: Exception) -> int | None:
    """SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _size_bytes(batch: Batch) -> int:
    """About what the deliveries of a batch take."""
    return sum(size_bytes(kept(d.event_id, d.webhook, d)) for owed in batch.owed for d in owed.deliveries)
