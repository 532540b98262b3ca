"""What the agent tells and does under `/api/v1/`: handlers that the status page and the control socket share.

Answers are JSON; what went wrong is `{"error": "a sentence"}`.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from agent.outbox import PAGE_ROWS, Archive, Filter, Matching, Moved, Span
from agent.status.events import page_json, whole_json
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

    async def replay(self, wanted: Filter, span: Span) -> Moved:
        """Send again what was delivered or is dead, a step of the span."""

    async def discard(self, wanted: Filter, span: Span) -> Moved:
        """Give up what is pending or dead, a step of the span."""


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


def telling_of_events(archive: Archive, now: Callable[[], float]) -> list[web.RouteDef]:
    """The routes that tell of deliveries. `now()` is on the agent's time line."""

    async def find(request: web.Request) -> web.Response:
        words = dict(request.query)
        newest, bodies = "after" not in words, words.pop("bodies", "") == "1"
        limit = min(PAGE_ROWS, _whole(words.pop("limit", PAGE_ROWS), "limit"))
        before, after = _whole(words.pop("before", 2**63 - 1), "before"), _whole(words.pop("after", 0), "after")
        wanted, span = _filter(words), Span(after, before - 1)
        found = await asyncio.to_thread(archive.find, wanted, span, limit, newest=newest, bodies=bodies)
        return web.json_response(page_json(found, limit, now()))

    async def matching(request: web.Request) -> web.Response:
        found: Matching = await asyncio.to_thread(archive.matching, _filter(request.query))
        return web.json_response(found._asdict())

    async def show(request: web.Request) -> web.Response:
        event_id = request.match_info["id"]
        found = await asyncio.to_thread(archive.whole, event_id)
        if not found:
            return _refused(404, f"there is no event {event_id}, or no more")
        return web.json_response({"events": [whole_json(letter, now()) for letter in found]})

    return [
        web.get("/api/v1/events", find),
        web.get("/api/v1/events/matching", matching),
        web.get("/api/v1/events/{id}", show),
    ]


def moving_events(commands: Commands) -> list[web.RouteDef]:
    """The routes that send deliveries again and give them up, in steps: the answer says where the next one begins."""

    async def replay(request: web.Request) -> web.Response:
        wanted, span = await _step(request, Filter.to_replay)
        return web.json_response((await commands.replay(wanted, span))._asdict())

    async def discard(request: web.Request) -> web.Response:
        wanted, span = await _step(request, Filter.to_discard)
        return web.json_response((await commands.discard(wanted, span))._asdict())

    return [web.post("/api/v1/events/replay", replay), web.post("/api/v1/events/discard", discard)]


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


async def _step(request: web.Request, narrowed: Callable[[Filter], Filter]) -> tuple[Filter, Span]:
    """What a step is asked to move, and where it begins."""
    words = await _object(request)
    after, upto = _whole(words.pop("after", 0), "after"), _whole(words.pop("upto", 2**63 - 1), "upto")
    try:
        return narrowed(Filter.parse(words)), Span(after, upto)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def _filter(words: Mapping[str, Any]) -> Filter:
    try:
        return Filter.parse(words)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def _whole(value: Any, word: str) -> int:
    if str(value).isdecimal() and int(value) < 2**63:
        return int(value)
    raise web.HTTPBadRequest(text=f"{word} has to be a whole number")


async def _object(request: web.Request) -> dict[str, Any]:
    """The body, where it is a JSON object; else an empty one."""
    try:
        body = json.loads(await request.content.read(_BODY_BYTES_MAX))
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}


async def _name(request: web.Request) -> str:
    name = (await _object(request)).get("name")
    if not isinstance(name, str):
        raise web.HTTPBadRequest(text='the body has to be {"name": "..."}')
    return name


def _done() -> web.Response:
    return web.json_response({})


def _refused(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
