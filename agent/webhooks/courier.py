"""The courier of one webhook.

Takes what is due from its mailbox, sends it, and gives back what became of it.

It keeps up to `concurrency` attempts in flight, and starts no more of them than `rate` says. Behind each of them goes
the next that may go at once; `run` begins others while there is room. While the webhook rests nothing goes out; behind
the rest one probe does, and behind its answer the queue drains in a slow start.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

from agent import notices
from agent.clock import DeviceClock, plausible
from agent.model import Attempt, Delivery, Ending, Notice, Rest, Settlement
from agent.webhooks.breaker import Breaker, SlowStart
from agent.webhooks.config import Webhook
from agent.webhooks.headers import signed
from agent.webhooks.retry import JITTER, RETRY_AFTER_MAX_S, Outcome, as_it_was, settle, why_failed
from agent.webhooks.tally import Histogram, Tally
from agent.webhooks.transport import Transport
from drivers.buckets import TokenBucket

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 60.0
"""Then it looks again, as the loop's own clock stands still while the device is suspended."""
_LONG_REST_S = 180.0
"""The end of a longer rest is told."""
_BURST_S = 1.0
"""With `rate`: what it gives in this time may go out at once."""
_HURRY_WITHIN_S = 1.0
"""When the network is there again not all probe in the same moment."""


class Mailbox(Protocol):
    """What a courier asks of the outbox."""

    changed: asyncio.Event
    """Set when something new may be due, but by `settle`, as the courier knows of that; the courier clears it."""
    answers: bool
    """Whether the webhook answered when it was last tried; the courier says it."""

    async def due(self, now: float, n: int) -> list[Delivery]:
        """Up to n that may be sent now, in order; they are lent until settled."""

    def at_hand(self, now: float) -> Delivery | None:
        """The next that may be sent now, where it need not be read from a file; it is lent until settled."""

    async def probe(self) -> Delivery | None:
        """One, taking turns, due or not; it is lent until settled."""

    def next_due(self) -> float | None:
        """When the next that may be lent becomes due; None: nothing waits."""

    async def freeze(self, delivery: Delivery) -> None:
        """Make the bytes of a lent delivery final and durable, before its first attempt."""

    def settle(self, settlement: Settlement) -> None:
        """Give a lent delivery back; durable with the next commit."""

    def release(self, *, every: bool = False) -> None:
        """The webhook answers: all that was held is due; with `every`, all that waits."""

    def clamp(self, latest: float) -> None:
        """Nothing that waits is due later than that."""

    def remember(self, rest: Rest) -> None:
        """Keep a rest over a restart; durable with the next commit."""


@dataclass(slots=True)
class _Flight:
    """One of the attempts at once."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class CourierView:
    """What the status page shows of a webhook."""

    state: str
    """answering, failing, resting, disabled or misconfigured; idle: nothing was sent yet."""
    resting_until: float | None
    last_error: str | None
    in_flight: int
    succeeded: int
    """Attempts since the courier began, as are `failed`, `attempts_by` and `histogram`."""
    failed: int
    attempts_by: Mapping[str, int]
    """Outcome (see `agent.webhooks.tally`) -> attempts."""
    histogram: Histogram
    success_rate: float | None
    """Of the last attempts, from 0 to 1, as are p50 and p95; None: there was none."""
    p50_ms: float | None
    p95_ms: float | None
    ahead_s: float | None
    """The clock of the receiver, less the agent's time line, as its last answer said; None: it has not said."""


