"""What becomes owed: new deliveries with their letters, and those that are sent again."""

from collections.abc import Collection, Mapping

from agent.model import Delivery, Event
from agent.outbox import untimed
from agent.outbox.batch import Batch
from agent.outbox.checksums import of_texts
from agent.outbox.counting import Deltas
from agent.outbox.file import File
from agent.outbox.leaving import Outcome
from agent.outbox.packing import Kept
from agent.outbox.schema import DEAD, DELIVERED, FIRING, PENDING, PULSE, REPEATED, RESOLVED


def owe(file: File, batch: Batch, letters: Mapping[int, Kept], deltas: Deltas, refused: Collection[int]) -> None:
    """Write what becomes owed, but what has found no room."""
    deliveries, told, texts = [], [], []
    for number, event, owed, unwanted in batch.owed:
        taken = [delivery for delivery in owed if delivery.id not in refused]
        of_rule = (event.id, event.type, event.rule, event.subject, event.alert_id)
        facts, kind = (*of_rule, event.at, event.wall, event.synced), _kind(event)
        for d in owed:
            deltas[d.webhook]["owed"] += 1
        for d in taken:
            deltas[d.webhook]["pending"] += 1
            if d.untimed and (text := untimed.dump(event)) is not None:
                texts.append((d.id, text, of_texts(str(d.id), text)))
            row = (d.id, number, len(owed), file.row(d.webhook), d.sequence, d.subject, PENDING, kind, 0)
            deliveries.append((*row, d.attempts, d.refusals, d.held, d.due_at, d.created_at, d.expires_at))
            told.append((d.id, *facts, *letters[d.id]))
        for name in unwanted:
            deltas[name].update(owed=1, dropped_webhook_removed=1)
    file.db.executemany("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", deliveries)
    file.db.executemany("INSERT INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", told)
    file.db.executemany("INSERT INTO untimed VALUES (?, ?, ?)", texts)
    for name in {name for owed in batch.owed for name in owed.event.send_to}:
        query = "UPDATE webhooks SET sequence = ? WHERE id = ?"
        file.db.execute(query, (batch.numbers.sequences[name], file.row(name)))


def move_again(file: File, batch: Batch, deltas: Deltas, outcome: Outcome) -> None:
    """What was dead is pending; what was delivered stays counted as that, and is owed once more."""
    for old, d in batch.replays:
        if _renumber(file, old.id, d, DEAD):
            deltas[d.webhook].update(dead=-1, pending=1)
        elif _renumber(file, old.id, d, DELIVERED):
            deltas[d.webhook].update(owed=1, pending=1, kept=-1)
        else:
            outcome.refused.add(d.id)
            continue
        for table in ("attempts", "letters"):
            file.db.execute(f"UPDATE {table} SET delivery = ? WHERE delivery = ?", (d.id, old.id))  # noqa: S608
        file.db.execute("DELETE FROM untimed WHERE delivery = ?", (old.id,))  # it is sent as it was written


def _renumber(file: File, old: int, d: Delivery, state: int) -> bool:
    query = (
        "UPDATE deliveries SET id = ?, event = ?, fanout = 1, subject = ?, state = ?, attempts = 0, refusals = 0,"
        " held = 0, tried = 1, due_at = ?, created_at = ?, expires_at = ? WHERE id = ? AND state = ?"
    )
    values = (d.id, d.id, d.subject, PENDING, d.due_at, d.created_at, d.expires_at, old, state)
    return file.db.execute(query, values).rowcount == 1


def _kind(event: Event) -> int:
    """What it is to the bounds; where a rule's own type ends like a reminder's, its firing is never dropped."""
    if event.state is None:
        return PULSE
    if event.state == "resolved":
        return RESOLVED
    return REPEATED if event.type.endswith(".repeated") else FIRING
