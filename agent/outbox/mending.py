"""The store, and a sound one in its place where the card has damaged the file. All of it runs on the worker thread.

What the agent itself knows of numbers and counters is kept here, so that it is not lost with the file.
"""

import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from agent.clock import DeviceClock
from agent.model import Counters, Notice
from agent.notices import damaged_file
from agent.outbox import counting, placing
from agent.outbox.batch import Batch, Numbers
from agent.outbox.bounds import Limits
from agent.outbox.claims import Claims
from agent.outbox.disk import Disk
from agent.outbox.file import File, need_shared_memory
from agent.outbox.inspection import Damaged, check_quickly, is_damage, is_damage_at_start, look
from agent.outbox.leaving import Outcome
from agent.outbox.salvage import Known, Report, salvage, start_empty
from agent.outbox.start import Loaded, machine_id
from agent.outbox.store import Store

log = logging.getLogger(__name__)
T = TypeVar("T")


class SoundStore:
    """One file that is opened, read and written, whatever the card does to it."""

    def __init__(
        self,
        path: Path,
        limits: Limits,
        claims: Claims,
        webhooks: Callable[[], Collection[str]],
        found: Callable[[Notice], None],
    ) -> None:
        """`webhooks`: those of the configuration; `found` is given what there is to tell of a damage."""
        self._path, self._limits, self._claims = path, limits, claims
        self._webhooks, self._found = webhooks, found
        self._agent_id = ""
        self._clock: DeviceClock
        self._store: Store
        self.number = 0
        """Of the last commit."""
        self.numbers = Numbers(1, {})
        self.counters: Mapping[str, Counters] = {}
        self.wants_whole = False
        """Whether the next batch is to have all of the memory: some of it was lost with a damaged file."""

    @property
    def file(self) -> File:
        """The open file."""
        return self._store.file

    @property
    def outcome(self) -> Outcome:
        """Of the last commit that was tried."""
        return self._store.outcome

    def open(self, clock: DeviceClock, read_first: Callable[[File], None]) -> Loaded:
        """Open the file; what is readable of a damaged one is saved. Raises NewerSchema, OSError, sqlite3.Error.

        `read_first` reads what a start needs besides: where it meets a damage, that is mended too.
        """
        self._clock = clock
        loaded = self._opened(read_first)
        self.numbers, self._agent_id = loaded.numbers, loaded.agent_id
        return loaded

    def adopt(self, webhooks: Collection[str], read_first: Callable[[File], None]) -> None:
        """Make the rows of webhooks that are new in the configuration, and read what they are owed."""
        self._store.adopt(list(webhooks))
        read_first(self.file)

    def commit(self, number: int, batch: Batch) -> Mapping[str, Counters]:
        """Make a batch durable, all or nothing. Returns the counters behind it."""
        self._store.commit(number, batch)
        return counting.counters(self.file)

    def reopen(self) -> tuple[int, Mapping[str, Counters]]:
        """Open the file anew after an error. Returns the number of the last commit in it, and the counters."""
        return self._store.reopen(), counting.counters(self.file)

    def mending(self, function: Callable[..., T], *args: object) -> T:
        """Call it; where the file turns out to be damaged, there is a sound one for the next try. Raises Damaged."""
        try:
            return function(*args)
        except (sqlite3.Error, UnicodeDecodeError, TypeError) as error:
            if not is_damage(error) and not (isinstance(error, TypeError) and self._is_unsound()):
                raise
            self.wants_whole = True
            self._mend(error)
            raise Damaged(str(error)) from error

    def close(self) -> None:
        """Behind an opening that was given up while it was on its way, too."""
        if hasattr(self, "_store"):
            self._store.close()

    def _opened(self, read_first: Callable[[File], None]) -> Loaded:
        placing.complete(self._path, placing.DAMAGED, self._clock.wall())
        need_shared_memory(Disk(self._path.parent))
        try:
            look(self._path)
            return self._read(read_first)
        except Exception as error:
            if not is_damage_at_start(error):
                raise
            damage = error
        try:
            self._salvage(damage)
            return self._read(read_first)
        except Exception as error:
            if not is_damage_at_start(error):
                raise
            log.exception("nothing of the damaged outbox can be saved")
            self.close()
            self._report(start_empty(self._path, str(error), self._clock.wall()))
        return self._read(read_first)

    def _read(self, read_first: Callable[[File], None]) -> Loaded:
        self._store = Store(self._path, self._limits, self._claims)
        loaded = self._store.open(self._clock, list(self._webhooks()))
        self.number = counting.number(self.file)
        self.counters = counting.counters(self.file)
        is_balanced = all(counters.balanced for counters in self.counters.values())
        if not is_balanced or counting.is_misnumbered(self.file):
            raise Damaged("its counters are not those of its events")
        read_first(self.file)
        return loaded

    def _is_unsound(self) -> bool:
        """Whether a row has a value that it cannot have, so that it is not the fault of who asked."""
        try:
            check_quickly(self._path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            return is_damage(error)
        return False

    def _mend(self, error: Exception) -> None:
        numbers = self.numbers
        known = Known(
            self._agent_id, machine_id(), self.number, numbers.next_delivery, numbers.sequences, self.counters
        )
        try:
            self._salvage(error, known)
        except (OSError, sqlite3.Error, UnicodeDecodeError) as failed:
            log.error("the damaged outbox cannot be mended: %s", failed)
        self._store.reopen()
        self.counters = counting.counters(self.file)

    def _salvage(self, error: Exception, known: Known | None = None) -> None:
        """Go on with what is readable of a damaged file. Nobody has the file open behind it."""
        log.error("the outbox is damaged, what is readable of it is saved: %s", error)
        self.close()
        clock = self._clock
        self._report(salvage(self._path, str(error), clock.now, clock.wall(), list(self._webhooks()), known))

    def _report(self, report: Report) -> None:
        for folder in report.removed:
            log.error("%s is deleted: too many damaged files were set aside", folder)
        facts = {field.name: getattr(report, field.name) for field in fields(report)}
        log.error("the damaged outbox lies in %s; saved: %s, lost: %s", report.folder, report.saved, report.lost)
        self._found(damaged_file(**facts))
