"""The intake ledger: which acknowledged messages of one feed were already evaluated.

After a broken link a broker sends again what was not acknowledged, with the DUP flag and the same packet
id; a webhook that got no answer is sent again with the same id. A message found here was evaluated before, so
its event exists or it had nothing to tell: it is acknowledged and no more. The ledger must hold more than a
broker leaves unacknowledged (mosquitto: under 1,000).

An entry is 8 bytes: the packet id (2, big-endian, 0 where there is none, which MQTT never uses) and a digest
(6). On disk the entries are a log that grows with the commits, read back in its order; in memory a dict, in
which a message without the DUP flag replaces the entry of its packet id, because packet ids come round. An
entry without one stands for itself, since its sender never uses the id for another message.
"""

from collections import deque
from collections.abc import Iterable

from drivers.base import Receipt

KEPT = 4096
"""Entries that are kept, in memory and on disk."""
UNSAVED_MAX = 32_768
"""A commit is due after so many messages, before packet ids (16 bits) come round."""
ENTRY_BYTES = 8
_NO_PACKET = b"\0\0"


class Ledger:
    """The ledger of one feed, with what the running step adds to it kept apart until it is installed."""

    def __init__(self, saved: Iterable[bytes] = ()) -> None:
        self._entries: dict[bytes, bytes] = {}
        self._unsaved: deque[bytes] = deque(maxlen=KEPT)
        self._staged: list[bytes] = []
        self._staged_by_key: dict[bytes, bytes] = {}
        self._emptied = False
        self._fresh = True
        self.unsaved_count = 0
        for entry in saved:
            self._put(entry)

    def knows(self, receipt: Receipt) -> bool:
        """Whether this message comes again.

        It was evaluated before or earlier in this step, and has the DUP flag or an id of its own.
        """
        if receipt.packet_id is not None and not receipt.dup:
            return False
        entry = _entry(receipt)
        key = _key(entry)
        known = self._staged_by_key.get(key)
        if known is None and not self._emptied:
            known = self._entries.get(key)
        return known == entry

    def add(self, receipt: Receipt) -> None:
        """Stage a message that is being evaluated."""
        entry = _entry(receipt)
        self._staged.append(entry)
        self._staged_by_key[_key(entry)] = entry

    def empty(self) -> None:
        """Stage that the broker has forgotten the session: packet ids start anew."""
        self._emptied = True
        self._staged.clear()
        self._staged_by_key.clear()

    @property
    def due(self) -> bool:
        """Whether this step has to be committed for the ledger's sake."""
        first_since_start = self._fresh and bool(self._staged)
        return self._emptied or first_since_start or self.unsaved_count + len(self._staged) >= UNSAVED_MAX

    def addition(self, *, whole: bool = False) -> tuple[bool, bytes]:
        """What a commit of this step writes: whether the log starts anew, and the entries to append.

        With `whole` it starts anew with all that is known.
        """
        known = [] if self._emptied else list(self._entries.values() if whole else self._unsaved)
        return self._emptied or whole, b"".join((known + self._staged)[-KEPT:])

    def install(self, *, committed: bool) -> None:
        """Make the staged entries the ledger's own; with `committed`, all of it is on disk."""
        if self._emptied:
            self._entries.clear()
            self._unsaved.clear()
            self.unsaved_count = 0
        for entry in self._staged:
            self._put(entry)
        if committed:
            self._unsaved.clear()
            self.unsaved_count = 0
            self._fresh = False
        else:
            self.unsaved_count += len(self._staged)
            self._unsaved.extend(self._staged)
        self.discard()

    def discard(self) -> None:
        """Forget what is staged."""
        self._staged.clear()
        self._staged_by_key.clear()
        self._emptied = False

    def _put(self, entry: bytes) -> None:
        key = _key(entry)
        self._entries.pop(key, None)  # so that the newest entry stands last
        self._entries[key] = entry
        if len(self._entries) > KEPT:
            del self._entries[next(iter(self._entries))]


def _entry(receipt: Receipt) -> bytes:
    return (receipt.packet_id or 0).to_bytes(2, "big") + receipt.digest


def _key(entry: bytes) -> bytes:
    """What an entry is found by, and replaced by the next of the same."""
    packet_id = entry[:2]
    return packet_id if packet_id != _NO_PACKET else entry


def split(log: bytes) -> list[bytes]:
    """The entries of a log, oldest first."""
    return [log[i : i + ENTRY_BYTES] for i in range(0, len(log) - len(log) % ENTRY_BYTES, ENTRY_BYTES)]
