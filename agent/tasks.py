"""Tasks of which none ends by itself: one that does has failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """Running tasks by their names."""

    def __init__(self, failed: Callable[[], None]) -> None:
        """`failed` is called when one has ended that nobody ended."""
        self._failed = failed
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run some work."""
        task = asyncio.create_task(work, name=name)
        self._running[name] = task
        task.add_done_callback(self._ended)

    async def end(self, name: str, goodbye: Awaitable[object] | None = None, patience_s: float = 0.0) -> None:
        """Say goodbye, wait for it to end by itself, but not for longer than patience lasts, and cancel it."""
        task = self._running.pop(name, None)
        if goodbye is not None:  # also to one that has failed: it may hold a port or a connection
            try:
                await goodbye
            except Exception:
                log.exception("%s does not end as it should", name)
        if task is None:
            return
        await asyncio.wait({task}, timeout=patience_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._running.get(task.get_name()) is task:
            del self._running[task.get_name()]
            error = None if task.cancelled() else task.exception()
            log.critical("%s ended by itself", task.get_name(), exc_info=error)
            self._failed()
