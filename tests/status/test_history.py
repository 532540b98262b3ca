"""What sensors have said, in memory: true to a naive account of it, and bounded."""

import math
import sys
from collections import defaultdict
from random import Random
from typing import Any

import pytest

from agent.model import Moment
from agent.status.history import (
    CHANGES_MAX,
    HISTORIES_MAX,
    HISTORY_BYTES_MAX,
    TEXT_BYTES_MAX,
    Bucket,
    Change,
    Histories,
    History,
)
from drivers.base import Origin, Reading, Value

WALL = 1_790_000_000.0
"""Unix seconds where the agent's own time is 0."""


def reading(value: Value, sensor: str = "a.t", *, retained: bool = False) -> Reading:
    return Reading(sensor, value, None, Origin("a", {}, {}, None, retained))


def heard(*values: tuple[float, Value]) -> Histories:
    histories = Histories()
    for at, value in values:
        histories.hear([(reading(value), at)])
    return histories


def moment(at: float) -> Moment:
    return Moment(at, WALL + at, True)


def seen(histories: Histories, at: float, sensor: str = "a.t") -> History:
    found = histories.of(sensor, moment(at))
    assert found is not None
    return found


def test_a_minute_is_told_by_its_lowest_highest_and_mean_value() -> None:
    histories = heard((600.0, 20.3), (610.0, 23), (659.9, 20.0), (660.0, -1))
    one, other = Bucket(WALL + 600, 20.0, 23.0, 21.1, 3), Bucket(WALL + 660, -1.0, -1.0, -1.0, 1)
    found = seen(histories, 661.0)
    assert found.minutes == [one, other]
    assert found.decades == [Bucket(WALL + 600, -1.0, 23.0, 15.575, 4)]
    assert found.changes == []


def test_what_is_older_than_an_hour_is_kept_in_ten_minutes_and_what_is_older_than_a_day_not_at_all() -> None:
    histories = heard((0.0, 1), (600.0, 2))
    assert [bucket.wall - WALL for bucket in seen(histories, 3599.0).minutes] == [0.0, 600.0]
    assert [bucket.wall - WALL for bucket in seen(histories, 3600.0).minutes] == [600.0]
    assert [bucket.wall - WALL for bucket in seen(histories, 86_399.0).decades] == [0.0, 600.0]
    histories.hear([(reading(3), 90_000.0)])
    assert [bucket.mean for bucket in seen(histories, 90_000.0).decades] == [3.0]
    later = seen(histories, 200_000.0)
    assert (later.minutes, later.decades) == ([], [])


def test_the_buckets_are_those_of_a_naive_account() -> None:
    random, histories, said = Random(5), Histories(), list[tuple[float, float]]()
    at = 1000.0
    for _ in range(20_000):
        at += random.choice([0.01, 0.5, 3.0, 30.0, random.expovariate(1 / 20)])
        if random.random() < 0.0005:
            at += random.uniform(60, 10_000)
        said.append((at, random.uniform(-50, 50)))
        histories.hear([(reading(said[-1][1]), at)])
        if random.random() < 0.001:
            found = seen(histories, at)
            assert_same(found.minutes, naive(said, 60.0, 60, at))
            assert_same(found.decades, naive(said, 600.0, 144, at))
            assert_same_trend(histories.trend("a.t", at), naive(said, 120.0, 30, at), at)


