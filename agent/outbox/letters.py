"""What people ask of deliveries: which there are, and how each went.

Whoever asks while the agent runs reads with a connection of their own, so that a look through a million rows holds up
no commit. A filter is the same for looking, sending again and giving up.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from agent.model import Attempt, Content
from agent.outbox.checksums import differs, of_delivery
from agent.outbox.packing import unpack
from agent.outbox.schema import DEAD, DELIVERED, PENDING

STATES = {"pending": PENDING, "delivered": DELIVERED, "dead": DEAD}
MOVED_ROWS = 200
"""At most so many are sent again, or given up, with one commit, so that it stays short."""
PAGE_ROWS = 500
_NAMES = {number: name for name, number in STATES.items()}
_FROM = "deliveries d JOIN letters l ON l.delivery = d.id JOIN webhooks w ON w.id = d.webhook"
_COLUMNS = {
    "number": "d.id",
    "id": "l.event_id",
    "webhook": "w.name",
    "type": "l.type",
    "rule": "l.rule",
    "sensor": "l.subject",
    "state": "d.state",
    "sequence": "d.sequence",
    "attempts": "d.attempts",
    "wall": "l.wall",
    "synced": "l.synced",
    "created_at": "l.created_at",
    "due_at": "d.due_at",
    "expires_at": "d.expires_at",
    "settled_at": f"CASE WHEN d.state != {PENDING} THEN d.due_at END",
}
_LETTER = ", ".join(_COLUMNS.values())
_CONTENT = "l.form, l.body, l.headers, l.suffix"
_ENDED = (
    "WITH ended AS MATERIALIZED (SELECT rule, subject, MAX(created_at) AS at FROM letters"
    " WHERE type LIKE '%.resolved' GROUP BY rule, subject)"
)
"""When the alerts of each rule and subject were resolved last."""
_RESOLVED = (
    "(l.type NOT LIKE '%.resolved' AND (COALESCE(ended.at > l.created_at, 0)"
    " OR l.type IN ('sensor.alert.firing', 'sensor.alert.repeated')"
    " AND NOT EXISTS (SELECT 1 FROM memory m WHERE m.rule = l.rule AND m.sensor = l.subject)))"
)
"""Whether an event tells of an alert that is over: its `resolved` may be deleted already, its memory is gone then."""
_JOIN_ENDED = "LEFT JOIN ended ON ended.rule = l.rule AND ended.subject = l.subject"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries; what is None, or empty, does not matter."""

    ids: tuple[str, ...] = ()
    """Of events."""
    states: tuple[str, ...] = ()
    webhook: str | None = None
    rule: str | None = None
    sensor: str | None = None
    """The subject of the event; a star stands for anything."""
    type: str | None = None
    since: float | None = None
    """Unix seconds, of the event; so is `until`, which is exclusive."""
    until: float | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """Read texts; `ids` and `states` are lists with commas. Raises ValueError that says what would be valid."""
        known = [field.name for field in fields(cls)]
        for word in given:
            if word not in known:
                raise ValueError(f"unknown filter {word!r}: known are {', '.join(known)}")
        states = _listed(given.get("states"))
        for state in states:
            if state not in STATES:
                raise ValueError(f"unknown state {state!r}: known are {', '.join(STATES)}")
        texts = {word: str(given[word]) for word in ("webhook", "rule", "sensor", "type") if given.get(word)}
        times = {word: _number(word, given[word]) for word in ("since", "until") if given.get(word) is not None}
        return cls(_listed(given.get("ids")), states, **texts, **times)  # type: ignore[arg-type]

    def to_replay(self) -> Self:
        """The same for sending again: what is named, else what is dead. Raises ValueError."""
        if "pending" in self.states:
            raise ValueError("what is pending is sent anyway")
        return self._or_of("delivered", "dead") if self.ids else self._or_of("dead")

    def to_discard(self) -> Self:
        """The same for giving up. Raises ValueError."""
        if "delivered" in self.states:
            raise ValueError("what was delivered cannot be discarded")
        return self._or_of("pending", "dead")

    def _or_of(self, *states: str) -> Self:
        if self == type(self)():
            raise ValueError("say which events: by their ids, or by a filter")
        return replace(self, states=self.states or states)


