"""ntfy, published as JSON at the root of its server (https://docs.ntfy.sh/publish/#publish-as-json)."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from agent.model import Content
from agent.webhooks.presets.base import Preset, Telling, as_json, shortened

_PRIORITIES = {"resolved": 3, "info": 2, "warning": 4, "critical": 5}
_TAGS = {
    "resolved": "white_check_mark",
    "info": "information_source",
    "warning": "warning",
    "critical": "rotating_light",
}
"""Names that ntfy shows as emojis."""
_MESSAGE_MAX = 1000
"""Of at most 4,096 bytes; beyond, ntfy makes a file of it."""
_TITLE_MAX = 200


class Ntfy(Preset):
    """A notification for phones."""

    topic: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    """Whom it reaches."""
    priority: Literal[1, 2, 3, 4, 5] | None = None
    """1 to 5; left out: by severity 2, 4 and 5, resolved 3."""
    tags: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] = Field(
        default_factory=list, max_length=10
    )
    """Beside the one that shows the severity."""
    click: str | None = None
    """What a touch opens: a URL."""

    def content(self, telling: Telling) -> Content:
        """A message with a title."""
        message = {
            "topic": self.topic,
            "title": shortened(telling.title, _TITLE_MAX),
            "message": shortened(telling.summary, _MESSAGE_MAX),
            "priority": self.priority or _PRIORITIES[telling.level],
            "tags": [_TAGS[telling.level], *self.tags],
        }
        return as_json(message if self.click is None else {**message, "click": self.click})

    def wrong_path(self, path: str) -> str | None:
        """JSON is taken at the root alone; elsewhere it would be shown as it is."""
        return None if path in ("", "/") else "ntfy takes JSON at its root: leave the path out, `topic` says where to"
