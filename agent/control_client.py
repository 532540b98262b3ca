"""The command line's side of the control socket."""

import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TIMEOUT_S = 30.0
"""A reload waits for attempts that are in flight."""
_UCRED = "3i"
"""struct ucred: process, user, group."""


class NoAgent(Exception):
    """Nobody listens."""


class NotAllowed(Exception):
    """The file mode of the socket or of its folder keeps this user out."""


class CommandRefused(Exception):
    """The agent does not do it; the message says why."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def ask(paths: Iterable[Path], method: str, target: str, body: Any = None) -> Any:
    """Send one request to the first agent that listens. Returns the JSON of its answer.

    Raises NoAgent, NotAllowed, CommandRefused.
    """
    connection = _Connection(_connect(paths))
    try:
        if body is None:
            connection.request(method, target)
        else:
            connection.request(method, target, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = json.load(answer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAgent(f"the agent did not answer: {str(error) or type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise CommandRefused(str(found.get("detail", answer.reason)), answer.status)
    return found


def process_behind(paths: Iterable[Path]) -> int | None:
    """The process id of the agent that listens (SO_PEERCRED, unix(7)); None: it cannot be seen from here.

    Raises NoAgent, NotAllowed.
    """
    with contextlib.closing(_connect(paths)) as sock:
        pid, _uid, _gid = struct.unpack(_UCRED, sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid) or None


def _connect(paths: Iterable[Path]) -> socket.socket:
    tried: list[str] = []
    kept_out: Path | None = None
    for path in paths:
        tried.append(str(path))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(_TIMEOUT_S)
        try:
            sock.connect(str(path))
        except PermissionError:
            kept_out = path
        except OSError:  # no file, nobody behind it, or a path that no socket can have
            pass
        else:
            return sock
        sock.close()
    if kept_out is not None:
        raise NotAllowed(f"no permission for {kept_out}: ask as root or as a member of the agent's group")
    raise NoAgent(f"no agent answers at {' or '.join(tried)}")


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket that is connected already."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__("bellcrank")
        self.sock = connected
