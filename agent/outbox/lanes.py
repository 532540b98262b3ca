"""Which delivery of one webhook may go next: first in, first out within a subject.

Across subjects, who has waited longest.

A lane is one subject with something pending. A lane that lends its first delivery gives no other until that
is settled. Only few deliveries are held in memory; a lane knows whether the file has `more` behind them, so
a million that wait cost no more than their subjects.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field

from agent.model import Delivery, Ending, Settlement

LOADED_MAX = 512
"""Deliveries of one webhook that are held in memory while they wait."""


@dataclass(slots=True)
class Lane:
    """One subject: `due_at`, `held` and `created_at` are those of its first pending delivery."""

    subject: str
    due_at: float
    created_at: float
    held: bool = False
    lent: bool = False
    more: bool = False
    """The file has more than what is loaded."""
    last_id: int = 0
    """The newest delivery that was loaded or settled; what the file has more is behind it."""
    loaded: deque[Delivery] = field(default_factory=deque)
    ticket: int = 0
    """Of its newest place in the order; older places are void."""


class Lanes:
    """The lanes of one webhook, in memory and without I/O."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._order: list[tuple[float, int, Lane]] = []
        self._tickets = 0
        self._loaded = 0
        self._now = 0.0
        self.waiting_until = 0.0
        """Until then some first attempt may wait for a right clock."""

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def room(self) -> int:
        """How many more deliveries may be loaded; at least one, so that no lane starves."""
        return max(1, LOADED_MAX - self._loaded)

    def restore(self, subject: str, delivery_id: int, due_at: float, created_at: float, *, held: bool) -> None:
        """A subject that the file has pending deliveries of; `delivery_id` is the first of them."""
        lane = Lane(subject, due_at, created_at, held, more=True, last_id=delivery_id - 1)
        self._lanes[subject] = lane
        self._queue(lane)

    def push(self, delivery: Delivery) -> None:
        """A delivery that has just been committed."""
        lane = self._lanes.get(delivery.subject)
        if delivery.due_at > delivery.created_at:
            self.waiting_until = max(self.waiting_until, delivery.due_at)
        elif lane is not None and delivery.due_at < self.waiting_until:
            self._hurry(lane, delivery.due_at)  # it does not wait, nor for those before it
        if lane is None:
            lane = Lane(delivery.subject, delivery.due_at, delivery.created_at, last_id=delivery.id - 1)
            self._lanes[delivery.subject] = lane
            self._queue(lane)
        if lane.more or self._loaded >= LOADED_MAX:
            lane.more = True
        elif delivery.id > lane.last_id:
            self._load(lane, delivery)

    def take_due(self, now: float, n: int) -> list[Lane]:
        """Up to n lanes whose first delivery may go now; they are lent."""
        taken: list[Lane] = []
        self._now = now
        while len(taken) < n and (lane := self._first()) and lane.due_at <= now:
            heapq.heappop(self._order)
            lane.lent = True
            taken.append(lane)
        return taken

    def take_turn(self) -> Lane | None:
        """The lane whose turn it is, due or not; it is lent."""
        for subject, lane in self._lanes.items():
            if not lane.lent:
                self._lanes[subject] = self._lanes.pop(subject)
                lane.lent = True
                lane.ticket = 0
                return lane
        return None

    def next_due(self) -> float | None:
        """When the next lane that is not lent becomes due; None: there is none."""
        lane = self._first()
        return None if lane is None else lane.due_at

    def oldest(self) -> float | None:
        """When the oldest pending delivery was created."""
        return min((lane.created_at for lane in self._lanes.values()), default=None)

    def loaded(self, lane: Lane, deliveries: list[Delivery], *, more: bool) -> None:
        """What the file had behind `last_id`, in order, and whether it may have `more`."""
        lane.more = more
        for delivery in deliveries:
            self._load(lane, delivery)

    def drop(self, lane: Lane) -> None:
        """A lane of which nothing is pending."""
        self._lanes.pop(lane.subject, None)

    def settle(self, settlement: Settlement) -> None:
        """Take a lent delivery back."""
        lane = self._lanes[settlement.delivery.subject]
        lane.lent = False
        if settlement.ending is Ending.AGAIN:
            first = lane.loaded[0]
            first.attempts, first.refusals = settlement.attempts, settlement.refusals
            first.due_at, first.held = settlement.due_at, settlement.held
            lane.due_at, lane.held = settlement.due_at, settlement.held
            self._queue(lane)
            return
        lane.loaded.popleft()
        self._loaded -= 1
        if lane.loaded:
            first = lane.loaded[0]
            lane.due_at, lane.held, lane.created_at = first.due_at, first.held, first.created_at
        elif lane.more:
            lane.due_at, lane.held = 0.0, False
        else:
            self.drop(lane)
            return
        self._queue(lane)

    def take_back(self) -> None:
        """What is lent may be lent again, as it was: nobody has it any more."""
        for lane in self._lanes.values():
            if lane.lent:
                lane.lent = False
                self._queue(lane)

    def release(self, now: float, *, every: bool = False) -> None:
        """All that was held is due; with `every`, all that waits."""
        for lane in self._lanes.values():
            if lane.held or every:
                lane.held, lane.due_at = False, min(lane.due_at, now)
                if not lane.lent:
                    self._queue(lane)

    def release_untimed(self, now: float) -> None:
        """What waited for a right clock is due."""
        self.waiting_until = 0.0
        for lane in self._lanes.values():
            self._hurry(lane, now)

    def clamp(self, latest: float) -> None:
        """Nothing is due later than that, whatever the file says."""
        for lane in self._lanes.values():
            if lane.due_at > latest:
                lane.due_at = latest
                if not lane.lent:
                    self._queue(lane)

    def _hurry(self, lane: Lane, due_at: float) -> None:
        """No first attempt of a lane is due later than that."""
        for delivery in lane.loaded:
            if delivery.untimed:
                delivery.due_at = min(delivery.due_at, due_at)
        if lane.loaded and lane.loaded[0].untimed and lane.due_at > due_at:
            lane.due_at = due_at
            if not lane.lent:
                self._queue(lane)

    def _load(self, lane: Lane, delivery: Delivery) -> None:
        lane.loaded.append(delivery)
        lane.last_id = delivery.id
        self._loaded += 1

    def _first(self) -> Lane | None:
        while self._order and self._order[0][1] != self._order[0][2].ticket:
            heapq.heappop(self._order)
        return self._order[0][2] if self._order else None

    def _queue(self, lane: Lane) -> None:
        self._tickets += 1
        lane.ticket = self._tickets
        # What was due long ago does not go before those who have waited since: no subject starves another.
        heapq.heappush(self._order, (max(lane.due_at, self._now), lane.ticket, lane))
