"""One sensor: now, its charts, its rules and its events."""

from collections.abc import Sequence
from typing import Any

from agent.outbox import Letter
from agent.status.history import History
from agent.status.page import charts, texts
from agent.status.page.views.events import event_rows
from agent.status.page.views.frame import Here, Time
from agent.status.page.views.overview import EVENTS_SHOWN, sensor_row, sentence, state_row
from agent.status.snapshot import SensorFacts, Snapshot

_DAY_S = 86_400.0
_HOUR = (3600.0, 60.0, 900.0)
"""Length, bucket and distance of the ticks in seconds, as in `charts.Span.last`."""
_DAY = (_DAY_S, 600.0, 21_600.0)


def sensor(
    name: str, facts: SensorFacts, history: History | None, snapshot: Snapshot, letters: Sequence[Letter], here: Here
) -> dict[str, Any]:
    """One sensor: now, its charts, its rules and its events."""
    events = event_rows(letters, here)
    marks = [(row.wall, row.state.word) for row in events]
    whole = texts.value(facts.value, None, texts.WHOLE_CHARS)
    return {
        "name": name,
        "facts": facts,
        "row": sensor_row(name, facts, here),
        "whole": whole if len(whole) > texts.VALUE_CHARS else None,
        "charts": [] if history is None else _charts(history, marks, facts.unit, here),
        "changes": [] if history is None else _changes(history, here),
        "rules": [
            (rule, sentence(known), state_row(rule, name, known.states[name], known, here))
            for rule, known in snapshot.rules.items()
            if name in known.states
        ],
        "events": [row for row in events if row.wall > here.wall - _DAY_S][:EVENTS_SHOWN],
    }


def _charts(history: History, marks: Sequence[tuple[float, str]], unit: str | None, here: Here) -> list[Any]:
    wanted = (("Last hour", "hour", history.minutes, _HOUR), ("Last 24 hours", "day", history.decades, _DAY))
    return [
        (
            title,
            name,
            charts.chart(buckets, charts.Span.last(*span, here.wall), history.thresholds, marks, unit, here.zone),
        )
        for title, name, buckets, span in wanted
        if buckets
    ]


def _changes(history: History, here: Here) -> list[tuple[Time, str]]:
    """The newest first."""
    return [(here.time(change.wall), texts.value(change.value, None, 100)) for change in reversed(history.changes)]
