"""Whether a cost grows faster than its cause."""

from collections.abc import Callable

import pytest

from bench.growth.judgement import Cost, Growth, judge

FLAT = Cost("a reading", "us", Growth.FLAT, noise=2.0)
LINEAR = Cost("memory", "MiB", Growth.LINEAR, noise=2.0)
CAUSES = (10, 100, 1_000, 10_000)


@pytest.mark.parametrize(
    ("cost", "of", "passed"),
    [
        (FLAT, lambda _: 20.0, True),
        (FLAT, lambda n: 1.0 + n / 10_000, True),  # within the noise
        (FLAT, lambda n: 20.0 + n / 100, False),
        (LINEAR, lambda n: 50.0 + n / 100, True),  # a base beneath it is no growth
        (LINEAR, lambda _: 50.0, True),
        (LINEAR, lambda n: n / 10, True),
        (LINEAR, lambda n: 50.0 + (n / 200) ** 2, False),
        (LINEAR, lambda n: (n / 10) ** 1.3, False),
        (LINEAR, lambda n: 1.0 + n**3 / 1e10, False),  # nothing of it was to be seen before the last point
    ],
)
def test_what_grows_too_fast_is_caught_and_nothing_else(cost: Cost, of: Callable[[int], float], passed: bool) -> None:
    assert judge(cost, [(n, of(n)) for n in CAUSES]).passed is passed


def test_the_exponent_is_that_of_what_grows_above_its_base() -> None:
    assert judge(LINEAR, [(n, 50.0 + 3 * n) for n in (1, 2, 5, 10, 20)]).exponent == pytest.approx(1)
    assert judge(LINEAR, [(n, 50.0 + 3 * (n - 1) ** 2) for n in (1, 2, 5, 10, 20)]).exponent == pytest.approx(2)
