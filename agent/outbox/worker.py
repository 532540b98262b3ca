"""The one thread that has the file; what asks it waits here. Where the file cannot be used for now, it tells why."""

import asyncio
import itertools
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from agent.outbox.file import File
from agent.outbox.mending import SoundStore

log = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

_RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)


class Worker:
    """What it is asked is answered in the order in which it was asked."""

    def __init__(self, store: SoundStore, ask_for_commit: Callable[[], None]) -> None:
        """`ask_for_commit`: a commit shows whether the file can be written, and opens it anew where it has to."""
        self._store = store
        self._ask_for_commit = ask_for_commit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox", initializer=self._begin)
        self._thread_id = 0
        self.degraded: str | None = None
        """Why nothing can be committed at the moment."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call it on the thread, as it is: for what opens and closes the file."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Call it on the thread; a damaged file is mended meanwhile. Raises sqlite3.Error, and what it raises."""
        return await self.run(self._store.mending, function, *args)

    async def ask(self, query: Callable[Concatenate[File, P], T], *values: P.args, **more: P.kwargs) -> T:
        """Ask the file, once. Raises sqlite3.Error."""
        return await self.call(partial(query, self._store.file, *values, **more))

    async def read(self, query: Callable[Concatenate[File, P], T], *values: P.args, **more: P.kwargs) -> T:
        """Ask the file, for as long as it takes."""
        waits_s = pauses_s()
        while True:
            try:
                return await self.ask(query, *values, **more)
            except sqlite3.Error as error:
                log.error("the outbox cannot be read, trying again: %s", error)
                self._ask_for_commit()
            await asyncio.sleep(next(waits_s))

    async def reopen(self) -> int:
        """Open the file anew, for as long as it takes. Returns the number of the last commit in it."""
        waits_s = pauses_s()
        while True:
            try:
                number, self._store.counters = await self.call(self._store.reopen)
                return number
            except sqlite3.Error as error:
                self.degrade(error)
            await asyncio.sleep(next(waits_s))

    async def recover(self, error: Exception) -> None:
        """Go on after the file could not be read."""
        self.degrade(error)
        await self.reopen()
        self._ask_for_commit()

    def degrade(self, raised: Exception) -> None:
        """It cannot be used."""
        error = self._store.file.true(raised)
        if self.degraded is None:
            log.error("the outbox cannot be written, nothing is acknowledged meanwhile: %s", error)
        self.degraded = str(error)

    def heal(self) -> None:
        """It was written."""
        if self.degraded:
            log.warning("the outbox can be written again")
            self.degraded = None

    async def close(self) -> None:
        """Close the file, and end the thread."""
        await self.run(self._store.close)
        self._thread.shutdown(wait=False)

    def written_bytes(self) -> int | None:
        """What the thread has caused to be written since it started (proc(5), io); None: not known."""
        try:
            text = Path(f"/proc/self/task/{self._thread_id}/io").read_text(encoding="ascii")
        except OSError:
            return None
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("write_bytes")), None)

    def _begin(self) -> None:
        self._thread_id = threading.get_native_id()


def pauses_s() -> Iterator[float]:
    """How long to wait before each further try."""
    return itertools.chain(_RETRY_S, itertools.repeat(_RETRY_S[-1]))
