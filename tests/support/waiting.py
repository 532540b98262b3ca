"""Waiting for a condition, in place of sleeping for luck."""

import asyncio
import time
from collections.abc import Callable

_SHORTEST_S, _LONGEST_S, _SHARE = 0.005, 0.05, 0.05
"""Between two looks: a share of what was waited for already, since a look may cost the agent a status of itself."""


class TooLate(AssertionError):
    """What was waited for has not come."""


async def until(
    condition: Callable[[], object],
    timeout_s: float = 30.0,
    what: str | Callable[[], str] = "",
    longest_s: float = _LONGEST_S,
) -> None:
    """Return as soon as `condition()` is true; raise TooLate with a sentence where it never is.

    `longest_s` between two looks, where each of them does a part of the work.
    """
    begin = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - begin
        if waited_s > timeout_s:
            raise TooLate(f"not within {timeout_s:g} s: {what() if callable(what) else what or condition}")
        await asyncio.sleep(min(longest_s, max(_SHORTEST_S, _SHARE * waited_s)))
