"""The outbox as the pipeline and the couriers see it.

The store on its worker thread, the lanes and the numbers in memory.

Memory is changed only behind a commit. A commit that meets an I/O error is tried again until it is durable,
and the caller, who waits, acknowledges nothing meanwhile. Reading is tried again too.
"""

import asyncio
import errno
import itertools
import logging
import math
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from agent.clock import DeviceClock, plausible
from agent.model import Attempt, Counters, DeadLetters, Delivery, Ending, Moment, Notice, Rest, Settlement
from agent.notices import damaged_file, damaged_memory
from agent.outbox import counting, leaving, placing, retention, untimed, waiting
from agent.outbox.batch import Batch, Draft, Envelope, Frozen, Gone, Numbers, gone_of, no_content
from agent.outbox.bounds import DEFAULTS, Limits
from agent.outbox.claims import Claims
from agent.outbox.file import File
from agent.outbox.inspection import Damaged, check_quickly, is_damage, is_damage_at_start, look
from agent.outbox.leaving import Outcome
from agent.outbox.letters import Archive, Filter, Movable, Moved, Span, behind, movable
from agent.outbox.lock import FileLock
from agent.outbox.losses import DROPPED, Drop, Losses, damaged
from agent.outbox.mailbox import Mailbox
from agent.outbox.packing import kept
from agent.outbox.retention import BEGINNING, SWEEP_ROWS, Place
from agent.outbox.room import size_bytes
from agent.outbox.salvage import Known, Report, salvage, start_empty
from agent.outbox.start import Loaded, machine_id
from agent.outbox.store import Store

log = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

_RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_MARKS_MAX = 4096
"""While so many marks wait for a commit nothing is lent, so that a full disk does not fill the memory too."""
_ALONE_MAX = 256
"""On a full disk so many marks are committed at once, or deliveries expire: for more the ballast may not do."""
_LOGGED_EVERY_S = 3600.0
"""That the outbox is full: the log is on the same card."""
_KNOWN_AGE_WITHIN_S = 3600.0
"""While something waits, the time that has passed is noted that often, so that a start without a clock knows of it."""
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

    expired: Sequence[Gone]
    """Deliveries whose time is over."""
    purge: bool
    """Whether a commit is due: there is history to delete, too much that waits, or the age of it to note."""
    more: bool
    """Whether to look again at once, as one commit does not take it all."""


