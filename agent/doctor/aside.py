"""Blocking measurements, beside the loop: a disk or a name server that hangs holds up only what needs it."""

from collections.abc import Callable
from typing import TypeVar

from drivers.threads import in_daemon_thread

T = TypeVar("T")


async def aside(call: Callable[[], T]) -> T:
    """Await a blocking call; if the waiting is given up, what it returns later is forgotten."""
    return await in_daemon_thread(call, _forget)


def _forget(_: object) -> None:
    """Nothing is held."""
