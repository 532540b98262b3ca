"""The status page: what a person opens first, on a phone beside the freezer.

`pages` gathers the facts of each page, `views` words them, `charts` reckons where lines go, and `rendering` fills the
templates (`../templates`, with `../static`). `live` sends what has changed, `actions` are the forms, `post` reads the
events. All HTML is made here, once, by one template for each page: the script only puts it in place.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from importlib.resources import files

from aiohttp import web

from agent.clock import DeviceClock
from agent.outbox import Archive
from agent.status.access import visitor
from agent.status.api import Commands
from agent.status.page.actions import NOTICES, Actions
from agent.status.page.live import Live
from agent.status.page.pages import Asked, NotThere, Pages
from agent.status.page.post import Post
from agent.status.page.views.frame import Notice
from agent.status.snapshot import Eyes
from agent.webhooks.config import Webhook

STATIC: Mapping[str, str] = {
    "style.css": "text/css",
    "script.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""Files and their types."""


def routes(
    eyes: Eyes,
    commands: Commands,
    archive: Archive,
    webhooks: Callable[[], Mapping[str, Webhook]],
    clock: DeviceClock,
    zone: Callable[[], tzinfo],
    root: str = "",
) -> list[web.RouteDef]:
    """The pages, their stream, their forms and their files.

    `webhooks`: as configured now, to hide their secrets; `zone`: of times of day; `root`: what stands before all paths
    that browsers see, such as `/bellcrank`.
    """
    pages = Pages(eyes, Post(archive, webhooks, clock.now), clock, zone, root)
    live = Live(clock.now)

    async def overview(request: web.Request) -> web.Response:
        return await _show(pages, request, "page", _words(request))

    async def sensor(request: web.Request) -> web.Response:
        return await _show(pages, request, "sensor", request.match_info)

    async def events(request: web.Request) -> web.Response:
        return await _show(pages, request, "events", _words(request))

    async def event(request: web.Request) -> web.Response:
        return await _show(pages, request, "event", request.match_info)

    async def stream(request: web.Request) -> web.StreamResponse:
        words = _words(request)
        asked = _asked(request, words.pop("view", ""), words)
        return await live.stream(request, asked, lambda: pages.regions(asked))

    # As aiohttp has it a segment may hold no braces; a name of a sensor may.
    return [
        web.get("/", overview),
        web.get("/sensors/{name:[^/]+}", sensor),
        web.get("/events", events),
        web.get("/events/{id:[^/]+}", event),
        web.get("/live", stream, allow_head=False),
        *(web.get(f"/static/{name}", _file(name, kind)) for name, kind in STATIC.items()),
        *Actions(commands, pages, root).routes(),
    ]


async def _show(pages: Pages, request: web.Request, view: str, words: Mapping[str, str]) -> web.Response:
    asked = _asked(request, view, words)
    try:
        rendered = await pages.show(asked, _notice(request))
    except NotThere as error:
        facts = {"heading": "Not here", "sentence": str(error), "back": pages.home, "back_words": "Overview"}
        text = pages.plain("message.html", facts, may_change=asked.may_change)
        return web.Response(text=text, content_type="text/html", status=404)
    return web.Response(text=rendered.html, content_type="text/html")


def _asked(request: web.Request, view: str, words: Mapping[str, str]) -> Asked:
    known = tuple(sorted((word, value) for word, value in words.items() if word not in ("done", "of")))
    return Asked(view, known, visitor(request).may_change)


def _words(request: web.Request) -> dict[str, str]:
    return dict(request.query)


def _notice(request: web.Request) -> Notice | None:
    """Only known sentences."""
    sentence = NOTICES.get(request.query.get("done", ""))
    return None if sentence is None else Notice(sentence, request.query.get("of", ""))


def _file(name: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = (files("agent.status") / "static" / name).read_bytes()

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return give