class Outbox:
    """Rule memory, events, owed deliveries, counters: one file, one lock, one worker thread."""

    def __init__(
        self,
        state_dir: Path,
        expires_s: Mapping[str, float],
        unordered: Collection[str] = (),
        limits: Limits = DEFAULTS,
    ) -> None:
        """`expires_s`: how long each webhook of the configuration is owed an event, by its name.

        `unordered`: those to which events of one subject may go in any order.
        """
        self._path = state_dir / "outbox.db"
        self.archive = Archive(self._path)
        """For people who ask what it holds."""
        self.expires_s = expires_s
        """What becomes owed to others is numbered and dropped."""
        self._limits = limits
        self._claims = Claims()
        self._losses = Losses()
        self._damages = Losses(damaged)
        self._notices: list[Notice] = []
        """Of the start: there is nobody yet to tell them to."""
        self._logged_at = -_LOGGED_EVERY_S
        self._more = False
        self._committed_at = 0.0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._settled: list[Settlement] = []
        self._rests: dict[str, Rest] = {}
        self._freezing: dict[int, tuple[Delivery, asyncio.Future[None]]] = {}
        self._numbers = Numbers(1, {})
        self._number = 0
        self._next_expiry = 0.0
        self._swept_to: Place | None = None
        """Where the look for what has expired goes on; None: it begins anew when the next expires."""
        self._thread_id = 0
        self._clock: DeviceClock
        self._agent_id = ""
        self._lock: FileLock | None = None
        self._store: Store
        self.degraded: str | None = None
        """Why nothing can be committed at the moment."""
        self.wants_whole = False
        """Whether the next batch is to have all of the memory: some of it was lost with a damaged file."""
        self.untold = True
        """Whether there may be dead letters that nobody was told of."""
        self.crowded = False
        """Whether so many marks wait for a commit that nothing may be lent."""
        self.on_mark: Callable[[], None] = lambda: None
        """Called when a mark waits for a commit."""
        self.tell: Callable[[Notice], None] = lambda _: None
        """Called with what is to be told of drops, at most once a minute."""
        self.counters: Mapping[str, Counters] = {}
        self.mailboxes = {name: self._mailbox(name, unordered) for name in expires_s}
        self._reading: set[asyncio.Task[None]] = set()

    async def open(self, clock: DeviceClock) -> Loaded:
        """Lock and open the file; what is readable of a damaged one is saved. Raises Locked, NewerSchema, OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(self._path.with_suffix(".lock"))
        self._clock = clock
        try:
            loaded = await self._run(self._open)
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the outbox cannot be opened: {error}", str(self._path)) from error
        self._numbers = loaded.numbers
        self._committed_at, self._agent_id = clock.now(), loaded.agent_id
        if loaded.forgotten:
            self._notices.append(damaged_memory(loaded.forgotten))
            log.error("the card has damaged what %d rules remember of sensors: they begin anew", len(loaded.forgotten))
        clock.offset_s = loaded.offset_s
        self._read_on(self.mailboxes.values())
        return loaded

    def _open(self) -> Loaded:
        self._thread_id = threading.get_native_id()
        placing.complete(self._path, placing.DAMAGED, self._clock.wall())
        try:
            look(self._path)
            return self._read()
        except Exception as error:
            if not is_damage_at_start(error):
                raise
            damage = error
        try:
            self._salvage(damage)
            return self._read()
        except Exception as error:
            if not is_damage_at_start(error):
                raise
            log.exception("nothing of the damaged outbox can be saved")
            self._close()
            self._report(start_empty(self._path, str(error), self._clock.wall()))
        return self._read()

    def _salvage(self, error: Exception, known: Known | None = None) -> None:
        """Go on with what is readable of a damaged file, on the worker thread. Nobody has the file open behind it."""
        log.error("the outbox is damaged, what is readable of it is saved: %s", error)
        self._close()
        clock = self._clock
        self._report(salvage(self._path, str(error), clock.now, clock.wall(), list(self.expires_s), known))

    def _report(self, report: Report) -> None:
        for folder in report.removed:
            log.error("%s is deleted: too many damaged files were set aside", folder)
        facts = {field.name: getattr(report, field.name) for field in fields(report)}
        log.error("the damaged outbox lies in %s; saved: %s, lost: %s", report.folder, report.saved, report.lost)
        self._notices.append(damaged_file(**facts))

    def _read(self) -> Loaded:
        self._store = Store(self._path, self._limits, self._claims)
        loaded = self._store.open(self._clock, list(self.expires_s))
        self._number = counting.number(self._store.file)
        self.counters = counting.counters(self._store.file)
        is_balanced = all(counters.balanced for counters in self.counters.values())
        if not is_balanced or counting.is_misnumbered(self._store.file):
            raise Damaged("its counters are not those of its events")
        for mailbox in self.mailboxes.values():
            mailbox.open(self._store.file)
        return loaded

    async def adopt(self, expires_s: Mapping[str, float], unordered: Collection[str] = ()) -> None:
        """Go on with other webhooks: one that is new gets a mailbox, with what the file owes it. Raises sqlite3.Error.

        So does one whose order is another now: no mark may wait for a commit, and all that waited is due at once.
        The mailbox of one that is no more is kept with its queue, in case that it comes again.
        """
        new = {
            name: self._mailbox(name, unordered)
            for name in expires_s
            if name not in self.mailboxes or self.mailboxes[name].ordered is (name in unordered)
        }
        await self._call(self._adopt, new)
        for name in new.keys() & self.mailboxes.keys():
            self.mailboxes[name].take_back()
            new[name].release(every=True)
        self.mailboxes.update(new)
        self._read_on(new.values())
        self.counters = await self._call(counting.counters, self._store.file)
        self.expires_s = dict(expires_s)

    def _adopt(self, new: Mapping[str, Mailbox]) -> None:
        self._store.adopt(list(new))
        for mailbox in new.values():
            mailbox.open(self._store.file)

    def _mailbox(self, name: str, unordered: Collection[str]) -> Mailbox:
        return Mailbox(name, self, self._claims, ordered=name not in unordered)

    def bound(self, limits: Limits) -> None:
        """Go on with other limits, from the next commit on."""
        self._limits = self._store.file.limits = limits

    def _read_on(self, mailboxes: Collection[Mailbox]) -> None:
        """Let them read what was not read before the start."""
        for mailbox in mailboxes:
            if not mailbox.whole:
                self._beside(mailbox.read_on())

    def _beside(self, reading: Coroutine[Any, Any, None]) -> None:
        """Read beside the work."""
        task = asyncio.create_task(reading)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def close(self) -> None:
        """Close the file and let another agent have it. What was not committed is not there."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        await self._run(self._close)
        self._worker.shutdown(wait=False)
        if self._lock is not None:
            self._lock.release()

    def _close(self) -> None:
        """Behind an opening that was given up while it was on its way, too."""
        if hasattr(self, "_store"):
            self._store.close()

    def draft(self, moment: Moment, envelope: Envelope) -> Draft:
        """A commit in the making; `envelope` writes what each webhook is sent."""
        answering = {name for name, mailbox in self.mailboxes.items() if mailbox.answers}
        return Draft(moment, self._numbers, self.expires_s, envelope, answering)

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable, with all marks that wait, and install it. Raises BatchRefused.

        I/O errors are tried again.
        """
        self._gather(batch)
        try:
            outcome = await self._durable(batch)
        except BatchRefused:
            self._settled[:0] = batch.settled
            self._rests = {rest.webhook: rest for rest in batch.rests} | self._rests
            raise
        self._numbers = batch.numbers
        owed = [delivery for owed in batch.owed for delivery in owed.deliveries]
        for delivery in [*owed, *(replay.delivery for replay in batch.replays)]:
            if delivery.id not in outcome.refused:
                self._next_expiry = min(self._next_expiry, delivery.expires_at)
                self.mailboxes[delivery.webhook].push(delivery)

    async def replay(self, moment: Moment, wanted: Filter, span: Span) -> Moved:
        """Send again what was delivered and is dead, the oldest first, at most MOVED_ROWS. Durable when it returns.

        Only to webhooks of the configuration. To be called between commits. Raises BatchRefused, sqlite3.Error.
        """
        found = await self._movable(moment, wanted, span)
        draft = self.draft(moment, no_content)
        draft.replay(old for old in found if old.webhook in self.expires_s)
        await self.commit(draft.batch())
        return Moved(len(draft.replays), behind(found))

    async def discard(self, moment: Moment, wanted: Filter, span: Span) -> Moved:
        """Give up what is pending or dead, as `replay` does; an attempt that is in flight is finished."""
        found = await self._movable(moment, wanted, span)
        before = self._discarded()
        batch = self.draft(moment, no_content).batch()
        batch.discarded = gone_of(found)
        await self.commit(batch)
        return Moved(self._discarded() - before, behind(found))

    async def _movable(self, moment: Moment, wanted: Filter, span: Span) -> list[Movable]:
        """What matches, seen behind a commit of the marks that wait: what was just delivered is no more pending."""
        if self.marks:
            await self.commit(self.draft(moment, no_content).batch())
        return await self._call(self._store.read, movable, wanted, span)

    def _discarded(self) -> int:
        return sum(counters.dropped_by["discarded"] for counters in self.counters.values())

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
                events = await self._call(waiting.untimed, self._store.file, list(asked))
            except sqlite3.Error as error:
                await self._recover(error)
                return []
        return [_frozen(delivery, events.get(number), moment, envelope) for number, delivery in asked.items()]

    async def sweep(self, now: float) -> Sweep:
        """Look for what the next batch is to expire and to purge; tell what was dropped and is not told yet."""
        self._tell_losses(now)
        expired: Sequence[Gone] = ()
        due = self._more or (now >= self._committed_at + _KNOWN_AGE_WITHIN_S and self._waits())
        try:
            expired = await self._expired(now)
            purge = await self._call(retention.rows_to_purge, self._store.file, now)
            due = due or purge > 0 or await self._call(leaving.is_full, self._store.file)
            await self._call(self._store.file.disk.keep_ballast, self._limits.min_free_bytes)
        except sqlite3.Error as error:
            self._swept_to, self._next_expiry = None, now
            await self._recover(error)
            due, purge = False, 0
        return Sweep(expired, due, self._more or self._swept_to is not None or purge >= SWEEP_ROWS)

    async def _expired(self, now: float) -> Sequence[Gone]:
        """Look through the next part of what is pending, where something in it may have expired."""
        if self._swept_to is None:
            if now < self._next_expiry:
                return ()
            self._swept_to, self._next_expiry = BEGINNING, math.inf
        found = await self._call(retention.expired, self._store.file, now, self._swept_to)
        expired, next_expiry, self._swept_to = found
        self._next_expiry = min(self._next_expiry, next_expiry)
        return expired

    async def exhausted(self, before: float) -> Sequence[DeadLetters]:
        """What became a dead letter before then, and nobody was told of."""
        try:
            found = await self._call(retention.exhausted, self._store.file, before)
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

    def given_up(self, delivery: Delivery) -> Settlement:
        """The mark of a delivery whose bytes are damaged: it is dead, and that will be told."""
        log.error("%s for %s is damaged and will not be sent", delivery.event_id, delivery.webhook)
        self._damages.note([Drop(delivery.webhook, "damaged", delivery.sequence)], own=False)
        moment = self._clock.moment()
        attempt = Attempt(moment.at, moment.wall, 0.0, None, "damaged: its checksum is wrong, it was not sent", b"")
        return Settlement(delivery, Ending.DEAD, attempts=delivery.attempts, attempt=attempt)

    def remember(self, rest: Rest) -> None:
        """What is kept of a breaker, for the next commit."""
        self._rests[rest.webhook] = rest
        self.on_mark()

    async def read(self, query: Callable[Concatenate[File, P], T], *values: P.args, **more: P.kwargs) -> T:
        """Ask the file; queries and commits are answered in the order in which they were asked."""
        pauses_s = _pauses_s()
        while True:
            try:
                return await self._call(partial(query, self._store.file, *values, **more))
            except sqlite3.Error as error:
                log.error("the outbox cannot be read, trying again: %s", error)
                self.on_mark()  # a commit opens the file anew where it has to
            await asyncio.sleep(next(pauses_s))

    def size_bytes(self) -> int:
        """What the file and its log take."""
        return self._store.file.size_bytes()

    def free_disk_bytes(self) -> int | None:
        """What is free where the file lies; None: not known."""
        return self._store.file.disk.free_bytes()

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

    async def _durable(self, batch: Batch, *, whole: bool = True) -> Outcome:
        number = self._number + 1
        pauses_s = _pauses_s()
        while True:
            try:
                self.counters = await self._call(self._commit, number, batch)
                break
            except Exception as raised:
                error = self._store.file.true(raised)
                full = _code(error) == sqlite3.SQLITE_FULL
                if full:
                    await self._call(self._store.file.disk.give_up_ballast)
                if await self._reopen() >= number:
                    break
                self._forget(())
                if not _is_io(error):
                    raise BatchRefused(str(error)) from raised
                self._degrade(error)
            if whole:
                await self._settle_alone(batch, make_room=full)
                number = self._number + 1
            await asyncio.sleep(next(pauses_s))
        outcome = self._store.outcome
        self._install(number, batch, outcome)
        return outcome

    def _install(self, number: int, batch: Batch, outcome: Outcome) -> None:
        """Let the memory follow a commit."""
        self._number, self._committed_at, self._more = number, batch.moment.at, outcome.more
        self._thaw(batch.frozen)
        self.untold = (self.untold and batch.exhausted_before is None) or _has_dead(batch)
        for settlement in batch.settled:
            self._claims.give_back(settlement.delivery.id)
        self._forget([*batch.expired, *batch.discarded, *outcome.gone])
        self._losses.note(outcome.drops, own={owed.event.type for owed in batch.owed} == {DROPPED})
        self._tell_losses(batch.moment.at)
        self.wants_whole = self.wants_whole and not batch.whole
        if self.degraded:
            log.warning("the outbox can be written again")
            self.degraded = None
        if self.crowded:
            self.crowded = False
            for mailbox in self.mailboxes.values():
                mailbox.changed.set()

    async def _settle_alone(self, batch: Batch, *, make_room: bool) -> None:
        """On a full disk marks and deletions are committed first, a few at a time, without the rest of the batch."""
        self._gather(batch)
        alone = _settling(batch)
        alone.settled, alone.expired, alone.discarded, alone.purge = (), (), (), False
        settled, batch.settled = batch.settled, ()
        for first in range(0, len(settled), _ALONE_MAX):
            await self._durable(replace(alone, settled=settled[first : first + _ALONE_MAX]), whole=False)
            alone.rests, batch.rests, alone.frozen, batch.frozen = (), (), (), ()
        expired, batch.expired = batch.expired, ()
        for first in range(0, len(expired), _ALONE_MAX):
            await self._durable(replace(alone, expired=expired[first : first + _ALONE_MAX]), whole=False)
            alone.frozen, batch.frozen = (), ()
        wanted_bytes = _size_bytes(batch) if make_room else 0
        if batch.purge or batch.discarded or wanted_bytes or batch.rests or batch.frozen:
            alone.purge, alone.discarded, alone.room_bytes = batch.purge, batch.discarded, wanted_bytes
            await self._durable(alone, whole=False)
            batch.rests, batch.frozen, batch.discarded, batch.purge = (), (), (), False

    def _forget(self, gone: Sequence[Gone]) -> None:
        """No commit is on its way: what is no longer pending leaves the lanes, what was spared may be lent again."""
        self._claims.spare()
        by_webhook: defaultdict[str, list[Gone]] = defaultdict(list)
        for one in gone:
            by_webhook[one.webhook].append(one)
        for name, mailbox in self.mailboxes.items():
            mailbox.put_back()
            if theirs := by_webhook.get(name):
                mailbox.forget(theirs)
                self._beside(mailbox.refresh())

    def _tell_losses(self, now: float) -> None:
        found, self._notices = self._notices, []
        for notice in [*found, *self._damages.take(now)]:
            self.tell(notice)
        for notice in self._losses.take(now):
            if now >= self._logged_at + _LOGGED_EVERY_S:
                self._logged_at = now
                log.warning("the outbox is full: %d dropped for %s", notice.data["dropped"], notice.about)
            self.tell(notice)

    def _waits(self) -> bool:
        return any(counters.pending for counters in self.counters.values())

    def _thaw(self, frozen: Sequence[Frozen]) -> None:
        """Let those go on who waited for it."""
        for number, content in ((one.delivery.id, one.content) for one in frozen):
            delivery, asked = self._freezing.pop(number)
            delivery.untimed = False
            if content is not None:
                delivery.body, delivery.headers, delivery.suffix = content.body, content.headers, content.suffix
            if not asked.done():
                asked.set_result(None)

    def _commit(self, number: int, batch: Batch) -> Mapping[str, Counters]:
        self._store.commit(number, batch)
        return counting.counters(self._store.file)

    async def _reopen(self) -> int:
        """Open the file anew, for as long as it takes. Returns the number of the last commit in it."""
        pauses_s = _pauses_s()
        while True:
            try:
                number = await self._call(self._store.reopen)
                self.counters = await self._call(counting.counters, self._store.file)
                return number
            except sqlite3.Error as error:
                self._degrade(error)
            await asyncio.sleep(next(pauses_s))

    async def _recover(self, error: Exception) -> None:
        """Go on after it could not be read: a commit shows whether it can be written."""
        self._degrade(error)
        await self._reopen()
        self.on_mark()

    def _degrade(self, raised: Exception) -> None:
        error = self._store.file.true(raised)
        if self.degraded is None:
            log.error("the outbox cannot be written, nothing is acknowledged meanwhile: %s", error)
        self.degraded = str(error)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        return await self._run(self._mending, function, *args)

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *args)

    def _mending(self, function: Callable[..., T], *args: object) -> T:
        """On the worker thread: where the file turns out to be damaged, there is a sound one for the next try."""
        try:
            return function(*args)
        except (sqlite3.Error, UnicodeDecodeError, TypeError) as error:
            if not is_damage(error) and not (isinstance(error, TypeError) and self._is_unsound()):
                raise
            self.wants_whole = True
            self._mend(error)
            raise Damaged(str(error)) from error

    def _is_unsound(self) -> bool:
        """Whether a row has a value that it cannot have, so that it is not the fault of who asked."""
        try:
            check_quickly(self._path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            return is_damage(error)
        return False

    def _mend(self, error: Exception) -> None:
        """What the agent itself knows of numbers and counters is not lost with the file."""
        numbers = self._numbers
        known = Known(
            self._agent_id, machine_id(), self._number, numbers.next_delivery, numbers.sequences, self.counters
        )
        try:
            self._salvage(error, known)
        except (OSError, sqlite3.Error, UnicodeDecodeError) as failed:
            log.error("the damaged outbox cannot be mended: %s", failed)
        self._store.reopen()
        self.counters = counting.counters(self._store.file)


def _frozen(delivery: Delivery, text: str | None, moment: Moment, envelope: Envelope) -> Frozen:
    """What is to be sent of a delivery; where it cannot be written anew, what was written first."""
    try:
        event = None if text is None else untimed.timed(untimed.load(text), moment)
        if event is not None:
            return Frozen(delivery, event, envelope(event, delivery.webhook, delivery.sequence))
    except Exception:
        log.exception("the time of %s could not be corrected", delivery.event_id)
    return Frozen(delivery)


def _settling(batch: Batch) -> Batch:
    """What of a batch makes room, or needs none."""
    alone = replace(batch, owed=[], memory={}, ledger={}, subscriptions={}, replays=())
    return replace(alone, exhausted_before=None, last=False)


def _has_dead(batch: Batch) -> bool:
    dead = (Ending.DEAD, Ending.EXPIRED)
    return bool(batch.expired) or any(settlement.ending in dead for settlement in batch.settled)


def _pauses_s() -> Iterator[float]:
    """How long to wait before each further try."""
    return itertools.chain(_RETRY_S, itertools.repeat(_RETRY_S[-1]))


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
