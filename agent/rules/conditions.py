"""Conditions as functions of one value.

True, False, or None where the value is of a kind that they cannot judge.

A bool is no number and equals only a bool; a text is never compared with a number. A condition is given as
its words, such as {"above": 5, "below": 10}, which must all hold.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from agent.rules.patterns import JUDGED_CHARS
from drivers.base import Value

Words = Mapping[str, Any]
Test = Callable[[Value], bool | None]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "above": operator.gt,
    "below": operator.lt,
    "at_least": operator.ge,
    "at_most": operator.le,
}


class Interval(NamedTuple):
    """The numbers that a condition allows."""

    low: float
    low_open: bool
    high: float
    high_open: bool

    @property
    def empty(self) -> bool:
        """Whether no number is in it."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))


def compile_condition(words: Words) -> Test:
    """One function for all words of a condition; without words every value fulfils it."""
    tests = [_compile_word(word, wanted) for word, wanted in words.items()]
    if len(tests) == 1:
        return tests[0]

    def all_hold(value: Value) -> bool | None:
        results = [test(value) for test in tests]
        return None if None in results else all(results)

    return all_hold


def is_number(value: object) -> bool:
    """Whether a value can be compared with a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(value: object, wanted: object) -> bool:
    """Equal and of one kind."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value == wanted


def is_empty(words: Words) -> bool:
    """Whether no number can fulfil a condition's order words."""
    return all(interval.empty for interval in _intervals(words))


def overlap(one: Words, other: Words) -> bool:
    """Whether some value may fulfil both, as far as intervals and listed values tell; of `matches` they do not."""
    for listed, judge in ((_listed(one), other), (_listed(other), one)):
        if listed is not None:
            test = compile_condition(judge)
            return any(test(value) for value in listed)
    if "matches" in one or "matches" in other:
        return False
    return any(not _both(a, b).empty for a in _intervals(one) for b in _intervals(other))


def _compile_word(word: str, wanted: Any) -> Test:
    match word:
        case "equals":
            return lambda value: same(value, wanted)
        case "not_equals":
            return lambda value: not same(value, wanted)
        case "one_of":
            return lambda value: any(same(value, one) for one in wanted)
        case "inside":
            low, high = wanted
            return lambda value: low <= value <= high if is_number(value) else None
        case "outside":
            low, high = wanted
            return lambda value: not low <= value <= high if is_number(value) else None
        case "matches":
            found = re.compile(wanted).search
            return lambda value: found(value[:JUDGED_CHARS]) is not None if isinstance(value, str) else None
    holds = _ORDER[word]
    return lambda value: holds(value, wanted) if is_number(value) else None


def _listed(words: Words) -> list[Value] | None:
    return [words["equals"]] if "equals" in words else words.get("one_of")


def _intervals(words: Words) -> list[Interval]:
    """The numbers that the order words allow; `outside` leaves two intervals of them."""
    lows = [(words[word], word == "above") for word in ("above", "at_least") if word in words]
    highs = [(words[word], word == "at_most") for word in ("below", "at_most") if word in words]
    if "inside" in words:
        lows.append((words["inside"][0], False))
        highs.append((words["inside"][1], True))
    low, low_open = max(lows, default=(-math.inf, False))
    high, high_closed = min(highs, default=(math.inf, True))
    within = Interval(low, low_open, high, not high_closed)
    if "outside" not in words:
        return [within]
    below, above = words["outside"]
    return [
        _both(within, Interval(-math.inf, False, below, True)),
        _both(within, Interval(above, True, math.inf, False)),
    ]


def _both(a: Interval, b: Interval) -> Interval:
    low, low_open = max((a.low, a.low_open), (b.low, b.low_open))
    high, high_closed = min((a.high, not a.high_open), (b.high, not b.high_open))
    return Interval(low, low_open, high, not high_closed)
