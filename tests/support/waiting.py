"""Waiting for a condition, in place of sleeping for luck."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], timeout_s: float = 30.0, what: str | Callable[[], str] = "") -> None:
    """Return as soon as `condition()` is true; fail with a sentence where it never is."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what() if callable(what) else what or condition}")
        await asyncio.sleep(0.005)
