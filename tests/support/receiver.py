"""A real HTTP receiver that remembers every request and answers as it is told."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from tests.support.agent import free_port

Script = Callable[[web.Request, int], Awaitable[web.StreamResponse]]
"""Answers the n-th request (from 0)."""


@dataclass(frozen=True)
class Got:
    """One request."""

    id: str
    body: bytes
    headers: dict[str, str]
    at: float
    peer: tuple[str, int]
    path: str
    method: str


def answer(status: int, **headers: str) -> Script:
    """Always answer with a status."""

    async def script(_: web.Request, _n: int) -> web.Response:
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return script


def first(n: int, script: Script, then: Script) -> Script:
    """Answer the first n requests in one way and the others in another."""

    async def either(request: web.Request, number: int) -> web.StreamResponse:
        return await (script if number < n else then)(request, number)

    return either


async def reset(request: web.Request, _: int) -> web.StreamResponse:
    """Take the request and break the connection: nobody knows whether it was taken."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class Receiver:
    """Listens on a free port of loopback; stopped and started again it has the same."""

    script: Script = field(default_factory=lambda: answer(204))
    port: int = field(default_factory=free_port)
    got: list[Got] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    tls: ssl.SSLContext | None = None
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        number = len(self.got)
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        at, message_id = asyncio.get_running_loop().time(), headers.get("webhook-id", "")
        self.got.append(Got(message_id, body, headers, at, peer, request.path_qs, request.method))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.script(request, number)
        finally:
            self.at_once -= 1
