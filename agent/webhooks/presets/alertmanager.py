"""Prometheus Alertmanager, `POST /api/v2/alerts` (https://prometheus.io/docs/alerting/latest/alerts_api).

Its labels are what it knows an alert by, so they hold nothing that changes between `firing` and `resolved`. An alert
that is not told again ends there by itself after a while (`resolve_timeout`, 5 minutes), which suits who tells it
every minute. bellcrank tells once, so `endsAt` of an alert lies ahead.
"""

import re
from typing import Annotated

from pydantic import Field

from agent.model import Content, Event
from agent.templates import rfc3339
from agent.webhooks.presets.base import Preset, Telling, as_json
from drivers.units import Duration

_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_DAY_S = 86400.0


class Alertmanager(Preset):
    """One alert a request."""

    lasts: Annotated[Duration, Field(gt=0)] = 7 * _DAY_S
    """How long an alert is active there where neither `resolved` nor a reminder comes."""
    pulse: Annotated[Duration, Field(gt=0)] = 300.0
    """How long an event that has no end is active there."""

    def content(self, telling: Telling) -> Content:
        """`value` and the like are annotations."""
        event, facts = telling.event, telling.facts
        own = {
            "alertname": event.rule or event.type,
            "agent": facts["agent"],
            "severity": event.severity,
            "subject": event.subject,
        }
        annotations = {
            name: str(facts[name]) for name in ("summary", "value", "unit", "reason") if facts[name] is not None
        }
        alert = {
            "labels": {**{_label(name): text for name, text in telling.labels.items() if text}, **own},
            "annotations": annotations,
            "startsAt": facts["started_at"] or facts["time"],
            "endsAt": rfc3339(self._ends(event)),
        }
        return as_json([alert])

    def wrong_path(self, path: str) -> str | None:
        """Alerts are posted to one place, maybe behind a prefix."""
        return None if path.endswith("/api/v2/alerts") else "has to end with /api/v2/alerts"

    def _ends(self, event: Event) -> float:
        """Unix seconds."""
        if event.state is None:
            return event.wall + self.pulse
        return event.wall + self.lasts if event.ended_wall is None else event.ended_wall


def _label(name: str) -> str:
    """A name as Prometheus has them: letters, digits and _, and no digit first."""
    name = _NO_LABEL.sub("_", name)
    return f"_{name}" if name[:1].isdigit() else name