class Span(NamedTuple):
    """Deliveries by their numbers: those behind `after`, up to `upto`."""

    after: int = 0
    upto: int | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A delivery as people see it. Times `..._at` are on the agent's time line."""

    number: int
    id: str
    """Of the event."""
    webhook: str
    type: str
    rule: str | None
    sensor: str
    """The subject of the event."""
    state: str
    sequence: int
    attempts: int
    """That were used up."""
    wall: float
    """When it happened, as Unix seconds."""
    synced: bool
    created_at: float
    due_at: float
    expires_at: float
    settled_at: float | None
    resolved: bool | None = None
    """Whether it tells of an alert that is over; None: was not asked."""
    content: Content | None = None
    """None: was not asked for."""
    log: tuple[Attempt, ...] = ()


class Matching(NamedTuple):
    """How many deliveries a filter finds."""

    found: int
    resolved: int
    """How many of them tell of an alert that is over."""
    last: int
    """The highest number among them: what comes later is not meant."""


class Movable(NamedTuple):
    """A delivery that is to be sent again or given up."""

    id: int
    event: int
    webhook: str
    lane: str
    """The subject by which it is in order; that of the event may be another one."""
    sequence: int
    event_id: str
    subject: str
    content: Content
    damaged: bool


class Moved(NamedTuple):
    """How far a step of sending again, or of giving up, went."""

    moved: int
    next: int | None
    """Behind this number there may be more; None: that was all."""


class Standing(NamedTuple):
    """How a webhook stands while no agent runs."""

    disabled: bool
    resting_until: float | None
    next_due_at: float | None
    last_error: str | None


