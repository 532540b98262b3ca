"""What sensors have said, in memory: numbers as buckets of minutes and of ten minutes, all else as changes.

It begins anew with the process, and is bounded: at most HISTORIES_MAX are kept, of the sensors that speak first, and
each takes at most HISTORY_BYTES_MAX. A sensor that says both numbers and texts has two.

A bucket begins at a whole minute of the agent's own time line, which is never set; wall time is told as the clock
is when somebody looks. Pure: times are passed in.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent.model import Moment
from drivers.base import Reading

HISTORIES_MAX = 5000
HISTORY_BYTES_MAX = 6500
"""After a day some 4,900 of numbers, and up to 5,900 of texts: 33 MB for HISTORIES_MAX at the worst."""
MINUTES = 60
"""Buckets of one minute."""
DECADES = 144
"""Buckets of ten minutes: a day."""
CHANGES_MAX = 50
TEXT_BYTES_MAX = 64
"""Of a text, in UTF-8: texts that begin alike are one to a history."""
TREND_MEANS = 30
"""Of two minutes each."""
_MINUTE_S = 60.0
_FLOAT32_MAX = 3.4028234e38


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a sensor said in a minute, or in ten, to about seven digits."""

    wall: float
    """When it begins, in Unix seconds."""
    low: float
    high: float
    mean: float
    n: int
    """How many readings; at least one, as there is no bucket of a time in which nothing was said."""


@dataclass(frozen=True, slots=True)
class Change:
    """A text or a bool that is another one than that before it."""

    wall: float
    """When it was said first, in Unix seconds."""
    value: str | bool


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a rule compares the sensor's values with."""

    rule: str
    severity: str
    value: float


@dataclass(frozen=True, slots=True)
class History:
    """Of one sensor; all oldest first."""

    minutes: Sequence[Bucket]
    """Of the last hour; the last one may still go on."""
    decades: Sequence[Bucket]
    """Of ten minutes, of the last 24 hours; the last one may still go on."""
    changes: Sequence[Change]
    """The last CHANGES_MAX."""
    thresholds: Sequence[Threshold] = ()
    """Of all rules that watch it."""


_Row = tuple[int, int, float, float, float]
"""A bucket as it is kept: its number on the agent's time line, n, low, high, mean."""
_ROW: Final = struct.Struct("=IIfff")


class _Ring:
    """The last rows, oldest first; a new row with the number of the last one is joined to it."""

    __slots__ = ("_bytes_max", "_last", "_rows")

    def __init__(self, rows_max: int) -> None:
        self._rows = bytearray()
        self._last = 0
        """Where the newest row is."""
        self._bytes_max = rows_max * _ROW.size

    def add(self, row: _Row) -> None:
        if self._rows and (last := _ROW.unpack_from(self._rows, self._last))[0] == row[0]:
            _ROW.pack_into(self._rows, self._last, *_joined(last, row))
        elif len(self._rows) < self._bytes_max:
            self._last = len(self._rows)
            self._rows += _ROW.pack(*row)
        else:
            self._last = (self._last + _ROW.size) % self._bytes_max
            _ROW.pack_into(self._rows, self._last, *row)

    def since(self, first: int) -> list[_Row]:
        """Those from this number on."""
        oldest = (self._last + _ROW.size) % (len(self._rows) or 1)
        in_order = self._rows[oldest:] + self._rows[:oldest]
        return [row for row in _ROW.iter_unpack(in_order) if row[0] >= first]


