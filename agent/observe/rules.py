"""Where the rules stand."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from agent.config import Config
from agent.pipeline import Pipeline
from agent.rules import Memory, Rule, State, Step
from agent.rules.compiled import Compiled
from agent.rules.outlook import outlook, thresholds, thresholds_of
from agent.status.history import Threshold
from agent.status.snapshot import UNSETTLED_MAX, RuleFacts

_ORDER = {State.FIRING: 0, State.PENDING: 1, State.RECOVERING: 2, State.OK: 3}


class Rules:
    """Follows what the pipeline hears and tells, so that a look costs no more than it shows."""

    def __init__(self, config: Config, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Go on with this configuration; the pipeline has its rules already."""
        self._config = config
        send_to = {name: rule.send_to for name, rule in self._pipeline.engine.rules.items()}
        self._described = {name: _described(rule, send_to[name]) for name, rule in config.rules.items()}
        self._quiet: dict[str, RuleFacts] = {}
        """Of rules that never had a state, as they were told last."""
        self._single = {name: str(rule.sensor) for name, rule in config.rules.items() if _has_one_sensor(rule)}
        self._hear_all()

    def follow(self, step: Step, new: Iterable[str]) -> None:
        """Take in sensors that were heard for the first time, and what a step has forgotten."""
        for sensor in new:
            self._hear(sensor)
        if step.forgotten:
            self._hear_all()

    def facts(self, sensors: Sequence[str] | None, now: float, *, at_rest: bool = False) -> dict[str, RuleFacts]:
        """All rules, with their states of these sensors and those that are not ok; of None: with all states.

        An ok sensor asks for no memory, and so has no state; with `at_rest` each of `sensors` that was heard has one.
        """
        beside, told = self._routed(sensors or (), at_rest=at_rest), self.told_by()
        census, most = self._pipeline.engine.census, None if sensors is None else UNSETTLED_MAX
        found = {}
        for name in self._described:
            told_by, only = told.get(name, {}), self._only_sensor(name)
            if not (only or name in beside or census.knows(name)):
                found[name] = self._without_states(name, told_by)
                continue
            subjects = {*self._subjects(name, most), *beside.get(name, ()), *only}
            found[name] = self._facts(name, subjects, told_by, now)
        return found

    def told_by(self) -> defaultdict[str, dict[str, int]]:
        """Rule, empty for the agent itself -> type of event -> how many were told since the start."""
        found: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for told, n in self._pipeline.counts.told.items():
            found[told.rule][told.type] = n
        return found

    def thresholds(self, sensor: str) -> list[Threshold]:
        """The numbers that rules compare a sensor's values with."""
        return [
            Threshold(route.rule.name, route.rule.rule.severity, number)
            for route in self._pipeline.engine.routes(sensor)
            for number in thresholds_of(route)
        ]

    def _facts(self, name: str, subjects: Collection[str], told_by: Mapping[str, int], now: float) -> RuleFacts:
        engine = self._pipeline.engine
        rule = engine.rules[name]
        memories = [(subject, engine.memory.get((name, subject), rule.blank)) for subject in sorted(subjects)]
        memories.sort(key=lambda entry: _ORDER[entry[1].state])
        return RuleFacts(
            **self._described[name],
            heard=name in self._heard,
            states={
                subject: self._state(rule, _speaker(subject, kept, compound=rule.is_compound), kept, now)
                for subject, kept in memories
            },
            counts={str(state): n for state, n in engine.census.counts(name).items()},
            told=sum(told_by.values()),
            told_by=told_by,
        )

    def _without_states(self, name: str, told_by: Mapping[str, int]) -> RuleFacts:
        """The same as long as nothing becomes of the rule: of a thousand most are so, and a page looks each second."""
        known = self._quiet.get(name)
        if known is None or (known.heard, known.told_by) != (name in self._heard, told_by):
            known = self._quiet[name] = self._facts(name, (), told_by, 0.0)
        return known

    def _subjects(self, rule: str, most: int | None) -> Iterator[str]:
        """Those that are not ok, at most so many of each state; with no such bound all."""
        for state in State:
            if state is not State.OK or most is None:
                yield from islice(self._pipeline.engine.census.subjects(rule, state), most)

    def _only_sensor(self, rule: str) -> set[str]:
        """The sensor of a rule that has but one, though an ok one asks for no memory."""
        sensor = self._single.get(rule)
        return {sensor} if sensor in self._pipeline.engine.latest else set()

    def _routed(self, sensors: Iterable[str], *, at_rest: bool) -> defaultdict[str, set[str]]:
        """The memories that these sensors are part of, by rule; with `at_rest` those too that are blank."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        engine = self._pipeline.engine
        for sensor in sensors:
            for key, rule, _ in engine.routes(sensor):
                blank = at_rest and sensor in engine.latest and _has_a_state_each(rule.rule)
                if (key in engine.memory or blank) and not rule.is_shared(key):
                    found[key[0]].add(key[1])
        return found

    def _state(self, rule: Compiled, sensor: str, memory: Memory, now: float) -> Mapping[str, Any]:
        """`sensor`: whose last reading is shown with it."""
        ahead = outlook(rule, memory)
        latest = self._pipeline.engine.latest.get(sensor)
        return {
            "state": str(memory.state),
            "since_s": max(0.0, now - memory.since) if memory.since else None,
            "alert_id": memory.alert_id,
            "throttled": memory.throttled,
            "value": None if latest is None else latest.reading.value,
            "unit": None if latest is None else latest.reading.unit,
            "changes_in_s": None if ahead is None else max(0.0, ahead.at - now),
            "becomes": None if ahead is None else str(ahead.state),
        }

    def _hear(self, sensor: str) -> None:
        self._heard.update(route.rule.name for route in self._pipeline.engine.routes(sensor))

    def _hear_all(self) -> None:
        self._heard: set[str] = set()
        for sensor in self._pipeline.engine.latest:
            self._hear(sensor)


def _speaker(subject: str, memory: Memory, *, compound: bool) -> str:
    """The sensor of a memory; of a compound rule that which led into the state."""
    if compound:
        return memory.said.sensor if memory.said else ""
    return subject


def _has_one_sensor(rule: Rule) -> bool:
    """Whether it has a state, and that of one sensor, which it names in full."""
    return _has_a_state_each(rule) and "*" not in str(rule.sensor)


def _has_a_state_each(rule: Rule) -> bool:
    """Whether it has a state for each sensor by itself."""
    return rule.when is not None and not rule.is_compound


def _described(rule: Rule, send_to: Sequence[str]) -> dict[str, Any]:
    """What of a rule does not change while it runs."""
    condition = rule.when or rule.each
    return {
        "sensor": ", ".join(rule.patterns()),
        "severity": rule.severity,
        "pulses": rule.each is not None,
        "condition": condition.words() if condition else {},
        "clear": rule.clear.words() if rule.clear else None,
        "for_s": rule.for_,
        "send_to": send_to,
        "thresholds": thresholds(rule),
    }
