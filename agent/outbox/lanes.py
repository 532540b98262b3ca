"""Which delivery of one webhook may go next: first in, first out within a subject.

Across subjects, who has waited longest.

A lane is one subject with something pending. A lane that lends its first delivery gives no other until that
is settled. Only few deliveries are held in memory; a lane knows whether the file has `more` behind them, so
a million that wait cost no more than their subjects.

Without order each delivery is a lane of its own, named by its id. Of those that were never tried few are lanes;
the file has the `more` that follow.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple

from agent.model import Delivery, Ending, Settlement
from agent.outbox.batch import Gone

LOADED_MAX, LOADED_MIN = 4096, 512
"""Deliveries that are held in memory while they wait: to read one back costs as much as to send it.

The webhooks share them, so that one that is away takes nothing from another; none has less than the least.
"""
LOADED_BYTES_MAX = 4 * 2**20
"""The same for their bodies, without a least."""


class Head(NamedTuple):
    """The first pending delivery of a subject, as the file has it."""

    subject: str
    id: int
    due_at: float
    created_at: float
    held: bool


@dataclass(slots=True)
class Lane:
    """One subject: `due_at`, `held` and `created_at` are those of its first pending delivery."""

    subject: str
    due_at: float
    created_at: float
    held: bool = False
    lent: bool = False
    gone: bool = False
    """What it has lent is no longer pending, whatever comes of it."""
    alone: bool = False
    """It is that of one delivery, with the id `last_id + 1` while it is not loaded."""
    more: bool = False
    """The file has more than what is loaded."""
    last_id: int = 0
    """The newest delivery that was loaded or settled; what the file has more is behind it."""
    again: tuple[int, int] | None = None
    """Attempts and refusals of the first one, where it was tried and is no longer loaded: the file may not know yet."""
    loaded: list[Delivery] = field(default_factory=list)
    ticket: int = 0
    """Of its newest place in the order; older places are void."""


class Lanes:
    """The lanes of one webhook, in memory and without I/O."""

    def __init__(self, *, ordered: bool = True) -> None:
        self.ordered = ordered
        self._lanes: dict[str, Lane] = {}
        self._order: list[tuple[float, int, Lane]] = []
        self._tickets = 0
        self._loaded = self._loaded_bytes = 0
        self.share(1)
        self._now = 0.0
        self._latest = math.inf
        self._released = self._all_released = False
        self._eldest: tuple[Lane | None, float] = (None, 0.0)
        """The lane whose first delivery was the oldest when somebody asked, and when that was created."""
        self.behind: str | None = None
        """Subjects that come after this one in the alphabet were not yet read from the file; None: all were."""
        self.more = False
        """Without order: the file has more that were never tried."""
        self.last_id = 0
        """Without order: what the file has more is behind it."""
        self.waiting_until = 0.0
        """Until then some first attempt may wait for a right clock."""

    def __len__(self) -> int:
        return len(self._lanes)

    def share(self, webhooks: int) -> None:
        """From now on the memory is for so many webhooks."""
        self._loaded_max = max(LOADED_MIN, LOADED_MAX // webhooks)
        self._loaded_bytes_max = LOADED_BYTES_MAX // webhooks

    @property
    def room(self) -> int:
        """How many more deliveries may be loaded; at least one, so that no lane starves."""
        return max(1, 0 if self._is_full else self._loaded_max - self._loaded)

    @property
    def thirsty(self) -> bool:
        """Without order: whether more of those that were never tried should be read."""
        return self.more and self._loaded < self._loaded_max // 2 and self._loaded_bytes < self._loaded_bytes_max // 2

    def restore(self, head: Head) -> None:
        """A subject that the file has pending deliveries of; without order, a delivery that was tried."""
        name = head.subject if self.ordered else _name(head.id)
        lane = Lane(name, min(head.due_at, self._latest), head.created_at, head.held, last_id=head.id - 1)
        lane.alone, lane.more = not self.ordered, self.ordered
        if self._all_released or (lane.held and self._released):
            lane.held, lane.due_at = False, min(lane.due_at, self._now)
        self._lanes[name] = lane
        self._eldest = (None, 0.0)
        self._queue(lane)

    def push(self, delivery: Delivery) -> None:
        """A delivery that has just been committed."""
        waits = delivery.due_at > delivery.created_at
        if waits:
            self.waiting_until = max(self.waiting_until, delivery.due_at)
        if not self.ordered:
            self._push_alone(delivery)
            return
        lane = self._lanes.get(delivery.subject)
        if lane is None and self.behind is not None and delivery.subject > self.behind:
            return  # it is in the file, where its subject is yet to be read from
        if lane is not None and not waits and delivery.due_at < self.waiting_until:
            self._hurry(lane, delivery.due_at)  # it does not wait, nor for those before it
        if lane is None:
            lane = Lane(delivery.subject, delivery.due_at, delivery.created_at, last_id=delivery.id - 1)
            self._lanes[delivery.subject] = lane
            self._queue(lane)
        if lane.more or self._is_full:
            lane.more = True
        elif delivery.id > lane.last_id:
            self._load(lane, delivery)

    def refill(self, deliveries: Sequence[Delivery], last_id: int, more: bool) -> None:
        """Without order: what the file had behind `last_id` that was never tried, up to the new one."""
        self.last_id, self.more = last_id, more
        self._eldest = (None, 0.0)
        for delivery in deliveries:
            self._add_alone(delivery)

    def take_due(self, now: float, n: int) -> list[Lane]:
        """Up to n lanes whose first delivery may go now; they are lent."""
        taken: list[Lane] = []
        self._now = now
        while len(taken) < n and (lane := self._first()) and lane.due_at <= now:
            heapq.heappop(self._order)
            lane.lent = True
            taken.append(lane)
        return taken

    def is_at_hand(self, now: float) -> bool:
        """Whether there is a lane whose first delivery may go now, and need not be read from the file."""
        lane = self._first()
        return lane is not None and lane.due_at <= now and bool(lane.loaded) and not self.thirsty

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
        if self.thirsty:
            return self._now
        lane = self._first()
        return None if lane is None else lane.due_at

    def oldest(self) -> float | None:
        """When the oldest pending delivery was created. All lanes are looked through only when that one has left."""
        eldest, created_at = self._eldest
        if eldest is None or eldest.created_at != created_at or self._lanes.get(eldest.subject) is not eldest:
            eldest = min(self._lanes.values(), key=lambda lane: lane.created_at, default=None)
            created_at = 0.0 if eldest is None else eldest.created_at
            self._eldest = eldest, created_at
        return None if eldest is None else created_at

    def loaded(self, lane: Lane, deliveries: list[Delivery], *, more: bool) -> None:
        """What the file had behind `last_id`, in order, and whether it may have `more`."""
        if lane.again is not None and deliveries and deliveries[0].id == lane.last_id + 1:
            first = deliveries[0]
            first.tried = True
            first.attempts, first.refusals = lane.again
            first.due_at, first.held = lane.due_at, lane.held
        lane.again = None
        lane.more = more
        for delivery in deliveries:
            self._load(lane, delivery)

    def drop(self, lane: Lane) -> None:
        """A lane of which nothing is pending."""
        lane.ticket = 0
        self._lanes.pop(lane.subject, None)

    def settle(self, settlement: Settlement) -> None:
        """Take a lent delivery back."""
        delivery = settlement.delivery
        lane = self._lanes[delivery.subject if self.ordered else _name(delivery.id)]
        lane.lent = False
        if lane.gone or settlement.ending is not Ending.AGAIN:
            self._take_out(lane)
            return
        first = lane.loaded[0]
        first.tried = True
        first.attempts, first.refusals = settlement.attempts, settlement.refusals
        first.due_at, first.held = settlement.due_at, settlement.held
        lane.due_at, lane.held = settlement.due_at, settlement.held
        if lane.alone or self._loaded > self._loaded_max or self._loaded_bytes > self._loaded_bytes_max:
            self._unload(lane)
        self._queue(lane)

    def forget(self, gone: Iterable[Gone]) -> list[Lane]:
        """Take deliveries out that are no longer pending. What is lent is so until it is given back.

        Returns the lanes of which only the file knows what is first now, as `refresh` is to be told.
        """
        by_name: defaultdict[str, set[int]] = defaultdict(set)
        for delivery_id, _, subject in gone:
            by_name[subject if self.ordered else _name(delivery_id)].add(delivery_id)
        touched = [(lane, ids) for name, ids in by_name.items() if (lane := self._lanes.get(name))]
        for lane, ids in touched:
            lane.gone = lane.gone or (lane.lent and any(one.id in ids for one in lane.loaded[:1]))
            stays = [one.id not in ids or (lane.lent and n == 0) for n, one in enumerate(lane.loaded)]
            kept = list(compress(lane.loaded, stays))
            self._let_go([one for one, does in zip(lane.loaded, stays, strict=True) if not does])
            changed = lane.alone or lane.loaded[:1] != kept[:1]
            lane.loaded = kept
            if changed and not lane.lent:
                self._follow(lane)
        return [lane for lane, _ in touched if not lane.alone and not lane.loaded and lane.subject in self._lanes]

    def refresh(self, lane: Lane, head: Head | None) -> None:
        """Of a lane with nothing loaded: what is first; None: nothing is pending."""
        if lane.lent or lane.loaded or self._lanes.get(lane.subject) is not lane:
            return
        if head is None:
            self.drop(lane)
            return
        lane.created_at = head.created_at
        if head.id != lane.last_id + 1:
            lane.again, lane.last_id = None, head.id - 1
            lane.due_at, lane.held = min(head.due_at, self._latest), head.held
            self._queue(lane)

    def put_back(self, lane: Lane) -> None:
        """Take a lane back that was lent and whose first delivery nobody was given."""
        lane.lent = False
        self._queue(lane)

    def lent(self) -> list[int]:
        """The deliveries that are lent."""
        return [lane.loaded[0].id for lane in self._lanes.values() if lane.lent and lane.loaded]

    def take_back(self) -> None:
        """What is lent may be lent again, as it was: nobody has it any more."""
        for lane in [lane for lane in self._lanes.values() if lane.lent]:
            lane.lent = False
            if lane.gone:
                self._take_out(lane)
            else:
                self._queue(lane)

    def release(self, now: float, *, every: bool = False) -> None:
        """All that was held is due; with `every`, all that waits."""
        self._released, self._all_released = True, self._all_released or every
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
        self._latest = latest
        for lane in self._lanes.values():
            if lane.due_at > latest:
                lane.due_at = latest
                if not lane.lent:
                    self._queue(lane)

    def _push_alone(self, delivery: Delivery) -> None:
        newest = delivery.id > self.last_id
        untried = delivery.due_at <= delivery.created_at
        if newest and untried and (self.more or self._is_full):
            self.more = True
            return
        if newest and not self.more:
            self.last_id = delivery.id
        self._add_alone(delivery)

    def _add_alone(self, delivery: Delivery) -> None:
        lane = Lane(_name(delivery.id), delivery.due_at, delivery.created_at, delivery.held, alone=True)
        self._lanes[lane.subject] = lane
        self._load(lane, delivery)
        self._queue(lane)

    def _take_out(self, lane: Lane) -> None:
        """What was first, and lent, is done with."""
        self._let_go([lane.loaded.pop(0)])
        lane.gone = False
        self._follow(lane)

    def _follow(self, lane: Lane) -> None:
        """What was first has left: the next one is."""
        lane.again = None
        if lane.loaded:
            first = lane.loaded[0]
            lane.due_at, lane.held, lane.created_at = first.due_at, first.held, first.created_at
        elif lane.more:
            lane.due_at, lane.held = 0.0, False
        else:
            self.drop(lane)
            return
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
        self._loaded_bytes += len(delivery.body)

    def _unload(self, lane: Lane) -> None:
        """Leave it to the file, but for what that may not know yet."""
        first = lane.loaded[0]
        lane.again = (first.attempts, first.refusals)
        lane.last_id, lane.more = first.id - 1, not lane.alone
        self._let_go(lane.loaded)
        lane.loaded = []

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        self._loaded -= len(deliveries)
        self._loaded_bytes -= sum(len(delivery.body) for delivery in deliveries)
        if not self._loaded:
            self._loaded_bytes = 0  # a body that was frozen since has another length

    @property
    def _is_full(self) -> bool:
        return self._loaded >= self._loaded_max or self._loaded_bytes >= self._loaded_bytes_max

    def _first(self) -> Lane | None:
        while self._order and self._order[0][1] != self._order[0][2].ticket:
            heapq.heappop(self._order)
        return self._order[0][2] if self._order else None

    def _queue(self, lane: Lane) -> None:
        self._tickets += 1
        lane.ticket = self._tickets
        # What was due long ago does not go before those who have waited since: no subject starves another.
        heapq.heappush(self._order, (max(lane.due_at, self._now), lane.ticket, lane))
        if len(self._order) > 2 * len(self._lanes) + LOADED_MAX:
            self._order = [place for place in self._order if place[1] == place[2].ticket]
            heapq.heapify(self._order)


def _name(delivery_id: int) -> str:
    return str(delivery_id)
