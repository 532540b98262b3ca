"""Keeps a feed open.

Hands its batches to the pipeline, and opens it again after a pause when it is lost, for ever. That it is lost
the pipeline is told too, as the presence of each of its sources.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from random import Random

from agent.clock import DeviceClock
from drivers.base import Batch, Driver, DriverError, FeedState, Presence

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0
_JITTER = 0.2
_STEADY_S = 10.0
"""A feed that held so long starts again with the shortest pause."""


def pause_s(failures: int, jitter: float) -> float:
    """Seconds before the next opening, after so many failures in a row (from 1); `jitter` is in [-1, 1]."""
    pause: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 10))
    return pause * (1 + _JITTER * jitter)


def lost_presence(driver: Driver, at: float, why: str) -> list[Presence]:
    """Each source of a feed that is lost."""
    return [Presence(at, source, source, FeedState.LOST, why) for source in driver.states()]


async def keep_open(
    driver: Driver, take: Callable[[str, Batch], Awaitable[None]], clock: DeviceClock, random: Random
) -> None:
    """Run one feed until it is closed."""
    failures, told = 0, ""
    while True:
        opened_at = clock.now()
        try:
            await _read(driver, take)
        except DriverError as error:
            failures = 1 if clock.now() - opened_at > _STEADY_S else failures + 1
            if str(error) != told or failures == 1:
                log.warning("%s: %s", driver.name, error)
            told = lost = str(error)
        except Exception as error:
            failures += 1
            log.exception("%s: the driver failed", driver.name)
            lost = f"the driver failed: {type(error).__name__}"
        else:
            return
        await take(driver.name, lost_presence(driver, clock.now(), lost))
        await asyncio.sleep(pause_s(failures, random.uniform(-1, 1)))


async def _read(driver: Driver, take: Callable[[str, Batch], Awaitable[None]]) -> None:
    async with aclosing(driver.batches()) as batches:  # type: ignore[type-var]  # they are async generators
        async for batch in batches:
            await take(driver.name, batch)
