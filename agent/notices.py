"""What the agent tells about itself: the notices of its parts, and the events that are made of them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.model import Event, Moment, Notice

_SEVERITY = {"agent.started": "info", "webhook.recovered": "info"}
"""Of all others it is `warning`."""


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
    return Event(
        id=new_id("evt_"),
        type=notice.type,
        subject=notice.subject,
        at=at,
        wall=moment.wall_of(at),
        synced=moment.synced,
        send_to=tuple(name for name in events_to if name != notice.about),
        severity=_SEVERITY.get(notice.type, "warning"),
        labels=labels,
        attributes=notice.data,
        summary=_summary(notice),
    )


def _summary(notice: Notice) -> str:
    """A sentence for people."""
    known: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {}
    name = notice.subject.partition(":")[2]
    return known[notice.type](name, notice.data) if notice.type in known else f"{notice.type} of {notice.subject}"