class _Numbers:
    """The buckets of one sensor: the minute that goes on, and those that are over."""

    __slots__ = ("_decades", "_ends_at", "_high", "_low", "_minutes", "_n", "_number", "_sum")

    def __init__(self, at: float) -> None:
        self._minutes, self._decades = _Ring(MINUTES), _Ring(DECADES)
        self._begin(at)

    def _begin(self, at: float) -> None:
        self._number = int(at // _MINUTE_S)
        self._ends_at = (self._number + 1) * _MINUTE_S
        self._low: float = _FLOAT32_MAX
        self._high: float = -_FLOAT32_MAX
        self._sum: float = 0.0
        self._n: int = 0

    def add(self, value: float, at: float) -> None:
        """Take in a number. One that comes late counts for the minute that goes on."""
        if at >= self._ends_at:
            self._close()
            self._begin(at)
        if value < self._low:
            self._low = value
        if value > self._high:
            self._high = value
        self._sum += value
        self._n += 1

    def minutes(self, now: float) -> list[_Row]:
        """Of the last hour."""
        first = int(now // _MINUTE_S) - MINUTES + 1
        rows = self._minutes.since(first)
        return [*rows, self._open()] if self._number >= first else rows

    def decades(self, now: float) -> list[_Row]:
        """Of the last 24 hours."""
        first = int(now // _MINUTE_S) // 10 - DECADES + 1
        rows, going_on = self._decades.since(first), _decade(self._open())
        if rows and rows[-1][0] == going_on[0]:
            return [*rows[:-1], _joined(rows[-1], going_on)]
        return [*rows, going_on] if going_on[0] >= first else rows

    def _open(self) -> _Row:
        return self._number, self._n, _kept(self._low), _kept(self._high), _kept(self._sum / self._n)

    def _close(self) -> None:
        row = self._open()
        self._minutes.add(row)
        self._decades.add(_decade(row))


class _Changes:
    """The last values of one sensor that are no numbers, each with the time at which it was said first."""

    __slots__ = ("_times", "_values")

    def __init__(self) -> None:
        self._times = array("d")
        self._values: list[bytes | bool] = []

    def add(self, value: str | bool, at: float) -> None:
        """Take in a value; the same as before is none."""
        kept = value if isinstance(value, bool) else value[:TEXT_BYTES_MAX].encode(errors="replace")[:TEXT_BYTES_MAX]
        if self._values and self._values[-1] == kept:
            return
        if len(self._values) == CHANGES_MAX:
            del self._times[0], self._values[0]
        self._times.append(at)
        self._values.append(kept)

    def all(self) -> Iterator[tuple[float, str | bool]]:
        """With their times on the agent's time line; of a text that was cut within a character, the whole ones."""
        for at, value in zip(self._times, self._values, strict=True):
            yield at, value if isinstance(value, bool) else value.decode(errors="ignore")


class Histories:
    """Of all sensors that have one."""

    def __init__(self) -> None:
        self._numbers: dict[str, _Numbers] = {}
        self._changes: dict[str, _Changes] = {}

    def __len__(self) -> int:
        return len(self._numbers) + len(self._changes)

    def hear(self, heard: Iterable[tuple[Reading, float]]) -> list[str]:
        """Take in readings with their times on the agent's time line. Returns those sensors that had no such history.

        What a broker has retained may be old: a text is a change all the same, a number counts for no minute.
        """
        numbers, changes, without = self._numbers, self._changes, list[str]()
        for reading, at in heard:
            sensor, value = reading.sensor, reading.value
            if isinstance(value, str) or value is True or value is False:
                if sensor not in changes:
                    without.append(sensor)
                    if len(self) == HISTORIES_MAX:
                        continue
                    changes[sensor] = _Changes()
                changes[sensor].add(value, at)
            elif (known := numbers.get(sensor)) is not None:
                if not reading.origin.retained:
                    known.add(value, at)
            else:
                without.append(sensor)
                if len(self) < HISTORIES_MAX and not reading.origin.retained:
                    numbers[sensor] = _Numbers(at)
                    numbers[sensor].add(value, at)
        return without

    def of(self, sensor: str, moment: Moment) -> History | None:
        """As it is at a moment; None: there is none."""
        numbers, changes = self._numbers.get(sensor), self._changes.get(sensor)
        if numbers is None and changes is None:
            return None
        return History(
            minutes=[] if numbers is None else _buckets(numbers.minutes(moment.at), _MINUTE_S, moment),
            decades=[] if numbers is None else _buckets(numbers.decades(moment.at), 10 * _MINUTE_S, moment),
            changes=[] if changes is None else [Change(moment.wall_of(at), value) for at, value in changes.all()],
        )

    def trend(self, sensor: str, now: float) -> tuple[float | None, ...]:
        """The means of the last hour, oldest first; None: nothing was said then. Empty: it never said a number."""
        numbers = self._numbers.get(sensor)
        if numbers is None:
            return ()
        sums, counts = [0.0] * TREND_MEANS, [0] * TREND_MEANS
        first = int(now // _MINUTE_S) // 2 - TREND_MEANS + 1
        for number, n, _, _, mean in numbers.minutes(now):
            place = number // 2 - first
            if 0 <= place < TREND_MEANS:
                sums[place] += n * mean
                counts[place] += n
        return tuple(_told(total / n) if n else None for total, n in zip(sums, counts, strict=True))

    def forget(self, sensor: str) -> None:
        """Let go of one."""
        self._numbers.pop(sensor, None)
        self._changes.pop(sensor, None)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Let go of those whose sensor is no longer wanted."""
        for kept in (self._numbers, self._changes):
            for sensor in [sensor for sensor in kept if not wanted(sensor)]:
                kept.pop(sensor)


def _joined(one: _Row, other: _Row) -> _Row:
    """Both in one, under the number of the first."""
    n = one[1] + other[1]
    mean = (one[1] * one[4] + other[1] * other[4]) / n
    return one[0], n, min(one[2], other[2]), max(one[3], other[3]), mean


def _decade(minute: _Row) -> _Row:
    number, n, low, high, mean = minute
    return number // 10, n, low, high, mean


def _buckets(rows: Iterable[_Row], length_s: float, moment: Moment) -> list[Bucket]:
    return [
        Bucket(moment.wall_of(number * length_s), _told(low), _told(high), _told(mean), n)
        for number, n, low, high, mean in rows
    ]


def _kept(number: float) -> float:
    """Within what four bytes hold."""
    return max(-_FLOAT32_MAX, min(_FLOAT32_MAX, number))


def _told(number: float) -> float:
    """Without the noise of four bytes: 20.3, not 20.299999237060547."""
    return float(f"{number:.7g}")
