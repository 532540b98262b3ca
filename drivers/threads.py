"""Blocking calls that may hang, such as name look-ups or opening a device.

They run in daemon threads, which never hold up the end of the process.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(call: Callable[[], T], dispose: Callable[[T], object]) -> T:
    """Await a blocking call. If the waiting is cancelled, what it returns later goes to `dispose`."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def arrived(value: T) -> None:
        if result.cancelled():
            dispose(value)
        else:
            result.set_result(value)

    def failed(error: BaseException) -> None:
        if not result.cancelled():
            result.set_exception(error)

    def work() -> None:
        try:
            value = call()
        except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
            _tell(loop, failed, error)
        else:
            if not _tell(loop, arrived, value):
                dispose(value)

    threading.Thread(target=work, daemon=True).start()
    return await result


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[T], None], value: T) -> bool:
    """Call back on the loop. Returns whether there still is one."""
    try:
        loop.call_soon_threadsafe(what, value)
    except RuntimeError:
        return False
    return True
