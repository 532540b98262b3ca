"""The intake ledgers as the file has them: a row for each commit that added to one, and no more than are kept."""

import sqlite3
from collections import defaultdict, deque
from typing import NamedTuple

from agent.outbox.inspection import check_types
from agent.outbox.ledger import ENTRY_BYTES, KEPT, split


class _Row(NamedTuple):
    id: int
    entries: int


class Intake:
    """Knows which rows there are, so that a commit deletes the oldest without a look."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, deque[_Row]] = defaultdict(deque)

    def read(self, db: sqlite3.Connection) -> dict[str, list[bytes]]:
        """The entries of each feed, oldest first. To be called when the file was opened."""
        self._rows.clear()
        ledgers: defaultdict[str, list[bytes]] = defaultdict(list)
        for row, feed, entries in db.execute("SELECT id, feed, entries FROM ledger ORDER BY id"):
            check_types((feed, str), (entries, bytes))
            self._rows[feed].append(_Row(row, len(entries) // ENTRY_BYTES))
            ledgers[feed].extend(split(entries))
        return dict(ledgers)

    def append(self, db: sqlite3.Connection, feed: str, entries: bytes, *, anew: bool) -> None:
        """Write the entries of one commit. `anew`: what the feed had is no more."""
        rows = self._rows[feed]
        if anew:
            db.execute("DELETE FROM ledger WHERE feed = ?", (feed,))
            rows.clear()
        if entries:
            row = db.execute("INSERT INTO ledger (feed, entries) VALUES (?, ?)", (feed, entries)).lastrowid
            rows.append(_Row(row or 0, len(entries) // ENTRY_BYTES))
        total = sum(row.entries for row in rows)
        while rows and total - rows[0].entries >= KEPT:
            row_id, n = rows.popleft()
            total -= n
            db.execute("DELETE FROM ledger WHERE id = ?", (row_id,))
