"""The one contract over all drivers; `rigs.RIGS` has a row for each.

A feed is opened here as the agent does it: `aclosing(driver.batches())`, the next batch asked for once the
last is handled, and opened again on the same object when it is lost.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

from drivers.base import Arrival, Batch, Driver, DriverError, FeedState, Message, Presence
from tests.drivers.rigs import RIGS, Rig
from tests.support.waiting import until

Batches = AsyncGenerator[Batch, None]


@pytest.fixture(params=RIGS, ids=lambda rig: rig.__name__)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with request.param(tmp_path) as rig:
        yield rig


def opened(driver: Driver) -> aclosing[Batches]:
    return aclosing(cast("Batches", driver.batches()))


def needs(has: object, what: str) -> None:
    """Skip a test of what this feed has not."""
    if not has:
        pytest.skip(f"this feed {what}")


def is_open(driver: Driver) -> bool:
    return all(state.state is FeedState.OPEN for state in driver.states().values())


def values_of(batch: Batch) -> list[object]:
    messages = [message for message in batch if isinstance(message, Message)]
    assert not any(message.refusals for message in messages), messages
    return [reading.value for message in messages for reading in message.readings]


async def read(batches: Batches, count: int, first: Batch = ()) -> list[object]:
    """So many values, in the order in which they came."""
    values = values_of(first)
    while len(values) < count:
        values += values_of(await anext(batches))
    return values


def in_background(batches: Batches) -> asyncio.Task[Batch]:
    """The next batch with a message, asked for."""

    async def next_batch() -> Batch:
        while True:
            batch = await anext(batches)
            if any(isinstance(arrival, Message) for arrival in batch):
                return batch

    return asyncio.create_task(next_batch())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_yields_what_arrives_in_order_with_its_time_and_source(rig: Rig) -> None:
    driver = rig.driver()
    async with opened(driver) as batches:
        first = in_background(batches)
        await until(lambda: is_open(driver))
        sending = asyncio.create_task(rig.send(range(300)))
        values = values_of(batch := await first)
        while len(values) < 300:
            values += values_of(batch := await anext(batches))
        await sending
    assert values == list(range(300))
    message = next(message for message in reversed(batch) if isinstance(message, Message))
    assert message.at == rig.clock.now()
    assert message.sources == ("bench",)
    assert message.readings[0].sensor == "bench.value"
    assert message.readings[0].origin.source == "bench"


async def test_the_first_thing_told_of_a_source_is_that_it_is_open(rig: Rig) -> None:
    driver = rig.driver()
    for _ in range(2):
        told: list[Arrival] = []
        async with opened(driver) as batches:
            while not told:  # of a broker, first of its session and its filters
                told = [arrival for arrival in await anext(batches) if isinstance(arrival, Presence | Message)]
        (presence,) = told
        assert presence == (rig.clock.now(), "bench", "bench", FeedState.OPEN, "")


async def test_acknowledges_only_once_the_next_batch_is_asked_for(rig: Rig) -> None:
    needs(rig.acknowledged() is not None, "knows no acknowledgement")
    driver = rig.driver()
    async with opened(driver) as batches:
        first = in_background(batches)
        await until(lambda: is_open(driver))
        await rig.send([1])
        await read(batches, 1, await first)
        await asyncio.sleep(0.1)  # time enough for an acknowledgement that must not be
        assert rig.acknowledged() == 0
        following = in_background(batches)
        await until(lambda: rig.acknowledged() == 1)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_close_ends_an_idle_feed_without_an_error(rig: Rig) -> None:
    driver = rig.driver()
    async with opened(driver) as batches:
        waiting = in_background(batches)
        await until(lambda: is_open(driver))
        await driver.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        assert not is_open(driver)
        await driver.close()


async def test_close_ends_a_feed_that_hangs_while_it_is_opened_and_what_opens_late_is_closed(rig: Rig) -> None:
    needs(rig.can_hang, "cannot hang")
    driver = rig.hang()
    before = descriptors()
    async with opened(driver) as batches:
        waiting = in_background(batches)
        await until(rig.hangs)
        await driver.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
    threads = threading.active_count()
    rig.release()
    await until(lambda: threading.active_count() < threads)
    await until(lambda: descriptors() <= before)


async def test_close_ends_a_feed_whose_batch_is_being_handled(rig: Rig) -> None:
    driver = rig.driver()
    async with opened(driver) as batches:
        first = in_background(batches)
        await until(lambda: is_open(driver))
        await rig.send([1])
        await first
        if rig.intake_max:
            await rig.send([2, 3])
            await until(lambda: rig.intake(driver) > 0)
        await driver.close()
        with pytest.raises(StopAsyncIteration):
            await anext(batches)


async def test_a_closed_driver_has_nothing_to_yield(rig: Rig) -> None:
    driver = rig.driver()
    await driver.close()
    async with opened(driver) as batches:
        with pytest.raises(StopAsyncIteration):
            await anext(batches)


async def test_raises_driver_error_with_a_sentence_when_it_is_lost(rig: Rig) -> None:
    needs(rig.can_break, "cannot be lost")
    driver = rig.driver()
    async with opened(driver) as batches:
        waiting = in_background(batches)
        await until(lambda: is_open(driver))
        await rig.lose()
        with pytest.raises(DriverError) as error:
            await waiting
    for state in driver.states().values():
        assert state.state is FeedState.LOST
        assert state.detail == str(error.value)


async def test_raises_driver_error_when_it_cannot_be_opened(rig: Rig) -> None:
    needs(rig.can_fail, "can always be opened")
    driver = rig.driver()
    await rig.lose()
    async with opened(driver) as batches:
        with pytest.raises(DriverError):
            await anext(batches)
    assert not is_open(driver)
    await rig.mend()
    async with opened(driver) as batches:
        waiting = in_background(batches)
        await until(lambda: is_open(driver))
        await rig.send([5])
        assert await read(batches, 1, await waiting) == [5]


async def test_lost_and_opened_twenty_times_it_still_reads_and_leaks_no_descriptor(rig: Rig) -> None:
    needs(rig.can_break, "cannot be lost")
    driver = rig.driver()
    counted = []
    for number in range(21):
        async with opened(driver) as batches:
            waiting = in_background(batches)
            await until(lambda: is_open(driver))
            await rig.send([number])
            assert await read(batches, 1, await waiting) == [number]
            counted.append(descriptors())
            await rig.lose()
            with pytest.raises(DriverError):
                await read(batches, 1)
        await rig.mend()
    assert abs(counted[-1] - counted[0]) <= 2, counted


async def test_a_cancelled_consumer_leaves_no_descriptor_behind(rig: Rig) -> None:
    driver = rig.driver()
    before = descriptors()
    async with opened(driver) as batches:
        waiting = in_background(batches)
        await until(lambda: is_open(driver))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await until(lambda: descriptors() <= before)


async def test_a_consumer_that_stays_away_bounds_the_intake_and_loses_nothing(rig: Rig) -> None:
    needs(rig.intake_max, "never reads ahead")
    driver = rig.driver()
    count = 2 * rig.intake_max
    async with opened(driver) as batches:
        first = in_background(batches)
        await until(lambda: is_open(driver))
        sending = asyncio.create_task(rig.send(range(count)))
        batch = await first
        await until(lambda: rig.intake(driver) >= rig.intake_max, 30)
        await asyncio.sleep(0.1)  # time enough to go on reading, which it must not
        assert rig.intake(driver) <= rig.intake_max * 1.3
        assert await read(batches, count, batch) == list(range(count))
        await sending


async def test_a_pause_and_its_end_are_told_in_order_with_the_messages(rig: Rig) -> None:
    needs(rig.intake_max, "never reads ahead")
    driver = rig.driver()
    count = 2 * rig.intake_max
    told: list[FeedState] = []
    async with opened(driver) as batches:
        first = in_background(batches)
        await until(lambda: is_open(driver))
        sending = asyncio.create_task(rig.send(range(count)))
        values = values_of(await first)
        await until(lambda: driver.states()["bench"].state is FeedState.PAUSED, 30)
        while len(values) < count:
            batch = await anext(batches)
            values += values_of(batch)
            told += [arrival.state for arrival in batch if isinstance(arrival, Presence)]
        await sending
    assert told
    assert told == ([FeedState.PAUSED, FeedState.OPEN] * len(told))[: len(told)]


async def test_tells_since_when_it_is_behind(rig: Rig) -> None:
    needs(rig.intake_max, "never reads ahead")
    driver = rig.driver()
    async with opened(driver) as batches:
        first = in_background(batches)
        await until(lambda: is_open(driver))
        await rig.send([1])
        await first
        assert driver.behind_since() is None
        came = rig.clock.now()
        await rig.send([2])
        await until(lambda: rig.intake(driver) > 0)
        rig.clock.advance(5)
        assert driver.behind_since() == came
        assert await read(batches, 1) == [2]
        assert driver.behind_since() is None
