"""The courier's memory of whether its receiver answers.

Five failures marked *rests* in a row, in the order of completion, let the webhook rest, 30 s at first and
doubling to 15 min; behind a rest exactly one probe goes out. Any answer that is not marked so ends the
rest. 429 and 503 with Retry-After rest at once, for as long as they say. What is in flight when a rest
begins makes it no longer, unless it brings a longer Retry-After. A network that comes back brings the probe
forward where there was no answer, but never to before what a Retry-After says.
"""

from dataclasses import dataclass

from agent.model import Rest
from agent.webhooks.retry import JITTER, RETRY_AFTER_MAX_S, Health, Outcome, judge

FAILURES_BEFORE_REST = 5
_HONOURED = frozenset({429, 503})


@dataclass(slots=True)
class SlowStart:
    """How many attempts may be in flight: `most`, but after a rest 1, 2, 4 ... as each round is answered."""

    most: int
    at_once: int = 0
    _answered: int = 0

    def __post_init__(self) -> None:
        self.at_once = self.at_once or self.most

    def begin(self) -> None:
        """The receiver is there again: one at first."""
        self.at_once, self._answered = 1, 0

    def answered(self) -> bool:
        """One more answer; as many as were allowed make a round. Returns whether more may be in flight now."""
        self._answered += 1
        if self.at_once >= self.most or self._answered < self.at_once:
            return False
        self.at_once, self._answered = min(self.most, self.at_once * 2), 0
        return True


@dataclass(slots=True)
class Breaker:
    """Of one webhook; time and jitter are passed in."""

    webhook: str
    rest_min_s: float
    rest_max_s: float
    failures: int = 0
    """Marked *rests*, in a row."""
    rests: int = 0
    """In a row."""
    answers: int = 0
    """In all: whether others were answered meanwhile is a difference of these."""
    resting_until: float | None = None
    asked_until: float | None = None
    """What Retry-After said."""
    unanswered: bool = True
    """Whether the last of the failures had no answer; of those before a restart that is not known."""
    away_since: float | None = None
    """When it began to rest, as far as this process knows; None: it does not."""
    disabled: bool = False
    misconfigured: bool = False

    def __post_init__(self) -> None:
        if self.rest_min_s > self.rest_max_s:
            raise ValueError("the shortest rest is longer than the longest")

    @classmethod
    def restored(cls, webhook: str, rest_min_s: float, rest_max_s: float, rest: Rest | None, now: float) -> "Breaker":
        """Take up what was kept over a restart; a rest from a wrong time is no longer than the longest can be."""
        breaker = cls(webhook, rest_min_s, rest_max_s)
        if rest is not None:
            breaker.disabled = rest.disabled
            if rest.resting_until is not None:
                longest_s = max(rest_max_s * (1 + JITTER), RETRY_AFTER_MAX_S)
                breaker.resting_until = min(rest.resting_until, now + longest_s)
                breaker.asked_until = rest.asked_until
                breaker.rests, breaker.failures, breaker.away_since = 1, FAILURES_BEFORE_REST, now
        return breaker

    @property
    def resting(self) -> bool:
        """Whether it rests, or its rest is over but no probe was answered yet."""
        return self.resting_until is not None

    def note(self, outcome: Outcome, now: float, jitter: float) -> bool:
        """Take in what came back of an attempt.

        Returns whether that ended a row of failures, as the first answer since the start may.
        """
        _, health = judge(outcome)
        if health is Health.RESTS:
            self._failed(outcome, now, jitter)
            return False
        self.answers += 1
        self.disabled = self.disabled or health is Health.DISABLED
        if health is not Health.AS_IT_WAS:
            self.misconfigured = health is Health.MISCONFIGURED
        ended = self.failures > 0 or self.resting or self.answers == 1
        self._begin_anew()
        return ended

    def hurry(self, now: float, jitter_s: float) -> bool:
        """The network is there again: a rest for lack of an answer ends so soon, and rests begin with the shortest.

        Returns whether the probe is brought forward.
        """
        if self.resting_until is None or not self.unanswered:
            return False
        self.rests = 0
        probe_at = max(now + jitter_s, self.asked_until or 0.0)
        sooner = probe_at < self.resting_until
        self.resting_until = min(probe_at, self.resting_until)
        return sooner

    def retry(self, now: float) -> None:
        """Somebody wants to know now, whatever Retry-After says: a rest ends, and rests begin with the shortest."""
        self.rests, self.asked_until = 0, None
        if self.resting_until is not None:
            self.resting_until = min(now, self.resting_until)

    def enable(self) -> None:
        """Begin anew, as if the webhook had never failed."""
        self.disabled = self.misconfigured = False
        self._begin_anew()

    def kept(self) -> Rest:
        """What is kept over a restart."""
        return Rest(self.webhook, self.resting_until, self.disabled, self.asked_until)

    def _begin_anew(self) -> None:
        self.failures, self.rests = 0, 0
        self.resting_until = self.asked_until = self.away_since = None

    def _failed(self, outcome: Outcome, now: float, jitter: float) -> None:
        self.failures += 1
        self.unanswered = outcome.status is None
        rest_s = (outcome.retry_after_s or 0.0) if outcome.status in _HONOURED else 0.0
        if rest_s:
            self.asked_until = max(now + rest_s, self.asked_until or 0.0)
        probing = self.resting_until is not None and self.resting_until <= now
        if probing or (not self.resting and self.failures >= FAILURES_BEFORE_REST):
            row_s = min(self.rest_max_s, self.rest_min_s * 2.0 ** min(self.rests, 30)) * (1 + JITTER * jitter)
            rest_s = max(rest_s, row_s)
            self.rests += 1
        if rest_s:
            self.resting_until = max(now + rest_s, self.resting_until or 0.0)
            self.away_since = now if self.away_since is None else self.away_since
