"""`/healthz` and `/readyz`, for who watches the agent: a word each, 200 or 503."""

from collections.abc import Callable

from aiohttp import web


def routes(ready: Callable[[], bool], alive: Callable[[], bool]) -> list[web.RouteDef]:
    """`alive`: the process lives and moves. `ready`: its configuration is loaded and its outbox can be written."""

    async def healthz(_: web.Request) -> web.Response:
        return _told("alive", good=alive())

    async def readyz(_: web.Request) -> web.Response:
        return _told("ready", good=ready())

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]


def _told(word: str, *, good: bool) -> web.Response:
    return web.Response(text=f"{word}\n") if good else web.Response(status=503, text=f"not {word}\n")
