"""A contender that runs between a broker and a receiver."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders.contender import Contender, Place
from bench.processes import Failed, end, environment, wait_for
from bench.surroundings import Surroundings


@dataclass(frozen=True)
class Setting:
    """What is the same for all contenders of a measurement."""

    surroundings: Surroundings
    peers: Path
    concurrency: int

    @contextmanager
    def running(self, contender: Contender, prepare: Callable[[Path], object] = lambda _: None) -> Iterator["Running"]:
        """Run it for the time of the block, with nothing left of an earlier run; yields when it hears the readings.

        `prepare` may put something into its folder before.
        """
        at = self.surroundings
        folder = at.folder / contender.key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        prepare(folder)
        it = Running(contender, Place(folder, self.peers, at.mqtt, at.hook(contender.key), self.concurrency), at)
        it.start()
        try:
            yield it
        finally:
            it.stop()


class Running:
    """One contender. After `kill` it may be started again on the same state."""

    def __init__(self, contender: Contender, place: Place, surroundings: Surroundings) -> None:
        self.contender, self.place = contender, place
        self._around = surroundings
        self._command = contender.command(place)
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0
        """So long the last start took, until the broker had its subscription."""

    @property
    def name(self) -> str:
        """Of its hook."""
        return self.contender.key

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        before, begin = self._around.subscriptions(), time.monotonic()
        with (self.place.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self.place.folder, env=environment()
            )
        wait_for(f"{self.contender.name} to subscribe", lambda: self._subscribed(before), every_s=0.005)
        self.ready_s = time.monotonic() - begin

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        end(self._process)

    def _subscribed(self, before: int) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self.place.folder / "log").read_text(errors="replace")[-1000:]
            raise Failed(f"{self.contender.name} ended by itself: {said}")
        return self._around.subscriptions() > before