def naive(said: list[tuple[float, float]], length_s: float, most: int, now: float) -> dict[int, list[float]]:
    found = defaultdict(list)
    for at, value in said:
        if at // length_s > now // length_s - most:
            found[int(at // length_s)].append(value)
    return found


def assert_same(buckets: Any, wanted: dict[int, list[float]]) -> None:
    assert [bucket.n for bucket in buckets] == [len(values) for values in wanted.values()]
    for bucket, values in zip(buckets, wanted.values(), strict=True):
        told = (min(values), max(values), sum(values) / len(values))
        assert (bucket.low, bucket.high, bucket.mean) == pytest.approx(told, rel=1e-5, abs=1e-5)


def assert_same_trend(trend: Any, wanted: dict[int, list[float]], now: float) -> None:
    first = int(now // 120.0) - 29
    means = [sum(wanted[n]) / len(wanted[n]) if n in wanted else None for n in range(first, first + 30)]
    assert [mean is None for mean in trend] == [mean is None for mean in means]
    assert [mean for mean in trend if mean is not None] == pytest.approx([m for m in means if m is not None], abs=1e-4)


def test_times_are_told_as_the_clock_is_when_somebody_looks() -> None:
    histories = heard((600.0, 1), (600.0, "on"))
    found = histories.of("a.t", Moment(700.0, 5_000_700.0, True))
    assert found is not None
    assert found.minutes[0].wall == found.decades[0].wall == found.changes[0].wall == 5_000_600.0


def test_a_reading_that_comes_late_counts_for_the_minute_that_goes_on() -> None:
    assert [bucket.n for bucket in seen(heard((700.0, 1), (640.0, 2)), 700.0).minutes] == [2]


@pytest.mark.parametrize("value", [1e300, -1e300, 10**300, 5e-324, 0, -0.0, 2**53 + 1])
def test_every_number_that_a_sensor_can_say_has_a_bucket_of_finite_numbers(value: float) -> None:
    histories = heard((0.0, value), (1.0, value), (60.0, value))
    found = seen(histories, 60.0)
    told = [number for one in [*found.minutes, *found.decades] for number in (one.low, one.high, one.mean)]
    assert all(map(math.isfinite, [*told, *filter(None, histories.trend("a.t", 60.0))]))


def test_what_is_no_number_is_a_change_and_in_no_bucket() -> None:
    histories = heard((1.0, True), (2.0, True), (3.0, "True"), (4.0, ""), (5.0, False), (6.0, 0))
    found = seen(histories, 7.0)
    wanted: list[tuple[float, str | bool]] = [(1.0, True), (3.0, "True"), (4.0, ""), (5.0, False)]
    assert found.changes == [Change(WALL + at, value) for at, value in wanted]
    assert [type(change.value) for change in found.changes] == [bool, str, str, bool]
    assert [bucket.n for bucket in found.minutes] == [1]


def test_the_last_changes_are_kept() -> None:
    histories = heard(*((float(n), str(n)) for n in range(CHANGES_MAX + 7)))
    assert [change.value for change in seen(histories, 99.0).changes] == [str(n) for n in range(7, CHANGES_MAX + 7)]


def test_of_a_long_text_the_whole_characters_of_its_beginning_are_kept() -> None:
    text = "ä€" * 2000
    (change,) = seen(heard((1.0, text), (2.0, text + "!")), 3.0).changes
    assert isinstance(change.value, str)
    assert text.startswith(change.value)
    assert TEXT_BYTES_MAX - 3 < len(change.value.encode()) <= TEXT_BYTES_MAX


def test_what_a_broker_retained_is_a_change_but_counts_for_no_minute() -> None:
    histories = Histories()
    assert histories.hear([(reading(9, retained=True), 1.0)]) == ["a.t"]
    assert histories.of("a.t", moment(2.0)) is None
    histories.hear([(reading(5), 2.0), (reading(9, retained=True), 3.0), (reading("on", retained=True), 3.0)])
    found = seen(histories, 3.0)
    assert [bucket.n for bucket in found.minutes] == [1]
    assert [change.value for change in found.changes] == ["on"]


def test_the_trend_is_thirty_means_of_two_minutes_with_gaps() -> None:
    histories = heard((0.0, 99), (3600.0, 1), (3700.0, 2), (3960.0, 7), (7140.0, 4))
    trend = histories.trend("a.t", 7199.0)
    assert len(trend) == 30
    assert {n: mean for n, mean in enumerate(trend) if mean is not None} == {0: 1.5, 3: 7.0, 29: 4.0}
    assert set(histories.trend("a.t", 20_000.0)) == {None}


def test_a_sensor_that_says_no_number_has_no_trend() -> None:
    assert heard((1.0, "on")).trend("a.t", 2.0) == ()
    assert Histories().trend("a.t", 2.0) == ()


def test_only_so_many_have_a_history_until_one_is_forgotten() -> None:
    histories = Histories()
    names = [f"a.{n}" for n in range(HISTORIES_MAX + 5)]
    for n, name in enumerate(names):
        histories.hear([(reading("on" if n % 2 else 1.0, name), 1.0)])
    assert len(histories) == HISTORIES_MAX
    last = names[-1]
    assert histories.hear([(reading(2.0, last), 2.0), (reading("on", last), 2.0)]) == [last, last]
    assert histories.of(last, moment(3.0)) is None
    histories.forget(names[0])
    histories.hear([(reading(2.0, last), 3.0)])
    assert len(histories) == HISTORIES_MAX
    assert seen(histories, 3.0, last).minutes[0].mean == 2.0


def test_a_reload_lets_go_of_what_is_no_longer_configured() -> None:
    histories = Histories()
    histories.hear([(reading(1.0, "a.t"), 1.0), (reading("on", "a.t"), 1.0), (reading(1.0, "b.t"), 1.0)])
    histories.keep(lambda name: name == "b.t")
    assert histories.of("a.t", moment(1.0)) is None
    assert len(histories) == 1


def test_a_history_takes_no_more_than_it_says_however_long_it_goes_on() -> None:
    random, histories = Random(1), Histories()
    for minute in range(4000):
        histories.hear([(reading(random.uniform(-1e9, 1e9)), minute * 60.0), (reading("€" * 99 + str(minute)), 60.0)])
        histories.hear([(reading(f"{minute}" + "€" * 99), minute * 60.0)])
    found = seen(histories, 4000 * 60.0)
    assert (len(found.minutes), len(found.changes)) == (59, CHANGES_MAX)
    for kept in (histories._numbers["a.t"], histories._changes["a.t"]):
        assert size_bytes(kept) < HISTORY_BYTES_MAX


def size_bytes(thing: Any) -> int:
    """Of a thing and all that it alone holds."""
    inner = [getattr(thing, name) for name in getattr(type(thing), "__slots__", ())]
    inner += thing if isinstance(thing, list) else []
    return sys.getsizeof(thing) + sum(map(size_bytes, inner))
