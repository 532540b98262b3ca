"""An engine with a disk beside it: what a commit wrote is all that a restart finds."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from agent.model import Event, Moment
from agent.rules import Book, Engine, Key, Rule, Site, Step
from drivers.base import FeedState, Origin, Presence, Reading, Value

SENSOR = "thermostat.temperature"
WALL = 1_790_000_000.0
"""Unix seconds where the agent's own time is 0."""


def reading(
    value: Value,
    sensor: str = SENSOR,
    *,
    unit: str | None = None,
    labels: Mapping[str, str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    payload: Any = None,
    retained: bool = False,
) -> Reading:
    origin = Origin(sensor.split(".")[0], labels or {}, attributes or {}, payload, retained)
    return Reading(sensor, value, unit, origin)


class Agent:
    """Does with an engine what the pipeline does, one message at a time."""

    def __init__(
        self, webhooks: Sequence[str] = ("ops", "phone"), site: Site | None = None, **rules: Mapping[str, Any]
    ) -> None:
        self.webhooks = webhooks
        self.site = site or Site()
        self.rules: Mapping[str, Mapping[str, Any]] = rules
        self.wall = WALL
        """Unix seconds where the agent's own time is 0."""
        self.synced = True
        self.at = 1000.0
        self.disk: dict[Key, str] = {}
        self.commits = 0
        self.told: list[Event] = []
        self._ids = count(1)
        self.start()

    def start(self, *, downtime_s: float | None = 0.0, decoding: str = "") -> list[Event]:
        """Start, or start again after the process ended at once; a known downtime is on the time line."""
        self.at += downtime_s or 0.0
        self.engine = self._engine(decoding)
        return self.finish(self.engine.load(self.disk, downtime_s, self.moment))

    def reload(self, *, decoding: str = "") -> list[Event]:
        """Go on with the rules as they are now, in the same process."""
        before, self.engine = self.engine, self._engine(decoding)
        step = self.engine.load(before.rows(), 0.0, self.moment, before)
        return self.finish(step)

    def _engine(self, decoding: str) -> Engine:
        rules = {name: Rule.model_validate(rule) for name, rule in self.rules.items()}
        meanings = {name: rule.meaning(decoding) for name, rule in rules.items()}
        return Engine(Book(rules, self.webhooks, {"site": "cabin"}, self._new_id, meanings, self.site))

    def reads(self, value: Value, sensor: str = SENSOR, **more: Any) -> list[Event]:
        """One message with one reading; returns what it told."""
        step = self.engine.step(self.moment)
        step.run_timers(self.at)
        step.reading(reading(value, sensor, **more), self.at)
        step.run_timers(self.at)
        return self.finish(step)

    def stands(self, state: FeedState, prefix: str = "thermostat", detail: str = "") -> list[Event]:
        """A source, or a device of it, stands so from now on."""
        step = self.engine.step(self.moment)
        step.run_timers(self.at)
        step.presence(Presence(self.at, prefix.partition(".")[0], prefix, state, detail), self.at)
        step.run_timers(self.at)
        return self.finish(step)

    def forgets(self, sensor: str) -> bool:
        """`sensors forget`."""
        step = self.engine.step(self.moment)
        known = step.forget_sensor(sensor)
        self.finish(step)
        return known

    def waits(self, seconds: float) -> list[Event]:
        """Let time pass and timers run; returns what they told."""
        self.at += seconds
        step = self.engine.step(self.moment)
        step.run_timers(self.at)
        return self.finish(step)

    def flush(self) -> None:
        """What the pipeline does when a soft change has waited for a minute."""
        self.commit(self.engine.step(self.moment))

    def finish(self, step: Step) -> list[Event]:
        """Commit where there is something to keep, and install."""
        if step.hard or step.events:
            self.commit(step)
        else:
            step.install(committed=False)
        return step.events

    def commit(self, step: Step) -> None:
        """Write the rows and install."""
        for key, row in step.rows().items():
            if row is None:
                self.disk.pop(key, None)
            else:
                self.disk[key] = row
        step.install(committed=True)
        self.commits += 1
        self.told += step.events

    @property
    def moment(self) -> Moment:
        return Moment(self.at, self.wall + self.at, self.synced)

    def state(self, rule: str, sensor: str = SENSOR) -> str:
        """Where a rule stands."""
        memory = self.engine.memory.get((rule, sensor))
        return "ok" if memory is None else str(memory.state)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids)}"


def alerts(events: Sequence[Event]) -> list[Event]:
    """What rules told; the rest is about sources."""
    return [event for event in events if event.rule is not None]


def states(events: Sequence[Event]) -> list[str | None]:
    return [event.state for event in events]
