"""The operands of a condition: what is true of one sensor, as far as it is known, and what that takes to know.

Each kind answers two questions. `hear`: what does a reading make of it? `look`: what does time make of it, and
when is it worth looking again? Truth and window are the caller's to keep; an operand itself remembers nothing.
A condition of several words is several operands, all of which must hold.

What time alone changes (a silence that has lasted, a match that falls out of the window) it changes only while
the sensor's source is open: a cable that was pulled neither fires nor resolves anything. Most operands need no
look when the source goes or comes, for the next one, at its own time, finds out; the others say so.

A retained message says how things stand, not when: it is heard as a value, but counts for no window and is no
sign of life.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from agent.rules.conditions import Test, compile_condition, is_number, same
from agent.rules.config import Condition, Drift
from agent.rules.memory import Truth, Weight, Window, shortened
from drivers.base import Reading

Expression = Callable[[Sequence[Truth]], Truth]
"""What the truths of all operands come to."""
DRIFT_ENTRIES_MAX = 64


class Life(NamedTuple):
    """How a sensor stands."""

    open: bool
    """Whether its source, and its device, are open, so that silence says something."""
    quiet_since: float
    """When it last gave a sign of life, or its source was opened, whichever was later."""


class Heard(NamedTuple):
    """What a reading made of an operand."""

    truth: Truth
    window: Window | None = None
    weight: Weight = Weight.NONE
    """Of the change of the window."""


class Looked(NamedTuple):
    """What time made of an operand."""

    truth: Truth
    window: Window | None
    wake_at: float | None
    """When time itself may change it again."""
    minds_source: bool = False
    """Whether it is to be looked at as soon as its source opens or closes, and not only then."""


class Operand(Protocol):
    """One kind of condition over one sensor."""

    timed: bool
    """Whether time alone may change it."""
    windowed: bool
    """Whether it remembers times, which a downtime of unknown length makes worthless."""

    def hear(self, truth: Truth, window: Window | None, reading: Reading, at: float) -> Heard | None:
        """What a reading makes of it; None where it cannot judge a value of this kind."""

    def look(self, truth: Truth, window: Window | None, at: float, life: Life) -> Looked:
        """What time makes of it."""


class ValueOperand:
    """The words that judge one value by itself."""

    timed = windowed = False

    def __init__(self, test: Test) -> None:
        self._test = test

    def hear(self, truth: Truth, window: Window | None, reading: Reading, at: float) -> Heard | None:
        """Judge the value."""
        verdict = self._test(reading.value)
        return None if verdict is None else Heard(verdict)

    def look(self, truth: Truth, window: Window | None, at: float, life: Life) -> Looked:
        """Stay as it is."""
        return Looked(truth, window, None)


class SilentOperand:
    """`silent_for`: true after so long without a sign of life, false from the next one on.

    In between (the source was lost meanwhile, so nobody can tell) it is unknown. Its window is empty, and None as
    long as nobody knows that there is such a sensor.
    """

    timed, windowed = True, False

    def __init__(self, silent_for_s: float) -> None:
        self._silent_for_s = silent_for_s

    def hear(self, truth: Truth, window: Window | None, reading: Reading, at: float) -> Heard | None:
        """Take a live reading for a sign of life; the first one ever makes the sensor known."""
        alive = truth if reading.origin.retained else False
        return Heard(alive, (), Weight.HARD if window is None else Weight.NONE)

    def look(self, truth: Truth, window: Window | None, at: float, life: Life) -> Looked:
        """Whether the silence has lasted."""
        unsure = None if truth else truth
        if window is None or not life.open:
            return Looked(unsure, window, None, minds_source=window is not None)
        over_at = life.quiet_since + self._silent_for_s
        if over_at <= at:
            return Looked(True, window, None, minds_source=True)
        return Looked(unsure, window, over_at)


class UnchangedOperand:
    """`unchanged_for`: equal readings that span so long. Its window is (value, first heard, last heard)."""

    timed, windowed = False, True

    def __init__(self, unchanged_for_s: float) -> None:
        self._unchanged_for_s = unchanged_for_s

    def hear(self, truth: Truth, window: Window | None, reading: Reading, at: float) -> Heard | None:
        """Go on with the span, or begin a new one."""
        value = shortened(reading.value)
        if not window or not same(value, window[0]):
            return Heard(False, (value, at, at), Weight.SOFT)
        if reading.origin.retained:
            return Heard(truth, window)
        first_at = window[1]
        return Heard(at - first_at >= self._unchanged_for_s, (value, first_at, at))

    def look(self, truth: Truth, window: Window | None, at: float, life: Life) -> Looked:
        """Stay as it is: silence is no equal reading."""
        return Looked(truth, window, None)


class DriftOperand:
    """`rising` and `falling`: the latest less the lowest of the window, or the highest less the latest.

    The window holds (time, value) of those readings that no later one undercuts, so their values rise and the
    last one is the latest; falling is rising upside down. There are at most 64 of them: beyond, the two that
    are closest in time become one, with the lower value and the later time.
    """

    timed = windowed = True

    def __init__(self, drift: Drift, sign: int) -> None:
        self._by, self._within_s, self._sign = drift.by, drift.within, sign

    def hear(self, truth: Truth, window: Window | None, reading: Reading, at: float) -> Heard | None:
        """Take a number into the window."""
        if not is_number(reading.value):
            return None
        if reading.origin.retained:
            return Heard(truth, window)
        value = self._sign * reading.value
        kept = [entry for entry in self._alive(window, at) if entry[1] < value]
        kept.append((at, value))
        if len(kept) > DRIFT_ENTRIES_MAX:
            _merge_closest(kept)
        moved = [entry[1] for entry in kept] != [entry[1] for entry in window or ()]
        return Heard(self._holds(kept), tuple(kept), Weight.SOFT if moved else Weight.NONE)

    def look(self, truth: Truth, window: Window | None, at: float, life: Life) -> Looked:
        """Let go of what is older than the window."""
        if not window or not life.open:
            return Looked(truth, window, None, minds_source=_waits(truth, window))
        kept = self._alive(window, at)
        holds = self._holds(kept)
        return Looked(holds, kept, kept[0][0] + self._within_s if holds else None)

    def _alive(self, window: Window | None, at: float) -> Window:
        return tuple(entry for entry in window or () if entry[0] + self._within_s > at)

    def _holds(self, window: Sequence[tuple[float, float]]) -> bool:
        return bool(window) and at_least(window[-1][1] - window[0][1], self._by)


class CountOperand:
    """`count` and `within` of a level: so many matching readings lie within. Its window is their times."""

    timed = windowed = True

    def __init__(self, test: Test, count: int, within_s: float) -> None:
        self._test, self._count, self._within_s = test, count, within_s

    def hear(self, truth: Truth, window: Window | None, reading: Reading, at: float) -> Heard | None:
        """Count a match."""
        verdict = self._test(reading.value)
        if verdict is None:
            return None
        if reading.origin.retained:
            return Heard(truth, window)
        if not verdict and not window:
            return Heard(bool(truth), window)
        times = counted(window, at if verdict else None, now=at, count=self._count, within_s=self._within_s)
        return Heard(len(times) >= self._count, times, Weight.SOFT if verdict else Weight.NONE)

    def look(self, truth: Truth, window: Window | None, at: float, life: Life) -> Looked:
        """Let go of what is older than the window."""
        if not window or not life.open:
            return Looked(truth, window, None, minds_source=_waits(truth, window))
        times = counted(window, None, now=at, count=self._count, within_s=self._within_s)
        holds = len(times) >= self._count
        return Looked(holds, times, times[0] + self._within_s if holds else None)


def _waits(truth: Truth, window: Window | None) -> bool:
    """Whether a window is let go of once the source is open; where it is false already, that changes nothing."""
    return bool(window) and truth is not False


def counted(window: Window | None, match: float | None, *, now: float, count: int, within_s: float) -> Window:
    """The times of the last matches within, at most as many as there is to count to."""
    times = [at for at in window or () if at + within_s > now]
    if match is not None:
        times.append(match)
    return tuple(times[-count:])


def at_least(difference: float, by: float) -> bool:
    """Whether two values differ by so much; 20.3 and 20.2 do by 0.1, in binary too."""
    return difference >= by or math.isclose(difference, by)


def operands_of(leaf: Condition, count: int | None, within_s: float | None) -> list[Operand]:
    """The operands of a condition over one sensor; with `count` of one on single values."""
    found: list[Operand] = []
    if words := leaf.value_words():
        test = compile_condition(words)
        counts = count is not None and within_s is not None
        found.append(CountOperand(test, count or 0, within_s or 0.0) if counts else ValueOperand(test))
    if leaf.rising is not None:
        found.append(DriftOperand(leaf.rising, 1))
    if leaf.falling is not None:
        found.append(DriftOperand(leaf.falling, -1))
    if leaf.unchanged_for is not None:
        found.append(UnchangedOperand(leaf.unchanged_for))
    if leaf.silent_for is not None:
        found.append(SilentOperand(leaf.silent_for))
    return found


def truth_at(index: int) -> Expression:
    """The truth of one operand."""
    return lambda truths: truths[index]


def all_of(parts: Sequence[Expression]) -> Expression:
    """False where one is false, else unknown where one is unknown."""
    if len(parts) == 1:
        return parts[0]
    return lambda truths: _all([part(truths) for part in parts])


def any_of(parts: Sequence[Expression]) -> Expression:
    """True where one is true, else unknown where one is unknown."""
    return lambda truths: _not(_all([_not(part(truths)) for part in parts]))


def not_of(part: Expression) -> Expression:
    """The other way round; unknown stays unknown."""
    return lambda truths: _not(part(truths))


def _all(truths: Iterable[Truth]) -> Truth:
    found = set(truths)
    return False if False in found else None if None in found else True


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _merge_closest(entries: list[tuple[float, float]]) -> None:
    """Make one of the two entries that are closest in time; the last one, which is the latest, stays."""
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(entries[:-1])]
    first = gaps.index(min(gaps))
    entries[first : first + 2] = [(entries[first + 1][0], entries[first][1])]
