"""The server of the status page, on loopback unless the configuration says otherwise.

It puts together the routes of the page, the API and the metrics, and what stands in front of them: who may
(`guard`, `access`, `login`), how many at once, and for how long.
"""

import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Middleware

from agent.config import StatusConfig
from agent.status.access import Policy, further, own_names
from agent.status.guard import BODY_BYTES_MAX, HEADERS, Guard
from agent.status.listener import Listener
from agent.status.login import Login
from drivers.http_connections import Connections

CONNECTIONS_MAX = 64
"""Open at once; each page that is looked at holds one. More are closed at once."""
PATIENCE_S = 30.0
"""For a request to come on a connection, and for its answer to be taken."""
_LIMITS = {"max_line_size": 4096, "max_field_size": 8190, "max_headers": 64}
"""Of the head of a request, in bytes and in lines."""
_SHUTDOWN_S = 1.0


class StatusServer:
    """Started once, stopped once."""

    def __init__(
        self,
        settings: StatusConfig,
        routes: Iterable[web.RouteDef],
        now: Callable[[], float],
        middlewares: Iterable[Middleware] = (),
        listener: Listener | None = None,
    ) -> None:
        """`now()` is on the agent's time line; `middlewares` make answers of what their routes and the guard raise.

        `listener` may have the address already.
        """
        self._settings = settings
        root = settings.root
        self._login = Login(root, settings.address[1], now)
        self._connections = Connections(CONNECTIONS_MAX, PATIENCE_S, HEADERS, **_LIMITS)
        self._guard = Guard(_policy(settings), self._login, self._connections, root)
        self._routes = _with_prefix([*routes, *self._login.routes()], root)
        self._middlewares = list(middlewares)
        self._runner: web.AppRunner | None = None
        self._listener = listener or Listener(settings)
        self.admit(settings)

    def admit(self, settings: StatusConfig) -> None:
        """From now on ask for this token, and answer to these names, with this certificate.

        Another token ends all that the old one began. `listen`, `prefix` and whether there is TLS stay as they were.
        """
        self._listener.renew(settings.tls)
        before, self._guard.policy = self._guard.policy, _policy(settings)
        self._settings = settings
        self._login.token = settings.secret_token
        if before.token != settings.secret_token:
            self._login.end_all()
            self._connections.cut_all()

    def new_link(self) -> dict[str, Any]:
        """A login link: its `path` and `expires_s`, and by what it may be reached: `listen`, `tls`, `hosts`."""
        where = {"listen": self._settings.listen, "tls": self._listener.has_tls, "hosts": self._settings.hosts}
        return {**self._login.new_link(), **where}

    async def start(self) -> None:
        """Listen. Raises OSError that names the address."""
        middlewares = [self._guard.outer, *self._middlewares, self._guard.inner]
        app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES_MAX)
        app.add_routes(self._routes)
        app.on_response_prepare.append(self._guard.add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False)
        await self._runner.setup()
        try:
            await self._listener.serve(partial(self._connections.accept, cast("web.Server", self._runner.server)))
        except OSError:
            await self._runner.cleanup()
            raise

    async def stop(self) -> None:
        """Close the page."""
        self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._connections.cut_all()


def _with_prefix(routes: Iterable[web.RouteDef], root: str) -> list[web.RouteDef]:
    """Each with the prefix and without: a proxy may leave it or take it away."""
    routes = list(routes)
    if not root:
        return routes

    async def lead_in(_: web.Request) -> web.Response:
        raise web.HTTPFound(f"{root}/")

    prefixed = [web.route(route.method, root + route.path, route.handler, **route.kwargs) for route in routes]
    return [*routes, *prefixed, web.get(root, lead_in)]


def _policy(settings: StatusConfig) -> Policy:
    own = own_names(settings.address[0], socket.gethostname())
    return Policy(settings.secret_token, own, further(settings.hosts))
