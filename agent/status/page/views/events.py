"""Events: as rows of a table, as a list to page through, and one with all that became of it."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from agent.outbox import Letter
from agent.status.events import WholeDelivery, attempts_of
from agent.status.page import texts
from agent.status.page.views.frame import Badge, Here, Time, badge, calm, sensor_link
from agent.status.words import age

DELIVERIES_A_PAGE = 100


class DeliveryRow(NamedTuple):
    """Of an event: what became of it at one webhook."""

    webhook: str
    state: Badge
    attempts: int


class EventRow(NamedTuple):
    """An event in a list, with its deliveries that were found."""

    id: str
    link: str
    wall: float
    time: Time
    synced: bool
    type: str
    what: str
    """The rule, or the type of what has none."""
    sensor: str
    state: Badge
    deliveries: Sequence[DeliveryRow]


class EventQuery(NamedTuple):
    """Which deliveries are listed."""

    states: str = ""
    webhook: str = ""
    rule: str = ""
    sensor: str = ""
    before: str = ""
    """A number: those below it."""

    @classmethod
    def parse(cls, words: Mapping[str, str]) -> "EventQuery":
        """What makes no sense is as if it had not been said."""
        found = cls(*(words.get(word, "")[:200] for word in cls._fields))
        states = found.states if found.states in ("pending", "delivered", "dead") else ""
        before = found.before if found.before.isdecimal() and len(found.before) < 19 else ""
        return found._replace(states=states, before=before)

    def words(self) -> tuple[tuple[str, str], ...]:
        """As they stand in the path."""
        return tuple((word, value) for word, value in self._asdict().items() if value)

    def wanted(self) -> dict[str, str]:
        """As `Filter.parse` takes them: all but the place."""
        return {word: value for word, value in self.words() if word != "before"}


def event_rows(letters: Iterable[Letter], here: Here) -> list[EventRow]:
    """Deliveries that follow each other and are of one event become one row."""
    return [_event(list(group), here) for _, group in groupby(letters, key=lambda letter: letter.id)]


def _event(letters: Sequence[Letter], here: Here) -> EventRow:
    first = letters[0]
    return EventRow(
        id=first.id,
        link=here.link("events", first.id),
        wall=first.wall,
        time=here.time(first.wall),
        synced=first.synced,
        type=first.type,
        what=first.rule or first.type,
        sensor=first.sensor,
        state=_told(first.type),
        deliveries=[DeliveryRow(letter.webhook, badge(letter.state), attempts_of(letter)) for letter in letters],
    )


def _told(kind: str) -> Badge:
    """What an event tells, by the last word of its type."""
    last = kind.rpartition(".")[2]
    if last in ("firing", "repeated", "resolved"):
        return badge(last)
    if kind.startswith("sensor.") or "." not in kind:
        return calm("event")
    return calm(last)


def events(
    letters: Sequence[Letter], query: EventQuery, webhooks: Sequence[str], limit: int, here: Here
) -> dict[str, Any]:
    """A list, page by page."""
    following = {**query.wanted(), "before": letters[-1].number} if len(letters) == limit else None
    return {
        "events": event_rows(letters, here),
        "query": query,
        "webhooks": webhooks,
        "older": following and here.link("events", **following),
        "newest": here.link("events", **query.wanted()) if query.before else None,
    }


class AttemptRow(NamedTuple):
    """One request."""

    time: Time
    duration: str
    outcome: str
    good: bool
    answer: str


class OwedRow(NamedTuple):
    """One delivery with its log."""

    webhook: str
    state: Badge
    sequence: int
    attempts: int
    next_attempt: str
    expires: str
    settled: str
    log: Sequence[AttemptRow]
    facts: WholeDelivery
    can_replay: bool
    can_discard: bool


def event(found: Sequence[tuple[Letter, WholeDelivery]], here: Here) -> dict[str, Any]:
    """One event with all its deliveries."""
    letters = [letter for letter, _ in found]
    row = _event(letters, here)
    return {
        "event": row,
        "sensor_link": sensor_link(row.sensor, here),
        "resolved": any(letter.resolved for letter in letters),
        "deliveries": [_owed(letter, facts, here) for letter, facts in found],
    }


def _owed(letter: Letter, facts: WholeDelivery, here: Here) -> OwedRow:
    in_s = facts.next_attempt_s
    return OwedRow(
        webhook=letter.webhook,
        state=badge(letter.state),
        sequence=letter.sequence,
        attempts=facts.attempts,
        next_attempt="" if in_s is None else "now" if in_s < 1 else f"in {age(in_s)}",
        expires="" if facts.expires_s is None else f"in {texts.lasting(facts.expires_s)}",
        settled="" if facts.settled_s is None else texts.calm_age(facts.settled_s),
        log=[
            AttemptRow(
                here.time(attempt.wall),
                texts.milliseconds(attempt.duration_s * 1000),
                _outcome(attempt.status, attempt.error),
                attempt.error is None,
                shown.answer,
            )
            for attempt, shown in zip(letter.log, facts.log, strict=True)
        ],
        facts=facts,
        can_replay=letter.state in ("delivered", "dead"),
        can_discard=letter.state in ("pending", "dead"),
    )


def _outcome(status: int | None, error: str | None) -> str:
    if error is None:
        return f"{status} taken"
    return error if status is None or error.startswith(str(status)) else f"{status}: {error}"
