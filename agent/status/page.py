"""The page."""

from collections.abc import Callable
from importlib.resources import files

import jinja2
from aiohttp import web

from agent.status.snapshot import Snapshot
from agent.status.words import age, size


def routes(snapshot: Callable[[], Snapshot]) -> list[web.RouteDef]:
    """The page and its style sheet."""
    page, style = _environment().get_template("page.html"), _template("style.css")

    async def show(_: web.Request) -> web.Response:
        shown = snapshot()
        return web.Response(text=page.render(s=shown, troubles=shown.troubles()), content_type="text/html")

    async def show_style(_: web.Request) -> web.Response:
        return web.Response(text=style, content_type="text/css")

    return [web.get("/", show), web.get("/static/style.css", show_style)]


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
