"""What waits, as mailboxes ask for it: the first of each subject, the next of one, and what was never tried."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.model import Delivery
from agent.outbox.checksums import differs, of_delivery, of_texts
from agent.outbox.file import File
from agent.outbox.inspection import check_types
from agent.outbox.lanes import Head
from agent.outbox.packing import unpack

LOOK_ROWS = 5_000
"""So many are looked at in one go, so that a commit never waits for a look at a million."""
_DELIVERY = (
    "d.id, d.sequence, l.event_id, d.subject, d.created_at, d.expires_at, d.due_at, d.attempts, d.refusals, d.held,"
    " d.tried, l.form, l.body, l.headers, l.suffix, l.checksum,"
    " EXISTS (SELECT 1 FROM untimed u WHERE u.delivery = d.id)"
)
_LETTER = "LEFT JOIN letters l ON l.delivery = d.id"


def heads(file: File, webhook: str, after: str | None, limit: int) -> list[Head]:
    """The first pending delivery of each subject, for so many subjects that follow one in the alphabet.

    Goes from subject to subject through the index, whatever number of deliveries is behind each. So a subject is
    what the index says: where a row has another, one of the two is damaged, and `pending` goes by the index too.
    """
    query = """
        WITH RECURSIVE
            next(subject) AS (
                SELECT MIN(subject) FROM deliveries WHERE webhook = :webhook AND state = 0 AND subject > :after
                UNION ALL
                SELECT (
                    SELECT MIN(subject) FROM deliveries
                    WHERE webhook = :webhook AND state = 0 AND subject > next.subject
                ) FROM next WHERE next.subject IS NOT NULL
                LIMIT :limit
            )
        SELECT next.subject, d.id, d.due_at, d.created_at, d.held FROM next JOIN deliveries d ON d.id = (
            SELECT MIN(id) FROM deliveries WHERE webhook = :webhook AND state = 0 AND subject = next.subject
        )"""
    values = {"webhook": file.rows.get(webhook, -1), "after": after or "", "limit": limit}
    return [_head(row) for row in file.db.execute(query, values)]


def first(file: File, webhook: str, subjects: Mapping[str, int]) -> dict[str, Head | None]:
    """The first pending delivery of each of some subjects that comes behind an id."""
    query = (
        "SELECT subject, id, due_at, created_at, held FROM deliveries"
        " WHERE webhook = ? AND subject = ? AND state = 0 AND id > ? ORDER BY id LIMIT 1"
    )
    places = [(file.rows[webhook], *place) for place in subjects.items()]
    rows = {place[1]: file.db.execute(query, place).fetchone() for place in places}
    return {subject: None if row is None else _head(row) for subject, row in rows.items()}


def tried(file: File, webhook: str) -> list[Head]:
    """All pending deliveries that are due later than when they became owed."""
    query = (
        "SELECT subject, id, due_at, created_at, held FROM deliveries"
        " WHERE webhook = ? AND state = 0 AND due_at > created_at ORDER BY id"
    )
    return [_head(row) for row in file.db.execute(query, (file.rows[webhook],))]


def untried(file: File, webhook: str, after: int, limit: int) -> tuple[list[Delivery], int, bool]:
    """Pending deliveries of all subjects behind an id that are due since they became owed, in order.

    Returns also up to which id it has looked, and whether there may be more behind that.
    """
    last = file.db.execute("SELECT MAX(id) FROM deliveries").fetchone()[0] or 0
    reached = min(last, after + LOOK_ROWS)
    rows = file.db.execute(
        f"SELECT {_DELIVERY} FROM deliveries d NOT INDEXED {_LETTER}"  # noqa: S608
        " WHERE d.id > ? AND d.id <= ? AND d.webhook = ? AND d.state = 0 AND d.due_at <= d.created_at"
        " ORDER BY d.id LIMIT ?",
        (after, reached, file.rows[webhook], limit),
    )
    found = [_delivery(webhook, row) for row in rows]
    reached = found[-1].id if len(found) == limit else reached
    return found, reached, reached < last


def one(file: File, webhook: str, delivery_id: int) -> list[Delivery]:
    """A delivery, if it is pending."""
    query = f"SELECT {_DELIVERY} FROM deliveries d {_LETTER} WHERE d.id = ? AND d.state = 0"  # noqa: S608
    return [_delivery(webhook, row) for row in file.db.execute(query, (delivery_id,))]


def pending(file: File, webhook: str, subject: str, after: int, limit: int) -> list[Delivery]:
    """The next pending deliveries of one subject, in order; of that subject, whatever a damaged row says."""
    rows = file.db.execute(
        f"SELECT {_DELIVERY} FROM deliveries d {_LETTER}"  # noqa: S608
        " WHERE d.webhook = ? AND d.subject = ? AND d.state = 0 AND d.id > ? ORDER BY d.id LIMIT ?",
        (file.rows[webhook], subject, after, limit),
    )
    found = [_delivery(webhook, row) for row in rows]
    for delivery in found:
        delivery.subject = subject
    return found


def untimed(file: File, deliveries: Sequence[int]) -> dict[int, str]:
    """The events of those deliveries that have none of a sure time, but what is damaged of them."""
    marks = ", ".join("?" * len(deliveries))
    query = f"SELECT delivery, event, checksum FROM untimed WHERE delivery IN ({marks})"  # noqa: S608
    rows = file.db.execute(query, deliveries).fetchall()
    return {number: text for number, text, kept in rows if not differs(kept, of_texts(str(number), text))}


def _head(row: Sequence[Any]) -> Head:
    subject, delivery_id, due_at, created_at, held = row
    check_types((subject, str), (due_at, float), (created_at, float), (held, int))
    return Head(subject, delivery_id, due_at, created_at, bool(held))


def _delivery(webhook: str, row: Sequence[Any]) -> Delivery:
    number, sequence, event_id, subject, created, expires, due, attempts, refusals, held, *more = row
    tried, form, packed, headers, suffix, checksum, is_untimed = more
    body = unpack(form, packed)
    check_types((event_id, str), (subject, str), (created, float), (expires, float), (due, float))
    check_types((sequence, int), (attempts, int), (refusals, int), (held, int))
    damaged = differs(checksum, of_delivery(event_id, webhook, body, headers, suffix))
    return Delivery(
        id=number,
        webhook=webhook,
        sequence=sequence,
        event_id=event_id,
        subject=subject,
        body=b"" if damaged or body is None else body,
        created_at=created,
        expires_at=expires,
        due_at=due,
        attempts=attempts,
        refusals=refusals,
        held=bool(held),
        headers={} if damaged or not headers else json.loads(headers),
        suffix="" if damaged else suffix or "",
        untimed=bool(is_untimed),
        damaged=damaged,
        tried=bool(tried),
    )
