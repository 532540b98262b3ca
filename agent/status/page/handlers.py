"""What each route of the pages does."""

from collections.abc import Callable, Mapping
from datetime import tzinfo

from aiohttp import web

from agent.clock import DeviceClock
from agent.outbox import Archive
from agent.status.access import visitor
from agent.status.commands import Commands
from agent.status.page.actions import NOTICES, Actions
from agent.status.page.live import Live
from agent.status.page.pages import Asked, NotThere, Pages
from agent.status.page.post import Post
from agent.status.page.views.frame import Notice
from agent.status.snapshot import Eyes
from agent.webhooks.config import Webhook


class Handlers:
    """Each takes a request and answers it; `actions` has those of the forms."""

    def __init__(
        self,
        eyes: Eyes,
        commands: Commands,
        archive: Archive,
        webhooks: Callable[[], Mapping[str, Webhook]],
        clock: DeviceClock,
        zone: Callable[[], tzinfo],
        root: str,
    ) -> None:
        """As `agent.status.page.routes`."""
        self._pages = Pages(eyes, Post(archive, webhooks, clock.now), clock, zone, root)
        self._live = Live(clock.now)
        self.actions = Actions(commands, self._pages, root)

    async def overview(self, request: web.Request) -> web.Response:
        """All that there is."""
        return await self._show(request, "page", _words(request))

    async def sensor(self, request: web.Request) -> web.Response:
        """One sensor."""
        return await self._show(request, "sensor", request.match_info)

    async def events(self, request: web.Request) -> web.Response:
        """What is and was owed."""
        return await self._show(request, "events", _words(request))

    async def event(self, request: web.Request) -> web.Response:
        """One event, with its attempts."""
        return await self._show(request, "event", request.match_info)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """What changes on a page, for as long as it is open."""
        words = _words(request)
        asked = _asked(request, words.pop("view", ""), words)
        return await self._live.stream(request, asked, lambda: self._pages.regions(asked))

    async def _show(self, request: web.Request, view: str, words: Mapping[str, str]) -> web.Response:
        asked = _asked(request, view, words)
        try:
            rendered = await self._pages.show(asked, _notice(request))
        except NotThere as error:
            facts = {"heading": "Not here", "sentence": str(error), "back": self._pages.home, "back_words": "Overview"}
            text = self._pages.plain("message.html", facts, may_change=asked.may_change)
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
