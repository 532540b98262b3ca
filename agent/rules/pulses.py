"""Pulses (`each`): which readings are told, one by one, and what is remembered of those that are not.

Pure: the memory is the caller's to keep.
"""

from typing import NamedTuple

from agent.rules.compiled import Compiled
from agent.rules.conditions import is_number
from agent.rules.memory import Memory, Truth, Weight
from agent.rules.operands import at_least, counted
from drivers.base import Reading


class Counted(NamedTuple):
    """What a matching reading comes to."""

    told: bool
    memory: Memory | None
    """To be kept; None: as before."""
    weight: Weight


_TOLD = Counted(True, None, Weight.NONE)


def matches(rule: Compiled, memory: Memory, reading: Reading) -> Truth:
    """Whether a reading is a pulse; None where the rule cannot judge a value of this kind."""
    each = rule.rule.each
    if each is None or each.changes_by is None:
        return rule.test(reading.value)
    if not is_number(reading.value):
        return None
    told = memory.baseline
    return told is None or at_least(abs(float(reading.value) - float(told)), each.changes_by)


def count(rule: Compiled, memory: Memory, reading: Reading, at: float) -> Counted:
    """Whether a pulse is told, or one of too few, or throttled."""
    if not rule.remembers_pulses:
        return _TOLD
    config = rule.rule
    if config.count is not None and config.within is not None:
        window = memory.windows[0] if memory.windows else None
        times = counted(window, at, now=at, count=config.count, within_s=config.within)
        if len(times) < config.count:
            return Counted(False, memory._replace(windows=(times,)), Weight.SOFT)
        memory = memory._replace(windows=())
    if config.throttle and memory.told_at is not None and at - memory.told_at < config.throttle:
        return Counted(False, memory._replace(throttled=memory.throttled + 1), Weight.SOFT)
    changes_by = config.each is not None and config.each.changes_by is not None
    told_at, baseline = at if config.throttle else None, reading.value if changes_by else None
    return Counted(True, memory._replace(told_at=told_at, baseline=baseline), Weight.HARD)
