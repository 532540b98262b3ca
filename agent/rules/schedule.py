"""The hours of a rule (`active`), by the clock on the wall.

A rule is active while a local clock shows a time from `from` up to `to`, which itself is outside. Hours over
midnight belong to the day on which they begin. Where the clocks are changed this is all that counts: hours
that a clock skips are none, and hours that it shows twice are hours twice.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from agent.model import Moment
from agent.rules.config import DAYS, Active

_DAYS_AHEAD = 9
"""The next change is at most a week away."""
_EXACT_S = 0.0005
"""A timer may be early by the last bit of a float."""


class Schedule:
    """Answers whether a moment is within the hours, and when to ask again."""

    def __init__(self, active: Active, timezone: tzinfo) -> None:
        self._from, self._to = _minutes(active.from_), _minutes(active.to)
        self._days = frozenset(DAYS.index(day) for day in active.days)
        self._timezone = timezone
        self._known = (0.0, 0.0, False)
        """The last answer: from when until when it is so."""

    def at(self, wall: float) -> tuple[bool, float]:
        """Whether it is active at some Unix seconds, and until when that surely stays so."""
        wall += _EXACT_S
        begins, ends, active = self._known
        if not begins <= wall < ends:
            active = self._shows(wall)
            changes = (edge for edge in self._edges(wall) if self._shows(edge) != active)
            ends = next(changes, wall + _DAYS_AHEAD * 86_400)
            self._known = (wall, ends, active)
        return active, ends

    def _shows(self, wall: float) -> bool:
        local = datetime.fromtimestamp(wall, self._timezone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self._from < self._to:
            return self._from <= minute < self._to and day in self._days
        if minute >= self._from:
            return day in self._days
        return minute < self._to and (day - 1) % 7 in self._days

    def _edges(self, wall: float) -> Iterator[float]:
        """Every moment of the days ahead at which the answer may change, in order."""
        today = datetime.fromtimestamp(wall, self._timezone).date()
        for number in range(-1, _DAYS_AHEAD):
            day = today + timedelta(days=number)
            edges = {self._moment(day, minute, fold) for minute in (self._from, self._to) for fold in (0, 1)}
            yield from sorted(edge for edge in edges | set(self._clock_change(day)) if edge > wall)

    def _moment(self, day: date, minute: int, fold: int) -> float:
        naive = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
        return naive.replace(tzinfo=self._timezone, fold=fold).timestamp()

    def _clock_change(self, day: date) -> Iterator[float]:
        """When on this day the clocks are changed, if they are: between two moments, found by halving."""
        low, high = int(self._moment(day, 0, 0)), int(self._moment(day + timedelta(days=1), 0, 0))
        if self._offset(low) == self._offset(high):
            return
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == self._offset(low):
                low = middle
            else:
                high = middle
        yield float(high)

    def _offset(self, wall: float) -> timedelta | None:
        return datetime.fromtimestamp(wall, UTC).astimezone(self._timezone).utcoffset()


def hours(schedule: Schedule | None, moment: Moment, at: float) -> tuple[bool, float | None]:
    """Whether a rule is active at a time, and until when; with a wrong clock it is."""
    if schedule is None or not moment.synced:
        return True, None
    wall = moment.wall_of(at)
    active, until = schedule.at(wall)
    return active, at + (until - wall)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
