"""`python -m agent.install.ready UNIT SECONDS`: waits until the agent of a unit is ready, and stays so for a moment.

Ready is what systemd was told (active), and what the agent itself says at `/readyz`, on its control socket, since a
page may be off. Exit code 1, with a sentence, where it is not within so many seconds, or ends again and again.
"""

import http.client
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from agent.service import Service

_EVERY_S = 0.5
_STAYS_S = 3.0
_ENDS = 2
"""So often started anew is enough to know."""


class Seen(NamedTuple):
    """One look."""

    active: str
    result: str
    pid: str
    restarts: int
    exit_status: str
    answer: str
    """Of /readyz; empty: nobody answers."""


class Waiting:
    """What the looks so far come to: pure."""

    def __init__(self, stays: int) -> None:
        """`stays`: so many looks in a row have to be good, at the same process."""
        self._stays = stays
        self._pid = ""
        self._good = 0
        self._ended = "for a reason that was not seen"

    def look(self, seen: Seen) -> str | None:
        """Empty: it is ready; a sentence: it will not be; None: look again."""
        if seen.result != "success":  # which it is anew while the next one starts
            self._ended = f"with the exit code {seen.exit_status} ({seen.result})"
        if seen.active == "failed":
            return f"it ended {self._ended} and is not started again"
        if seen.restarts >= _ENDS:
            return f"it ends again and again, the last time {self._ended}"
        good = seen.active == "active" and seen.answer == "ready"
        self._good = self._good + 1 if good and seen.pid in ("", self._pid) else int(good)
        self._pid = seen.pid
        return "" if self._good >= self._stays else None


def why_late(seen: Seen) -> str:
    """A sentence for who has waited long enough."""
    answer = f"it says {seen.answer!r}" if seen.answer else "nobody answers at its control socket"
    return f"systemd says {seen.active}, {answer}"


def _look(service: Service) -> Seen:
    names = ("ActiveState", "Result", "MainPID", "NRestarts", "ExecMainStatus")
    command = ("systemctl", "show", f"--property={','.join(names)}", service.unit)
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    active, result, pid, restarts, status = (found.get(name, "") for name in names)
    return Seen(active, result, pid, int(restarts or 0), status, readyz(service.runtime / "control.sock"))


def readyz(path: Path) -> str:
    """What the agent at a control socket says of itself; empty: nobody answers."""
    connection = http.client.HTTPConnection("bellcrank", timeout=5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        try:
            sock.connect(str(path))
            connection.sock = sock
            connection.request("GET", "/readyz")
            return connection.getresponse().read(100).decode("ascii", "replace").strip()
        except (OSError, http.client.HTTPException):
            return ""


def main(unit: str, within_s: str) -> int:
    """Wait. Returns the exit code."""
    service = Service.of_unit(unit)
    if service is None:
        print(f"{unit} is no unit of bellcrank", file=sys.stderr)  # noqa: T201
        return 2
    waiting, never = Waiting(int(_STAYS_S / _EVERY_S)), threading.Event()
    seen = _look(service)
    for _ in range(int((int(within_s) + _STAYS_S) / _EVERY_S)):
        verdict = waiting.look(seen)
        if verdict is not None:
            print(verdict, end="", file=sys.stderr)  # noqa: T201
            return 1 if verdict else 0
        never.wait(_EVERY_S)
        seen = _look(service)
    print(f"not ready within {within_s} s: {why_late(seen)}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
