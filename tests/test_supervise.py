"""A feed is kept open for ever: the pauses between, what is told, and that no error ends it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from random import Random
from typing import Any, Self

import pytest

from agent.supervise import keep_open, pause_s
from drivers.base import Batch, Driver, DriverError, FeedState, NewSession, SourceConfig, SourceState, Surroundings
from tests.support.hands import HandClock

Opening = Callable[[], AsyncIterator[Batch]]


class Scripted(Driver):
    """Each opening goes as the script says; after the last one the feed was closed."""

    Source = SourceConfig
    name = "scripted"

    def __init__(self, *openings: Opening) -> None:
        self.openings = list(openings)
        self.opened = 0

    @classmethod
    def feeds(cls, sources: Mapping[str, Any], around: Surroundings) -> Sequence[Self]:
        return []

    async def batches(self) -> AsyncIterator[Batch]:
        self.opened += 1
        if self.opened <= len(self.openings):
            async for batch in self.openings[self.opened - 1]():
                yield batch

    async def close(self) -> None: ...

    def states(self) -> Mapping[str, SourceState]:
        return {"scripted": SourceState(FeedState.OPEN)}


def lost(why: str, clock: HandClock | None = None, after_s: float = 0.0) -> Opening:
    async def opening() -> AsyncIterator[Batch]:
        yield [NewSession(0.0)]
        if clock:
            clock.advance(after_s)
        raise DriverError(why)

    return opening


def failing(error: BaseException) -> Opening:
    async def opening() -> AsyncIterator[Batch]:
        yield [NewSession(0.0)]
        raise error

    return opening


class Pauses(list[float]):
    """What was slept in place of sleeping it."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    slept = Pauses()
    monkeypatch.setattr(asyncio, "sleep", slept.sleep)
    return slept


class Middle(Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


async def keep(driver: Driver, clock: HandClock | None = None) -> int:
    """Keep it open until it is closed; returns how many batches of the driver were taken."""
    taken: list[Batch] = []

    async def take(name: str, batch: Batch) -> None:
        assert name == driver.name
        taken.extend([batch] if any(isinstance(arrival, NewSession) for arrival in batch) else [])

    await asyncio.wait_for(keep_open(driver, take, clock or HandClock(), Middle()), 10)
    return len(taken)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 5.0), (6, 5.0), (10_000, 5.0)],
)
def test_the_pause_doubles_up_to_five_seconds_with_a_fifth_of_jitter(failures: int, seconds: float) -> None:
    assert pause_s(failures, 0.0) == seconds
    assert pause_s(failures, 1.0) == pytest.approx(seconds * 1.2)
    assert pause_s(failures, -1.0) == pytest.approx(seconds * 0.8)


async def test_the_feed_is_opened_again_after_each_loss_with_growing_pauses(pauses: Pauses) -> None:
    driver = Scripted(*(lost(f"no {n}") for n in range(6)))
    assert await keep(driver) == 6
    assert driver.opened == 7
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


async def test_a_feed_that_was_steady_starts_anew(pauses: Pauses) -> None:
    clock = HandClock()
    await keep(Scripted(lost("a"), lost("a"), lost("a", clock, 10.1), lost("a"), lost("a", clock, 9.9)), clock)
    assert pauses == [0.5, 1.0, 0.5, 1.0, 2.0]


async def test_a_feed_that_never_answers_is_not_steady_however_long_it_takes(
    pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HandClock()

    async def silent() -> AsyncIterator[Batch]:
        clock.advance(15.0)
        raise DriverError("no answer")
        yield []  # makes it a generator

    await keep(Scripted(silent, silent, silent), clock)
    assert pauses == [0.5, 1.0, 2.0]
    assert [record.getMessage() for record in caplog.records] == ["scripted: no answer"]


async def test_a_closed_feed_is_not_opened_again(pauses: Pauses) -> None:
    assert await keep(Scripted()) == 0
    assert pauses == []


@pytest.mark.usefixtures("pauses")
async def test_the_same_error_is_told_once_and_another_one_too(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    texts = ["no route", "no route", "refused", "refused", "no route"]
    steady = lost("no route", clock, 60.0)
    await keep(Scripted(*map(lost, texts), steady, lost("no route")), clock)
    assert [record.getMessage() for record in caplog.records if record.name == "agent.supervise"] == [
        "scripted: no route",
        "scripted: refused",
        "scripted: no route",
        "scripted: no route",
    ]


@pytest.mark.parametrize("error", [RuntimeError("boom"), OSError(5, "EIO"), KeyError("x"), RecursionError()])
async def test_an_unexpected_exception_is_told_with_its_traceback_and_ends_nothing(
    error: Exception, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    assert await keep(Scripted(failing(error), failing(error), lost("then"))) == 3
    assert pauses == [0.5, 1.0, 2.0]
    first, second = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert first.exc_info is not None
    assert first.exc_info[1] is error
    assert second.exc_info is None
    assert second.getMessage() == f"scripted: the driver failed again, as told before: {type(error).__name__}"


async def test_a_traceback_is_told_once_for_each_place_in_the_code(
    pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HandClock()

    async def elsewhere() -> AsyncIterator[Batch]:
        yield [NewSession(0.0)]
        clock.advance(60.0)
        raise RuntimeError("there")

    here = failing(RuntimeError("here"))
    await keep(Scripted(here, lost("no route"), elsewhere, here, elsewhere), clock)
    assert pauses == [0.5, 1.0, 0.5, 1.0, 0.5], "a steady one starts anew after an exception too"
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info is not None for record in told] == [True, True, False, False]


@pytest.mark.usefixtures("pauses")
async def test_an_exception_of_the_pipeline_reopens_the_feed_so_nothing_is_acknowledged() -> None:
    handled: list[str] = []

    async def two() -> AsyncIterator[Batch]:
        yield [NewSession(0.0)]
        handled.append("acknowledged")

    async def take(_: str, __: Batch) -> None:
        if not handled:
            handled.append("raised")
            raise OSError("the disk is full")

    await keep_open(Scripted(two, two), take, HandClock(), Middle())
    assert handled == ["raised", "acknowledged"]


async def test_cancelling_ends_it_and_closes_the_generator() -> None:
    ended: list[str] = []

    async def waiting() -> AsyncIterator[Batch]:
        try:
            yield [NewSession(0.0)]
            await asyncio.Event().wait()
        finally:
            ended.append("closed")

    task = asyncio.create_task(keep(Scripted(waiting)))
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["closed"]
