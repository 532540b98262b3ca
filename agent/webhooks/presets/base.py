"""What every preset is: a pydantic model of its options that writes what its service takes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from agent.model import Content, Event
from agent.templates import Facts
from agent.webhooks.envelope import encode
from drivers.settings import Settings

SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Telling:
    """An event as a preset sees it: `facts` are what templates see, so nothing in them is too long."""

    event: Event
    facts: Facts

    @property
    def is_resolved(self) -> bool:
        """Whether an alert has ended."""
        return self.event.state == "resolved"

    @property
    def title(self) -> str:
        """Who tells, of what: `cabin: too_cold`, and `cabin: too_cold is resolved`."""
        what = self.event.rule or self.event.type
        return f"{self.facts['agent']}: {what}{' is resolved' if self.is_resolved else ''}"

    @property
    def summary(self) -> str:
        """One sentence."""
        return self.event.summary or self.event.type

    @property
    def level(self) -> str:
        """`resolved`, or what `severity` is."""
        return "resolved" if self.is_resolved else self.severity

    @property
    def severity(self) -> str:
        """`info`, `warning` or `critical`."""
        return self.event.severity if self.event.severity in SEVERITIES else "warning"

    def table(self) -> dict[str, str]:
        """What there is to know beside the summary, as texts for people."""
        rows = {"Sensor": self.facts["sensor"], "Severity": self.facts["severity"], "Time": self.facts["time"]}
        return {**{name: text for name, text in rows.items() if text}, **{k: str(v) for k, v in self.labels.items()}}

    @property
    def labels(self) -> dict[str, str]:
        """Those of the event."""
        return dict(self.event.labels)


class Preset(Settings, ABC):
    """The options of one service."""

    @abstractmethod
    def content(self, telling: Telling) -> Content:
        """What the service is sent."""

    def wrong_path(self, path: str) -> str | None:
        """Why the path of the webhook's URL cannot be that of the service; None: it may be."""
        return None


def as_json(document: Any) -> Content:
    """A body of JSON."""
    return Content(encode(document))


def shortened(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
