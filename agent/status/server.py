"""The status page and its JSON over HTTP, on loopback unless the configuration says otherwise.

Only reading: nothing here changes anything; the control socket does. The Host header is checked against DNS
rebinding, a token is asked for where one is configured (everywhere but at the two health paths), and all that
comes from a sensor is escaped.
"""

import hmac
import os
import socket
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Final

import jinja2
from aiohttp import web

from agent.status.api import problems
from agent.status.snapshot import Snapshot
from agent.status.words import age, size

_SHUTDOWN_S = 1.0
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class StatusServer:
    """Started once, stopped once."""

    def __init__(
        self,
        address: tuple[str, int],
        token: str | None,
        hosts: Iterable[str],
        snapshot: Callable[[], Snapshot],
        ready: Callable[[], bool],
        alive: Callable[[], bool],
        routes: Iterable[web.RouteDef] = (),
    ) -> None:
        self._address = address
        self.admit(token, hosts)
        self._snapshot, self._ready, self._alive = snapshot, ready, alive
        self._page = _environment().get_template("page.html")
        self._style = _template("style.css")
        self._routes = list(routes)
        self._runner: web.AppRunner | None = None

    def admit(self, token: str | None, hosts: Iterable[str]) -> None:
        """From now on ask for this token, and answer to these names too."""
        self._token = token
        self._hosts = {*_own_names(self._address[0]), *(host.lower() for host in hosts)}

    async def start(self) -> None:
        """Listen. Raises OSError that names the address."""
        app = web.Application(middlewares=[self._guard, problems.below("/api/")], client_max_size=1024)
        app.add_routes(
            [
                web.get("/", self._show),
                web.get("/style.css", self._show_style),
                *self._routes,
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False)
        await self._runner.setup()
        host, port = self._address
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise OSError(error.errno, f"status.listen {host}:{port}: {os.strerror(error.errno or 0)}") from None

    async def stop(self) -> None:
        """Close the page."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: problems.Handler) -> web.StreamResponse:
        answer: web.StreamResponse
        if _host(request) not in self._hosts:
            answer = web.Response(status=421, text="this host name is not this agent's: see `status.hosts`\n")
        elif request.path not in _OPEN_PATHS and not self._has_token(request):
            answer = web.Response(status=401, text="a token is needed\n", headers={"WWW-Authenticate": "Bearer"})
        else:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                answer = web.Response(status=error.status, text=f"{error.reason}\n")
        answer.headers.update(_HEADERS)
        return answer

    def _has_token(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.encode(), self._token.encode())

    async def _show(self, _: web.Request) -> web.Response:
        snapshot = self._snapshot()
        text = self._page.render(s=snapshot, troubles=snapshot.troubles())
        return web.Response(text=text, content_type="text/html")

    async def _show_style(self, _: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css")

    async def _healthz(self, _: web.Request) -> web.Response:
        return _health(good=self._alive(), word="alive")

    async def _readyz(self, _: web.Request) -> web.Response:
        return _health(good=self._ready(), word="ready")


def _health(*, good: bool, word: str) -> web.Response:
    return web.Response(text=f"{word}\n") if good else web.Response(status=503, text=f"not {word}\n")


def _host(request: web.Request) -> str:
    """The Host header without its port."""
    host = request.headers.get("Host", "").lower()
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).strip("[]")


def _own_names(listen: str) -> set[str]:
    own = socket.gethostname().lower()
    return {"localhost", "127.0.0.1", "::1", listen, own, f"{own.partition('.')[0]}.local"}


def _template(name: str) -> str:
    return (files("agent.status") / "templates" / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"age": age, "size": size}
    return environment
