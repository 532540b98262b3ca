"""A feed read as the agent does it: each batch handled before the next is asked for, and opened again at will."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import cast

import pytest

from drivers.base import (
    Arrival,
    Batch,
    Driver,
    DriverError,
    FeedState,
    Message,
    NewSession,
    Presence,
    Refusal,
    Subscriptions,
)
from tests.support.waiting import until


class Reader:
    """Gathers what a driver yields; while `may_go_on` is not set, a batch is being handled."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.arrivals: list[Arrival] = []
        self.batches = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the feed and wait until all its sources are."""
        self.start()
        await until(lambda: set(self.states.values()) == {FeedState.OPEN}, what=str(self.driver.states()))

    def start(self) -> None:
        """Open the feed."""
        self._task = asyncio.create_task(self._read())

    async def lost(self) -> str:
        """Wait until the feed is lost. Returns what was told."""
        assert self._task is not None
        with pytest.raises(DriverError) as error:
            await asyncio.wait_for(self._task, 20)
        return str(error.value)

    async def come(self, count: int) -> list[Message]:
        """Wait until so many messages have come."""
        await until(lambda: len(self.messages) >= count, 20, what=f"{count} messages, not {len(self.messages)}")
        return self.messages

    async def give_up(self) -> None:
        """Stop reading in the middle of a batch; the driver may be opened again."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def close(self) -> None:
        self.may_go_on.set()
        await self.driver.close()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def messages(self) -> list[Message]:
        return [arrival for arrival in self.arrivals if isinstance(arrival, Message)]

    @property
    def new_sessions(self) -> int:
        return sum(isinstance(arrival, NewSession) for arrival in self.arrivals)

    @property
    def presences(self) -> list[tuple[str, FeedState]]:
        return [(arrival.prefix, arrival.state) for arrival in self.arrivals if isinstance(arrival, Presence)]

    @property
    def kept(self) -> list[Mapping[str, int]]:
        return [arrival.ids for arrival in self.arrivals if isinstance(arrival, Subscriptions)]

    @property
    def values(self) -> list[tuple[str, object]]:
        return [(reading.sensor, reading.value) for message in self.messages for reading in message.readings]

    @property
    def refusals(self) -> list[Refusal]:
        return [refusal for message in self.messages for refusal in message.refusals]

    @property
    def states(self) -> dict[str, FeedState]:
        return {name: state.state for name, state in self.driver.states().items()}

    async def _read(self) -> None:
        async with aclosing(cast("AsyncGenerator[Batch, None]", self.driver.batches())) as batches:
            async for batch in batches:
                self.batches += 1
                self.arrivals += batch
                await self.may_go_on.wait()