class Archive:
    """Reads the file beside the agent that writes it. Every method may raise sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._uri = f"file:{quote(str(path))}?mode=ro"

    def find(self, wanted: Filter, span: Span, limit: int, *, newest: bool, bodies: bool = False) -> list[Letter]:
        """A page of what matches."""
        with self._reading() as db:
            return find(db, wanted, span, limit, newest=newest, bodies=bodies)

    def whole(self, event_id: str) -> list[Letter]:
        """All deliveries of one event, with their bodies and logs."""
        with self._reading() as db:
            return whole(db, event_id)

    def matching(self, wanted: Filter) -> Matching:
        """How many match."""
        with self._reading() as db:
            return matching(db, wanted)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._uri, uri=True, timeout=1.0)) as db:
            yield db


def find(
    db: sqlite3.Connection, wanted: Filter, span: Span, limit: int, *, newest: bool, bodies: bool = False
) -> list[Letter]:
    """A page of what matches, by number, the newest or the oldest first."""
    where, values = _where(wanted, span)
    columns = f"{_LETTER}, NULL, {_CONTENT}" if bodies else _LETTER
    order = "DESC" if newest else "ASC"
    query = f"SELECT {columns} FROM {_FROM} WHERE {where} ORDER BY d.id {order} LIMIT ?"  # noqa: S608
    return [_letter(row) for row in db.execute(query, (*values, limit))]


def whole(db: sqlite3.Connection, event_id: str) -> list[Letter]:
    """All deliveries of one event, with their bodies and logs."""
    query = (
        f"{_ENDED} SELECT {_LETTER}, {_RESOLVED}, {_CONTENT} FROM {_FROM} {_JOIN_ENDED}"  # noqa: S608
        " WHERE l.event_id = ? ORDER BY d.id"
    )
    return [_letter(row, _log(db, row[0])) for row in db.execute(query, (event_id,)).fetchall()]


def matching(db: sqlite3.Connection, wanted: Filter) -> Matching:
    """How many match."""
    where, values = _where(wanted, Span())
    query = f"{_ENDED} SELECT COUNT(*), TOTAL({_RESOLVED}), MAX(d.id) FROM {_FROM} {_JOIN_ENDED} WHERE {where}"  # noqa: S608
    found, resolved, last = db.execute(query, values).fetchone()
    return Matching(found, int(resolved), last or 0)


def movable(db: sqlite3.Connection, wanted: Filter, span: Span) -> list[Movable]:
    """The oldest that match, at most MOVED_ROWS."""
    where, values = _where(wanted, span)
    query = (
        f"SELECT d.id, d.event, w.name, d.subject, d.sequence, l.event_id, l.subject, l.checksum, {_CONTENT}"  # noqa: S608
        f" FROM {_FROM} WHERE {where} ORDER BY d.id LIMIT ?"
    )
    found = []
    for *row, checksum, form, body, headers, suffix in db.execute(query, (*values, MOVED_ROWS)):
        _, _, webhook, _, _, event_id, _ = row
        damaged = differs(checksum, of_delivery(event_id, webhook, unpack(form, body), headers, suffix))
        found.append(Movable._make([*row, _content(form, body, headers, suffix), damaged]))
    return found


def behind(found: Sequence[Movable]) -> int | None:
    """The number behind which there may be more to move; None: that was all."""
    return found[-1].id if len(found) == MOVED_ROWS else None


def standings(db: sqlite3.Connection) -> dict[str, Standing]:
    """How each webhook stands that was ever owed something."""
    rows = db.execute(
        "SELECT name, disabled, resting_until,"
        " (SELECT MIN(due_at) FROM deliveries d WHERE d.webhook = webhooks.id AND d.state = 0),"
        " (SELECT error FROM attempts a JOIN deliveries d ON d.id = a.delivery"
        "  WHERE d.webhook = webhooks.id ORDER BY a.at DESC LIMIT 1)"
        " FROM webhooks ORDER BY name"
    )
    return {name: Standing(bool(disabled), *more) for name, disabled, *more in rows}


def _where(wanted: Filter, span: Span) -> tuple[str, list[Any]]:
    terms: list[tuple[str, Any]] = [
        ("w.name = ?", wanted.webhook),
        ("l.rule = ?", wanted.rule),
        ("l.subject GLOB ?", None if wanted.sensor is None else _glob(wanted.sensor)),
        ("l.type = ?", wanted.type),
        ("l.wall >= ?", wanted.since),
        ("l.wall < ?", wanted.until),
        ("d.id > ?", span.after),
        ("d.id <= ?", span.upto),
    ]
    used = [(term, value) for term, value in terms if value is not None]
    texts = [term for term, _ in used]
    if wanted.states:
        texts.append("(" + " OR ".join(f"d.state = {STATES[state]}" for state in wanted.states) + ")")
    if wanted.ids:
        texts.append(f"l.event_id IN ({', '.join('?' * len(wanted.ids))})")
    return " AND ".join(texts), [*(value for _, value in used), *wanted.ids]


def _log(db: sqlite3.Connection, delivery: int) -> tuple[Attempt, ...]:
    query = "SELECT at, wall, duration_s, status, error, answer FROM attempts WHERE delivery = ? ORDER BY at"
    return tuple(Attempt._make((*known, answer or b"")) for *known, answer in db.execute(query, (delivery,)))


def _letter(row: tuple[Any, ...], log: tuple[Attempt, ...] = ()) -> Letter:
    """Of the columns of a letter, behind which may stand whether it is resolved, and its content."""
    found = dict(zip(_COLUMNS, row, strict=False))
    resolved, *content = row[len(_COLUMNS) :] or (None,)
    typed = {
        "state": _NAMES[found["state"]],
        "synced": bool(found["synced"]),
        "resolved": None if resolved is None else bool(resolved),
        "content": _content(*content) if content else None,
    }
    return Letter(**{**found, **typed}, log=log)


def _content(form: Any, kept: Any, headers: Any, suffix: object) -> Content:
    body = unpack(form, kept)
    try:
        known = json.loads(headers) if headers else {}
    except (ValueError, TypeError):  # damaged: it is shown, but never sent
        known = {}
    return Content(str(kept).encode() if body is None else body, known, str(suffix or ""))


def _glob(pattern: str) -> str:
    """The stars are the only ones that mean something."""
    return "".join(f"[{char}]" if char in "[?" else char for char in pattern)


def _listed(text: Any) -> tuple[str, ...]:
    return tuple(part for part in str(text or "").split(",") if part)


def _number(word: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{word} has to be a number of Unix seconds, not {value!r}") from None
