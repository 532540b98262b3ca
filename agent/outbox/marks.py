"""What became of attempts: the state of deliveries, and their log.

Settling compares and sets: a counter moves only if the row did.
"""

from collections.abc import Sequence
from itertools import groupby

from agent.model import Attempt, Ending, Settlement
from agent.outbox.batch import Batch
from agent.outbox.counting import Deltas
from agent.outbox.file import File
from agent.outbox.packing import kept
from agent.outbox.schema import ATTEMPTS_KEPT, DEAD, DELIVERED, PENDING

_LOG = "INSERT OR REPLACE INTO attempts SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS"
_LOG_OF_FAILED = f"{_LOG} (SELECT 1 FROM deliveries WHERE id = ?1)"  # noqa: S608
_LOG_OF_DELIVERED = f"{_LOG} (SELECT 1 FROM attempts WHERE delivery = ?1)"  # noqa: S608
_DELIVER = "UPDATE deliveries SET state = ?, due_at = ? WHERE id = ? AND state = ?"
_TRY_AGAIN = (
    "UPDATE deliveries SET attempts = ?, refusals = ?, held = ?, due_at = ?, tried = 1 WHERE id = ? AND state = ?"
)
_GIVE_UP = "UPDATE deliveries SET state = ?, due_at = ?, attempts = COALESCE(?, attempts) WHERE id = ? AND state = ?"
_OF_ITS_EVENT = (
    "SELECT o.id FROM deliveries d JOIN deliveries o ON o.id >= d.event AND o.id < d.event + d.fanout WHERE d.id = ?"
)


def settle(file: File, batch: Batch, deltas: Deltas) -> None:
    """Write the marks of attempts, and what has expired."""
    # A batch that is stored one message at a time may be from before the last telling of dead letters.
    at = max(batch.moment.at, file.db.execute("SELECT exhausted_before FROM meta").fetchone()[0])
    for (webhook, ending), run in groupby(batch.settled, lambda one: (one.delivery.webhook, one.ending)):
        if ending is Ending.DELIVERED:
            _settle_delivered(file, webhook, list(run), at, deltas)
        else:
            for settlement in run:
                _settle_failed(file, settlement, at, deltas)
    for gone in batch.expired:
        if _give_up(file, gone.id, at):
            deltas[gone.webhook].update(pending=-1, dead=1)


def _settle_delivered(file: File, webhook: str, settled: Sequence[Settlement], at: float, deltas: Deltas) -> None:
    """All that follow one another for one webhook at once, since a flood is made of them.

    One that succeeds at once is not logged: the delivery says when, and it would cost a lone event 2 kB.
    """
    logs = [_log_of(one.delivery.id, one.attempt) for one in settled if one.attempt is not None]
    if logs and file.db.executemany(_LOG_OF_DELIVERED, logs).rowcount > 0:
        for one in settled:
            _cut_log(file, one.delivery.id)
    rows = [(DELIVERED, at, one.delivery.id, PENDING) for one in settled]
    moved = file.db.executemany(_DELIVER, rows).rowcount
    deltas[webhook].update(pending=-moved, delivered=moved, kept=moved)


def _settle_failed(file: File, settlement: Settlement, at: float, deltas: Deltas) -> None:
    delivery = settlement.delivery
    if settlement.attempt is not None:
        file.db.execute(_LOG_OF_FAILED, _log_of(delivery.id, settlement.attempt))
        _cut_log(file, delivery.id)
    if settlement.ending is not Ending.AGAIN:
        if _give_up(file, delivery.id, at, settlement.attempts or None):
            deltas[delivery.webhook].update(pending=-1, dead=1)
        return
    new = (settlement.attempts, settlement.refusals, settlement.held, settlement.due_at)
    file.db.execute(_TRY_AGAIN, (*new, delivery.id, PENDING))


def _give_up(file: File, delivery_id: int, at: float, attempts: int | None = None) -> bool:
    """Returns whether it was pending. `attempts`: how many were used up; None: as many as before."""
    return file.db.execute(_GIVE_UP, (DEAD, at, attempts, delivery_id, PENDING)).rowcount == 1


def _log_of(delivery_id: int, attempt: Attempt) -> tuple[object, ...]:
    return (delivery_id, *attempt[:-1], attempt.answer or None)


def _cut_log(file: File, delivery_id: int) -> None:
    """Only the last ATTEMPTS_KEPT are kept."""
    query = "SELECT at FROM attempts WHERE delivery = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2"
    file.db.execute(f"DELETE FROM attempts WHERE delivery = ?1 AND at <= ({query})", (delivery_id, ATTEMPTS_KEPT))  # noqa: S608


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
