"""The outbox as the pipeline and the couriers see it.

The store on its worker thread, the lanes and the numbers in memory.

Memory is changed only behind a commit. A commit that meets an I/O error is tried again until it is durable,
and the caller, who waits, acknowledges nothing meanwhile. Reading is tried again too.
"""

import asyncio
import itertools
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from agent.clock import DeviceClock, plausible
from agent.model import Counters, DeadLetters, Delivery, Ending, Moment, Rest, Settlement
from agent.outbox import untimed
from agent.outbox.batch import Batch, Draft, Envelope, Frozen, Numbers
from agent.outbox.lanes import Lane, Lanes
from agent.outbox.lock import FileLock
from agent.outbox.store import SWEEP_ROWS, Loaded, Store

log = logging.getLogger(__name__)
T = TypeVar("T")

_LOAD_AT_ONCE = 32
_RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_MARKS_MAX = 4096
"""While so many marks wait for a commit nothing is lent, so that a full disk does not fill the memory too."""
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


class Sweep(NamedTuple):
    """What a look through the file has found."""

    expired: Sequence[int]
    """Ids of deliveries whose time is over."""
    purge: bool
    """Whether there is history to delete."""
    more: bool
    """Whether to look again at once, as one commit does not take it all."""


class Outbox:
    """Rule memory, events, owed deliveries, counters: one file, one lock, one worker thread."""

    def __init__(self, state_dir: Path, expires_s: Mapping[str, float]) -> None:
        """`expires_s`: how long each webhook of the configuration is owed an event, by its name."""
        self._path = state_dir / "outbox.db"
        self.expires_s = expires_s
        """What becomes owed to others is numbered and dropped."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._settled: list[Settlement] = []
        self._rests: dict[str, Rest] = {}
        self._freezing: dict[int, tuple[Delivery, asyncio.Future[None]]] = {}
        self._numbers = Numbers(1, {})
        self._number = 0
        self._next_expiry = 0.0
        self._thread_id = 0
        self._lock: FileLock | None = None
        self._store: Store
        self.degraded: str | None = None
        """Why nothing can be committed at the moment."""
        self.untold = True
        """Whether there may be dead letters that nobody was told of."""
        self.crowded = False
        """Whether so many marks wait for a commit that nothing may be lent."""
        self.on_mark: Callable[[], None] = lambda: None
        """Called when a mark waits for a commit."""
        self.counters: Mapping[str, Counters] = {}
        self.mailboxes = {name: Mailbox(name, self) for name in expires_s}

    async def open(self, clock: DeviceClock) -> Loaded:
        """Lock and open the file. Raises Locked, NewerSchema, sqlite3.Error, OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(self._path.with_suffix(".lock"))
        loaded = await self._call(self._open, clock)
        self._numbers = loaded.numbers
        clock.offset_s = loaded.offset_s
        return loaded

    def _open(self, clock: DeviceClock) -> Loaded:
        self._thread_id = threading.get_native_id()
        self._store = Store(self._path)
        loaded = self._store.open(clock, list(self.expires_s))
        self._number = self._store.number()
        self.counters = self._store.counters()
        for name, mailbox in self.mailboxes.items():
            mailbox.restore(self._store.heads(name))
        return loaded

    async def adopt(self, expires_s: Mapping[str, float]) -> None:
        """Go on with other webhooks: one that is new gets a mailbox, with what the file owes it. Raises sqlite3.Error.

        The mailbox of one that is no more is kept with its queue, in case that it comes again.
        """
        new = [name for name in expires_s if name not in self.mailboxes]
        heads = await self._call(self._store.adopt, new)
        for name in new:
            self.mailboxes[name] = Mailbox(name, self)
            self.mailboxes[name].restore(heads[name])
        self.counters = await self._call(self._store.counters)
        self.expires_s = dict(expires_s)

    async def close(self) -> None:
        """Close the file and let another agent have it. What was not committed is not there."""
        if hasattr(self, "_store"):
            await self._call(self._store.close)
        self._worker.shutdown(wait=False)
        if self._lock is not None:
            self._lock.release()

    def draft(self, moment: Moment, envelope: Envelope) -> Draft:
        """A commit in the making; `envelope` writes the bodies."""
        answering = {name for name, mailbox in self.mailboxes.items() if mailbox.answers}
        return Draft(moment, self._numbers, self.expires_s, envelope, answering)

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable, with all marks that wait, and install it. Raises BatchRefused.

        I/O errors are tried again.
        """
        self._gather(batch)
        try:
            await self._durable(batch)
        except BatchRefused:
            self._settled[:0] = batch.settled
            self._rests = {rest.webhook: rest for rest in batch.rests} | self._rests
            raise
        self._numbers = batch.numbers
        for owed in batch.owed:
            for delivery in owed.deliveries:
                self._next_expiry = min(self._next_expiry, delivery.expires_at)
                self.mailboxes[delivery.webhook].push(delivery)

    @property
    def marks(self) -> int:
        """How many marks wait for a commit."""
        return len(self._settled) + len(self._rests) + len(self._freezing)

    @property
    def is_urgent(self) -> bool:
        """Whether some attempt waits for the next commit."""
        return bool(self._freezing)

    @property
    def waiting_until(self) -> float:
        """Until then some first attempt may wait for a right clock."""
        return max((mailbox.waiting_until for mailbox in self.mailboxes.values()), default=0.0)

    def release_untimed(self) -> None:
        """The year can be right: no first attempt waits any more."""
        for mailbox in self.mailboxes.values():
            mailbox.release_untimed()

    async def freeze(self, delivery: Delivery) -> None:
        """Make the bytes of a delivery final, with its time corrected if the clock is right by now.

        They are durable when it returns.
        """
        frozen = asyncio.get_running_loop().create_future()
        self._freezing[delivery.id] = delivery, frozen
        self.on_mark()
        await frozen

    async def frozen(self, moment: Moment, envelope: Envelope) -> list[Frozen]:
        """What the next batch is to freeze."""
        asked = {number: delivery for number, (delivery, _) in self._freezing.items()}
        events: Mapping[int, str] = {}
        if asked and plausible(moment.wall):
            try:
                events = await self._call(self._store.untimed, list(asked))
            except sqlite3.Error as error:
                await self._recover(error)
                return []
        return [_frozen(delivery, events.get(number), moment, envelope) for number, delivery in asked.items()]

    async def sweep(self, now: float) -> Sweep:
        """Look for what the next batch is to expire and to purge."""
        expired: Sequence[int] = ()
        try:
            if now >= self._next_expiry:
                expired, next_expiry = await self._call(self._store.expired, now)
                if len(expired) < SWEEP_ROWS:
                    self._next_expiry = now + 60 if next_expiry is None else next_expiry
            purge = await self._call(self._store.rows_to_purge, now)
        except sqlite3.Error as error:
            await self._recover(error)
            purge = 0
        return Sweep(expired, purge > 0, max(len(expired), purge) >= SWEEP_ROWS)

    async def exhausted(self, before: float) -> Sequence[DeadLetters]:
        """What became a dead letter before then, and nobody was told of."""
        try:
            found = await self._call(self._store.exhausted, before)
        except sqlite3.Error as error:
            await self._recover(error)
            return ()
        self.untold = bool(found)
        return found

    def settle(self, settlement: Settlement) -> None:
        """A mark for the next commit."""
        self._settled.append(settlement)
        self.crowded = self.crowded or len(self._settled) >= _MARKS_MAX
        self.on_mark()

    def remember(self, rest: Rest) -> None:
        """What is kept of a breaker, for the next commit."""
        self._rests[rest.webhook] = rest
        self.on_mark()

    async def pending(self, webhook: str, lane: Lane, limit: int) -> list[Delivery]:
        """What the file has behind the lane's last delivery."""
        pauses_s = _pauses_s()
        while True:
            try:
                return await self._call(self._store.pending, webhook, lane.subject, lane.last_id, limit)
            except sqlite3.Error as error:
                log.error("the outbox cannot be read, trying again: %s", error)
                self.on_mark()  # a commit opens the file anew where it has to
            await asyncio.sleep(next(pauses_s))

    def size_bytes(self) -> int:
        """What the file and its log take."""
        return self._store.size_bytes()

    def written_bytes(self) -> int | None:
        """What the worker thread has caused to be written since it started (proc(5), io); None: not known."""
        try:
            text = Path(f"/proc/self/task/{self._thread_id}/io").read_text(encoding="ascii")
        except OSError:
            return None
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("write_bytes")), None)

    def _gather(self, batch: Batch) -> None:
        """Let the marks that wait ride in a batch."""
        batch.settled, self._settled = [*batch.settled, *self._settled], []
        rests = {rest.webhook: rest for rest in batch.rests} | self._rests
        batch.rests, self._rests = list(rests.values()), {}

    async def _durable(self, batch: Batch, *, whole: bool = True) -> None:
        number = self._number + 1
        pauses_s = _pauses_s()
        while True:
            try:
                self.counters = await self._call(self._commit, number, batch)
                break
            except Exception as error:
                if await self._reopen() >= number:
                    break
                if not _is_io(error):
                    raise BatchRefused(str(error)) from error
                self._degrade(error)
            if whole:
                await self._settle_alone(batch)
                number = self._number + 1
            await asyncio.sleep(next(pauses_s))
        self._number = number
        self._thaw(batch.frozen)
        self.untold = (self.untold and batch.exhausted_before is None) or _has_dead(batch)
        if self.degraded:
            log.warning("the outbox can be written again")
            self.degraded = None
        if self.crowded:
            self.crowded = False
            for mailbox in self.mailboxes.values():
                mailbox.changed.set()

    def _thaw(self, frozen: Sequence[Frozen]) -> None:
        """Let those go on who waited for it."""
        for delivery, _, body in frozen:
            delivery.body, delivery.untimed = body or delivery.body, False
            _, asked = self._freezing.pop(delivery.id)
            if not asked.done():
                asked.set_result(None)

    async def _settle_alone(self, batch: Batch) -> None:
        """On a full disk marks and deletions are committed first, without the rest of the batch."""
        self._gather(batch)
        if batch.settles:
            await self._durable(_settling(batch), whole=False)
            batch.settled, batch.rests, batch.frozen, batch.expired, batch.purge = (), (), (), (), False

    def _commit(self, number: int, batch: Batch) -> Mapping[str, Counters]:
        self._store.commit(number, batch)
        return self._store.counters()

    async def _reopen(self) -> int:
        """Open the file anew, for as long as it takes. Returns the number of the last commit in it."""
        pauses_s = _pauses_s()
        while True:
            try:
                number = await self._call(self._store.reopen)
                self.counters = await self._call(self._store.counters)
                return number
            except sqlite3.Error as error:
                self._degrade(error)
            await asyncio.sleep(next(pauses_s))

    async def _recover(self, error: Exception) -> None:
        """Go on after it could not be read: a commit shows whether it can be written."""
        self._degrade(error)
        await self._reopen()
        self.on_mark()

    def _degrade(self, error: Exception) -> None:
        if self.degraded is None:
            log.error("the outbox cannot be written, nothing is acknowledged meanwhile: %s", error)
        self.degraded = str(error)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *args)


