"""What can be seen of a rule: the numbers that it compares with, and where time alone takes a memory of it."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from agent.rules.compiled import Compiled, Route
from agent.rules.conditions import is_number
from agent.rules.config import Rule, ValueCondition
from agent.rules.machine import Signal
from agent.rules.memory import Memory, State


class Outlook(NamedTuple):
    """Where a hold leads, if nothing is said against it."""

    state: State
    at: float
    """On the agent's time line."""


def outlook(rule: Compiled, memory: Memory) -> Outlook | None:
    """Where a pending or recovering memory goes, and when; None: time alone changes nothing."""
    ends_at = rule.hold_ends_at(memory)
    return None if ends_at is None else Outlook(rule.after(memory.state, Signal.TIME), ends_at)


def thresholds(rule: Rule) -> list[float]:
    """All numbers that a rule compares a value with, to fire and to clear, ascending."""
    return sorted(set(_numbers(rule, None)))


def thresholds_of(route: Route) -> list[float]:
    """Those for the values of one sensor: a compound rule has others for each."""
    patterns = {".".join(route.rule.patterns[i]) for i in route.indices}
    return sorted(set(_numbers(route.rule.rule, patterns)))


def _numbers(rule: Rule, patterns: Collection[str] | None) -> Iterator[float]:
    parts: tuple[ValueCondition, ...] = rule.leaves() if rule.each is None else (rule.each,)
    for part in parts:
        sensor = getattr(part, "sensor", None) or rule.sensor
        if patterns is None or sensor in patterns:
            for value in part.value_words().values():
                yield from filter(is_number, value if isinstance(value, list) else [value])
