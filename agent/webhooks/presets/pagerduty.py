"""PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2/trigger-events/)."""

from typing import Annotated

from pydantic import SecretStr, StringConstraints

from agent.model import Content
from agent.webhooks.presets.base import Preset, Telling, as_json, shortened

_SUMMARY_MAX, _KEY_MAX = 1024, 255
_DETAILS = ("type", "rule", "sensor", "value", "unit", "condition", "state", "reason", "started_at", "ended_at")


class Pagerduty(Preset):
    """An incident for each alert: `firing` and reminders trigger it, `resolved` resolves it."""

    routing_key: SecretStr
    """The integration key of a service, of 32 characters."""
    component: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The part of the source that is affected; left out: the sensor."""

    def content(self, telling: Telling) -> Content:
        """A pulse has no alert, so its incident stays until somebody resolves it."""
        event = telling.event
        return as_json(
            {
                "routing_key": self.routing_key.get_secret_value(),
                "event_action": "resolve" if telling.is_resolved else "trigger",
                "dedup_key": shortened(event.alert_id or event.id, _KEY_MAX),
                "client": "bellcrank",
                "payload": {
                    "summary": shortened(telling.summary, _SUMMARY_MAX),
                    "source": telling.facts["agent"],
                    "severity": telling.severity,
                    "timestamp": telling.facts["time"],
                    "component": self.component or event.sensor or event.subject,
                    "class": event.rule or event.type,
                    "custom_details": {
                        **{name: telling.facts[name] for name in _DETAILS},
                        "labels": telling.labels,
                        "attributes": telling.facts["attributes"],
                    },
                },
            }
        )

    def wrong_path(self, path: str) -> str | None:
        """Events go to one place."""
        return None if path.endswith("/v2/enqueue") else "has to be https://events.pagerduty.com/v2/enqueue"
