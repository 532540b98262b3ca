"""What a start finds in the file, and what a new file begins with."""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agent.clock import DeviceClock
from agent.model import Rest
from agent.outbox.batch import Key, Numbers
from agent.outbox.checksums import differs, of_texts
from agent.outbox.counting import numbers
from agent.outbox.file import File
from agent.outbox.schema import migrate

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class Loaded:
    """What a start finds in the file."""

    agent_id: str
    offset_s: float
    """Of the agent's time line to the boot-time clock."""
    downtime_s: float | None
    """Between the last commit and this start; None: not known."""
    ended_well: bool | None
    """Whether the agent ended in order the last time; None: this is the first start."""
    memory: Mapping[Key, str]
    forgotten: Sequence[Key]
    """Of the memory, whose rows were damaged: it is no more."""
    ledgers: Mapping[str, Sequence[bytes]]
    subscriptions: Mapping[str, Mapping[str, int]]
    """Of each feed: its filters and their identifiers (`drivers.base.Subscriptions`)."""
    rests: Mapping[str, Rest]
    numbers: Numbers


def prepare(file: File, clock: DeviceClock) -> None:
    """Migrate, and make what a new file begins with."""
    migrate(file.db, file.path, clock.wall())
    file.db.execute(
        "INSERT OR IGNORE INTO meta (id, commit_number, next_delivery, agent_id, machine_id, boot_id, offset_s,"
        " alive_at, alive_wall, alive_synced) VALUES (1, 0, 1, ?, ?, ?, 0, ?, ?, 0)",
        (secrets.token_hex(16), machine_id(), clock.boot_id(), clock.now(), clock.wall()),
    )
    file.read_names()


class Resumed(NamedTuple):
    """The agent's time line, as it goes on."""

    offset_s: float
    """To the boot-time clock."""
    downtime_s: float | None
    """What is known to have passed since the last commit; None: nothing is."""


def resume_time(file: File, clock: DeviceClock) -> Resumed:
    """Go on with the agent's time line by what is known to have passed."""
    query = "SELECT boot_id, offset_s, alive_at, alive_wall, alive_synced FROM meta"
    boot_id, offset_s, alive_at, alive_wall, alive_synced = file.db.execute(query).fetchone()
    moment = clock.moment()
    raw = moment.at - clock.offset_s
    if boot_id == clock.boot_id():
        offset_s = max(offset_s, alive_at - raw)
        return Resumed(offset_s, float(raw + offset_s - alive_at))
    file.db.execute("DELETE FROM untimed")  # nobody knows any more when it was
    downtime_s = max(0.0, moment.wall - alive_wall) if alive_synced and moment.synced else None
    return Resumed(alive_at + (downtime_s or 0.0) - raw, downtime_s)


def renew_if_cloned(file: File) -> None:
    """A copied card must not pretend to be the same agent."""
    query = "UPDATE meta SET agent_id = ?, machine_id = ? WHERE machine_id != ?"
    file.db.execute(query, (secrets.token_hex(16), machine_id(), machine_id()))


def read_memory(file: File) -> tuple[dict[Key, str], list[Key]]:
    """All that rules remember, and of whom the row is damaged: that is deleted."""
    memory, damaged = {}, []
    for rule, sensor, value, checksum in file.db.execute("SELECT rule, sensor, value, checksum FROM memory"):
        if differs(checksum, of_texts(rule, sensor, value)):
            damaged.append((rule, sensor))
        else:
            memory[rule, sensor] = value
    file.db.executemany("DELETE FROM memory WHERE rule = ? AND sensor = ?", damaged)
    return memory, damaged


def loaded(file: File, resumed: Resumed, memory: Mapping[Key, str], forgotten: Sequence[Key]) -> Loaded:
    """All that a start needs."""
    query = "SELECT agent_id, commit_number, ended_well FROM meta"
    agent_id, commits, ended_well = file.db.execute(query).fetchone()
    webhooks = file.db.execute("SELECT name, resting_until, disabled, asked_until FROM webhooks").fetchall()
    return Loaded(
        agent_id=agent_id,
        offset_s=resumed.offset_s,
        downtime_s=resumed.downtime_s,
        ended_well=bool(ended_well) if commits else None,
        memory=memory,
        forgotten=forgotten,
        ledgers=file.intake.read(file.db),
        subscriptions=_subscriptions(file),
        rests={name: Rest(name, until, bool(disabled), asked) for name, until, disabled, asked in webhooks},
        numbers=numbers(file),
    )


def _subscriptions(file: File) -> dict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for feed, text, number in file.db.execute("SELECT feed, filter, identifier FROM subscriptions"):
        found[feed][text] = number
    return dict(found)


def machine_id() -> str:
    """A digest of the machine id, since that id itself is not for sharing (machine-id(5))."""
    try:
        return hashlib.sha256(b"bellcrank" + _MACHINE_ID.read_bytes().strip()).hexdigest()
    except OSError:
        return ""
