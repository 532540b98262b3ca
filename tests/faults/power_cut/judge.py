"""Starts from what a disk had when its power was cut, and holds what is found there against what was promised.

The outbox is opened as the agent's start does, with its look for damage and SQLite's recovery, and goes on by an event.
"""

import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from agent.outbox import Filter, Ledger, Loaded, Outbox, Span, counting
from agent.outbox.file import File
from agent.outbox.ledger import split
from agent.outbox.letters import movable
from agent.outbox.room import pending_events
from agent.outbox.schema import DEAD, DELIVERED, PENDING
from tests.faults.power_cut.story import Story, what_of
from tests.outbox.parts import WEEK_S, batch_of, event
from tests.support.hands import HandClock

WEBHOOK = "oracle"
_SHM = "-shm"


class _Told(NamedTuple):
    """What a body tells."""

    subject: str
    what: str
    """As `Story` calls it."""
    alert: str | None


class Row(NamedTuple):
    """A delivery."""

    sequence: int
    state: int
    id: str
    """Of the event."""
    damaged: bool
    told: _Told


_tellings: dict[bytes, _Told] = {}
"""Each body is read once, though thousands of states have it."""


@dataclass
class Found:
    """What a start has found."""

    ids: dict[str, str] = field(default_factory=dict)
    """What is told or to be told (`pulse 17`) -> its id."""
    delivered: set[str] = field(default_factory=set)
    """Ids of what is told."""
    known: set[bytes] = field(default_factory=set)
    """What the intake ledger holds."""
    bad: list[str] = field(default_factory=list)
    """What cannot be right, whatever has happened."""


def lay_out(files: Mapping[str, bytes], folder: Path, chance: Random) -> None:
    """Put files where an outbox is looked for; SQLite's shared memory, which is of no use then, as garbage at times."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in files.items():
        if name == "ballast":
            (folder / name).touch(0o600)
            os.truncate(folder / name, len(content))
        elif not name.endswith(_SHM):
            (folder / name).write_bytes(content)
        elif chance.random() < 0.5:
            (folder / name).write_bytes(chance.randbytes(len(content)))


async def start(folder: Path) -> Found:
    """Open the outbox that lies in a folder, look at all of it, and go on by one event."""
    found, clock = Found(), HandClock()
    outbox = Outbox(folder, {WEBHOOK: WEEK_S})
    try:
        try:
            loaded = await outbox.open(clock)
        except Exception as error:  # noqa: BLE001  # whatever it is, the agent would not start
            found.bad.append(f"it does not open: {type(error).__name__}: {error}")
            return found
        found.bad += [f"it had to be saved: {notice.type} {notice.data}" for notice in outbox.telling.notices]
        found.known = {entry for log in loaded.ledgers.values() for entry in split(Ledger(log).addition(whole=True)[1])}
        rows = await outbox.worker.read(lambda file: _rows(file.db))
        found.ids = {row.told.what: row.id for row in rows}
        found.delivered = {row.id for row in rows if row.state == DELIVERED}
        found.bad += [
            *_wrong_rows(rows),
            *_wrong_memory(rows, loaded),
            *await outbox.worker.read(_wrong_counters, rows),
        ]
        await _go_on(outbox, clock, found, len(rows))
    finally:
        await outbox.close()
    return found


def judge(found: Found, story: Story, *, is_end: bool = False) -> tuple[set[str], set[str], list[str]]:
    """What is lost and what will be told twice, and sentences for each broken promise.

    `is_end`: the agent had ended in order, so all marks are there.
    """
    lost = story.acknowledged - found.ids.keys()
    bad = [*found.bad]
    unknown = story.told.items() - found.ids.items()
    if unknown:
        bad.append(f"{len(unknown)} were told under an id that is not known any more: {sorted(unknown)[:2]}")
    known = {heard.what for heard in story.heard.values() if heard.entry in found.known}
    there = {heard.what for heard in story.heard.values() if heard.what in found.ids}
    lost, twice = lost | (known - there), there - known
    if lost:
        bad.append(f"{len(lost)} that were acknowledged, or will be unseen, are not there: {sorted(lost)[:3]}")
    if twice:
        bad.append(f"{len(twice)} would be told twice, as the ledger does not know them: {sorted(twice)[:3]}")
    if is_end and not story.answered <= found.delivered:
        bad.append(f"{len(story.answered - found.delivered)} were delivered, but their marks are lost")
    return lost, twice, bad


def _rows(db: sqlite3.Connection) -> list[Row]:
    """All of them, in order."""
    states, rows, after = dict(db.execute("SELECT id, state FROM deliveries")), list[Row](), 0
    while found := movable(db, Filter(), Span(after)):
        rows += [Row(it.sequence, states[it.id], it.event_id, it.damaged, _told(it.content.body)) for it in found]
        after = found[-1].id
    return rows


def _told(body: bytes) -> _Told:
    if body not in _tellings:
        event = json.loads(body)
        _tellings[body] = _Told(event["subject"], what_of(event), event["data"].get("alert_id"))
    return _tellings[body]


def _wrong_rows(rows: list[Row]) -> list[str]:
    bad = [f"the bytes of {row.id} are damaged" for row in rows if row.damaged]
    if [row.sequence for row in rows] != list(range(1, len(rows) + 1)):
        bad.append(f"the sequence is not 1 to {len(rows)}")
    twice = [what for what, n in Counter(row.told.what for row in rows).items() if n > 1]
    return [*bad, f"{len(twice)} are there twice: {twice[:3]}"] if twice else bad


def _wrong_memory(rows: list[Row], loaded: Loaded) -> list[str]:
    """What rules remember must be what they told last."""
    last = {row.told.subject: row for row in rows if row.told.alert is not None}
    told = {subject: row.told.alert for subject, row in last.items() if row.told.what.startswith("firing")}
    kept = {sensor: json.loads(text)[3] for (rule, sensor), text in loaded.memory.items() if rule == "high"}
    kept = {sensor: alert for sensor, alert in kept.items() if alert is not None}
    bad = [f"the memory of {loaded.forgotten} is damaged"] if loaded.forgotten else []
    return bad if kept == told else [*bad, f"rules remember {kept}, but {told} was told last"]


def _wrong_counters(file: File, rows: list[Row]) -> list[str]:
    counters = counting.counters(file)[WEBHOOK]
    states = Counter(row.state for row in rows)
    kept = (counters.owed, counters.pending, counters.delivered, counters.dead)
    there = (len(rows), states[PENDING], states[DELIVERED], states[DEAD])
    bad = [] if kept == there and counters.balanced else [f"the counters say {kept}, there are {there}"]
    if pending_events(file.db) != states[PENDING]:
        bad.append("the number of events that wait is wrong")
    checked = file.db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return bad if checked == "ok" else [*bad, f"SQLite finds damage: {checked}"]


async def _go_on(outbox: Outbox, clock: HandClock, found: Found, last: int) -> None:
    number, sequence = outbox.store.number, last + 1
    batch = batch_of(outbox, clock.moment(), event(0, to=[WEBHOOK], subject="behind the cut", at=clock.now()))
    await outbox.commit(batch)
    taken = (outbox.store.number, batch.owed[0].deliveries[0].sequence)
    if taken != (number + 1, sequence) or not outbox.counters[WEBHOOK].balanced:
        found.bad.append(f"it does not go on: {taken}, not {(number + 1, sequence)}")
