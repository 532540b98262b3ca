"""Processes of the bench: started, waited for, ended; and what proc(5) tells of them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Failed(Exception):
    """Something did not come about; the text tells what."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def python(module: str, *arguments: object) -> tuple[str, ...]:
    """The command that runs a module with this Python."""
    return (sys.executable, "-m", module, *map(str, arguments))


@contextmanager
def process(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run it for the time of the block; what it says goes to the log."""
    with log.open("ab") as out:
        running = subprocess.Popen(command, stdout=out, stderr=out, env=environment())
    try:
        yield running
    finally:
        end(running)


def environment(**further: str) -> dict[str, str]:
    """This one's and more, where Python keeps what it compiles, as it does at a user's."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | further


def end(running: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and `kill -9` where that does not help."""
    running.terminate()
    try:
        running.wait(10)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def wait_for(what: str, condition: Callable[[], object], timeout_s: float = 60, every_s: float = 0.02) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited in vain for {what}")
        time.sleep(every_s)


def wait_until_idle(pid: int) -> None:
    """Until a process has done nothing for a while."""

    def idle() -> bool:
        before = cpu_s(pid)
        time.sleep(0.3)
        return cpu_s(pid) == before

    wait_for("a process to have nothing to do", idle)


def cpu_s(pid: int) -> float:
    """User and system time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Memory that it has now."""
    return _number(pid, "status", "VmRSS:") / 1024


def peak_rss_mib(pid: int) -> float:
    """The most that it had since it began, or since `forget_peak`."""
    return _number(pid, "status", "VmHWM:") / 1024


def forget_peak(pid: int) -> None:
    """Let `peak_rss_mib` begin anew, where the kernel lets us."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def written_bytes(pid: int) -> int:
    """Bytes that the process caused to be written to disks; a tmpfs is none."""
    return _number(pid, "io", "write_bytes:")


def _number(pid: int, file: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))
