"""What became of attempts: the state of deliveries, and their log.

Settling compares and sets: a counter moves only if the row did.
"""

from agent.model import Ending, Settlement
from agent.outbox.batch import Batch
from agent.outbox.counting import Deltas
from agent.outbox.file import File
from agent.outbox.packing import kept
from agent.outbox.schema import ATTEMPTS_KEPT, DEAD, DELIVERED, PENDING

_OF_ITS_EVENT = (
    "SELECT o.id FROM deliveries d JOIN deliveries o ON o.id >= d.event AND o.id < d.event + d.fanout WHERE d.id = ?"
)


def settle(file: File, batch: Batch, deltas: Deltas) -> None:
    """Write the marks of attempts, and what has expired."""
    # A batch that is stored one message at a time may be from before the last telling of dead letters.
    at = max(batch.moment.at, file.db.execute("SELECT exhausted_before FROM meta").fetchone()[0])
    for settlement in batch.settled:
        delivery = settlement.delivery
        _log_attempt(file, settlement)
        if settlement.ending is Ending.AGAIN:
            file.db.execute(
                "UPDATE deliveries SET attempts = ?, refusals = ?, held = ?, due_at = ?, tried = 1"
                " WHERE id = ? AND state = 0",
                (
                    settlement.attempts,
                    settlement.refusals,
                    settlement.held,
                    settlement.due_at,
                    delivery.id,
                ),
            )
        elif settlement.ending is Ending.DELIVERED:
            if _move(file, delivery.id, PENDING, DELIVERED, at):
                deltas[delivery.webhook].update(pending=-1, delivered=1, kept=1)
        elif _move(file, delivery.id, PENDING, DEAD, at, settlement.attempts or None):
            deltas[delivery.webhook].update(pending=-1, dead=1)
    for gone in batch.expired:
        if _move(file, gone.id, PENDING, DEAD, at):
            deltas[gone.webhook].update(pending=-1, dead=1)


def _log_attempt(file: File, settlement: Settlement) -> None:
    """Keep how an attempt went, where the delivery is still there; only the last ATTEMPTS_KEPT are kept.

    One that succeeds at once is not logged: the delivery says when, and it would cost a lone event 2 kB.
    """
    number, attempt = settlement.delivery.id, settlement.attempt
    if attempt is None or (settlement.ending is Ending.DELIVERED and not _has_log(file, number)):
        return
    file.db.execute(
        "INSERT OR REPLACE INTO attempts SELECT ?, ?, ?, ?, ?, ?, ?"
        " WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = ?)",
        (number, *attempt[:-1], attempt.answer or None, number),
    )
    file.db.execute(
        "DELETE FROM attempts WHERE delivery = ? AND at <="
        " (SELECT at FROM attempts WHERE delivery = ? ORDER BY at DESC LIMIT 1 OFFSET ?)",
        (number, number, ATTEMPTS_KEPT),
    )


def _has_log(file: File, delivery_id: int) -> bool:
    query = "SELECT 1 FROM attempts WHERE delivery = ? LIMIT 1"
    return file.db.execute(query, (delivery_id,)).fetchone() is not None


def _move(file: File, delivery_id: int, before: int, after: int, at: float, attempts: int | None = None) -> bool:
    """`attempts`: how many were used up; None: as many as before."""
    query = "UPDATE deliveries SET state = ?, due_at = ?, attempts = COALESCE(?, attempts) WHERE id = ? AND state = ?"
    return file.db.execute(query, (after, at, attempts, delivery_id, before)).rowcount == 1


def freeze(file: File, batch: Batch) -> None:
    """Make final what is sent of deliveries whose time was not sure."""
    for delivery, event, content in batch.frozen:
        file.db.execute("DELETE FROM untimed WHERE delivery = ?", (delivery.id,))
        if event is not None and content is not None:
            values = (*kept(delivery.event_id, delivery.webhook, content), delivery.id)
            columns = "form = ?, body = ?, headers = ?, suffix = ?, checksum = ?"
            file.db.execute(f"UPDATE letters SET {columns} WHERE delivery = ?", values)  # noqa: S608
            query = "UPDATE letters SET wall = ?, synced = ? WHERE delivery IN"
            file.db.execute(f"{query} ({_OF_ITS_EVENT})", (event.wall, event.synced, delivery.id))
