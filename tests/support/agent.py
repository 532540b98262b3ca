"""The real agent as a process of its own, with its configuration, its state and its log in one folder."""

import contextlib
import fcntl
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

from tests.support.waiting import until

_LOCKS = Path(tempfile.gettempdir(), f"bellcrank-test-ports-{os.getuid()}")


def free_port() -> int:
    """A port of loopback that nobody listens on, and none that the kernel gives to whoever connects.

    No other process of tests is given it as long as this one lives, and this one never again. So a server finds it free
    when it begins to listen, and again when it is stopped and started, whatever other tests do meanwhile.
    """
    for port in _candidates():
        if _is_ours(port) and _nobody_listens(port):
            return port
    raise RuntimeError("this process has been given all ports that there are")


@functools.cache
def _candidates() -> Iterator[int]:
    """Each once. A child made by a fork goes on with the rest, as does its parent: the locks keep them apart."""
    ports = range(20_000, _ephemeral())
    return iter(SystemRandom().sample(ports, len(ports)))


def _is_ours(port: int) -> bool:
    """Whether no other process has it: each locks the byte of that number in one file, until its end, see fcntl(2)."""
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    return True


@functools.cache
def _locks() -> int:
    """The descriptor of the file of locks; never closed, as the locks would end with it."""
    return os.open(_LOCKS, os.O_RDWR | os.O_CREAT, 0o600)


def _nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def _ephemeral() -> int:
    """The first port that the kernel gives away, see ip(7)."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])


def wait_for_port(port: int) -> None:
    """Until somebody listens on a port of loopback."""
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nobody listens on {port}"
        time.sleep(0.01)


class AgentProcess:
    """Starts, asks, stops and kills one agent. Its configuration names the status page as `{status}`."""

    def __init__(
        self,
        folder: Path,
        config: str,
        module: tuple[str, ...] = ("agent",),
        within: tuple[str, ...] = (),
        *,
        host: str = "127.0.0.1",
    ) -> None:
        """`module`: what is run in place of `python -m agent`, such as a mutant of it; `within`: what runs that.

        `host`: where its status page listens.
        """
        self.host = host
        self.port = free_port()
        self.folder = folder
        self.config = folder / "bellcrank.yaml"
        self.log = folder / "agent.log"
        self.state = folder / "state"
        self._module, self._within = module, within
        self._process: subprocess.Popen[bytes] | None = None
        self.token: str | None = None
        """Of `status.token`, to ask with."""
        self.configure(config)

    def configure(self, text: str) -> None:
        self.config.write_text(text.replace("{status}", f"{self.host}:{self.port}"))
        self.config.chmod(0o600)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str, **env: str) -> None:
        command = [*self._within, sys.executable, "-m", *self._module, "run", "--config", str(self.config), *options]
        environment = {**os.environ, "STATE_DIRECTORY": str(self.state), **env}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    async def ready(self, within_s: float = 60.0) -> None:
        """Wait until all its sources are open."""
        await until(
            lambda: self._ended() or self.open_sources(),
            within_s,
            what=lambda: f"the agent is ready; it said: {self.said()[-2000:]}",
        )
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the agent ended by itself with {code}; it said: {self.said()[-2000:]}"

    async def reload(self, config: str | None = None) -> None:
        """Write another configuration, hang up, and wait until the agent has said that it is taken or refused."""
        if config is not None:
            self.configure(config)
        before = self._reloads()
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        await until(lambda: self._reloads() > before, 30, what=lambda: f"a reload; it said: {self.said()[-2000:]}")

    def _reloads(self) -> int:
        return self.said().count("reloaded: ") + self.said().count("the reload changes nothing")

    def open_sources(self) -> bool:
        sources = self.status().get("sources", {})
        return bool(sources) and all(source["state"] == "open" for source in sources.values())

    def status(self) -> dict[str, Any]:
        """`/api/v1/status`, or {} where it does not answer."""
        try:
            with urllib.request.urlopen(self._asking(), timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (OSError, urllib.error.URLError):
            return {}

    def _asking(self) -> urllib.request.Request:
        with_token = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return urllib.request.Request(f"http://{self.host}:{self.port}/api/v1/status", headers=with_token)

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def lives(self) -> bool:
        """Whether it runs."""
        return not self._ended()

    def wait(self) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self._process is not None
        return self._process.wait(20)

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def stands_still(self) -> bool:
        """Whether each of its threads is stopped, so that none is in a call of the kernel, see proc(5)."""
        stats = [file.read_text() for file in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    def descriptors(self, *, but_to: int = 0) -> int:
        """How many it has open; those of connections to one port of loopback are not counted."""
        kept = self._sockets_to(but_to) if but_to else set()
        return sum(self._opened(number) not in kept for number in Path(f"/proc/{self.pid}/fd").iterdir())

    @staticmethod
    def _opened(number: Path) -> str:
        try:
            return str(number.readlink())
        except FileNotFoundError:  # closed meanwhile
            return ""

    def _sockets_to(self, port: int) -> set[str]:
        """As /proc/PID/fd names them, see proc(5) of /proc/net/tcp."""
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        return {f"socket:[{row[9]}]" for row in rows if int(row[2].partition(":")[2], 16) == port}

    def rss_bytes(self) -> int:
        return self._memory_bytes("VmRSS")

    def forget_peak(self) -> None:
        """From now on `peak_bytes` is what it is at most, see proc(5)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most that it ever had resident."""
        return self._memory_bytes("VmHWM")

    def written_bytes(self) -> int:
        lines = Path(f"/proc/{self.pid}/io").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))

    def _memory_bytes(self, which: str) -> int:
        """0 of one that has ended."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next((line.split()[1] for line in lines if line.startswith(which)), 0))

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._process = None
        return code
