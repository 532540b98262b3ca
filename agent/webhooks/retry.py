"""What becomes of a delivery after an attempt: pure decisions, with DESIGN's outcome table as a table.

outcome                                              the delivery                          the webhook
2xx                                                  delivered                             answers
no HTTP answer                                       waits, no attempt used up; but the    rests
                                                     next attempt if others were answered
429 502 503 504                                      next attempt                          rests
408 425 500, other 5xx but 501 505                   next attempt                          -
3xx                                                  never followed; next attempt          -
401 403 404 407 409 421 451, other 4xx               next attempt                          misconfigured
400 405 406 411 413 414 415 422 431 501 505          five attempts, then dead              -
410, or the header webhook-delivery: disable         waits                                 disabled
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import lru_cache

from agent.model import Attempt, Delivery, Ending, Settlement

JITTER = 0.2
RETRY_AFTER_MAX_S = 86400.0
REFUSALS_MAX = 5
_QUICK_S = (1.0, 2.0, 4.0, 8.0)
"""Before a webhook rests, a delivery without an answer goes again after these."""


@dataclass(slots=True)
class Outcome:
    """What came back of one attempt. Never changed; a frozen one would take four times as long to make."""

    duration_s: float
    status: int | None = None
    """None: no HTTP answer."""
    error: str = ""
    """One word for the kind of error where there is no answer.

    Dns, refused, tls, timeout, reset, protocol, address, network, failed.
    """
    detail: str = ""
    """For people."""
    retry_after_s: float | None = None
    disable: bool = False
    """The answer has the header `webhook-delivery: disable`."""
    answer: bytes = b""
    """Of a failure, the first 512 bytes of the answer."""
    location: str | None = None
    date: float | None = None
    """Unix seconds, as the receiver's clock says."""

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has taken it."""
        return self.status is not None and 200 <= self.status < 300 and not self.disable


class Fate(Enum):
    """What an outcome means to the delivery."""

    DELIVERED = auto()
    NEXT = auto()
    NEXT_FEW = auto()
    """The next attempt, but only few of them."""
    UNANSWERED = auto()
    WAITS = auto()


class Health(Enum):
    """What an outcome means to the webhook."""

    ANSWERS = auto()
    RESTS = auto()
    AS_IT_WAS = auto()
    """It answers, though not with success."""
    MISCONFIGURED = auto()
    DISABLED = auto()


_FEW = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431, 501, 505})
_BUSY = frozenset({429, 502, 503, 504})
_TRANSIENT = frozenset({408, 425})


def judge(outcome: Outcome) -> tuple[Fate, Health]:
    """The row of the table that an outcome stands in."""
    status = outcome.status
    if status is None:
        return Fate.UNANSWERED, Health.RESTS
    if outcome.disable or status == 410:
        return Fate.WAITS, Health.DISABLED
    if outcome.succeeded:
        return Fate.DELIVERED, Health.ANSWERS
    if status in _FEW:
        return Fate.NEXT_FEW, Health.AS_IT_WAS
    if status in _BUSY:
        return Fate.NEXT, Health.RESTS
    if 400 <= status < 500 and status not in _TRANSIENT:
        return Fate.NEXT, Health.MISCONFIGURED
    return Fate.NEXT, Health.AS_IT_WAS


def why_failed(outcome: Outcome) -> str | None:
    """What was the matter with an attempt, in characters that can be written; None: it succeeded."""
    if judge(outcome)[0] is Fate.DELIVERED:
        return None
    why = f"HTTP {outcome.status}" if outcome.status else f"{outcome.error}: {outcome.detail}"
    if outcome.location:
        why += f", redirects to {outcome.location[:200]!r}, which is not followed"
    return why.encode("utf-8", "backslashreplace").decode()


def settle(
    delivery: Delivery,
    outcome: Outcome,
    now: float,
    *,
    delays_s: Sequence[float],
    jitter: float,
    failures: int,
    others_answered: bool,
    attempt: Attempt | None = None,
) -> Settlement:
    """What becomes of a delivery. `jitter` is in [-1, 1].

    `failures` counts the webhook's failures in a row, this one included; `others_answered` says whether it
    answered other deliveries since this one was last tried.
    """
    fate, health = judge(outcome)
    if fate is Fate.DELIVERED:
        return Settlement(delivery, Ending.DELIVERED, attempt=attempt)
    attempts, refusals = delivery.attempts, delivery.refusals
    if fate is Fate.WAITS:
        return _again(delivery, now, attempts, refusals, held=False, attempt=attempt)
    if fate is Fate.UNANSWERED and not others_answered:
        pause_s = _QUICK_S[min(failures, len(_QUICK_S)) - 1]
        return _again(delivery, now + pause_s, attempts, refusals, held=True, attempt=attempt)
    attempts += 1
    if fate is Fate.NEXT_FEW:
        refusals += 1
        if refusals >= REFUSALS_MAX:
            return Settlement(delivery, Ending.DEAD, attempts=attempts, refusals=refusals, attempt=attempt)
    schedule_s = delays_s[min(refusals if fate is Fate.NEXT_FEW else attempts, len(delays_s) - 1)]
    pause_s = max(schedule_s * (1 + JITTER * jitter), outcome.retry_after_s or 0.0)
    held = health is Health.RESTS and not others_answered
    return _again(delivery, now + pause_s, attempts, refusals, held=held, attempt=attempt)


def as_it_was(delivery: Delivery) -> Settlement:
    """For an attempt that was cut off: the delivery goes again as if it had not been tried."""
    return _again(delivery, delivery.due_at, delivery.attempts, delivery.refusals, held=delivery.held)


def parse_retry_after(text: str | None, wall: float) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date), at most a day.

    None where there is none, or none that can be read. `wall` is Unix seconds.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    date = parse_date(text)
    return None if date is None else min(max(0.0, date - wall), RETRY_AFTER_MAX_S)


@lru_cache(maxsize=64)  # all answers of one second have the same
def parse_date(text: str | None) -> float | None:
    """Unix seconds of an HTTP date (RFC 9110, 5.6.7); None where there is none, or none that can be read."""
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _again(
    delivery: Delivery, due_at: float, attempts: int, refusals: int, *, held: bool, attempt: Attempt | None = None
) -> Settlement:
    return Settlement(delivery, Ending.AGAIN, due_at, attempts, refusals, held, attempt)
