"""The control socket: the API for the command line.

A unix socket, whose file mode is the authority: who may open it may do all.
"""

import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from agent.status.api import problems
from agent.status.api.serving import BODY_BYTES_MAX

_SHUTDOWN_S = 1.0
_PATH_BYTES_MAX = 107
"""unix(7): sun_path has 108 bytes, the last one is 0."""


class ControlServer:
    """Started once, stopped once, by who holds the lock of the outbox: a socket that stands there already is stale."""

    def __init__(self, path: Path, routes: Iterable[web.RouteDef], *, for_group: bool = False) -> None:
        """`for_group`: whether the group may use the socket, where it may enter its folder."""
        self._path = path
        self._routes = list(routes)
        self._for_group = for_group
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises OSError that names the path."""
        listening = self._bind()
        app = web.Application(middlewares=[problems.below("/")], client_max_size=2 * BODY_BYTES_MAX)
        app.add_routes(self._routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False)
        try:
            await self._runner.setup()
            await web.SockSite(self._runner, listening).start()
        except BaseException:  # a start is given up by a signal
            listening.close()
            raise

    async def stop(self) -> None:
        """Close the socket and take its file away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._path.unlink(missing_ok=True)

    def _bind(self) -> socket.socket:
        length = len(os.fsencode(self._path))
        if length > _PATH_BYTES_MAX:
            raise OSError(
                f"the path of the control socket, {self._path}, has {length} bytes and may have {_PATH_BYTES_MAX}:"
                " choose a shorter `agent.state_dir`"
            )
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._remove_stale()
            bound.bind(str(self._path))
            self._path.chmod(self._mode())  # nobody gets in before it listens
        except OSError as error:
            bound.close()
            raise OSError(error.errno, f"the control socket {self._path}: {error.strerror}") from None
        return bound

    def _remove_stale(self) -> None:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()

    def _mode(self) -> int:
        entered_by_group = self._path.parent.stat().st_mode & stat.S_IXGRP
        return 0o660 if self._for_group and entered_by_group else 0o600
