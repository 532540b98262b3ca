"""The numbers that must be exact: of commits and deliveries, and what became of all that each webhook was owed."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from agent.model import DROP_REASONS, Counters
from agent.outbox.batch import Numbers
from agent.outbox.file import File

Deltas = defaultdict[str, Counter[str]]
"""By webhook and column of its counters: by how much each changes with a commit."""
_NUMBER_MAX = 2**62


def number(file: File) -> int:
    """The number of the last commit."""
    return int(file.db.execute("SELECT commit_number FROM meta").fetchone()[0])


def numbers(file: File) -> Numbers:
    """Where the counting stands."""
    (next_delivery,) = file.db.execute("SELECT next_delivery FROM meta").fetchone()
    return Numbers(next_delivery, dict(file.db.execute("SELECT name, sequence FROM webhooks")))


def is_misnumbered(file: File) -> bool:
    """Whether a number was given already that would be given next."""
    query = "SELECT MAX(next_delivery, commit_number), next_delivery, (SELECT MAX(id) FROM deliveries) FROM meta"
    highest, following, given = file.db.execute(query).fetchone()
    return bool(highest > _NUMBER_MAX or (given is not None and given >= following))


def counters(file: File) -> dict[str, Counters]:
    """Conservation of every webhook that was ever owed something."""
    dropped = ", ".join(f"dropped_{reason}" for reason in DROP_REASONS)
    rows = file.db.execute(f"SELECT name, owed, delivered, pending, dead, {dropped} FROM webhooks")  # noqa: S608
    return {row[0]: _counters(row[1:]) for row in rows}


def count(file: File, deltas: Mapping[str, Counter[str]]) -> None:
    """Change the counters."""
    for name, delta in deltas.items():
        changes = ", ".join(f"{column} = {column} + {n}" for column, n in delta.items())
        file.db.execute(f"UPDATE webhooks SET {changes} WHERE id = ?", (file.row(name),))  # noqa: S608


def switch(file: File, webhook: str, *, enabled: bool) -> bool:
    """Enable or disable a webhook. Returns whether there is one of this name."""
    with file.transaction():
        query = "UPDATE webhooks SET disabled = ?, resting_until = NULL WHERE name = ?"
        return file.db.execute(query, (not enabled, webhook)).rowcount == 1


def _counters(row: Sequence[int]) -> Counters:
    owed, delivered, pending, dead, *dropped = row
    return Counters(owed, delivered, pending, dead, dict(zip(DROP_REASONS, dropped, strict=True)))
