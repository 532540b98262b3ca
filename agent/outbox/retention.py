"""What time ends: deliveries that expire, dead letters that are told of, history that is no longer kept."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from agent.model import DeadLetters
from agent.outbox.batch import Gone
from agent.outbox.file import File
from agent.outbox.schema import DEAD, DELIVERED
from agent.outbox.waiting import LOOK_ROWS

KEEP_DELIVERED_ROWS = 10_000
SWEEP_ROWS = 500
"""At most so many rows expire, or are deleted, with one commit, so that it stays short."""


class Place(NamedTuple):
    """Where a look through what is pending has come to, in the order of the index."""

    webhook: int
    subject: str
    id: int


BEGINNING = Place(-1, "", 0)


def expired(file: File, now: float, after: Place) -> tuple[list[Gone], float, Place | None]:
    """Look through a part of what is pending, from a place on.

    Returns whose time is over, at most SWEEP_ROWS; when the first of the others' will be; and from where to go on.
    """
    gone: list[Gone] = []
    next_expiry, looked, place = math.inf, 0, after
    for webhook, subject, delivery_id, expires_at in _behind(file, after):
        looked, place = looked + 1, Place(webhook, subject, delivery_id)
        if expires_at > now:
            next_expiry = min(next_expiry, expires_at)
            continue
        gone.append(Gone(delivery_id, file.names[webhook], subject))
        if len(gone) == SWEEP_ROWS:
            return gone, next_expiry, place
    return gone, next_expiry, place if looked == LOOK_ROWS else None


def _behind(file: File, after: Place) -> Iterator[tuple[int, str, int, float]]:
    """The next rows of what is pending: webhook, subject, id and expires_at.

    In two steps, as for a comparison with all three SQLite would begin with the first of the subject each time.
    """
    rows = "SELECT webhook, subject, id, expires_at FROM deliveries WHERE state = 0"
    query = f"{rows} AND webhook = ? AND subject = ? AND id > ? ORDER BY id LIMIT ?"
    same = file.db.execute(query, (*after, LOOK_ROWS)).fetchall()
    yield from same
    query = f"{rows} AND (webhook, subject) > (?, ?) ORDER BY webhook, subject, id LIMIT ?"
    yield from file.db.execute(query, (after.webhook, after.subject, LOOK_ROWS - len(same)))


def exhausted(file: File, before: float) -> list[DeadLetters]:
    """What became a dead letter since that was last told of; events about the agent itself do so silently."""
    query = """
        SELECT w.name, l.rule, COUNT(*), MIN(d.sequence), MAX(d.sequence) FROM deliveries d
        JOIN letters l ON l.delivery = d.id JOIN webhooks w ON w.id = d.webhook
        WHERE d.state = 2 AND d.due_at >= (SELECT exhausted_before FROM meta) AND d.due_at < ?
        AND d.state > 0 AND l.rule IS NOT NULL GROUP BY w.name, l.rule ORDER BY w.name, l.rule"""
    return [DeadLetters(*row) for row in file.db.execute(query, (before,))]


def rows_to_purge(file: File, now: float) -> int:
    """How many rows a purge would delete."""
    return sum(map(len, purgeable(file, now)))


def purgeable(file: File, now: float) -> tuple[list[int], list[int]]:
    """Delivered and dead deliveries that history no longer holds."""
    kept = file.db.execute("SELECT TOTAL(kept) FROM webhooks").fetchone()[0]
    surplus = min(SWEEP_ROWS, int(kept) - KEEP_DELIVERED_ROWS)
    if surplus > 0:
        delivered = _older(file, DELIVERED, now, surplus)
    else:
        delivered = _older(file, DELIVERED, now - file.limits.keep_delivered_s, SWEEP_ROWS)
    return delivered, _older(file, DEAD, now - file.limits.keep_dead_s, SWEEP_ROWS)


def _older(file: File, state: int, than: float, limit: int) -> list[int]:
    query = (
        "SELECT id FROM deliveries"
        " WHERE state = ? AND state > 0 AND due_at < ? ORDER BY due_at LIMIT ?"  # as the index says
    )
    return [row[0] for row in file.db.execute(query, (state, than, limit))]
