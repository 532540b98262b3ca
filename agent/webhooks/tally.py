"""What the attempts of one webhook came to: pure counts, since its courier began.

The outcomes are a closed set of words, one for each row of the table in `agent.webhooks.retry`, and where there was no
answer the kind of error that `agent.webhooks.transport` tells:

delivered       2xx
unavailable     429 502 503 504
error           408 425 500, other 5xx but 501 505
redirected      3xx
misconfigured   401 403 404 407 409 421 451, other 4xx
rejected        400 405 406 411 413 414 415 422 431 501 505
gone            410, or the header webhook-delivery: disable
dns refused tls timeout reset protocol address proxy network failed     no HTTP answer
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from agent.webhooks.retry import Fate, Health, Outcome, judge

UNANSWERED: Final = ("dns", "refused", "tls", "timeout", "reset", "protocol", "address", "proxy", "network", "failed")
_ANSWERED: Final = {
    (Fate.DELIVERED, Health.ANSWERS): "delivered",
    (Fate.NEXT, Health.RESTS): "unavailable",
    (Fate.NEXT, Health.AS_IT_WAS): "error",
    (Fate.NEXT, Health.MISCONFIGURED): "misconfigured",
    (Fate.NEXT_FEW, Health.AS_IT_WAS): "rejected",
    (Fate.WAITS, Health.DISABLED): "gone",
}
OUTCOMES: Final = (*_ANSWERED.values(), "redirected", *UNANSWERED)

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
"""Upper bounds of the histogram, each within its bucket: from a receiver on the same device to the longest attempt."""
LATELY = 100
"""Attempts over which the success rate, p50 and p95 are taken."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long attempts took."""

    bounds_s: Sequence[float] = BOUNDS_S
    counts: Sequence[int] = (0,) * (len(BOUNDS_S) + 1)
    """Attempts in each bucket, not cumulative; the last one, behind the highest bound, has no bound."""
    sum_s: float = 0.0

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.counts)


class _Attempt(NamedTuple):
    duration_s: float
    delivered: bool


class Tally:
    """Counts attempts as they end; one that was cut off is none."""

    def __init__(self) -> None:
        self.attempts_by: Counter[str] = Counter()
        """Outcome -> attempts."""
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self._lately: deque[_Attempt] = deque(maxlen=LATELY)

    def note(self, outcome: Outcome) -> None:
        """Count one attempt."""
        word = word_for(outcome)
        self.attempts_by[word] += 1
        self._counts[bisect_left(BOUNDS_S, outcome.duration_s)] += 1
        self._sum_s += outcome.duration_s
        self._lately.append(_Attempt(outcome.duration_s, word == "delivered"))

    @property
    def succeeded(self) -> int:
        """Attempts that delivered."""
        return self.attempts_by["delivered"]

    @property
    def failed(self) -> int:
        """All others."""
        return self.attempts_by.total() - self.succeeded

    @property
    def success_rate(self) -> float | None:
        """Of the last LATELY attempts, from 0 to 1; None: there was none."""
        return sum(one.delivered for one in self._lately) / len(self._lately) if self._lately else None

    def histogram(self) -> Histogram:
        """How long all of them took."""
        return Histogram(counts=tuple(self._counts), sum_s=self._sum_s)

    def quantiles_ms(self, *quantiles: float) -> list[float | None]:
        """Of the durations of the last LATELY attempts, in milliseconds; None: there was none."""
        durations_s = sorted(one.duration_s for one in self._lately)
        last = len(durations_s) - 1
        return [durations_s[min(last, int(len(durations_s) * q))] * 1000 if durations_s else None for q in quantiles]


def word_for(outcome: Outcome) -> str:
    """One of OUTCOMES."""
    if outcome.status is None:
        return outcome.error if outcome.error in UNANSWERED else "failed"
    word = _ANSWERED[judge(outcome)]
    return "redirected" if word == "error" and 300 <= outcome.status < 400 else word
