"""Discord's webhooks (https://discord.com/developers/docs/resources/webhook#execute-webhook)."""

from typing import Annotated

from pydantic import StringConstraints

from agent.model import Content
from agent.webhooks.presets.base import Preset, Telling, as_json, shortened

_COLORS = {"resolved": 0x2EB67D, "info": 0x439FE0, "warning": 0xECB22E, "critical": 0xE01E5A}
_TITLE_MAX, _TEXT_MAX, _FIELDS_MAX, _NAME_MAX, _VALUE_MAX = 256, 4096, 25, 256, 1024


class Discord(Preset):
    """A message with an embed."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=80)] | None = None
    """In place of the webhook's own name."""

    def content(self, telling: Telling) -> Content:
        """Nothing in a value mentions anybody: `allowed_mentions` has none."""
        fields = [
            {"name": shortened(name, _NAME_MAX), "value": shortened(text, _VALUE_MAX), "inline": True}
            for name, text in telling.table().items()
            if text
        ]
        embed = {
            "title": shortened(telling.title, _TITLE_MAX),
            "description": shortened(telling.summary, _TEXT_MAX),
            "color": _COLORS[telling.level],
            "timestamp": telling.facts["time"],
            "fields": fields[:_FIELDS_MAX],
        }
        named = {} if self.username is None else {"username": self.username}
        return as_json({**named, "embeds": [embed], "allowed_mentions": {"parse": []}})
