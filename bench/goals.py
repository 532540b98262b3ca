"""The goals of speed (DESIGN §11), and whether the figures reach them."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench import figures
from bench.contenders.bare_chain import CHAIN, CHAIN_FAST
from bench.contenders.bellcrank import BELLCRANK, BELLCRANK_FAST
from bench.contenders.contender import Contender
from bench.contenders.node_red import NODE_RED
from bench.contenders.noop import NOOP
from bench.contenders.paho_requests import PAHO_REQUESTS
from bench.figures import Figure

Rounds = Mapping[int, float]
"""What a figure was in each round in which it could be measured."""
Results = Mapping[str, Mapping[Figure, Rounds]]
"""By the name of a contender and the figure."""


@dataclass(frozen=True)
class Goal:
    """What a contender's figure has to be at least or at most, as it is or beside a peer's of the same round."""

    contender: Contender
    figure: Figure
    at_least: float | None = None
    at_most: float | None = None
    times: Contender | None = None
    """Meant is the ratio to the figure of this peer."""
    more_than: Contender | None = None
    """Meant is the difference to the figure of this peer, which may well be 0."""

    @property
    def asked(self) -> str:
        bound, word = (self.at_most, "at most") if self.at_least is None else (self.at_least, "at least")
        if self.times is not None:
            return f"{word} {bound:g} x {self.times.name}"
        if self.more_than is not None:
            return f"no more than {self.more_than.name}"
        return f"{word} {bound:,g} {self.figure.unit}"


class Spread(NamedTuple):
    """Of a figure over the rounds."""

    low: float
    median: float
    high: float


def spread(values: Collection[float]) -> Spread:
    return Spread(min(values), statistics.median(values), max(values))


def measured(goal: Goal, results: Results) -> Spread | None:
    """The figure, ratio or difference that the goal is about; None where it was not measured."""
    ours, peer = _rounds(results, goal.contender, goal.figure), goal.times or goal.more_than
    if peer is None:
        return spread(ours.values()) if ours else None
    pairs = _pairs(ours, _rounds(results, peer, goal.figure))
    if not pairs:
        return None
    if goal.more_than is not None:
        return spread([own - theirs for own, theirs in pairs])
    return spread([own / theirs for own, theirs in pairs])


def by_cpu(goal: Goal, results: Results) -> Spread | None:
    """The ratio of a rate once more, as that of the peer's CPU time to ours; None where there is none."""
    if goal.times is None or goal.figure not in figures.CPU_OF:
        return None
    figure = figures.CPU_OF[goal.figure]
    pairs = _pairs(_rounds(results, goal.contender, figure), _rounds(results, goal.times, figure))
    ratios = [theirs / own for own, theirs in pairs if own]  # the clock ticks in hundredths of a second
    return spread(ratios) if ratios else None


def _rounds(results: Results, contender: Contender, figure: Figure) -> Rounds:
    return results.get(contender.name, {}).get(figure, {})


def _pairs(ours: Rounds, theirs: Rounds) -> Sequence[tuple[float, float]]:
    """What both had in the same round."""
    return [(ours[number], theirs[number]) for number in ours if number in theirs]


def reached(goal: Goal, found: Spread) -> bool:
    """Whether the median of the rounds does."""
    if goal.at_least is not None:
        return found.median >= goal.at_least
    assert goal.at_most is not None
    return found.median <= goal.at_most


GOALS: Sequence[Goal] = (
    Goal(BELLCRANK, figures.WEBHOOKS, at_least=1.5, times=NODE_RED),
    Goal(BELLCRANK_FAST, figures.WEBHOOKS, at_least=2.5, times=NODE_RED),
    Goal(BELLCRANK, figures.WEBHOOKS, at_least=0.8, times=CHAIN),
    Goal(BELLCRANK_FAST, figures.WEBHOOKS, at_least=0.8, times=CHAIN_FAST),
    Goal(BELLCRANK, figures.READINGS, at_least=0.6, times=NOOP),
    Goal(BELLCRANK, figures.WRITTEN_READINGS, at_most=0),
    Goal(BELLCRANK, figures.P50, at_most=2, times=PAHO_REQUESTS),
    Goal(BELLCRANK, figures.LOST_LIMITS, at_most=0, more_than=NOOP),
    Goal(BELLCRANK, figures.RSS_IDLE, at_most=60),
    Goal(BELLCRANK, figures.RSS_FLOOD, at_most=90),
    Goal(BELLCRANK, figures.RSS_WAITING, at_most=128),
    Goal(BELLCRANK, figures.WRITTEN_LONE, at_most=24_000),
    Goal(BELLCRANK, figures.WRITTEN_FLOOD, at_most=3_000),
    Goal(BELLCRANK, figures.READY, at_most=1),
    Goal(BELLCRANK, figures.CPU_IDLE, at_most=0.5),
    Goal(BELLCRANK, figures.LOST_AWAY, at_most=0),
    Goal(BELLCRANK, figures.LOST_KILL, at_most=0),
)
