"""The geometry of sparklines and charts: numbers in, coordinates and labels out. The templates draw them.

A chart is as wide as its place: what has a shape (bands, lines) lies in an inner SVG that is stretched, 1000 units
wide; what must not be stretched (texts, marks) has its place in percent. Heights are in pixels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import NamedTuple, TypeVar

from agent.status.history import Bucket, Threshold
from agent.status.page.texts import value

_T = TypeVar("_T")
SPARK_WIDTH, SPARK_HEIGHT = 244, 56
"""In half pixels, so that whole numbers will do: there are many of them."""
WIDTH, HEIGHT = 1000, 200
_SPARK_MARGIN = 6
_TOP, _BOTTOM = 12.0, 188.0
"""Where the highest and the lowest value lie, so that no line is cut at the edge."""
_TICKS_MAX = 6
_LEAST_PART = 0.05
"""Of the height that the values keep, however far away a threshold is."""


class Span(NamedTuple):
    """What a chart shows, and in which steps."""

    start: float
    """Unix seconds, as is `end`."""
    end: float
    bucket_s: float
    tick_s: float

    @classmethod
    def last(cls, length_s: float, bucket_s: float, tick_s: float, wall: float) -> "Span":
        """The last hours, up to the end of the bucket that goes on: so a chart moves once for each bucket."""
        end = (wall // bucket_s + 1) * bucket_s
        return cls(end - length_s, end, bucket_s, tick_s)


class Tick(NamedTuple):
    """A line of the grid."""

    at: float
    """In percent for a time, in pixels for a value."""
    text: str


class Line(NamedTuple):
    """A threshold."""

    y: float
    text: str
    severity: str
    beyond: bool
    """Whether it is too far away to be drawn at its height."""


class Mark(NamedTuple):
    """An event."""

    at: float
    """In percent."""
    kind: str
    """firing, resolved or other"""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Of a sensor's last hour: points of polylines, with a gap between where nothing was said."""

    runs: Sequence[str]
    last: tuple[int, int] | None
    """Where it is now; None: it has said nothing of late."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Of one span of a sensor's history."""

    bands: Sequence[str]
    """Points of polygons between the lows and the highs."""
    means: Sequence[str]
    """Points of polylines."""
    times: Sequence[Tick]
    values: Sequence[Tick]
    thresholds: Sequence[Line]
    marks: Sequence[Mark]
    summary: str


def sparkline(means: Sequence[float | None]) -> Sparkline | None:
    """None: there is no number in it."""
    known = [mean for mean in means if mean is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    scale = _Scale.of(low, high, _SPARK_MARGIN, SPARK_HEIGHT - _SPARK_MARGIN)
    step = (SPARK_WIDTH - 2 * _SPARK_MARGIN) / max(1, len(means) - 1)
    per_unit, bottom = (scale.bottom - scale.top) / (scale.high - scale.low), scale.bottom + 0.5
    points = [
        None if mean is None else (int(_SPARK_MARGIN + place * step), int(bottom - (mean - scale.low) * per_unit))
        for place, mean in enumerate(means)
    ]
    runs = [" ".join([f"{x},{y}" for x, y in (run if len(run) > 1 else run * 2)]) for run in _runs(points)]
    return Sparkline(runs, points[-1], low, high)


def chart(
    buckets: Sequence[Bucket],
    span: Span,
    thresholds: Sequence[Threshold] = (),
    marks: Iterable[tuple[float, str]] = (),
    unit: str | None = None,
    zone: tzinfo | None = None,
) -> Chart | None:
    """Draw what was said within a span; None: there is no number in it. `marks`: wall times and kinds of events."""
    shown = [bucket for bucket in buckets if span.start <= bucket.wall < span.end]
    if not shown:
        return None
    low, high = min(bucket.low for bucket in shown), max(bucket.high for bucket in shown)
    scale = _scale_with(low, high, [threshold.value for threshold in thresholds])
    runs = list(_runs(_with_gaps(shown, span.bucket_s)))
    return Chart(
        bands=[_points(_band(run, span, scale)) for run in runs],
        means=[_points((_x(bucket, span), scale.y(bucket.mean)) for bucket in run) for run in runs],
        times=[Tick(_percent(at, span), _clock(at, zone)) for at in _times(span, zone)],
        values=[Tick(round(scale.y(at), 1), value(at)) for at in _steps(scale.low, scale.high)],
        thresholds=[_line(threshold, scale, unit) for threshold in thresholds],
        marks=[Mark(_percent(wall, span), kind) for wall, kind in marks if span.start <= wall < span.end],
        summary=f"between {value(low, unit)} and {value(high, unit)}, at last {value(_rounded(shown[-1].mean), unit)}",
    )


class _Scale(NamedTuple):
    """Maps values to heights; the lowest value lies at the bottom."""

    low: float
    high: float
    top: float
    bottom: float

    @classmethod
    def of(cls, low: float, high: float, top: float, bottom: float) -> "_Scale":
        if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):  # always the same: a line in the middle
            margin = max(abs(low) * 0.01, 0.5)
            low, high = low - margin, high + margin
        return cls(low, high, top, bottom)

    def y(self, at: float) -> float:
        part = (at - self.low) / (self.high - self.low)
        return self.bottom - max(0.0, min(1.0, part)) * (self.bottom - self.top)


