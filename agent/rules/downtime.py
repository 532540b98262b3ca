"""What a memory from the disk is after the time in which the agent did not live."""

from agent.rules.compiled import Compiled
from agent.rules.machine import PENDING, RECOVERING
from agent.rules.memory import Memory

_LONGEST_KNOWN_S = 3600.0
"""After a longer one a hold starts anew."""


def resumed(rule: Compiled, memory: Memory, downtime_s: float | None, now: float) -> Memory:
    """What a memory is after a downtime, which counts for no hold and no reminder.

    One of unknown length ends every throttle and empties every window.
    """
    downtime_s = None if downtime_s is None or downtime_s < 0 else downtime_s
    known = downtime_s is not None and downtime_s <= _LONGEST_KNOWN_S
    since, told_at = memory.since, memory.told_at
    if memory.state in (PENDING, RECOVERING):
        since = since + (downtime_s or 0.0) if known else now
    if told_at is not None and rule.rule.each is None:
        told_at = min(told_at + (downtime_s or 0.0), now) if known else now
    elif told_at is not None:
        told_at = None if downtime_s is None else min(told_at, now)
    memory = memory._replace(since=min(since, now), told_at=told_at)
    return memory if downtime_s is not None else _without_windows(rule, memory)


def _without_windows(rule: Compiled, memory: Memory) -> Memory:
    """Times of which nobody knows how long ago they were are worth nothing."""
    if rule.pulses:
        return memory._replace(windows=())
    lost = [i for i, operand in enumerate(rule.operands) if operand.windowed]
    truths = tuple(None if i in lost else truth for i, truth in enumerate(memory.truths))
    windows = tuple(None if i in lost else window for i, window in enumerate(memory.windows))
    return memory._replace(truths=truths, windows=windows)
