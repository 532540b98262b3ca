"""The engine maps a reading to its rules and remembers, for each rule and sensor, where it stands.

It changes only by steps (`agent.rules.step`). Time, ids and the wall clock are passed in.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple, Self

from agent.model import Moment
from agent.rules.census import Census
from agent.rules.compiled import Compiled, Route, compile_rule
from agent.rules.config import Rule
from agent.rules.directory import Directory
from agent.rules.machine import FIRING, PENDING, RECOVERING
from agent.rules.memory import Key, Memory
from agent.rules.step import Latest, Standing, Step
from agent.rules.telling import SOURCES
from agent.templates import Template

SOURCE_GRACE_S = 30.0
"""So long a source may be away before anybody is told."""
_RETRY_S = 60.0
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


class Engine:
    """Memory, timers and routes; see `Step` for what happens to them."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        webhooks: Sequence[str],
        labels: Mapping[str, str],
        new_id: Callable[[str], str],
        meanings: Mapping[str, str],
        site: Site = _NOWHERE,
    ) -> None:
        """`webhooks`: who is told where a rule names nobody.

        `new_id("evt_")` gives an id that was never given before.
        """
        self.labels = labels
        self.summaries = {name: Template(rule.summary) for name, rule in rules.items() if rule.summary is not None}
        self.new_id = new_id
        self.site = site
        zone = site.timezone
        self.rules: dict[str, Compiled] = {
            name: compile_rule(name, rule, tuple(webhooks), meanings[name], zone) for name, rule in rules.items()
        }
        self.has_hours = any(rule.schedule for rule in self.rules.values())
        self.memory: dict[Key, Memory] = {}
        self.census = Census()
        self.latest: dict[str, Latest] = {}
        self.heard: dict[str, float] = {}
        """When each sensor gave its last sign of life."""
        self.standing: dict[str, Standing] = {}
        """How each source, and each device that was told of, stands."""
        self.unfit: dict[str, int] = {}
        """Readings, by sensor, of a kind that one of its rules cannot judge."""
        self.unsaved: dict[Key, float] = {}
        """Soft changes that are not on disk, and since when, the oldest first."""
        self.timers: list[tuple[float, Key]] = []
        """One for each memory that time will change, in order."""
        self.minding: defaultdict[str, set[Key]] = defaultdict(set)
        """Memories that mind whether their source is open, by the device of their sensors; no device has none."""
        self.now = 0.0
        self.clock: tuple[bool, float] | None = None
        """Whether the wall clock was right, and its distance to the agent's time line."""
        self._routes: dict[str, tuple[Route, ...]] = {}
        self._directory = Directory(self.rules.values())
        self.rules[SOURCES] = compile_rule(SOURCES, _SOURCE_RULE, tuple(site.events_to), "", UTC)

    def load(
        self, rows: Mapping[Key, str], downtime_s: float | None, moment: Moment, before: Self | None = None
    ) -> Step:
        """Take up what the disk remembers, and tell of alerts whose rule is gone.

        `downtime_s` is the time since the agent was last known to live; None: unknown. The step that is
        returned must be committed before any other.

        For a reload: make an engine of the new configuration, and give it the `rows()` of the one before,
        no downtime, and that one itself, from which it takes what is in memory only: what was said last, signs
        of life, how sources stand.
        """
        if before is not None:
            self._succeed(before)
        step = Step(self, moment)
        for key, row in rows.items():
            step.take_up(key, row, downtime_s)
        step.begin()
        return step

    def rows(self) -> dict[Key, str]:
        """The whole memory as `load` takes it, with what is not on disk yet."""
        return {key: memory.dump() for key, memory in self.memory.items()}

    def step(self, moment: Moment) -> Step:
        """Begin a step at this moment."""
        return Step(self, moment)

    def next_due(self) -> float | None:
        """When the next timer ends."""
        return self.timers[0][0] if self.timers else None

    def soft_since(self) -> float | None:
        """Since when a soft change waits to be written."""
        return next(iter(self.unsaved.values()), None)

    @property
    def holds(self) -> bool:
        """Whether time that counts runs: a hold, or the time to a reminder. A restart must know how much of it did.

        Not of sources: those begin anew with a start.
        """
        return any(
            self.census.subjects(name, PENDING)
            or self.census.subjects(name, RECOVERING)
            or (rule.repeat_s is not None and self.census.subjects(name, FIRING))
            for name, rule in self.rules.items()
            if name != SOURCES
        )

    def due(self, key: Key) -> float | None:
        """When the installed state of a key changes by itself."""
        memory = self.memory.get(key)
        return None if memory is None else self.rules[key[0]].due_at(memory)

    def skip_timers(self, now: float) -> None:
        """Let the holds that are over begin anew: what they had to tell cannot be stored."""
        for key, memory in list(self.memory.items()):
            due = self.due(key)
            if due is not None and due <= now:
                told_at = None if memory.told_at is None else now
                wake_at = None if memory.wake_at is None else now + _RETRY_S
                self.put(key, memory._replace(since=now if memory.since else 0.0, told_at=told_at, wake_at=wake_at))

    def routes(self, sensor: str) -> tuple[Route, ...]:
        """The memories that a sensor's readings are part of."""
        routes = self._routes.get(sensor)
        if routes is None:
            routes = tuple(route for rule in self._directory.candidates(sensor) for route in rule.routes(sensor))
            if len(self._routes) < _ROUTES_MAX:
                self._routes[sensor] = routes
        return routes

    def put(self, key: Key, memory: Memory | None) -> None:
        """Install one memory and its timer; None or nothing remembered: forget it."""
        before, known = self.due(key), self.memory.get(key)
        if memory is None or memory.is_nothing:
            memory = None
            self.memory.pop(key, None)
        else:
            self.memory[key] = memory
        rule = self.rules.get(key[0])
        if rule is not None and not rule.is_shared(key):
            self.census.move(key, known and known.state, memory and memory.state)
        minds = memory is not None and memory.minds_source
        if rule is not None and minds != (known is not None and known.minds_source):
            self._index(key, rule, minds=minds)
        due = self.due(key)
        if due == before:
            return
        if before is not None:
            del self.timers[bisect_left(self.timers, (before, key))]
        if due is not None:
            insort(self.timers, (due, key))

    def _index(self, key: Key, rule: Compiled, *, minds: bool) -> None:
        for device in rule.devices(key):
            minding = self.minding[device]
            if minds:
                minding.add(key)
            else:
                minding.discard(key)
            if not minding:
                del self.minding[device]

    def _succeed(self, before: Self) -> None:
        """Take from the engine before what no row has."""
        kept = set(self.site.sources)
        self.now, self.clock = before.now, before.clock
        self.latest.update((name, said) for name, said in before.latest.items() if _source(name) in kept)
        self.heard.update((name, at) for name, at in before.heard.items() if _source(name) in kept)
        self.standing.update((name, stands) for name, stands in before.standing.items() if _source(name) in kept)
        self.unfit.update(before.unfit)
        self.unsaved.update(before.unsaved)


def _source(name: str) -> str:
    return name.partition(".")[0]