def _rounded(mean: float) -> float:
    """A mean has more digits than the sensor that said its parts."""
    return float(f"{mean:.4g}")


def _scale_with(low: float, high: float, thresholds: Iterable[float]) -> _Scale:
    """One that has room for the thresholds, the nearest first, as long as the values themselves can be seen."""
    base = _Scale.of(low, high, _TOP, _BOTTOM)
    widest = (base.high - base.low) / _LEAST_PART
    low, high = base.low, base.high
    for at in sorted(thresholds, key=lambda at: max(base.low - at, at - base.high)):
        if max(high, at) - min(low, at) <= widest:
            low, high = min(low, at), max(high, at)
    return _Scale(low, high, _TOP, _BOTTOM)


def _line(threshold: Threshold, scale: _Scale, unit: str | None) -> Line:
    beyond = not scale.low <= threshold.value <= scale.high
    arrow = "" if not beyond else "↑ " if threshold.value > scale.high else "↓ "
    text = f"{arrow}{threshold.rule}: {value(threshold.value, unit)}"
    return Line(round(scale.y(threshold.value), 1), text, threshold.severity, beyond)


def _band(run: Sequence[Bucket], span: Span, scale: _Scale) -> list[tuple[float, float]]:
    highs = [(_x(bucket, span), scale.y(bucket.high)) for bucket in run]
    return highs + [(_x(bucket, span), scale.y(bucket.low)) for bucket in reversed(run)]


def _with_gaps(buckets: Sequence[Bucket], bucket_s: float) -> list[Bucket | None]:
    """The same with None where at least one bucket is missing."""
    found: list[Bucket | None] = []
    for bucket in buckets:
        if found and (before := found[-1]) is not None and bucket.wall - before.wall > 1.5 * bucket_s:
            found.append(None)
        found.append(bucket)
    return found


def _runs(places: Iterable[_T | None]) -> Iterable[list[_T]]:
    """What stands together between the gaps."""
    run: list[_T] = []
    for place in places:
        if place is not None:
            run.append(place)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _points(run: Iterable[tuple[float, float]]) -> str:
    """For a polyline; a point alone is a line without length, which a round cap shows as a dot."""
    points = [f"{round(x, 1):g},{round(y, 1):g}" for x, y in run]
    return " ".join(points * 2 if len(points) == 1 else points)


def _x(bucket: Bucket, span: Span) -> float:
    """The middle of it."""
    return WIDTH * (bucket.wall + span.bucket_s / 2 - span.start) / (span.end - span.start)


def _percent(wall: float, span: Span) -> float:
    return round(100 * (wall - span.start) / (span.end - span.start), 2)


def _times(span: Span, zone: tzinfo | None) -> Iterable[float]:
    """Whole hours, or quarters, of the zone."""
    offset = datetime.fromtimestamp(span.start, zone).astimezone(zone).utcoffset()
    offset_s = offset.total_seconds() if offset else 0.0
    at = math.ceil((span.start + offset_s) / span.tick_s) * span.tick_s - offset_s
    while at < span.end:
        yield at
        at += span.tick_s


def _clock(wall: float, zone: tzinfo | None) -> str:
    return f"{datetime.fromtimestamp(wall, zone):%H:%M}"


def _steps(low: float, high: float) -> Iterable[float]:
    """Round numbers between two, at most _TICKS_MAX of them: 1, 2 or 5 times a power of ten apart."""
    least = (high - low) / _TICKS_MAX
    power = 10.0 ** math.floor(math.log10(least))
    step = next((power * times for times in (1, 2, 5) if power * times >= least), power * 10)
    digits = max(0, -math.floor(math.log10(step)))
    first = math.ceil(low / step)
    return [round((first + n) * step, digits) + 0.0 for n in range(int(high // step) - first + 1)]
