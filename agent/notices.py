"""What the agent tells about itself: the notices of its parts, and the events that are made of them. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from agent.model import DeadLetters, Event, Moment, Notice

_RULES_MAX = 16
"""So many rules with dead letters are told of by name, those with most; all fit into an event's attributes."""


def started(version: str, downtime_s: float | None, *, ended_well: bool | None) -> Notice:
    """The agent runs. `downtime_s`: None where nobody knows; `ended_well`: None at the first start of all."""
    first = ended_well is None
    data = {"version": version, "downtime_s": None if first or downtime_s is None else round(downtime_s, 3)}
    return Notice("agent.started", "agent", {**data, "ended_well": ended_well}, None)


def disabled(webhook: str, reason: str) -> Notice:
    """Nothing more is sent to a webhook. `reason`: `gone` (it said so itself) or `asked` (by a person)."""
    return Notice("webhook.disabled", f"webhook:{webhook}", {"reason": reason}, webhook)


def recovered(webhook: str, reason: str, away_s: float | None = None) -> Notice:
    """A webhook is sent to again. `reason`: `answers` (after `away_s` seconds without) or `enabled` (by a person)."""
    data = {"reason": reason} if away_s is None else {"reason": reason, "away_s": round(away_s, 3)}
    return Notice("webhook.recovered", f"webhook:{webhook}", data, webhook)


def exhausted(found: Iterable[DeadLetters]) -> list[Notice]:
    """What became a dead letter, one notice for each webhook."""
    by_webhook: defaultdict[str, list[DeadLetters]] = defaultdict(list)
    for one in found:
        by_webhook[one.webhook].append(one)
    return [_exhausted(webhook, theirs) for webhook, theirs in by_webhook.items()]


def heartbeat(every_s: float) -> Notice:
    """The agent lives. Never owed: it is sent now or not at all."""
    return Notice("agent.heartbeat", "agent", {"every_s": every_s}, None)


def damaged_deliveries(webhook: str, count: int, sequences: Sequence[Sequence[int]], left_off: int) -> Notice:
    """What the card has changed of single deliveries: they are dead letters, and were not sent."""
    data = {"webhook": webhook, "deliveries": count, "sequences": sequences, "sequences_left_off": left_off}
    return Notice("outbox.damaged", "agent", data, None)


def damaged_file(
    why: str,
    folder: str,
    *,
    saved: Mapping[str, int],
    lost: Mapping[str, int],
    anew: Sequence[str],
    unread: Sequence[str],
    removed: Sequence[str],
) -> Notice:
    """The database was damaged: what could be read goes on in a new one, the file lies in `folder`.

    `saved`: rows, by table; `lost`: deliveries, by webhook; `anew`: webhooks whose counters begin anew; `unread`:
    tables of which not everything could be read; `removed`: folders of older damages, of which there were too many.
    """
    data = {"reason": why, "folder": folder, "saved": saved, "lost": lost, "counters_anew": anew}
    return Notice("outbox.damaged", "agent", {**data, "unread": unread, "removed": removed}, None)


def damaged_memory(keys: Sequence[tuple[str, str]]) -> Notice:
    """What the card has changed of what rules remember of sensors: they begin anew there. `keys`: rule and sensor."""
    listed = [f"{rule} of {sensor}" for rule, sensor in keys[:_RULES_MAX]]
    return Notice("outbox.damaged", "agent", {"memory": len(keys), "rules": listed}, None)


def _exhausted(webhook: str, found: list[DeadLetters]) -> Notice:
    found = sorted(found, key=lambda one: -one.count)
    rules = {one.rule: {"count": one.count, "first": one.first, "last": one.last} for one in found[:_RULES_MAX]}
    data = {
        "count": sum(one.count for one in found),
        "first": min(one.first for one in found),
        "last": max(one.last for one in found),
        "rules": rules,
        "more_rules": len(found) - len(rules),
    }
    return Notice("delivery.exhausted", f"webhook:{webhook}", data, webhook)


def event_of(
    notice: Notice,
    at: float,
    moment: Moment,
    *,
    new_id: Callable[[str], str],
    labels: Mapping[str, str],
    events_to: Sequence[str],
) -> Event:
    """The event of a notice that was given at `at`, for all of `events_to` but the webhook that it is about."""
    words = _WORDS.get(notice.type, _OTHER)
    return Event(
        id=new_id("evt_"),
        type=notice.type,
        subject=notice.subject,
        at=at,
        wall=moment.wall_of(at),
        synced=moment.synced,
        send_to=tuple(name for name in events_to if name != notice.about),
        severity=words.severity,
        labels=labels,
        attributes=notice.data,
        summary=words.summary(notice),
    )


class _Words(NamedTuple):
    """How a type of event is told to people."""

    severity: str
    summary: Callable[[Notice], str]


def _name(notice: Notice) -> str:
    return notice.subject.partition(":")[2]


def _of_start(notice: Notice) -> str:
    downtime_s: float | None = notice.data["downtime_s"]
    away = "" if downtime_s is None else f" after {downtime_s:.0f} s"
    how = ", and had not ended in order" if notice.data["ended_well"] is False else ""
    return f"bellcrank {notice.data['version']} runs{away}{how}"


def _of_disabled(notice: Notice) -> str:
    why = {"gone": "it said that it is gone", "asked": "somebody asked for it"}[notice.data["reason"]]
    return f"nothing is sent to the webhook {_name(notice)} any more, {why}; its queue is kept"


def _of_recovered(notice: Notice) -> str:
    away_s: float | None = notice.data.get("away_s")
    after = "" if away_s is None else f" after {away_s:.0f} s"
    return f"the webhook {_name(notice)} {'is enabled' if away_s is None else 'answers'} again{after}"


def _of_exhausted(notice: Notice) -> str:
    data: Mapping[str, Any] = notice.data
    letters = "1 event became a dead letter" if data["count"] == 1 else f"{data['count']} events became dead letters"
    return f"{letters} at the webhook {_name(notice)}, with a sequence of {data['first']} to {data['last']}"


def _of_dropped(notice: Notice) -> str:
    n = notice.data["dropped"]
    events = "1 event" if n == 1 else f"{n} events"
    return f"the outbox was full: {events} for the webhook {_name(notice)} will never be sent"


def _of_damaged(notice: Notice) -> str:
    data = notice.data
    if "folder" in data:
        n = sum(data["lost"].values())
        lost = "1 event that was owed is lost" if n == 1 else f"{n} events that were owed are lost"
        anew = ", and some counters begin anew" if data["counters_anew"] or "everything" in data["unread"] else ""
        return f"the outbox was damaged ({data['reason']}) and lies in {data['folder']} now: {lost}{anew}"
    if "memory" in data:
        return f"the card has damaged what rules remember of {data['memory']} sensors: they begin anew there"
    events = "1 event" if data["deliveries"] == 1 else f"{data['deliveries']} events"
    return f"the card has damaged {events} for the webhook {data['webhook']}, which will never be sent"


_OTHER = _Words("warning", lambda notice: f"{notice.type} of {notice.subject}")
_WORDS = {
    "agent.started": _Words("info", _of_start),
    "agent.heartbeat": _Words("info", lambda _: "bellcrank lives"),
    "webhook.disabled": _Words("warning", _of_disabled),
    "webhook.recovered": _Words("info", _of_recovered),
    "delivery.exhausted": _Words("warning", _of_exhausted),
    "outbox.dropped": _Words("critical", _of_dropped),
    "outbox.damaged": _Words("critical", _of_damaged),
}
