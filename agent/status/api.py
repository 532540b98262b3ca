"""What the agent tells and does under `/api/v1/`: handlers that the status page and the control socket share.

Answers are JSON; what went wrong is `{"error": "a sentence"}`.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from agent.status.snapshot import Snapshot

log = logging.getLogger(__name__)

_BODY_BYTES_MAX = 4096
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ReloadRefused(Exception):
    """The configuration file is bad: nothing has changed. The message says all that is wrong, a line each."""


class Commands(Protocol):
    """What may be changed while the agent runs; each is durable when it returns."""

    async def reload(self) -> Sequence[str]:
        """Apply the configuration file. Returns the keys that wait for a restart. Raises ReloadRefused."""

    async def forget(self, sensor: str) -> bool:
        """Forget all of a sensor. Returns whether anything was known of it."""

    async def enable(self, webhook: str) -> bool:
        """Let a webhook be tried again. Returns whether there is one of this name."""

    async def disable(self, webhook: str) -> bool:
        """Send nothing to a webhook, and keep its queue. Returns whether there is one of this name."""


def reading(snapshot: Callable[[], Snapshot]) -> list[web.RouteDef]:
    """The routes that change nothing."""

    async def status(_: web.Request) -> web.Response:
        shown = snapshot()
        return web.json_response({**shown.to_json(), "troubles": shown.troubles()})

    async def sensors(_: web.Request) -> web.Response:
        return web.json_response(snapshot().to_json()["sensors"])

    return [web.get("/api/v1/status", status), web.get("/api/v1/sensors", sensors)]


def changing(commands: Commands) -> list[web.RouteDef]:
    """The routes that change something."""

    async def reload(_: web.Request) -> web.Response:
        try:
            return web.json_response({"needs_restart": list(await commands.reload())})
        except ReloadRefused as refused:
            return _refused(422, str(refused))

    async def forget(request: web.Request) -> web.Response:
        name = await _name(request)
        known = await commands.forget(name)
        return _done() if known else _refused(404, f"nothing is known of a sensor {name}")

    async def enable(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return _done() if await commands.enable(name) else _refused(404, f"there is no webhook {name}")

    async def disable(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return _done() if await commands.disable(name) else _refused(404, f"there is no webhook {name}")

    return [
        web.post("/api/v1/reload", reload),
        web.post("/api/v1/sensors/forget", forget),
        web.post("/api/v1/webhooks/{name}/enable", enable),
        web.post("/api/v1/webhooks/{name}/disable", disable),
    ]


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what aiohttp refuses in the same form."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refused(error.status, error.text or error.reason)
    except Exception as error:
        log.exception("%s failed", request.path)
        return _refused(500, f"{type(error).__name__}: see the log of the agent")


async def _name(request: web.Request) -> str:
    try:
        body = json.loads(await request.content.read(_BODY_BYTES_MAX))
    except ValueError:
        body = None
    name = body.get("name") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise web.HTTPBadRequest(text='the body has to be {"name": "..."}')
    return name


def _done() -> web.Response:
    return web.json_response({})


def _refused(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
