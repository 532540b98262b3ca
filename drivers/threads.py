"""Blocking calls that may hang, such as name look-ups or opening a device.

They run in daemon threads, which never hold up the end of the process.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def in_daemon_thread(call: Callable[[], T], dispose: Callable[[T], object]) -> T:
    """Await a blocking call. If the waiting is cancelled, what it returns later goes to `dispose`."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            value = call()
        except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
            _tell(loop, result.set_exception, error)
        else:
            if not _tell(loop, result.set_result, value):
                dispose(value)

    threading.Thread(target=work, daemon=True).start()
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        # Also where it came in this very moment.
        result.add_done_callback(lambda late: None if late.exception() else dispose(late.result()))
        raise


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[Any], object], value: object) -> bool:
    """Call back on the loop. Returns whether there still is one."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what, value)
        return True
    return False
