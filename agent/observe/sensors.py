"""The sensors that there are, in order, and what is known of each."""

from bisect import insort
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.config import Config
from agent.model import Moment
from agent.pipeline import Pipeline
from agent.rules import Step
from agent.status.history import Histories, History
from agent.status.snapshot import SensorFacts, Window
from drivers.base import Refusal


class Page(NamedTuple):
    """The sensors of a window."""

    names: Sequence[str]
    total: int
    """How many match the query."""


class Sensors:
    """Follows what the pipeline hears, so that a look costs no more than it shows."""

    def __init__(self, config: Config, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._histories = Histories()
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Go on with this configuration: what was said by sensors that it has is kept."""
        self._config = config
        names = {*self._pipeline.engine.latest, *self._pipeline.counts.sensors}
        self._known = set(filter(config.has_sensor, names))
        self._names = sorted(self._known)
        self._refused = len(self._pipeline.counts.sensors)
        """Of the pipeline's sensors, those that were looked at."""
        self._histories.keep(config.has_sensor)

    def follow(self, step: Step) -> Sequence[str]:
        """Take in what a step has heard and forgotten. Returns sensors that may never have been heard before."""
        for sensor in step.forgotten:
            self._forget(sensor)
        new = self._histories.hear(step.heard)
        for sensor in new:
            self._admit(sensor)
        return new

    def page(self, window: Window) -> Page:
        """The sensors of a window, by name."""
        if len(self._pipeline.counts.sensors) != self._refused:
            self._refused = len(self._pipeline.counts.sensors)
            for sensor in self._pipeline.counts.sensors:
                self._admit(sensor)
        if window.exact is not None:
            known = [window.exact] if window.exact in self._known else []
            return Page(known, len(known))
        query, names = window.query.casefold(), self._names
        if query:
            names = [name for name in names if query in name.casefold()]
        end = None if window.limit is None else window.offset + window.limit
        return Page(names[window.offset : end], len(names))

    def facts(self, names: Sequence[str], now: float, trends: int) -> dict[str, SensorFacts]:
        """What is known of each; so many, the first ones, have their trend."""
        return {name: self._facts(name, now, trend=n < trends) for n, name in enumerate(names)}

    def history(self, sensor: str, moment: Moment) -> History | None:
        """What one has said."""
        return self._histories.of(sensor, moment) if sensor in self._known else None

    def _facts(self, name: str, now: float, *, trend: bool) -> SensorFacts:
        latest = self._pipeline.engine.latest.get(name)
        count = self._pipeline.counts.sensors.get(name)
        last = count.last if count else None
        unfit = self._pipeline.engine.unfit.get(name, 0)
        source = name.partition(".")[0]
        return SensorFacts(
            value=None if latest is None else latest.reading.value,
            unit=None if latest is None else latest.reading.unit,
            age_s=None if latest is None else max(0.0, now - latest.at),
            refused=(count.refused if count else 0) + unfit,
            last_refusal=words(last) if last else "unfit for a rule" if unfit else None,
            source=source,
            labels=self._labels(source) if latest is None else latest.reading.origin.labels,
            trend=self._histories.trend(name, now) if trend else (),
        )

    def _labels(self, source: str) -> Mapping[str, str]:
        labels: Mapping[str, str] = self._config.sources[source].labels
        return labels

    def _admit(self, sensor: str) -> None:
        if sensor not in self._known and self._config.has_sensor(sensor):
            self._known.add(sensor)
            insort(self._names, sensor)

    def _forget(self, sensor: str) -> None:
        self._histories.forget(sensor)
        self._refused = -1  # the pipeline forgets its refusals too, so that their number tells nothing
        if sensor in self._known:
            self._known.remove(sensor)
            self._names.remove(sensor)


def words(refusal: Refusal) -> str:
    """A refusal, for people."""
    return f"{refusal.reason} {refusal.detail}".strip()
