"""Slack's incoming webhooks (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

Mattermost and Rocket.Chat take the same.
"""

from agent.model import Content
from agent.webhooks.presets.base import Preset, Telling, as_json, shortened

_COLORS = {"resolved": "good", "info": "#439fe0", "warning": "warning", "critical": "danger"}
_TEXT_MAX = 3000
_FIELDS_MAX = 20


class Slack(Preset):
    """A message with a coloured bar."""

    def content(self, telling: Telling) -> Content:
        """`text` is for notifications and old clients, the attachment for people who read."""
        summary = shortened(_plain(telling.summary), _TEXT_MAX)
        fields = [
            {"title": _plain(name), "value": _plain(text), "short": True} for name, text in telling.table().items()
        ]
        attachment = {
            "color": _COLORS[telling.level],
            "title": _plain(telling.title),
            "text": summary,
            "fallback": summary,
            "fields": fields[:_FIELDS_MAX],
            "ts": int(telling.event.wall),
        }
        return as_json({"text": _plain(telling.title), "attachments": [attachment]})


def _plain(text: str) -> str:
    """Text that mentions nobody and links nowhere: these three characters are Slack's."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
