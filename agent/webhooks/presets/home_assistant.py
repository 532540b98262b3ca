"""Home Assistant's webhook trigger (https://www.home-assistant.io/docs/automation/trigger/#webhook-trigger)."""

from agent.model import Content
from agent.webhooks.presets.base import Preset, Telling, as_json

_NAMES = (
    "id",
    "type",
    "time",
    "rule",
    "state",
    "severity",
    "sensor",
    "value",
    "unit",
    "started_at",
    "ended_at",
    "reason",
    "alert_id",
    "agent",
    "summary",
    "payload",
)
_PATH = "/api/webhook/"


class HomeAssistant(Preset):
    """A flat object, so that an automation says `trigger.json.value`. Its `local_only` is on where it is not told."""

    def content(self, telling: Telling) -> Content:
        """What templates have, and the labels and attributes as objects."""
        flat = {name: telling.facts[name] for name in _NAMES}
        return as_json({**flat, "labels": telling.labels, "attributes": telling.facts["attributes"]})

    def wrong_path(self, path: str) -> str | None:
        """The id of the webhook stands in its path."""
        return None if _PATH in path and not path.endswith(_PATH) else f"has to end with {_PATH} and the webhook's id"
