"""All that a running agent is asked by: the status page with the API and the metrics, and the control socket.

`agent.app` imports it once the feeds are being opened, since it brings most of aiohttp.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from agent.clock import DeviceClock
from agent.config import Config
from agent.outbox import Archive
from agent.status import health, metrics, page
from agent.status.api import problems, routes, served
from agent.status.commands import Commands
from agent.status.control import ControlServer
from agent.status.listener import Listener
from agent.status.login import link_routes
from agent.status.server import StatusServer
from agent.status.snapshot import Eyes

log = logging.getLogger(__name__)


class Front:
    """Each half is opened once and closed once."""

    def __init__(
        self, eyes: Eyes, commands: Commands, archive: Archive, config: Callable[[], Config], clock: DeviceClock
    ) -> None:
        """`config()` is what runs now."""
        self._eyes, self._commands, self._archive = eyes, commands, archive
        self._config, self._clock = config, clock
        api = routes(eyes, commands, archive, lambda: config().webhooks, clock.now, config().status.root)
        self._shared = [*health.routes(eyes.ready, eyes.alive), *served(api)]
        self._page: StatusServer | None = None
        self._control: ControlServer | None = None

    async def open_page(self, listener: Listener) -> None:
        """Serve the status page. Raises OSError that names the address."""
        config, root = self._config, self._config().status.root
        pages = page.routes(
            self._eyes,
            self._commands,
            self._archive,
            lambda: config().webhooks,
            self._clock,
            lambda: config().timezone(),
            root,
        )
        shown = [*self._shared, *metrics.routes(self._eyes), *pages]
        api = {"/api/", f"{root}/api/"}
        self._page = StatusServer(config().status, shown, self._clock.now, map(problems.below, api), listener)
        await self._page.start()
        for warning in config().status.warnings():
            log.warning("%s", warning)

    async def open_control(self, path: Path, *, for_group: bool) -> None:
        """Serve the control socket; `for_group` as `ControlServer` has it. Raises OSError that names the path."""
        links = link_routes(None if self._page is None else self._page.new_link)
        self._control = ControlServer(path, [*self._shared, *links], for_group=for_group)
        await self._control.start()

    def adopt(self, config: Config) -> None:
        """Admit whom a changed configuration lets in."""
        if self._page is not None:
            self._page.admit(config.status)

    async def close_page(self) -> None:
        """Close the page, where it is open."""
        if self._page is not None:
            await self._page.stop()

    async def close_control(self) -> None:
        """Close the control socket, where it is open."""
        if self._control is not None:
            await self._control.stop()
