"""The book of rules of one configuration, made ready: which of them are about a sensor, and how to tell of them.

Nothing in it changes while it is in force.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple

from agent.rules.compiled import Compiled, Route, compile_rule
from agent.rules.config import Rule
from agent.rules.directory import Directory
from agent.rules.memory import Key
from agent.rules.telling import SOURCES, Teller
from agent.templates import Template

SOURCE_GRACE_S = 30.0
"""So long a source may be away before anybody is told."""
_ROUTES_MAX = 100_000
_SOURCE_RULE = Rule.model_validate(
    {
        "sensor": "source.state",
        "when": {"one_of": ["lost", "refused", "offline"]},
        "clear": {"equals": "open"},
        "for": f"{SOURCE_GRACE_S:.0f}s",
        "payload": True,
    }
)
"""How a source stands, as the value of a sensor that it is itself; the payload is the detail for people."""


class Site(NamedTuple):
    """What the rules need to know of the rest of the configuration."""

    sources: Sequence[str] = ()
    """Names of the sources: each is told of when it is away."""
    sensors: Sequence[str] = ()
    """Those that are named in full: of sources without placeholders. Their silence counts from the start."""
    events_to: Sequence[str] = ()
    """The webhooks that hear of the agent itself."""
    timezone: tzinfo = UTC
    """Of `active`."""


_NOWHERE = Site()


class Book:
    """Of one engine."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        webhooks: Sequence[str],
        labels: Mapping[str, str],
        new_id: Callable[[str], str],
        meanings: Mapping[str, str],
        site: Site = _NOWHERE,
    ) -> None:
        """`webhooks`: who is told where a rule names nobody; `new_id("evt_")` gives an id never given before."""
        summaries = {name: Template(rule.summary) for name, rule in rules.items() if rule.summary is not None}
        self.teller = Teller(new_id, labels, summaries)
        self.site = site
        zone = site.timezone
        self.rules: dict[str, Compiled] = {
            name: compile_rule(name, rule, tuple(webhooks), meanings[name], zone) for name, rule in rules.items()
        }
        self.has_hours = any(rule.schedule for rule in self.rules.values())
        self._directory = Directory(self.rules.values())
        self.rules[SOURCES] = compile_rule(SOURCES, _SOURCE_RULE, tuple(site.events_to), "", UTC)
        self._routes: dict[str, tuple[Route, ...]] = {}

    def routes(self, sensor: str) -> tuple[Route, ...]:
        """The memories that a sensor's readings are part of."""
        routes = self._routes.get(sensor)
        if routes is None:
            routes = tuple(route for rule in self._directory.candidates(sensor) for route in rule.routes(sensor))
            if len(self._routes) < _ROUTES_MAX:
                self._routes[sensor] = routes
        return routes

    def wants(self, key: Key) -> bool:
        """Whether the configuration still has the source that a row is about; other rows are their rules' business."""
        source = key[1].removeprefix("source:").partition(".")[0]
        return key[0] != SOURCES or source in self.site.sources
