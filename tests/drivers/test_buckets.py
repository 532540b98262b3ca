"""How many a token bucket lets through."""

import pytest

from drivers.buckets import TokenBucket
from drivers.units import parse_rate


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