class Mailbox:
    """What one courier sees of the outbox (`agent.webhooks.courier.Mailbox`)."""

    def __init__(self, webhook: str, outbox: Outbox) -> None:
        self._webhook = webhook
        self._outbox = outbox
        self._lanes = Lanes()
        self._now = 0.0
        self.changed = asyncio.Event()
        self.answers = False

    def restore(self, heads: Sequence[tuple[str, int, float, float, bool]]) -> None:
        """What the file had waiting at the start."""
        for subject, delivery_id, due_at, created_at, held in heads:
            self._lanes.restore(subject, delivery_id, due_at, created_at, held=bool(held))

    def push(self, delivery: Delivery) -> None:
        """A delivery that has just been committed."""
        self._lanes.push(delivery)
        self.changed.set()

    def take_back(self) -> None:
        """What was lent to a courier that is no more may be lent again."""
        self._lanes.take_back()

    async def due(self, now: float, n: int) -> list[Delivery]:
        """Up to n that may be sent now; they are lent until settled."""
        self._now = now
        if self._outbox.crowded:
            return []
        return await self._first(self._lanes.take_due(now, n))

    async def probe(self) -> Delivery | None:
        """One delivery, the subjects taking turns, due or not; it is lent until settled."""
        while not self._outbox.crowded and (lane := self._lanes.take_turn()):
            if found := await self._first([lane]):
                return found[0]
        return None

    def next_due(self) -> float | None:
        """When the next subject that is not lent becomes due; None: nothing waits."""
        return None if self._outbox.crowded else self._lanes.next_due()

    def settle(self, settlement: Settlement) -> None:
        """Give a lent delivery back."""
        self._lanes.settle(settlement)
        self._outbox.settle(settlement)
        self.changed.set()

    def release(self, *, every: bool = False) -> None:
        """All that was held is due now; with `every`, all that waits."""
        self._lanes.release(self._now, every=every)
        self.changed.set()

    @property
    def waiting_until(self) -> float:
        """Until then some first attempt may wait for a right clock."""
        return self._lanes.waiting_until

    def release_untimed(self) -> None:
        """No first attempt waits for a right clock any more."""
        self._lanes.release_untimed(self._now)
        self.changed.set()

    async def freeze(self, delivery: Delivery) -> None:
        """Make the bytes of a lent delivery final and durable, before its first attempt."""
        await self._outbox.freeze(delivery)

    def clamp(self, latest: float) -> None:
        """Nothing that waits is due later than that."""
        self._lanes.clamp(latest)

    def remember(self, rest: Rest) -> None:
        """Keep a breaker's rest over a restart."""
        self._outbox.remember(rest)

    def oldest(self) -> float | None:
        """When the oldest pending delivery was created, on the agent's time line."""
        return self._lanes.oldest()

    async def _first(self, lanes: Sequence[Lane]) -> list[Delivery]:
        found = []
        for lane in lanes:
            if not lane.loaded:
                limit = min(_LOAD_AT_ONCE, self._lanes.room)
                deliveries = await self._outbox.pending(self._webhook, lane, limit)
                self._lanes.loaded(lane, deliveries, more=len(deliveries) == limit)
            if lane.loaded:
                found.append(lane.loaded[0])
            else:
                self._lanes.drop(lane)
        return found


