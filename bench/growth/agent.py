"""The real agent as a process of its own, and what it costs: CPU time by its own clock, memory, bytes written."""

import json
import signal
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.growth.surroundings import Readings
from bench.processes import Failed, end, environment, free_port, python, rss_mib, wait_for, written_bytes

_LOOK_EVERY_S = 0.05
_QUIET_LOOKS = 3
_LONE_S = 0.004
_QUIET_S = 0.0005
"""An agent that takes less CPU between two looks has nothing to do."""
_HANDLED_WITHIN_S = 600.0
_ROUNDS = 3
"""Each cost is measured so often, and the median counts: others disturb a machine, too."""


class Agent:
    """Started, asked, stopped, started again on the same state."""

    def __init__(self, folder: Path, config: str) -> None:
        """`config` names the status page as `{status}`."""
        self.port = free_port()
        self._folder, self._config = folder, folder / "bellcrank.yaml"
        self.configure(config)
        self._process: subprocess.Popen[bytes]

    def configure(self, text: str) -> None:
        self._config.write_text(text.replace("{status}", f"127.0.0.1:{self.port}"), encoding="utf-8")
        self._config.chmod(0o600)

    @contextmanager
    def run(self) -> Iterator[tuple[float, float]]:
        """Yields how long the start took until it said that it is ready, in seconds: of the wall, of the CPU."""
        address = self._folder / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(address))
            told.settimeout(120)
            env = environment(STATE_DIRECTORY=str(self._folder / "state"), NOTIFY_SOCKET=str(address))
            begin = time.monotonic()
            with (self._folder / "log").open("ab") as log:
                command = python("agent", "run", "--config", self._config)
                self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
            try:
                self._hear(told, "READY=1")
                yield time.monotonic() - begin, self.cpu_s()
            finally:
                end(self._process)

    def reload_cpu_s(self, config: str) -> float:
        """What it takes to apply another configuration."""
        self.configure(config)
        said = self._said()
        before = self.cpu_s()
        self._process.send_signal(signal.SIGHUP)
        wait_for("a reload", lambda: self._said() > said)
        self.rest()
        return self.cpu_s() - before

    def cpu_s(self) -> float:
        """User and system time since it began, by its own clock, see clock_getcpuclockid(3)."""
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def rest(self) -> None:
        """Wait until it has nothing to do."""
        quiet, before = 0, self.cpu_s()
        while quiet < _QUIET_LOOKS:
            time.sleep(_LOOK_EVERY_S)
            now = self.cpu_s()
            quiet, before = quiet + 1 if now - before < _QUIET_S else 0, now

    def rss_mib(self) -> float:
        return rss_mib(self._process.pid)

    def written_bytes(self) -> int:
        return written_bytes(self._process.pid)

    def flooded_us(self, readings: Readings, count: int, value: float = -1.0) -> float:
        """CPU microseconds for a reading where all come at once: it stands still while they are published."""
        self.rest()
        before = self.cpu_s()
        self._process.send_signal(signal.SIGSTOP)
        readings.say(count, value)
        self._process.send_signal(signal.SIGCONT)
        return self._handled(readings, before) * 1e6 / count

    def lone_us(self, readings: Readings, count: int) -> float:
        """The same for readings that come one by one."""
        self.rest()
        before = self.cpu_s()
        readings.say(count, every_s=_LONE_S)
        return self._handled(readings, before) * 1e6 / count

    def listen(self) -> None:
        """Wait until it is subscribed: it says that it is ready before."""
        wait_for("the subscription", lambda: self._source()["state"] == "open")

    def _handled(self, readings: Readings, before: float) -> float:
        """CPU seconds until all that was said is handled."""
        deadline = time.monotonic() + _HANDLED_WITHIN_S
        while True:
            self.rest()
            taken, came = self.cpu_s() - before, self._source()["messages"]
            if came >= readings.said:
                return taken
            if time.monotonic() > deadline:
                raise Failed(f"waited in vain for {readings.said} messages, {came} have come")

    def _source(self) -> Any:
        return self.ask("/api/v1/sources")["sources"]["meter"]

    def ask(self, path: str) -> Any:
        return json.loads(self._get(path))

    def get_ms(self, path: str) -> float:
        """CPU milliseconds for one answer."""
        self._get(path)  # what is made at the first one only
        return statistics.median(self._cpu_of(lambda: self._get(path)) * 1000 for _ in range(_ROUNDS))

    def _cpu_of(self, work: Callable[[], object]) -> float:
        self.rest()
        before = self.cpu_s()
        work()
        return self.cpu_s() - before

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return bytes(answer.read())

    def _said(self) -> int:
        text = (self._folder / "log").read_text(errors="replace")
        return text.count("reloaded: ") + text.count("the reload changes nothing")

    def _hear(self, told: socket.socket, word: str) -> None:
        while word not in told.recv(4096).decode():
            if self._process.poll() is not None:
                raise SystemExit((self._folder / "log").read_text(errors="replace")[-2000:])