class Courier:
    """Delivers for one webhook: `run` until cancelled, or until `stop`."""

    def __init__(
        self,
        name: str,
        config: Webhook,
        mailbox: Mailbox,
        clock: DeviceClock,
        random: Random,
        transport: Transport,
        rest: Rest | None = None,
        tell: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        """`tell` is for those who hear of the agent itself."""
        self._name = name
        self._config = config
        self._keys = config.keys
        self._mailbox = mailbox
        self._clock = clock
        self._random = random
        self._transport = transport
        self._tell = tell
        self._breaker = Breaker.restored(name, config.rest.min, config.rest.max, rest, clock.now())
        self._slow_start = SlowStart(config.concurrency)
        self._bucket = None if config.rate is None else TokenBucket(config.rate, _BURST_S)
        longest_s = max(*config.delays, RETRY_AFTER_MAX_S) * (1 + JITTER)
        mailbox.clamp(clock.now() + longest_s)  # a time further ahead is from a wrong time line
        self._in_flight: set[asyncio.Task[None]] = set()
        self._witness: dict[int, int] = {}
        """Of deliveries that got no answer.

        How many answers the webhook had given when they were last tried.
        """
        self._stopping = self._stopped = False
        self._last_error: str | None = None
        self._ahead_s: float | None = None
        self._tally = Tally()

    async def run(self) -> None:
        """Deliver until cancelled or told to stop."""
        try:
            while not self._stopped:
                self._mailbox.changed.clear()
                for delivery in await self._next():
                    self._launch(delivery)
                await self._wait()
        finally:
            for task in self._in_flight:
                task.cancel()
            await asyncio.gather(*self._in_flight, return_exceptions=True)
            await self._transport.close()

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, and wait for what is in flight, but not for longer.

        What is not settled stays pending.
        """
        self._stopping = True
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=grace_s)
        self._stopped = True
        self._mailbox.changed.set()

    def kept(self) -> Rest:
        """What its successor has to know."""
        return self._breaker.kept()

    def enable(self) -> None:
        """Try again at once, whatever the webhook answered before; durable with the next commit."""
        was_disabled = self._breaker.disabled
        self._breaker.enable()
        self._slow_start.begin()
        self._mailbox.remember(self._breaker.kept())
        if was_disabled:
            self._tell(notices.recovered(self._name, "enabled"))
        self._mailbox.release(every=True)

    def retry(self) -> None:
        """All that waits is due; behind a rest one goes first, to see whether it answers."""
        self._breaker.retry(self._clock.now())
        self._mailbox.remember(self._breaker.kept())
        self._mailbox.release(every=True)

    def disable(self) -> None:
        """Send nothing more but keep the queue; durable with the next commit. What is in flight is finished."""
        was_disabled, self._breaker.disabled = self._breaker.disabled, True
        self._mailbox.remember(self._breaker.kept())
        if not was_disabled:
            self._tell(notices.disabled(self._name, "asked"))

    @property
    def disabled(self) -> bool:
        """Whether nothing is to be sent to the webhook."""
        return self._breaker.disabled

    def hurry(self) -> None:
        """The network is there again: a webhook that rests for lack of an answer is probed within a second."""
        if self._breaker.hurry(self._clock.now(), self._random.uniform(0, _HURRY_WITHIN_S)):
            self._mailbox.changed.set()

    def view(self) -> CourierView:
        """What the status page shows."""
        tally = self._tally
        p50_ms, p95_ms = tally.quantiles_ms(0.5, 0.95)
        return CourierView(
            state=self._state(),
            resting_until=self._breaker.resting_until,
            last_error=self._last_error,
            in_flight=len(self._in_flight),
            succeeded=tally.succeeded,
            failed=tally.failed,
            attempts_by=dict(tally.attempts_by),
            histogram=tally.histogram(),
            success_rate=tally.success_rate,
            p50_ms=p50_ms,
            p95_ms=p95_ms,
            ahead_s=self._ahead_s,
        )

    def _state(self) -> str:
        states = {
            "disabled": self._breaker.disabled,
            "resting": self._breaker.resting,
            "misconfigured": self._breaker.misconfigured,
            "failing": self._last_error is not None,
            "answering": self._tally.succeeded > 0,
        }
        return next((state for state, true in states.items() if true), "idle")

    async def _next(self) -> Sequence[Delivery]:
        """What goes out now."""
        now = self._clock.now()
        room = self._room(now)
        if room <= 0:
            return ()
        if self._bucket is not None:
            self._bucket.take(room)  # another attempt may go on while this looks
        found = await self._found(now, room)
        if self._bucket is not None:
            self._bucket.take(len(found) - room)
        return found

    def _room(self, now: float, ended: int = 0) -> int:
        """How many more may be begun now, where so many of those in flight have just ended."""
        if self._breaker.disabled or self._stopping:
            return 0
        free = self._slow_start.at_once - len(self._in_flight) + ended
        return free if self._bucket is None else min(free, self._bucket.left(now))

    async def _found(self, now: float, n: int) -> Sequence[Delivery]:
        if not self._breaker.resting:
            return await self._mailbox.due(now, n)
        if self._in_flight or now < (self._breaker.resting_until or 0.0):
            return ()
        probe = await self._mailbox.probe()
        return () if probe is None else (probe,)

    async def _wait(self) -> None:
        """Until something may have become due: a change, the end of an attempt (which is one), or a time."""
        due_at = self._next_time()
        pause_s = None if due_at is None else min(_LONGEST_WAIT_S, max(0.0, due_at - self._clock.now()))
        try:
            async with asyncio.timeout(pause_s):
                await self._mailbox.changed.wait()
        except TimeoutError:
            pass

    def _next_time(self) -> float | None:
        if self._breaker.disabled or self._stopping or len(self._in_flight) >= self._slow_start.at_once:
            return None
        due_at = self._mailbox.next_due()
        if self._breaker.resting and due_at is not None:
            due_at = None if self._in_flight else self._breaker.resting_until
        if self._bucket is None or due_at is None:
            return due_at
        now = self._clock.now()
        return max(due_at, now + self._bucket.next_s(now))

    def _launch(self, delivery: Delivery) -> None:
        flight = _Flight(delivery)
        task = asyncio.create_task(self._fly(flight))
        self._in_flight.add(task)
        task.add_done_callback(partial(self._landed, flight))

    async def _fly(self, flight: _Flight) -> None:
        """One attempt after the other, while something may go at once: a flood needs few tasks."""
        await self._attempt(flight.delivery)
        while following := self._following():
            flight.delivery = following
            await self._attempt(following)

    def _following(self) -> Delivery | None:
        """What may go in place of an attempt that has ended."""
        now = self._clock.now()
        if self._breaker.resting or self._room(now, ended=1) <= 0:
            return None
        found = self._mailbox.at_hand(now)
        if self._bucket is not None and found is not None:
            self._bucket.take(1)
        return found

    def _landed(self, flight: _Flight, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if task.cancelled():  # nobody knows what came of it
            self._mailbox.settle(as_it_was(flight.delivery))
        self._mailbox.changed.set()

    async def _attempt(self, delivery: Delivery) -> None:
        if delivery.untimed:
            await self._mailbox.freeze(delivery)
        if delivery.expires_at <= self._clock.now():
            self._witness.pop(delivery.id, None)
            self._mailbox.settle(Settlement(delivery, Ending.EXPIRED))
            return
        answers = self._witness.setdefault(delivery.id, self._breaker.answers)
        timestamp = int(self._clock.wall())
        headers = signed(self._config.signature, self._keys, delivery.event_id, timestamp, delivery.body)
        outcome = await self._post(delivery.body, {**delivery.headers, **headers}, delivery.suffix)
        self._settle(delivery, outcome, others_answered=self._breaker.answers > answers)

    async def _post(self, body: bytes, headers: Mapping[str, str], suffix: str) -> Outcome:
        try:
            return await self._transport.post(body, headers, suffix)
        except Exception as error:  # else its subject would be lent for ever
            log.exception("%s: an attempt failed in a way that should not be", self._name)
            return Outcome(duration_s=0.0, error="failed", detail=type(error).__name__)

    def _settle(self, delivery: Delivery, outcome: Outcome, *, others_answered: bool) -> None:
        now = self._clock.now()
        before, answers, away_since = self._breaker.kept(), self._breaker.answers, self._breaker.away_since
        ended = self._breaker.note(outcome, now, self._jitter(outcome))
        if self._breaker.answers > answers:
            self._pace(rested=before.resting_until is not None)
        settlement = settle(
            delivery,
            outcome,
            now,
            delays_s=self._config.delays,
            jitter=self._jitter(outcome),
            failures=self._breaker.failures,
            others_answered=others_answered,
            attempt=self._attempted(outcome, now) if delivery.tried or not outcome.succeeded else None,
        )
        self._witness.pop(delivery.id, None)
        self._mailbox.answers = outcome.status is not None
        if settlement.ending is Ending.AGAIN:
            self._witness[delivery.id] = self._breaker.answers
            self._mailbox.changed.set()
        self._note(delivery, outcome, settlement)
        self._mailbox.settle(settlement)
        if (kept := self._breaker.kept()) != before:
            self._mailbox.remember(kept)
        self._tell_of_change(now, disabled_before=before.disabled, away_since=away_since)
        if ended:
            self._mailbox.release()

    def _tell_of_change(self, now: float, *, disabled_before: bool, away_since: float | None) -> None:
        if self._breaker.disabled and not disabled_before:
            self._tell(notices.disabled(self._name, "gone"))
        elif away_since is not None and self._breaker.away_since is None and now - away_since > _LONG_REST_S:
            self._tell(notices.recovered(self._name, "answers", now - away_since))

    def _jitter(self, outcome: Outcome) -> float:
        """From -1 to 1, for what is put off."""
        return 0.0 if outcome.succeeded else self._random.uniform(-1, 1)

    def _attempted(self, outcome: Outcome, now: float) -> Attempt:
        """For the log of the delivery, which has none of what succeeds at once."""
        error = why_failed(outcome)
        wall, took_s = self._clock.wall(), outcome.duration_s
        return Attempt(now - took_s, wall - took_s, took_s, outcome.status, error, outcome.answer)

    def _pace(self, *, rested: bool) -> None:
        """Behind an answer: how many may be in flight."""
        if rested:
            self._slow_start.begin()
        elif self._slow_start.answered():
            self._mailbox.changed.set()

    def _note(self, delivery: Delivery, outcome: Outcome, settlement: Settlement) -> None:
        self._tally.note(outcome)
        if outcome.date is not None and plausible(outcome.date):
            self._ahead_s = outcome.date - self._clock.now()
        if settlement.ending is Ending.DELIVERED:
            if self._last_error is not None:
                log.info("%s: answers again", self._name)
            self._last_error = None
            return
        told = self._last_error
        self._last_error = why_failed(outcome)
        if told is None:
            log.warning("%s: %s", self._name, self._last_error)
        if settlement.ending is Ending.DEAD:
            log.error(
                "%s: %s is a dead letter after %d attempts",
                self._name,
                delivery.event_id,
                settlement.attempts,
            )
