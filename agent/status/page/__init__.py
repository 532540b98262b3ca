"""The status page: what a person opens first, on a phone beside the freezer.

`handlers` has what each route does, `pages` gathers the facts of each page, `views` words them, `charts` reckons where
lines go, and `rendering` fills the templates (`../templates`, with `../static`). `live` sends what has changed,
`actions` are the forms, `post` reads the events. All HTML is made here, once, by one template for each page: the script
only puts it in place.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from agent.clock import DeviceClock
from agent.outbox import Archive
from agent.status.commands import Commands
from agent.status.snapshot import Eyes
from agent.webhooks.config import Webhook

if TYPE_CHECKING:
    from agent.status.page.handlers import Handlers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

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

    @cache
    def handlers() -> "Handlers":
        from agent.status.page.handlers import Handlers  # 1 MiB, which an agent whose page nobody opens does without

        return Handlers(eyes, commands, archive, webhooks, clock, zone, root)

    def does(what: Callable[["Handlers"], Handler]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await what(handlers())(request)

        return handle

    # As aiohttp has it a segment may hold no braces; a name of a sensor may.
    return [
        web.get("/", does(lambda page: page.overview)),
        web.get("/sensors/{name:[^/]+}", does(lambda page: page.sensor)),
        web.get("/events", does(lambda page: page.events)),
        web.get("/events/{id:[^/]+}", does(lambda page: page.event)),
        web.get("/live", does(lambda page: page.stream), allow_head=False),
        web.post("/webhooks/{name:[^/]+}/test", does(lambda page: page.actions.test)),
        web.post("/webhooks/{name:[^/]+}/{what:retry|enable|disable}", does(lambda page: page.actions.switch)),
        web.get("/sensors/{name:[^/]+}/forget", does(lambda page: page.actions.ask_forget)),
        web.post("/sensors/{name:[^/]+}/forget", does(lambda page: page.actions.forget)),
        web.get("/events/{id:[^/]+}/discard", does(lambda page: page.actions.ask_discard)),
        web.post("/events/{id:[^/]+}/discard", does(lambda page: page.actions.discard)),
        web.post("/events/{id:[^/]+}/replay", does(lambda page: page.actions.replay)),
        *(web.get(f"/static/{name}", _file(name, kind)) for name, kind in STATIC.items()),
    ]


def _file(name: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = (files("agent.status") / "static" / name).read_bytes()

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return give
