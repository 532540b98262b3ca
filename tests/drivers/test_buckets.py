"""How many a token bucket lets through."""

import pytest

from drivers.buckets import TokenBucket
from drivers.units import RateLimit, parse_rate


def taken(bucket: TokenBucket, now: float) -> int:
    """How many may come at one moment."""
    count = 0
    while not bucket.wait_s(now):
        count += 1
    return count


def test_so_many_may_come_at_once_and_no_more() -> None:
    bucket = TokenBucket(parse_rate("50/s"))
    assert [taken(bucket, 7.0), taken(bucket, 7.0)] == [50, 0]


def test_it_fills_evenly_and_not_beyond_its_count() -> None:
    bucket = TokenBucket(parse_rate("60/m"))
    assert [taken(bucket, at) for at in (0.0, 10.5, 10.5, 500.0)] == [60, 10, 0, 60]


def test_it_tells_after_how_long_there_will_be_one() -> None:
    bucket = TokenBucket(parse_rate("1/h"))
    assert bucket.wait_s(0.0) == 0
    assert bucket.wait_s(900.0) == pytest.approx(2700)
    assert bucket.wait_s(900.0) == pytest.approx(2700), "asking costs nothing"
    assert bucket.wait_s(3600.1) == 0


@pytest.mark.parametrize(("limit", "burst"), [((50, 1.0), 50), ((600, 60.0), 10), ((10, 60.0), 1), ((1, 3600.0), 1)])
def test_with_a_burst_no_more_come_at_once_than_that_time_gives_but_at_least_one(
    limit: tuple[int, float], burst: int
) -> None:
    bucket = TokenBucket(RateLimit(*limit), burst_s=1.0)
    assert bucket.left(0.0) == burst
    bucket.take(burst)
    assert bucket.left(0.0) == 0
    wait_s = bucket.next_s(0.0)
    assert wait_s == pytest.approx(limit[1] / limit[0])
    assert bucket.left(wait_s * 1.001) == 1
    assert bucket.left(1e6) == burst, "it fills up to its burst and no further"
