"""The outbox while no agent runs, for people: to look, to send again, to give up, to switch a webhook."""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.clock import DeviceClock
from agent.model import Counters, Moment
from agent.outbox import counting, placing
from agent.outbox.batch import Batch, Draft, gone_of, no_content
from agent.outbox.letters import (
    Filter,
    Letter,
    Matching,
    Moved,
    Span,
    Standing,
    behind,
    find,
    matching,
    movable,
    standings,
    whole,
)
from agent.outbox.lock import FileLock
from agent.outbox.store import Store


class IdleOutbox:
    """Made by `opened_idle`, which makes an OSError of what goes wrong here."""

    def __init__(self, store: Store, moment: Moment) -> None:
        self._store = store
        self.moment = moment
        """Of the opening."""

    def find(self, wanted: Filter, span: Span, limit: int, *, newest: bool, bodies: bool = False) -> list[Letter]:
        """A page of what matches."""
        return self._store.read(find, wanted, span, limit, newest=newest, bodies=bodies)

    def whole(self, event_id: str) -> list[Letter]:
        """All deliveries of one event, with their bodies and logs."""
        return self._store.read(whole, event_id)

    def matching(self, wanted: Filter) -> Matching:
        """How many match."""
        return self._store.read(matching, wanted)

    def standings(self) -> dict[str, tuple[Standing, Counters]]:
        """How each webhook stands, with its counters."""
        counters = counting.counters(self._store.file)
        return {name: (standing, counters[name]) for name, standing in self._store.read(standings).items()}

    def replay(self, wanted: Filter, span: Span, expires_s: Mapping[str, float]) -> Moved:
        """Send again what was delivered or is dead, once an agent runs, a step of the span.

        `expires_s`: how long each webhook of the configuration is owed an event; others get nothing.
        """
        found = self._store.read(movable, wanted, span)
        draft = Draft(self.moment, counting.numbers(self._store.file), expires_s, no_content)
        draft.replay(old for old in found if old.webhook in expires_s)
        self._store.move(draft.batch())
        return Moved(len(draft.replays), behind(found))

    def discard(self, wanted: Filter, span: Span) -> Moved:
        """Give up what is pending or dead, a step of the span."""
        found = self._store.read(movable, wanted, span)
        batch = Batch(self.moment, counting.numbers(self._store.file), discarded=gone_of(found))
        self._store.move(batch)
        return Moved(len(found), behind(found))


@contextlib.contextmanager
def opened_idle(state_dir: Path, clock: DeviceClock) -> Iterator[IdleOutbox]:
    """Lock and open an outbox that is there. Raises Locked, NewerSchema, OSError."""
    with _locked(state_dir) as store:
        yield IdleOutbox(store, store.open_idle(clock))


def switch_webhook(state_dir: Path, name: str, *, enabled: bool) -> bool:
    """Enable or disable a webhook, while no agent runs. Returns whether the outbox knows it.

    Raises Locked, OSError.
    """
    with _locked(state_dir) as store:
        return counting.switch(store.file, name, enabled=enabled)


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[Store]:
    path = state_dir / "outbox.db"
    ready = placing.next_name(path)
    made_at = (ready if ready.exists() else path).stat().st_mtime  # and none is made
    lock = FileLock(state_dir / "outbox.lock")
    try:
        placing.complete(path, placing.DAMAGED, made_at)
        with contextlib.closing(Store(path)) as store:
            yield store
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
    finally:
        lock.release()
