"""Where lines go: in numbers, without drawing."""

from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.status.history import Bucket, Threshold
from agent.status.page.charts import HEIGHT, SPARK_HEIGHT, SPARK_WIDTH, WIDTH, Chart, Span, chart, sparkline
from tests.status.page.parts import WALL

HOUR = Span.last(3600, 60, 900, WALL + 30)
NUMBERS = st.floats(-1e30, 1e30, allow_nan=False)


def points(run: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in run.split())]


def bucket(minute: int, low: float, high: float) -> Bucket:
    """A minute of the hour, by its number."""
    return Bucket(HOUR.start + 60 * minute, low, high, (low + high) / 2, 3)


def drawn(*buckets: Bucket, thresholds: tuple[float, ...] = (), marks: tuple[float, ...] = ()) -> Chart:
    known = [Threshold("cold", "warning", at) for at in thresholds]
    found = chart(buckets, HOUR, known, [(wall, "firing") for wall in marks], "°C", UTC)
    assert found is not None
    return found


def test_a_sparkline_rises_to_the_right_and_its_last_point_is_marked() -> None:
    spark = sparkline([1.0, 2.0, 3.0])
    assert spark is not None
    assert points(spark.runs[0]) == [(6, 50), (122, 28), (238, 6)]
    assert spark.last == (238, 6)
    assert (spark.low, spark.high) == (1, 3)


def test_where_nothing_was_said_a_sparkline_has_a_gap_and_of_late_no_mark() -> None:
    spark = sparkline([1.0, 2.0, None, 3.0, None])
    assert spark is not None
    assert [len(points(run)) for run in spark.runs] == [2, 2], "a lone point is a line without length: a dot"
    first, second = points(spark.runs[1])
    assert first == second
    assert spark.last is None


def test_a_value_that_stays_is_a_line_in_the_middle() -> None:
    spark = sparkline([5.0] * 30)
    assert spark is not None
    assert {y for _, y in points(spark.runs[0])} == {SPARK_HEIGHT / 2}


@pytest.mark.parametrize("means", [[], [None, None]])
def test_without_a_number_there_is_no_sparkline(means: list[float | None]) -> None:
    assert sparkline(means) is None


@given(st.lists(st.none() | NUMBERS, max_size=30))
def test_a_sparkline_never_leaves_its_place(means: list[float | None]) -> None:
    spark = sparkline(means)
    for run in spark.runs if spark else ():
        assert all(0 <= x <= SPARK_WIDTH and 0 <= y <= SPARK_HEIGHT for x, y in points(run))


def test_a_chart_has_its_means_in_the_middle_of_their_minutes_and_a_band_around_them() -> None:
    found = drawn(bucket(0, 1, 3), bucket(1, 2, 4))
    ((x0, y0), (x1, y1)) = points(found.means[0])
    assert (x0, x1) == pytest.approx((1000 / 120, 3000 / 120), abs=0.1)
    assert y1 < y0, "higher is further up"
    assert len(points(found.bands[0])) == 4
    assert found.summary == "between 1 °C and 4 °C, at last 3 °C"


def test_a_minute_in_which_nothing_was_said_is_a_gap() -> None:
    found = drawn(bucket(0, 1, 2), bucket(1, 1, 2), bucket(3, 1, 2), bucket(4, 1, 2))
    assert [len(points(run)) for run in found.means] == [2, 2]


def test_a_chart_stands_still_until_the_next_minute() -> None:
    assert Span.last(3600, 60, 900, WALL) == Span.last(3600, 60, 900, WALL + 59)
    assert Span.last(3600, 60, 900, WALL + 60) != Span.last(3600, 60, 900, WALL)


def test_a_threshold_is_drawn_at_its_value_and_the_scale_has_room_for_it() -> None:
    found = drawn(bucket(0, 0, 4), thresholds=(-2, 2))
    low, high = found.thresholds
    assert low.y == HEIGHT - 12
    assert high.y == pytest.approx(188 - 176 * 4 / 6, abs=0.1)
    assert not low.beyond
    assert low.text == "cold: -2 °C"


def test_a_threshold_far_away_does_not_flatten_the_values() -> None:
    found = drawn(bucket(0, 0, 4), bucket(1, 0, 4), thresholds=(1e6,))
    assert found.thresholds[0].beyond
    assert found.thresholds[0].text == "↑ cold: 1000000 °C"
    heights = [y for _, y in points(found.bands[0])]
    assert max(heights) - min(heights) > HEIGHT / 2


def test_times_stand_at_quarters_of_the_zones_hours() -> None:
    assert [tick.text for tick in drawn(bucket(0, 1, 2)).times] == ["11:15", "11:30", "11:45", "12:00"]
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    day = Span.last(86400, 600, 21600, WALL)
    shown = chart([Bucket(day.start, 1, 2, 1.5, 1)], day, zone=kathmandu)
    assert shown is not None
    assert [tick.text for tick in shown.times] == ["18:00", "00:00", "06:00", "12:00"]


def test_values_stand_at_round_numbers_within_the_scale() -> None:
    assert [tick.text for tick in drawn(bucket(0, -18.4, -10.2)).values] == ["-18", "-16", "-14", "-12"]


def test_an_event_is_marked_where_it_happened_and_others_are_not() -> None:
    found = drawn(bucket(0, 1, 2), marks=(HOUR.start - 1, HOUR.start + 1800, HOUR.end))
    assert [(mark.at, mark.kind) for mark in found.marks] == [(50.0, "firing")]


@given(st.lists(st.tuples(st.integers(0, 59), NUMBERS, NUMBERS), min_size=1), st.lists(NUMBERS, max_size=4))
def test_a_chart_never_leaves_its_place(said: list[tuple[int, float, float]], thresholds: list[float]) -> None:
    buckets = {minute: bucket(minute, min(a, b), max(a, b)) for minute, a, b in said}
    found = drawn(*(buckets[minute] for minute in sorted(buckets)), thresholds=tuple(thresholds))
    for run in (*found.bands, *found.means):
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(run))
    assert all(0 <= line.y <= HEIGHT for line in found.thresholds)
    assert len(found.values) <= 7
