"""What the file tells of its room, and of what may go: the SQL beneath `bounds`.

What may go is read row by row, as far as the decision asks, and only what no courier has is given (`claims`).
"""

import sqlite3
from collections.abc import Iterator, Sequence

from agent.outbox.bounds import Part, Queue
from agent.outbox.claims import Claims
from agent.outbox.packing import Kept
from agent.outbox.schema import DEAD, DELIVERED, FIRING, PULSE, RESOLVED

_ROW_BYTES = 300
"""About what a delivery takes beside its body and headers: its row, the event's facts and both in the indexes."""
_ATTEMPT_BYTES = 60
_SIZE = (
    f"{_ROW_BYTES} + COALESCE((SELECT LENGTH(l.body) + COALESCE(LENGTH(l.headers), 0) FROM letters l"  # noqa: S608
    f" WHERE l.delivery = d.id), 0) + (SELECT COALESCE(SUM("
    f"{_ATTEMPT_BYTES} + COALESCE(LENGTH(a.error), 0) + COALESCE(LENGTH(a.answer), 0)), 0)"
    " FROM attempts a WHERE a.delivery = d.id)"
)
_PENDING = "(SELECT COUNT(*) FROM deliveries o WHERE o.id >= d.event AND o.id < d.event + d.fanout AND o.state = 0)"
"""Of its event."""
_PART = f"d.id, d.event, {_PENDING}, {_SIZE}"


def size_bytes(kept: Kept) -> int:
    """About what a new delivery takes, with what it is sent."""
    return len(kept.body) + len(kept.headers or "") + _ROW_BYTES


def used_bytes(db: sqlite3.Connection) -> int:
    """What the pages hold that are in use."""
    pages, free, page_bytes = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page_bytes)


def pending_events(db: sqlite3.Connection) -> int:
    """How many events have a pending delivery."""
    return int(db.execute("SELECT pending_events FROM meta").fetchone()[0])


def delivered(db: sqlite3.Connection) -> Iterator[Part]:
    """What was delivered, in the order in which it was."""
    return _settled(db, DELIVERED)


def dead(db: sqlite3.Connection) -> Iterator[Part]:
    """Dead letters, in the order in which they became so."""
    return _settled(db, DEAD)


def queue(db: sqlite3.Connection, claims: Claims, webhook: int, waiting: int) -> Queue:
    """What waits for a webhook, by the id of its row."""
    return Queue(waiting, _pulses(db, claims, webhook), _pairs(db, claims, webhook))


def _settled(db: sqlite3.Connection, state: int) -> Iterator[Part]:
    query = (
        f"SELECT d.id, d.event, 0, {_SIZE} FROM deliveries d"  # noqa: S608
        " WHERE d.state = ? AND d.state > 0 ORDER BY d.due_at"  # as the index says
    )
    return (Part(*row) for row in db.execute(query, (state,)))


def _pulses(db: sqlite3.Connection, claims: Claims, webhook: int) -> Iterator[Part]:
    parts = (Part(*row) for row in _droppable(db, _PART, webhook, PULSE))
    return (part for part in parts if claims.doom([part.id]))


def _pairs(db: sqlite3.Connection, claims: Claims, webhook: int) -> Iterator[Sequence[Part]]:
    for end, subject, alert_id in _droppable(db, "d.id, d.subject, l.alert_id", webhook, RESOLVED):
        parts = _alert(db, webhook, subject, alert_id, end)
        if parts and claims.doom(part.id for part in parts):
            yield parts


def _droppable(db: sqlite3.Connection, columns: str, webhook: int, kind: int) -> sqlite3.Cursor:
    query = (
        f"SELECT {columns} FROM deliveries d INDEXED BY droppable JOIN letters l ON l.delivery = d.id"  # noqa: S608
        " WHERE d.webhook = ? AND d.kind = ? AND d.state = 0 AND d.kind IN (0, 3) ORDER BY d.id"
    )
    return db.execute(query, (webhook, kind))


def _alert(db: sqlite3.Connection, webhook: int, subject: str, alert_id: str, end: int) -> Sequence[Part]:
    """What waits of an alert that is over, newest first; nothing where something of it was sent already.

    What was sent is no longer pending, or was tried; as a subject goes in order, its `firing` was the first.
    """
    query = (
        f"SELECT {_PART}, d.kind, d.tried FROM deliveries d INDEXED BY pending JOIN letters l ON l.delivery = d.id"  # noqa: S608
        " WHERE d.webhook = ? AND d.subject = ? AND d.id <= ? AND d.state = 0 AND l.alert_id = ? ORDER BY d.id DESC"
    )
    parts = []
    for *part, kind, tried in db.execute(query, (webhook, subject, end, alert_id)):
        if tried:
            return ()
        parts.append(Part(*part))
        if kind == FIRING:
            return parts
    return ()
