"""The outbox as the pipeline and the couriers see it: opened, adopted, committed to, closed.

The file is on a thread of its own, the lanes and the numbers are in memory, which is changed only behind a commit.
"""

import errno
import logging
import sqlite3
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from agent.clock import DeviceClock
from agent.model import Counters, Moment
from agent.notices import damaged_memory
from agent.outbox import counting
from agent.outbox.batch import Batch, Draft, Envelope
from agent.outbox.bounds import DEFAULTS, Limits
from agent.outbox.claims import Claims
from agent.outbox.committing import Committer
from agent.outbox.freezing import Freezing
from agent.outbox.gathering import Gathering
from agent.outbox.leaving import Outcome
from agent.outbox.letters import Archive
from agent.outbox.lock import FileLock
from agent.outbox.losses import DROPPED
from agent.outbox.mailroom import Mailroom, open_all
from agent.outbox.mending import SoundStore
from agent.outbox.start import Loaded
from agent.outbox.sweeping import Sweeper
from agent.outbox.telling import Telling
from agent.outbox.worker import Worker

log = logging.getLogger(__name__)


class Outbox:
    """Rule memory, events, owed deliveries, counters: one file, one lock, one worker thread. Its parts are public."""

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
        self._lock: FileLock | None = None
        self._clock: DeviceClock
        self.expires_s = expires_s
        """What becomes owed to others is numbered and dropped."""
        self.archive = Archive(self._path)
        """For people who ask what it holds."""
        claims = Claims()
        self.telling = Telling()
        self.store = SoundStore(self._path, limits, claims, lambda: self.expires_s, self.telling.found)
        self.gathering = Gathering(self.telling, lambda: self._clock.moment())
        self.worker = Worker(self.store, self.gathering.ask_for_commit)
        self.freezing = Freezing(self.worker, self.gathering.ask_for_commit)
        self.sweeper = Sweeper(self.worker, self.store, self.telling)
        self.mailroom = Mailroom(self.worker, self.gathering, self.freezing, claims)
        self.mailboxes = self.mailroom.mailboxes
        self._first = self.mailroom.wanted(expires_s, unordered)
        self._committer = Committer(self.worker, self.store, self.gathering, self._install, self.mailroom.spare)

    async def open(self, clock: DeviceClock) -> Loaded:
        """Lock and open the file; what is readable of a damaged one is saved. Raises Locked, NewerSchema, OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(self._path.with_suffix(".lock"))
        self._clock = clock
        try:
            loaded = await self.worker.run(self.store.open, clock, partial(open_all, self._first))
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the outbox cannot be opened: {error}", str(self._path)) from error
        self.sweeper.begin(clock.now())
        if loaded.forgotten:
            self.telling.found(damaged_memory(loaded.forgotten))
            log.error("the card has damaged what %d rules remember of sensors: they begin anew", len(loaded.forgotten))
        clock.offset_s = loaded.offset_s
        self.mailroom.take_in(self._first)
        return loaded

    async def adopt(self, expires_s: Mapping[str, float], unordered: Collection[str] = ()) -> None:
        """Go on with other webhooks: one that is new gets a mailbox, with what the file owes it. Raises sqlite3.Error.

        So does one whose order is another now: no mark may wait for a commit, and all that waited is due at once.
        The mailbox of one that is no more is kept with its queue, in case that it comes again.
        """
        new = self.mailroom.wanted(expires_s, unordered)
        await self.worker.call(self.store.adopt, list(new), partial(open_all, new))
        self.mailroom.take_in(new)
        self.store.counters = await self.worker.ask(counting.counters)
        self.expires_s = dict(expires_s)

    def bound(self, limits: Limits) -> None:
        """Go on with other limits, from the next commit on."""
        self.store.file.limits = limits

    async def close(self) -> None:
        """Close the file and let another agent have it. What was not committed is not there."""
        await self.mailroom.close()
        await self.worker.close()
        if self._lock is not None:
            self._lock.release()

    def draft(self, moment: Moment, envelope: Envelope) -> Draft:
        """A commit in the making; `envelope` writes what each webhook is sent."""
        answering = {name for name, mailbox in self.mailboxes.items() if mailbox.answers}
        return Draft(moment, self.store.numbers, self.expires_s, envelope, answering)

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable, with all marks that wait, and install it. Raises BatchRefused.

        I/O errors are tried again.
        """
        outcome = await self._committer.commit(batch)
        self.store.numbers = batch.numbers
        owed = [delivery for owed in batch.owed for delivery in owed.deliveries]
        for delivery in [*owed, *(replay.delivery for replay in batch.replays)]:
            if delivery.id not in outcome.refused:
                self.sweeper.expect(delivery.expires_at)
                self.mailboxes[delivery.webhook].push(delivery)

    @property
    def marks(self) -> int:
        """How many marks wait for a commit."""
        return len(self.gathering) + len(self.freezing)

    @property
    def counters(self) -> Mapping[str, Counters]:
        """Of each webhook, behind the last commit."""
        return self.store.counters

    @property
    def degraded(self) -> str | None:
        """Why nothing can be committed at the moment."""
        return self.worker.degraded

    def _install(self, batch: Batch, outcome: Outcome) -> None:
        """Let the memory follow a commit."""
        now = batch.moment.at
        self.freezing.thaw(batch.frozen)
        self.sweeper.follow(batch, outcome)
        self.mailroom.follow(batch.settled, [*batch.expired, *batch.discarded, *outcome.gone])
        self.telling.dropped(outcome.drops, own={owed.event.type for owed in batch.owed} == {DROPPED})
        self.telling.tell_due(now)
        self.store.wants_whole = self.store.wants_whole and not batch.whole
        self.worker.heal()
        if self.gathering.crowded:
            self.gathering.crowded = False
            self.mailroom.wake()
