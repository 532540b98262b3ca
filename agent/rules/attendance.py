"""Who is there: what each sensor said last, when it gave a sign of life, and how sources and devices stand.

`Attendance` is what an engine knows of it, `Arrivals` what a step has heard over that.
"""

from collections.abc import Collection
from typing import NamedTuple, Self

from agent.rules.memory import shortened
from agent.rules.operands import Life
from drivers.base import FeedState, Origin, Reading


class Latest(NamedTuple):
    """What a sensor said last, without the rest of its message."""

    reading: Reading
    at: float


class Standing(NamedTuple):
    """How a source or a device stands, and since when."""

    state: FeedState
    since: float


class Attendance:
    """Of one engine. It changes by steps only."""

    def __init__(self) -> None:
        self.latest: dict[str, Latest] = {}
        self.alive: dict[str, float] = {}
        """When each sensor gave its last sign of life."""
        self.standing: dict[str, Standing] = {}
        """How each source, and each device that was told of, stands."""
        self.unfit: dict[str, int] = {}
        """Readings, by sensor, of a kind that one of its rules cannot judge."""

    def succeed(self, before: Self, sources: Collection[str]) -> None:
        """Take from the one before what is known of these sources."""
        self.latest.update((name, said) for name, said in before.latest.items() if _source(name) in sources)
        self.alive.update((name, at) for name, at in before.alive.items() if _source(name) in sources)
        self.standing.update((name, stands) for name, stands in before.standing.items() if _source(name) in sources)
        self.unfit.update(before.unfit)

    def forget(self, sensor: str) -> None:
        """Know nothing of a sensor."""
        for known in (self.latest, self.alive, self.unfit):
            known.pop(sensor, None)


class Arrivals:
    """Of one step."""

    __slots__ = ("_alive", "_known", "_standing", "forgotten", "heard", "unfit")

    def __init__(self, known: Attendance) -> None:
        self._known = known
        self.heard: list[tuple[Reading, float]] = []
        """The readings that were put to it, with their times."""
        self.unfit: list[str] = []
        """Sensors, once for each reading that a rule could not judge."""
        self.forgotten: list[str] = []
        """Sensors of which nothing is known any more."""
        self._alive: dict[str, float] = {}
        """The signs of life among what was heard."""
        self._standing: dict[str, Standing] = {}

    def hear(self, reading: Reading, at: float) -> None:
        """Take in a reading; a retained one is no sign of life."""
        self.heard.append((reading, at))
        if not reading.origin.retained:
            self._alive[reading.sensor] = at

    def stand(self, prefix: str, state: FeedState, at: float) -> bool:
        """Take in how a source or a device stands from now on. Returns whether that is new."""
        before = self.stands(prefix)
        if before is not None and before.state is state:
            return False
        self._standing[prefix] = Standing(state, at)
        return True

    def forget(self, sensor: str) -> bool:
        """Forget what a sensor said. Returns whether it said anything."""
        known = sensor in self._known.latest or any(reading.sensor == sensor for reading, _ in self.heard)
        self.heard[:] = [(reading, at) for reading, at in self.heard if reading.sensor != sensor]
        self._alive.pop(sensor, None)
        self.forgotten.append(sensor)
        return known

    def stands(self, prefix: str) -> Standing | None:
        """How a source or a device stands; None: nothing was told of it."""
        return self._standing.get(prefix) or self._known.standing.get(prefix)

    def life(self, sensor: str) -> Life:
        """How a sensor stands."""
        source, device = _source(sensor), sensor.rpartition(".")[0]
        known = [self.stands(source), self.stands(device) if device != source else None]
        standing = [one for one in known if one is not None]
        is_open = known[0] is not None and all(one.state is FeedState.OPEN for one in standing)
        heard = self._alive.get(sensor) or self._known.alive.get(sensor, 0.0)
        return Life(is_open, max(heard, *(one.since for one in standing)) if standing else heard)

    def last(self, sensor: str) -> Reading | None:
        """What a sensor said last, as it is kept."""
        said = next((reading for reading, _ in reversed(self.heard) if reading.sensor == sensor), None)
        if said is not None:
            return _light(said)
        latest = self._known.latest.get(sensor)
        return None if latest is None else latest.reading

    def rollback(self, heard: int, unfit: int) -> None:
        """Undo all but so many of each."""
        del self.heard[heard:]
        del self.unfit[unfit:]
        self._alive = {reading.sensor: at for reading, at in self.heard if not reading.origin.retained}

    def install(self) -> None:
        """Make them the engine's."""
        known = self._known
        for sensor in self.forgotten:
            known.forget(sensor)
        for reading, at in {entry[0].sensor: entry for entry in self.heard}.values():
            known.latest[reading.sensor] = Latest(_light(reading), at)
        known.alive.update(self._alive)
        for sensor in self.unfit:
            known.unfit[sensor] = known.unfit.get(sensor, 0) + 1
        known.standing.update(self._standing)


def _source(name: str) -> str:
    return name.partition(".")[0]


def _light(reading: Reading) -> Reading:
    """A reading without what its message was besides; its labels may be told with a silence."""
    origin = reading.origin
    kept = Origin(origin.source, origin.labels, {}, None, origin.retained)
    return Reading(reading.sensor, shortened(reading.value), reading.unit, kept)
