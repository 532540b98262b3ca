"""The one pipeline.

What all feeds have waiting goes through the rules, into one commit, and only then is acknowledged.

A round takes every batch that waits, merges their messages and the timers by time, runs the pure step over
them, commits once if there is anything to keep, installs the new memory, and lets the feeds go on. What
arrives during a commit is the next round, so load makes group commits by itself and a lone press waits for
nothing.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from agent.clock import DeviceClock, plausible
from agent.counts import Counts
from agent.model import Moment, Notice
from agent.notices import exhausted
from agent.outbox import Batch, BatchRefused, Envelope, Filter, Ledger, Moved, Outbox, Span, moving
from agent.outbox.sweeping import SWEEP_EVERY_S
from agent.round import Input, Round
from agent.rules import Engine, Step
from drivers.base import Batch as FeedBatch
from drivers.base import Message, Refusal

log = logging.getLogger(__name__)
T = TypeVar("T")

MARKS_WITHIN_S = 1.0
"""Marks of deliveries ride in the next commit; at the latest after this they get one of their own."""
MARKS_MAX = 256
"""So many get one at once."""
SOFT_WITHIN_S = 60.0
"""The same for soft memory."""
EXHAUSTED_EVERY_S = 60.0
"""Dead letters are told of at most so often."""
_LONGEST_WAIT_S = 5.0
_LOOK_EVERY_S = 1.0
"""At the wall clock, while first attempts wait for it."""
_NOTICES_MAX = 256
"""So many wait, where nothing can be committed."""


class _Waiting(NamedTuple):
    feed: str
    batch: FeedBatch
    done: asyncio.Future[None]


class _Asked(NamedTuple):
    """A command: done behind all that arrived before it."""

    work: Callable[[], Awaitable[Any]]
    result: asyncio.Future[Any]


class Pipeline:
    """Feeds hand batches over with `take`; `run` works until it is told to `stop`."""

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        ledgers: Mapping[str, Sequence[bytes]],
        clock: DeviceClock,
        envelope: Envelope,
        subscriptions: Mapping[str, Mapping[str, int]] | None = None,
        behind_since: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.behind_since = behind_since
        """When the oldest message arrived that some feed has read and not handed over; None: there is none.

        No timer runs further, since that message may have something to say about it.
        """
        self._engine = engine
        self._outbox = outbox
        self._clock = clock
        self._envelope = envelope
        self._stopping = False
        self._ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)
        self._ledgers.update({feed: Ledger(saved) for feed, saved in ledgers.items()})
        self.subscriptions: dict[str, Mapping[str, int]] = dict(subscriptions or {})
        """What each feed's filters and identifiers are, as committed: for drivers that are made anew."""
        self._waiting: list[_Waiting] = []
        self._asked: list[_Asked] = []
        self._notices: list[Input] = []
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        """Wakes it at the latest when something is due."""
        self._marks_due: float | None = None
        self._sweep_due = 0.0
        self._exhausted_due = 0.0
        self.moved_at = clock.now()
        """When the last round ended: the sign of life for /healthz."""
        self.counts = Counts()
        self.on_step: Callable[[Step], None] = lambda _: None
        """Shown each step once it is durable and installed; it may not raise."""
        outbox.gathering.on_mark, outbox.telling.tell = self._mark, self.tell

    async def take(self, feed: str, batch: FeedBatch) -> None:
        """Hand over what a feed has read.

        Returns when it is durably handled, so that it may be acknowledged.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(feed, batch, done))
        self._wake.set()
        await done

    def tell(self, notice: Notice) -> None:
        """Tell those who hear of the agent itself, with the next commit. Never waits; too many are dropped."""
        if len(self._notices) >= _NOTICES_MAX:
            log.error("too much waits to be told of the agent itself: %s of %s is not", notice.type, notice.subject)
            return
        self._notices.append(Input(self._clock.now(), "", notice))
        self._wake.set()

    async def begin(self, step: Step) -> None:
        """Commit the engine's first step: what a changed configuration has to tell."""
        await self._handle(step, [])

    async def forget(self, sensor: str) -> bool:
        """Forget all of a sensor and resolve its alerts. Returns whether anything was known of it."""
        return await self._ask(partial(self._forget, sensor))

    async def follow(
        self, engine: Engine, expires_s: Mapping[str, float], envelope: Envelope, unordered: Collection[str] = ()
    ) -> None:
        """Go on with other rules, which take over the memory, and with other webhooks.

        `expires_s`: how long each webhook is owed an event; `envelope`: what each is sent; `unordered`: those that are
        owed them in no order. Durable when it returns; where it raises, nothing has changed.
        """
        await self._ask(partial(self._follow, engine, expires_s, envelope, unordered))

    async def replay(self, wanted: Filter, span: Span) -> Moved:
        """Send again what was delivered or is dead, a step of the span. Durable when it returns."""
        return await self._ask(lambda: moving.replay(self._outbox, self._clock.moment(), wanted, span))

    async def discard(self, wanted: Filter, span: Span) -> Moved:
        """Give up what is pending or dead, a step of the span. Durable when it returns."""
        return await self._ask(lambda: moving.discard(self._outbox, self._clock.moment(), wanted, span))

    @property
    def engine(self) -> Engine:
        """The rules and their memory, to look at."""
        return self._engine

    async def flush(self) -> None:
        """Commit the marks that wait, now."""
        if self._outbox.marks:
            self._marks_due = self._clock.now()
        await self.take("", ())

    async def run(self) -> None:
        """Work until stopped; then commit what was in memory only."""
        while not self._stopping:
            await self._work()
            asked, self._asked = self._asked, []
            await self._round()
            for command in asked:
                await _answer(command)
        if self._alarm is not None:
            self._alarm.cancel()
        await self._round(last=True)

    def stop(self) -> None:
        """Let `run` end with the round that it is in."""
        self._stopping = True
        self._wake.set()

    # -- when there is something to do

    async def _work(self) -> None:
        """Wait until a batch waits or a time has come."""
        self._look_at_clock()
        while not (self._stopping or self._has_input() or self._due() <= self._clock.now()):
            self._wake.clear()
            self._set_alarm(self._pause_s())
            await self._wake.wait()
            self.moved_at = self._clock.now()
            self._look_at_clock()

    def _set_alarm(self, pause_s: float) -> None:
        """Be woken after that time, or before: an alarm that comes too early is set again, and most never come."""
        loop = asyncio.get_running_loop()
        at = loop.time() + pause_s
        if self._alarm is not None and self._alarm.when() > at:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None:
            self._alarm = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    def _pause_s(self) -> float:
        now = self._clock.now()
        longest_s = _LOOK_EVERY_S if now < self._outbox.mailroom.waiting_until else _LONGEST_WAIT_S
        return min(longest_s, self._due() - now)

    def _look_at_clock(self) -> None:
        """First attempts wait only while the year cannot be."""
        if self._clock.now() < self._outbox.mailroom.waiting_until and plausible(self._clock.wall()):
            self._outbox.mailroom.release_untimed()

    def _has_input(self) -> bool:
        return bool(self._waiting or self._asked or self._notices)

    def _due(self) -> float:
        soft_since = self._engine.soft_since()
        times = (
            self._next_timer(),
            self._marks_due,
            None if soft_since is None else soft_since + SOFT_WITHIN_S,
            self._sweep_due,
            self._exhausted_due if self._outbox.sweeper.untold else None,
        )
        return min(time for time in times if time is not None)

    def _next_timer(self) -> float | None:
        """When a timer ends that may run; what a feed still has to hand over comes by itself."""
        due = self._engine.next_due()
        if due is None:
            return None
        behind_since = self.behind_since()
        return due if behind_since is None or due <= behind_since else None

    def _mark(self) -> None:
        at_once = self._outbox.freezing.is_urgent or self._outbox.marks >= MARKS_MAX
        if self._marks_due is not None and not at_once:
            return  # one before it has set a time
        due = self._clock.now() + (0.0 if at_once else MARKS_WITHIN_S)
        if self._marks_due is None or due < self._marks_due:
            self._marks_due = due
            self._wake.set()

    # -- one round

    async def _round(self, *, last: bool = False) -> None:
        waiting, self._waiting = self._waiting, []
        notices, self._notices = self._notices, []
        inputs = notices + [Input(message.at, w.feed, message) for w in waiting for message in w.batch]
        if len(waiting) + len(notices) > 1:
            inputs.sort(key=lambda entry: entry.at)
        try:
            await self._handle(self._engine.step(self._clock.moment()), inputs, last=last)
        except BatchRefused as refused:
            log.error("a batch of %d messages could not be stored, trying them one by one: %s", len(inputs), refused)
            await self._handle_singly(inputs)
        for w in waiting:
            if not w.done.done():
                w.done.set_result(None)
        self.moved_at = self._clock.now()

    async def _handle(self, step: Step, inputs: Sequence[Input], *, last: bool = False) -> None:
        """Evaluate, commit where there is something to keep, install. Raises BatchRefused.

        Then nothing has changed.
        """
        engine, now = self._engine, step.moment.at
        round_ = Round(engine, step, self._ledgers, partial(self._outbox.draft, step.moment, self._envelope))
        try:
            behind_since = self.behind_since()
            round_.evaluate(inputs, now if behind_since is None else min(now, behind_since))
            told_of_dead = await self._tell_of_dead(round_)
            due = last or told_of_dead or self._must_commit(round_)
            committed = (due or now >= self._sweep_due) and await self._commit(
                round_, due=due, told_of_dead=told_of_dead, last=last
            )
        except BatchRefused:
            for ledger in self._ledgers.values():
                ledger.discard()
            raise
        step.install(committed=committed)
        self.subscriptions.update(round_.subscriptions)
        for ledger in self._ledgers.values():
            ledger.install(committed=committed)
        self.counts.count(inputs, round_)
        self.on_step(step)

    async def _tell_of_dead(self, round_: Round) -> bool:
        """Owe what there is to tell of new dead letters, at most once a minute. Returns whether there are any."""
        now = round_.step.moment.at
        if not self._outbox.sweeper.untold or now < self._exhausted_due:
            return False
        found = await self._outbox.sweeper.exhausted(now)
        if self._outbox.sweeper.untold:
            self._exhausted_due = now + EXHAUSTED_EVERY_S
        for notice in exhausted(found):
            round_.take_notice(notice, now)
        return bool(found)

    def _must_commit(self, round_: Round) -> bool:
        now = round_.step.moment.at
        soft_since = self._engine.soft_since()
        return bool(
            round_.step.hard
            or (round_.draft is not None and round_.draft.owed)
            or round_.subscriptions
            or self._outbox.freezing.is_urgent
            or self._outbox.store.wants_whole
            or any(ledger.due for ledger in self._ledgers.values())
            or (self._marks_due is not None and now >= self._marks_due)
            or (soft_since is not None and now >= soft_since + SOFT_WITHIN_S)
        )

    async def _commit(self, round_: Round, *, due: bool, told_of_dead: bool, last: bool) -> bool:
        """Write what a round has to keep; where it is not `due`, a sweep may ask for it. Returns whether it did."""
        moment, outbox = round_.step.moment, self._outbox
        draft = round_.draft or outbox.draft(moment, self._envelope)
        batch = draft.batch()
        batch.subscriptions, batch.last = round_.subscriptions, last
        batch.frozen = await outbox.freezing.frozen(moment, self._envelope)
        batch.exhausted_before = moment.at if told_of_dead else None
        if moment.at >= self._sweep_due:
            batch.expired, batch.purge, more = await outbox.sweeper.sweep(moment.at, holds=self._engine.holds)
            self._sweep_due = moment.at if more else moment.at + SWEEP_EVERY_S
        if not (due or batch.expired or batch.purge or batch.frozen or outbox.store.wants_whole):
            return False
        self._marks_due = None
        self._fill(batch, round_.step)
        try:
            await outbox.commit(batch)
        finally:
            if outbox.marks:
                self._mark()
        return True

    def _fill(self, batch: Batch, step: Step) -> None:
        """With what the memory, the ledgers and the subscriptions have to keep."""
        batch.memory, batch.whole = step.rows(), self._outbox.store.wants_whole
        if batch.whole:
            batch.memory = {**self._engine.rows(), **batch.memory}
            batch.subscriptions = {**self.subscriptions, **batch.subscriptions}
        additions = {feed: ledger.addition(whole=batch.whole) for feed, ledger in self._ledgers.items()}
        batch.ledger = {feed: addition for feed, addition in additions.items() if any(addition)}

    async def _handle_singly(self, inputs: Sequence[Input]) -> None:
        """After a batch that could not be stored: find the message or the timer, give it up, keep the others."""
        for entry in inputs:
            await self._handle_timers(entry.at)
            try:
                await self._handle(self._step_at(entry.at), [entry])
            except BatchRefused as refused:
                await self._refuse(entry, str(refused))
        await self._handle_timers(self._clock.now())

    async def _handle_timers(self, until: float) -> None:
        """Run the timers that are due by then, without a message."""
        try:
            await self._handle(self._step_at(until), [])
        except BatchRefused as refused:
            log.critical("what a timer had to tell could not be stored, its hold begins anew: %s", refused)
            self._engine.skip_timers(until)

    def _step_at(self, at: float) -> Step:
        moment = self._clock.moment()
        at = min(at, moment.at)
        return self._engine.step(Moment(at, moment.wall_of(at), moment.synced))

    async def _refuse(self, entry: Input, why: str) -> None:
        message = entry.message
        if isinstance(message, Notice):
            log.error("%s of %s could not be told: %s", message.type, message.subject, why)
            return
        if not isinstance(message, Message):
            raise RuntimeError(f"a {type(message).__name__} could not be stored: {why}")
        refusals = tuple(Refusal(source, None, "not_storable", why[:80]) for source in message.sources)
        refused = Input(entry.at, entry.feed, message._replace(readings=(), refusals=refusals))
        await self._handle(self._step_at(entry.at), [refused])

    # -- commands

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(work, result))
        self._wake.set()
        return await result

    async def _follow(
        self, engine: Engine, expires_s: Mapping[str, float], envelope: Envelope, unordered: Collection[str] = ()
    ) -> None:
        if self._outbox.marks:  # a mailbox may be read from the file anew
            self._marks_due = self._clock.now()
            await self._handle(self._step_at(self._marks_due), [])
        before, webhooks_before, envelope_before = self._engine, self._outbox.expires_s, self._envelope
        step = engine.load(before.rows(), 0.0, self._clock.moment(), before)
        await self._outbox.adopt(expires_s, unordered)
        self._engine, self._envelope = engine, envelope
        try:
            await self._handle(step, [])
        except BaseException:
            self._engine, self._envelope = before, envelope_before
            self._outbox.expires_s = webhooks_before
            raise
        self.counts.keep(engine.rules)

    async def _forget(self, sensor: str) -> bool:
        step = self._engine.step(self._clock.moment())
        known = step.forget_sensor(sensor)
        await self._handle(step, [])
        return self.counts.forget(sensor) or known


async def _answer(command: _Asked) -> None:
    """Do it, and tell who asked; what fails there is raised there."""
    try:
        value = await command.work()
    except Exception as error:  # noqa: BLE001
        if not command.result.done():
            command.result.set_exception(error)
    else:
        if not command.result.done():
            command.result.set_result(value)
