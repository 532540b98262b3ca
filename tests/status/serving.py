"""A status server of its own on a free port, and clients for it: a browser's, and raw sockets."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from agent.clock import SystemClock
from agent.config import StatusConfig
from agent.status.access import visitor
from agent.status.page.live import Live
from agent.status.server import StatusServer
from tests.support.agent import free_port

TOKEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

LARGE = 32_000_000


class Served:
    """The server, its clock, and what its routes were asked to change."""

    def __init__(self, **settings: Any) -> None:
        self.port = free_port()
        self.now = 0.0
        self.changes: list[bytes] = []
        self.live_may_end = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self.given = {"listen": f"127.0.0.1:{self.port}", **settings}
        self.server = StatusServer(self.settings(), self._routes(), lambda: self.now)

    def settings(self, **changed: Any) -> StatusConfig:
        return StatusConfig(**{**self.given, **changed})

    def _routes(self) -> list[web.RouteDef]:
        async def show(request: web.Request) -> web.Response:
            return web.json_response(visitor(request)._asdict())

        async def change(request: web.Request) -> web.Response:
            self.changes.append(await request.read())
            return web.Response(text="done")

        async def live(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await answer.prepare(request)
            await answer.write(b"data: 1\n\n")
            await self.live_may_end.wait()
            await answer.write(b"data: 2\n\n")
            return answer

        async def stream(request: web.Request) -> web.StreamResponse:
            async def render() -> dict[str, str]:
                return {}

            return await Live(SystemClock().now).stream(request, "view", render)

        async def fail(_: web.Request) -> web.Response:
            raise RuntimeError("a secret")

        async def large(_: web.Request) -> web.Response:
            self.changes.append(b"large")
            return web.Response(body=LARGE * b"x")

        return [
            web.get("/", show),
            web.post("/change", change),
            web.get("/live", live),
            web.get("/stream", stream),
            web.get("/fail", fail),
            web.get("/large", large),
            web.get("/static/style.css", show),
        ]

    async def raw(self, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Closed with the server, at the latest."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        writer.write(said)
        await writer.drain()
        return reader, writer


async def until_end(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed or cut."""
    got = bytearray()
    with contextlib.suppress(ConnectionError):
        while some := await asyncio.wait_for(reader.read(65536), 20):
            got += some
    return bytes(got)


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Served]:
    made = Served(**settings)
    await made.server.start()
    try:
        yield made
    finally:
        made.live_may_end.set()
        for writer in made.writers:
            writer.close()
        await made.server.stop()


Ask = Callable[..., Awaitable[aiohttp.ClientResponse]]


@asynccontextmanager
async def browser(base: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Ask]:
    """Asks as a browser does: keeps cookies, sends the Origin with a change, and goes nowhere by itself."""
    jar = aiohttp.CookieJar(unsafe=True)  # also of IP addresses
    async with aiohttp.ClientSession(cookie_jar=jar) as session:

        async def ask(method: str, path: str, data: Any = None, **headers: str) -> aiohttp.ClientResponse:
            sent = {"Accept": "text/html", "Origin": base} if method == "POST" else {"Accept": "text/html"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            url, options = f"{base}{path}", {"ssl": tls} if tls else {}
            async with session.request(
                method,
                url,
                data=data,
                headers=sent,
                allow_redirects=False,
                **options,  # type: ignore[arg-type]
            ) as answer:
                await answer.read()
                return answer

        yield ask