def _frozen(delivery: Delivery, text: str | None, moment: Moment, envelope: Envelope) -> Frozen:
    """What is to be sent of a delivery; where it cannot be written anew, what was written first."""
    if text is None:
        return Frozen(delivery)
    try:
        event = untimed.timed(untimed.load(text), moment)
        return Frozen(delivery) if event is None else Frozen(delivery, event, envelope(event, delivery.sequence))
    except Exception:
        log.exception("the time of %s could not be corrected", delivery.event_id)
        return Frozen(delivery)


def _settling(batch: Batch) -> Batch:
    """What of a batch makes room, or needs none."""
    return replace(batch, owed=[], memory={}, ledger={}, subscriptions={}, exhausted_before=None, last=False)


def _has_dead(batch: Batch) -> bool:
    dead = (Ending.DEAD, Ending.EXPIRED)
    return bool(batch.expired) or any(settlement.ending in dead for settlement in batch.settled)


def _pauses_s() -> Iterator[float]:
    """How long to wait before each further try."""
    return itertools.chain(_RETRY_S, itertools.repeat(_RETRY_S[-1]))


def _is_io(error: Exception) -> bool:
    """Whether the same batch may be written later; sqlite3 raises MemoryError for SQLITE_NOMEM."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, MemoryError) or (code is not None and code & 0xFF in _IO_ERRORS)
