"""What leaves the file: what a person gave up, old history, and what has to make room (`bounds` decides)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.outbox import room
from agent.outbox.batch import Batch, Gone, Owed
from agent.outbox.bounds import Decision, Incoming, Part, Queue, Room, decide
from agent.outbox.counting import Deltas
from agent.outbox.disk import size_bytes
from agent.outbox.file import File
from agent.outbox.losses import Drop
from agent.outbox.packing import Kept
from agent.outbox.retention import SWEEP_ROWS, purgeable
from agent.outbox.schema import DEAD, DELIVERED, PENDING


@dataclass(slots=True)
class Outcome:
    """What a commit did beside what it was asked for."""

    drops: list[Drop] = field(default_factory=list)
    """For want of room."""
    refused: set[int] = field(default_factory=set)
    """Deliveries of the batch that were dropped at once, and replays of what had to make room itself."""
    gone: list[Gone] = field(default_factory=list)
    """Other pending deliveries that were dropped."""
    more: bool = False
    """Whether more has to go with the next commit."""


class _Deleted(NamedTuple):
    id: int
    state: int
    webhook: str
    subject: str
    sequence: int


def discard(file: File, batch: Batch, deltas: Deltas) -> None:
    """What a person gave up."""
    for gone in _delete(file, (given_up.id for given_up in batch.discarded), PENDING, DEAD):
        deltas[gone.webhook].update({"pending" if gone.state == PENDING else "dead": -1, "dropped_discarded": 1})


def purge(file: File, now: float, deltas: Deltas) -> None:
    """What history no longer holds."""
    delivered, dead = purgeable(file, now)
    for gone in _delete(file, delivered, DELIVERED):
        deltas[gone.webhook].update(kept=-1)
    for gone in _delete(file, dead, DEAD):
        deltas[gone.webhook].update(dead=-1, dropped_purged=1)


def make_room(file: File, batch: Batch, letters: Mapping[int, Kept], deltas: Deltas, outcome: Outcome) -> None:
    """Let go of what has to, so that the batch may come. Most commits find room enough."""
    incoming = [_incoming(owed, letters) for owed in batch.owed if owed.deliveries]
    wanted_bytes = batch.room_bytes + sum(part.size_bytes for event in incoming for part in event.parts.values())
    events, free_bytes = _free(file)
    if events < len(incoming) or free_bytes < wanted_bytes:
        queues = _queues(file, incoming, deltas)
        free = Room(events, free_bytes - batch.room_bytes, room.delivered(file.db), room.dead(file.db), queues)
        rows_max = SWEEP_ROWS + sum(len(event.parts) for event in incoming)
        _let_go(file, decide(free, incoming, rows_max), batch, deltas, outcome)


def _let_go(file: File, decision: Decision, batch: Batch, deltas: Deltas, outcome: Outcome) -> None:
    outcome.more = decision.capped
    outcome.refused = decision.refused
    for gone in _delete(file, decision.delivered, DELIVERED):
        deltas[gone.webhook].update(kept=-1)
    for gone in _delete(file, decision.dead, DEAD):
        deltas[gone.webhook].update(dead=-1, dropped_purged=1)
        outcome.drops.append(Drop(gone.webhook, "purged", gone.sequence))
    for gone in _delete(file, sorted(decision.pending), PENDING):
        deltas[gone.webhook].update(pending=-1, dropped_full=1)
        outcome.drops.append(Drop(gone.webhook, "full", gone.sequence))
        outcome.gone.append(Gone(gone.id, gone.webhook, gone.subject))
    for delivery in (delivery for owed in batch.owed for delivery in owed.deliveries):
        if delivery.id in decision.refused:
            deltas[delivery.webhook].update(dropped_full=1)
            outcome.drops.append(Drop(delivery.webhook, "full", delivery.sequence))


def _queues(file: File, incoming: Sequence[Incoming], deltas: Mapping[str, Counter[str]]) -> dict[str, Queue]:
    waiting = dict(file.db.execute("SELECT name, pending FROM webhooks").fetchall())
    waiting = {name: n + deltas[name]["pending"] if name in deltas else n for name, n in waiting.items()}
    named = {name for event in incoming for name in event.parts}
    return {
        name: room.queue(file.db, file.claims, file.row(name), n)
        for name, n in (dict.fromkeys(named, 0) | waiting).items()
        if n or name in named
    }


def is_full(file: File) -> bool:
    """Whether there is more than there may be, as after limits that were lowered."""
    events, free_bytes = _free(file)
    return events < 0 or free_bytes < 0


def _free(file: File) -> tuple[int, int]:
    """How many events and bytes there is room for; less than nothing where there is too much."""
    limits = file.limits
    growth_bytes = max(0, file.disk.growth_bytes(limits.min_free_bytes))
    most_bytes = min(limits.max_bytes, size_bytes(file.path) + growth_bytes)
    return limits.max_events - room.pending_events(file.db), most_bytes - room.used_bytes(file.db)


def _delete(file: File, delivery_ids: Iterable[int], *states: int) -> Iterator[_Deleted]:
    """Delete those that are in one of the states, each with its letter and its log."""
    query = (
        f"DELETE FROM deliveries WHERE id = ? AND state IN ({', '.join(map(str, states))})"  # noqa: S608
        " RETURNING state, webhook, subject, sequence"
    )
    for delivery_id in delivery_ids:
        for state, webhook, subject, sequence in file.db.execute(query, (delivery_id,)).fetchall():
            yield _Deleted(delivery_id, state, file.names[webhook], subject, sequence)


def _incoming(owed: Owed, letters: Mapping[int, Kept]) -> Incoming:
    n = len(owed.deliveries)
    parts = {d.webhook: Part(d.id, owed.id, n, room.size_bytes(letters[d.id])) for d in owed.deliveries}
    return Incoming(owed.event.state is None, parts)
