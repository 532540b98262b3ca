"""Healthchecks' pings (https://healthchecks.io/docs/http_api/): the path says how it is, the body is its log."""

import re

from agent.model import Content
from agent.webhooks.presets.base import Preset, Telling

_SUFFIXES = {"firing": "/fail", "resolved": ""}
_IS_ALIVE = "agent.heartbeat"
_SIGNAL = re.compile(r"/(fail|start|log|\d{1,3})$")


class Healthchecks(Preset):
    """A check that is down while an alert is on; pulses are only logged, and a heartbeat says that all is well.

    One webhook for each rule suits it: a check knows nothing of several alerts.
    """

    def content(self, telling: Telling) -> Content:
        """The summary as plain text."""
        event = telling.event
        suffix = "" if event.type == _IS_ALIVE else _SUFFIXES.get(event.state or "", "/log")
        text = f"{telling.title}\n{telling.summary}\n"
        return Content(text.encode(errors="replace"), {"content-type": "text/plain; charset=utf-8"}, suffix)

    def wrong_path(self, path: str) -> str | None:
        """What a ping means is added to the path."""
        found = _SIGNAL.search(path)
        return f"leave {found[0]} out: it is added as it fits" if found else None
