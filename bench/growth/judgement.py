"""Whether a cost grows faster than its cause. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

EXPONENT_MAX = 1.15
"""Of what may grow as its cause does: 1, and room for the noise of what is measured."""
FLAT_MAX = 1.5
"""Of what must not grow: so much times the median of the points before, which caches take."""

Point = tuple[float, float]
"""Cause and cost."""


class Growth(StrEnum):
    """What is allowed."""

    FLAT = "flat"
    LINEAR = "as its cause"


@dataclass(frozen=True, slots=True)
class Cost:
    """One thing that is measured at each point."""

    name: str
    unit: str
    growth: Growth
    noise: float
    """In its unit: what differs by less is the same."""
    decimals: int = 1


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one cost over its cause."""

    exponent: float
    passed: bool


def judge(cost: Cost, points: Sequence[Point]) -> Judgement:
    """Points by rising cause, at least three."""
    exponent = exponent_of(points, cost.noise)
    if cost.growth is Growth.FLAT:
        usual, last = statistics.median(at for _, at in points[:-1]), points[-1][1]
        return Judgement(exponent, last <= max(usual * FLAT_MAX, usual + cost.noise))
    return Judgement(exponent, exponent <= EXPONENT_MAX)


def exponent_of(points: Sequence[Point], noise: float) -> float:
    """The slope between the last two points, log-log, of what a cost is above the first point.

    So a base that is there without any cause hides nothing. 0 where the last is not above it. Where only the last is,
    the slope is that of the cost itself.
    """
    (cause0, cost0), (cause1, cost1), (cause2, cost2) = points[0], points[-2], points[-1]
    rise1, rise2 = cost1 - cost0, cost2 - cost0
    if rise2 <= noise:
        return 0.0
    if rise1 > noise:
        return math.log(rise2 / rise1) / math.log((cause2 - cause0) / (cause1 - cause0))
    return math.log(cost2 / max(cost1, noise)) / math.log(cause2 / cause1)
