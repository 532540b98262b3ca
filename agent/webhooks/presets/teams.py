"""Microsoft Teams: an Adaptive Card for a workflow that begins with a webhook request.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
"""

from agent.model import Content
from agent.webhooks.presets.base import Preset, Telling, as_json, shortened

_COLORS = {"resolved": "Good", "info": "Accent", "warning": "Warning", "critical": "Attention"}
_TEXT_MAX = 4000
"""A message may have 28 kB."""
_FACTS_MAX = 20


class Teams(Preset):
    """A message with one card."""

    def content(self, telling: Telling) -> Content:
        """A title in the colour of the severity, the summary, and a table."""
        table = list(telling.table().items())[:_FACTS_MAX]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "msteams": {"width": "Full"},
            "body": [
                {
                    "type": "TextBlock",
                    "text": _plain(telling.title),
                    "weight": "Bolder",
                    "size": "Medium",
                    "color": _COLORS[telling.level],
                    "wrap": True,
                },
                {"type": "TextBlock", "text": _plain(shortened(telling.summary, _TEXT_MAX)), "wrap": True},
                {"type": "FactSet", "facts": [{"title": _plain(name), "value": _plain(text)} for name, text in table]},
            ],
        }
        attachment = {
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": None,
            "content": card,
        }
        return as_json({"type": "message", "attachments": [attachment]})


def _plain(text: str) -> str:
    """Text that is no link in the Markdown of a card."""
    return text.replace("[", "\\[").replace("]", "\\]")
