"""Keeps a feed open.

Hands its batches to the pipeline, and opens it again after a pause when it is lost, for ever. That it is lost
the pipeline is told too, as the presence of each of its sources.
"""

import asyncio
import logging
import traceback
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
"""A feed that held so long, from its first batch, starts again with the shortest pause."""


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
    failures = _Failures(driver.name)
    while True:
        opened_at = None
        try:
            async with aclosing(driver.batches()) as batches:  # type: ignore[type-var]  # they are async generators
                async for batch in batches:
                    opened_at = clock.now() if opened_at is None else opened_at
                    await take(driver.name, batch)
        except Exception as error:  # noqa: BLE001  # none ends a feed
            held_s = 0.0 if opened_at is None else clock.now() - opened_at
            why = failures.add(error, held_s)
        else:
            return
        await take(driver.name, lost_presence(driver, clock.now(), why))
        await asyncio.sleep(pause_s(failures.in_a_row, random.uniform(-1, 1)))


class _Failures:
    """How often one feed was lost, and what people were told of it."""

    def __init__(self, feed: str) -> None:
        self.in_a_row = 0
        self._feed = feed
        self._told = ""
        self._traced: set[tuple[type[Exception], str]] = set()

    def add(self, error: Exception, held_s: float) -> str:
        """Take in a failure `held_s` after the feed's first batch; returns why it is lost, for people."""
        self.in_a_row = 1 if held_s > _STEADY_S else self.in_a_row + 1
        if not isinstance(error, DriverError):
            return self._unexpected(error)
        if str(error) != self._told or self.in_a_row == 1:
            log.warning("%s: %s", self._feed, error)
        self._told = str(error)
        return self._told

    def _unexpected(self, error: Exception) -> str:
        """Tell the traceback once for each place in the code."""
        kind = type(error)
        place = (kind, str(traceback.extract_tb(error.__traceback__)[-1]))
        if place in self._traced:
            log.error("%s: the driver failed again, as told before: %s", self._feed, kind.__name__)
        else:
            log.error("%s: the driver failed", self._feed, exc_info=error)
        self._traced.add(place)
        return f"the driver failed: {kind.__name__}"
