"""owed = delivered + pending + dead + dropped, exactly, whatever is done in whatever order, with crashes between.

A naive model, a dict of rows and three counts, is told the same as the outbox.
"""

import asyncio
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model import Delivery, Ending, Settlement
from agent.outbox import Filter, Outbox, Span, moving
from tests.outbox.parts import batch_of, event, opened, owe
from tests.support.hands import HandClock

WEBHOOKS = ("ops", "phone")
LIFE_S = 60.0
Key = tuple[str, str]
"""Event and webhook."""


@dataclass
class Row:
    """A delivery of the model; a replay makes another one of it, for which old marks mean nothing."""

    state: str
    expires_at: float
    settled_at: float = 0.0


@dataclass
class Naive:
    """What the counters have to be."""

    rows: dict[Key, Row] = field(default_factory=dict)
    owed: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def of(self, webhook: str) -> tuple[int, int, int, int, int]:
        states = Counter(row.state for (_, name), row in self.rows.items() if name == webhook)
        counts = (self.delivered[webhook], states["pending"], states["dead"], self.dropped[webhook])
        assert self.owed[webhook] == sum(counts), "the model itself does not balance"
        return (self.owed[webhook], *counts)


class House:
    """An outbox and its model, side by side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.naive = Naive()
        self.lent: list[tuple[Delivery, Row | None]] = []
        self.marks: list[tuple[Key, Row | None, Ending]] = []
        self.told = 0
        self.outbox: Outbox
        self.stack = AsyncExitStack()

    async def open(self) -> None:
        self.outbox, _ = await self.stack.enter_async_context(opened(self.folder, self.clock, WEBHOOKS, LIFE_S))

    async def crash(self) -> None:
        await self.stack.aclose()
        self.lent, self.marks = [], []
        await self.open()

    async def owe(self, subject: str) -> None:
        self.told += 1
        await owe(self.outbox, self.clock, event(self.told, to=WEBHOOKS, subject=subject, at=self.clock.now()))
        self._settle_model()
        for webhook in WEBHOOKS:
            self.naive.owed[webhook] += 1
            self.naive.rows[f"evt_{self.told}", webhook] = Row("pending", self.clock.now() + LIFE_S)

    async def lend(self, webhook: str) -> None:
        """What has expired is lent too: the courier sees it, and its mark means nothing, though it was replayed."""
        for delivery in await self.outbox.mailboxes[webhook].due(self.clock.now(), 2):
            row = self.naive.rows.get((delivery.event_id, webhook))
            same = row is not None and row.expires_at == delivery.expires_at
            self.lent.append((delivery, row if same else None))

    async def settle(self, ending: Ending) -> None:
        if self.lent:
            delivery, row = self.lent.pop(0)
            mailbox = self.outbox.mailboxes[delivery.webhook]
            mailbox.settle(Settlement(delivery, ending, due_at=self.clock.now(), attempts=1))
            self.marks.append(((delivery.event_id, delivery.webhook), row, ending))

    async def commit(self) -> None:
        await owe(self.outbox, self.clock)
        self._settle_model()

    async def expire(self, seconds: float) -> None:
        self.clock.advance(seconds)
        batch = batch_of(self.outbox, self.clock.moment())
        batch.expired = (await self.outbox.sweeper.sweep(self.clock.now())).expired
        await self.outbox.commit(batch)
        self._settle_model()
        for row in self.naive.rows.values():
            if row.state == "pending" and row.expires_at <= self.clock.now():
                row.state, row.settled_at = "dead", self.clock.now()

    async def purge(self) -> None:
        self.clock.advance(31 * 86400)
        batch = batch_of(self.outbox, self.clock.moment())
        batch.purge = True
        await self.outbox.commit(batch)
        self._settle_model()
        for key, row in list(self.naive.rows.items()):
            if row.state != "pending" and row.settled_at < self.clock.now():
                self.naive.dropped[key[1]] += row.state == "dead"
                del self.naive.rows[key]

    async def replay(self, wanted: Filter) -> None:
        wanted = wanted.to_replay()
        await moving.replay(self.outbox, self.clock.moment(), wanted, Span())
        self._settle_model()
        for key in self._matching(wanted):
            self.naive.owed[key[1]] += self.naive.rows[key].state == "delivered"
            self.naive.rows[key] = Row("pending", self.clock.now() + LIFE_S)

    async def discard(self, wanted: Filter) -> None:
        wanted = wanted.to_discard()
        await moving.discard(self.outbox, self.clock.moment(), wanted, Span())
        self._settle_model()
        for key in self._matching(wanted):
            self.naive.dropped[key[1]] += 1
            del self.naive.rows[key]

    async def drain(self) -> None:
        """What is pending is lent, sooner or later: all of it can be delivered."""
        while self.lent:
            await self.settle(Ending.AGAIN)
        for webhook in WEBHOOKS:
            while self.outbox.mailboxes[webhook].next_due() is not None:
                await self.lend(webhook)
                while self.lent:
                    await self.settle(Ending.DELIVERED)
        await self.commit()
        assert [self.naive.of(webhook)[2] for webhook in WEBHOOKS] == [0, 0]

    def check(self) -> None:
        for webhook in WEBHOOKS:
            counters = self.outbox.counters[webhook]
            counts = (counters.owed, counters.delivered, counters.pending, counters.dead, counters.dropped)
            assert counts == self.naive.of(webhook), webhook

    def _settle_model(self) -> None:
        """The marks ride in every commit, before all else."""
        for key, row, ending in self.marks:
            if row is None or self.naive.rows.get(key) is not row or row.state != "pending":
                continue
            if ending is not Ending.AGAIN:
                row.state = "delivered" if ending is Ending.DELIVERED else "dead"
                row.settled_at = self.clock.now()
                self.naive.delivered[key[1]] += ending is Ending.DELIVERED
        self.marks = []

    def _matching(self, wanted: Filter) -> list[Key]:
        return [
            key
            for key, row in self.naive.rows.items()
            if row.state in wanted.states and key[0] in (wanted.ids or key) and key[1] == (wanted.webhook or key[1])
        ]


IDS = st.lists(st.sampled_from([f"evt_{n}" for n in range(1, 7)]), min_size=1, max_size=3, unique=True).map(tuple)
NAMED = st.builds(Filter, ids=IDS, webhook=st.sampled_from([None, *WEBHOOKS]))
STEPS = st.one_of(
    st.tuples(st.just("owe"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("lend"), st.sampled_from(WEBHOOKS)),
    st.tuples(st.just("settle"), st.sampled_from(list(Ending))),
    st.tuples(st.just("expire"), st.sampled_from([10.0, 61.0])),
    st.tuples(st.just("replay"), NAMED | st.just(Filter(states=("dead",))) | st.just(Filter(states=("delivered",)))),
    st.tuples(st.just("discard"), NAMED | st.just(Filter(states=("pending",)))),
    st.tuples(st.sampled_from(["commit", "crash", "purge"])),
)


async def live(folder: Path, steps: list[tuple[Any, ...]]) -> None:
    house = House(folder)
    await house.open()
    try:
        for subject in ("a", "b", "a"):
            await house.owe(subject)
        for name, *arguments in steps:
            await getattr(house, name)(*arguments)
            house.check()
        await house.drain()
        house.check()
    finally:
        await house.stack.aclose()


@given(st.lists(STEPS, min_size=5, max_size=25))
@settings(max_examples=40, deadline=None)
def test_the_counters_are_those_of_a_naive_model(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder), steps))
