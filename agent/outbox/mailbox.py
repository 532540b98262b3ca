"""What one courier sees of the outbox: the lanes of its webhook, and the file behind them.

Of a long queue the subjects are read part by part: the first part before the start, the others beside the work.
"""

import asyncio
from collections.abc import Sequence

from agent.model import Delivery, Rest, Settlement
from agent.outbox import waiting
from agent.outbox.batch import Gone
from agent.outbox.claims import Claims
from agent.outbox.file import File
from agent.outbox.freezing import Freezing
from agent.outbox.gathering import Gathering
from agent.outbox.lanes import Head, Lane, Lanes
from agent.outbox.worker import Worker

SUBJECTS_AT_ONCE = 1_000
_LOAD_AT_ONCE = 32
_UNTRIED_AT_ONCE = 256


class Mailbox:
    """Of one webhook (`agent.webhooks.courier.Mailbox`)."""

    def __init__(
        self,
        webhook: str,
        worker: Worker,
        gathering: Gathering,
        freezing: Freezing,
        claims: Claims,
        *,
        ordered: bool = True,
    ) -> None:
        """`ordered`: whether what is told of one subject goes in its order."""
        self._webhook = webhook
        self._worker, self._gathering, self._freezing = worker, gathering, freezing
        self._claims = claims
        self._lanes = Lanes(ordered=ordered)
        self._refused: list[Lane] = []
        """Lanes whose first delivery was about to be dropped when a courier asked for it."""
        self._stale: list[Lane] = []
        """Lanes of which only the file knows what is first."""
        self._refilling = asyncio.Lock()
        self._now = 0.0
        self.changed = asyncio.Event()
        self.answers = False

    @property
    def ordered(self) -> bool:
        """Whether what is told of one subject goes in its order."""
        return self._lanes.ordered

    @property
    def whole(self) -> bool:
        """Whether all that waited at the start is known."""
        return self._lanes.behind is None

    def share(self, webhooks: int) -> None:
        """From now on the memory for what waits is for so many webhooks."""
        self._lanes.share(webhooks)

    def open(self, file: File) -> None:
        """Read the first part of what the file has waiting, on the worker thread and before there is a courier."""
        if self.ordered:
            self._restore(waiting.heads(file, self._webhook, None, SUBJECTS_AT_ONCE))
            return
        for head in waiting.tried(file, self._webhook):
            self._lanes.restore(head)
        self._lanes.refill(*waiting.untried(file, self._webhook, 0, _UNTRIED_AT_ONCE))

    async def read_on(self) -> None:
        """Read the other parts."""
        while not self.whole:
            self._restore(await self._worker.read(waiting.heads, self._webhook, self._lanes.behind, SUBJECTS_AT_ONCE))
            self.changed.set()

    def push(self, delivery: Delivery) -> None:
        """A delivery that has just been committed."""
        self._lanes.push(delivery)
        self.changed.set()

    def forget(self, gone: Sequence[Gone]) -> None:
        """Deliveries that are pending no longer, though nobody has settled them; `refresh` is to follow."""
        self._stale += self._lanes.forget(gone)
        self.changed.set()

    async def refresh(self) -> None:
        """Ask the file about what `forget` has left open."""
        lanes, self._stale = self._stale, []
        if lanes:
            places = {lane.subject: lane.last_id for lane in lanes}
            first = await self._worker.read(waiting.first, self._webhook, places)
            for lane in lanes:
                if lane.last_id == places[lane.subject]:
                    self._lanes.refresh(lane, first[lane.subject])
        await self._refill()
        self.changed.set()

    def put_back(self) -> None:
        """No commit is on its way: what was about to be dropped is gone, or may be lent."""
        if self._refused:
            for lane in self._refused:
                self._lanes.put_back(lane)
            self._refused = []
            self.changed.set()

    def take_back(self) -> None:
        """What was lent to a courier that is no more may be lent again."""
        for delivery_id in self._lanes.lent():
            self._claims.give_back(delivery_id)
        self._lanes.take_back()

    async def due(self, now: float, n: int) -> list[Delivery]:
        """Up to n that may be sent now; they are lent until settled."""
        self._now = now
        if self._gathering.crowded:
            return []
        await self._refill()
        return await self._first(self._lanes.take_due(now, n))

    def at_hand(self, now: float) -> Delivery | None:
        """The next that may be sent now, where it need not be read from the file; it is lent until settled."""
        self._now = now
        if self._gathering.crowded or not self._lanes.is_at_hand(now):
            return None
        return self._lend(self._lanes.take_due(now, 1)[0])

    async def probe(self) -> Delivery | None:
        """One delivery, the subjects taking turns, due or not; it is lent until settled."""
        await self._refill()
        while not self._gathering.crowded and (lane := self._lanes.take_turn()):
            if found := await self._first([lane]):
                return found[0]
        return None

    def next_due(self) -> float | None:
        """When the next subject that is not lent becomes due; None: nothing waits."""
        return None if self._gathering.crowded else self._lanes.next_due()

    def settle(self, settlement: Settlement) -> None:
        """Give a lent delivery back."""
        self._lanes.settle(settlement)
        self._gathering.settle(settlement)

    def release(self, *, every: bool = False) -> None:
        """All that was held is due now; with `every`, all that waits."""
        self._lanes.release(self._now, every=every)
        self.changed.set()

    @property
    def waiting_until(self) -> float:
        """Until then some first attempt may wait for a right clock."""
        return self._lanes.waiting_until

    def release_untimed(self) -> None:
        """No first attempt waits for a right clock any more."""
        self._lanes.release_untimed(self._now)
        self.changed.set()

    async def freeze(self, delivery: Delivery) -> None:
        """Make what is sent of a lent delivery final and durable, before its first attempt."""
        await self._freezing.freeze(delivery)

    def clamp(self, latest: float) -> None:
        """Nothing that waits is due later than that."""
        self._lanes.clamp(latest)

    def remember(self, rest: Rest) -> None:
        """Keep a breaker's rest over a restart."""
        self._gathering.remember(rest)

    def oldest(self) -> float | None:
        """When the oldest pending delivery was created, on the agent's time line."""
        return self._lanes.oldest()

    def _restore(self, heads: Sequence[Head]) -> None:
        self._lanes.behind = heads[-1].subject if len(heads) == SUBJECTS_AT_ONCE else None
        for head in sorted(heads, key=lambda head: head.id):
            self._lanes.restore(head)

    async def _refill(self) -> None:
        """Without order: have some of those that were never tried at hand."""
        async with self._refilling:
            if self._lanes.thirsty:
                after = self._lanes.last_id
                found = await self._worker.read(waiting.untried, self._webhook, after, _UNTRIED_AT_ONCE)
                self._lanes.refill(*found)

    async def _first(self, lanes: Sequence[Lane]) -> list[Delivery]:
        """What is first in some that were taken. What is loaded is lent at once: while others are read it may go."""
        lent = {lane.subject: self._lend(lane) for lane in lanes if lane.loaded}
        for lane in [lane for lane in lanes if lane.subject not in lent]:
            await self._load(lane)
            if lane.loaded:
                lent[lane.subject] = self._lend(lane)
            else:
                self._lanes.drop(lane)
        return [delivery for lane in lanes if (delivery := lent.get(lane.subject))]

    def _lend(self, lane: Lane) -> Delivery | None:
        """What is first in a lane that was taken; None: it cannot be lent."""
        first = lane.loaded[0]
        if not self._claims.lend(first.id):
            self._refused.append(lane)
            return None
        if first.damaged:
            self.settle(self._gathering.given_up(first))
            self.changed.set()
            return None
        return first

    async def _load(self, lane: Lane) -> None:
        if lane.alone:
            deliveries = await self._worker.read(waiting.one, self._webhook, lane.last_id + 1)
            self._lanes.loaded(lane, deliveries, more=False)
            return
        limit = min(_LOAD_AT_ONCE, self._lanes.room)
        deliveries = await self._worker.read(waiting.pending, self._webhook, lane.subject, lane.last_id, limit)
        self._lanes.loaded(lane, deliveries, more=len(deliveries) == limit)
