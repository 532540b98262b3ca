"""What the forms of the page do. Each goes back to where it came from (303), or shows what came of it.

Who may not change anything never comes here by POST: the guard sees to that (`agent.status.access`). What cannot be
taken back is asked for once more.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from agent.outbox import Filter, Moved, Span
from agent.status.access import visitor
from agent.status.commands import Commands, WebhookDisabled
from agent.status.page import texts
from agent.status.page.pages import Pages
from agent.status.page.views.frame import link

NOTICES: Mapping[str, str] = {
    "retry": "All that waits is tried now.",
    "enable": "Enabled: what waits is tried now.",
    "disable": "Disabled: nothing is sent, and the queue is kept.",
    "disabled": "It is disabled: enable it first.",
    "forget": "Forgotten.",
    "replay": "Sent again.",
    "replay-none": "Nothing was sent again: it waits already, or is no longer there.",
    "discard": "Discarded.",
    "discard-none": "Nothing was discarded: it was delivered meanwhile, or is no longer there.",
}
"""By the word `done` of the path: what a stranger may write there is nothing that is shown."""
_HTML = "text/html"


class Actions:
    """The forms, and the questions before some of them."""

    def __init__(self, commands: Commands, pages: Pages, root: str) -> None:
        self._commands, self._pages, self._root = commands, pages, root

    async def test(self, request: web.Request) -> web.Response:
        """Send a test event."""
        name = request.match_info["name"]
        tried = await self._commands.test(name)
        if tried is None:
            return self._no_webhook(request, name)
        took = texts.milliseconds(tried.duration_s * 1000)
        if tried.error is None:
            return self._message(request, f"{name} answers", f"It took the test event ({tried.status}) within {took}.")
        return self._message(request, f"{name} did not take the test event", f"After {took}: {tried.error}")

    async def switch(self, request: web.Request) -> web.Response:
        """Retry, enable or disable a webhook."""
        name, what = request.match_info["name"], request.match_info["what"]
        switch: Callable[[str], Awaitable[bool]] = getattr(self._commands, what)
        try:
            known = await switch(name)
        except WebhookDisabled:
            what, known = "disabled", True
        return _see(self._link("", done=what, of=name) + "#webhooks") if known else self._no_webhook(request, name)

    async def ask_forget(self, request: web.Request) -> web.Response:
        """Ask before a sensor is forgotten."""
        name = request.match_info["name"]
        return self._question(
            request,
            f"Forget {texts.cut(name, 200)}?",
            "Its value, its history and what rules remember of it are lost; an alert that it fires is resolved. It is"
            " there again with its next reading.",
            "Forget",
            self._link("sensors", name, "forget"),
            back=self._link("sensors", name),
        )

    async def forget(self, request: web.Request) -> web.Response:
        """Forget a sensor."""
        name = request.match_info["name"]
        if await self._commands.forget(name):
            return _see(self._link("", done="forget"))
        return self._message(request, "Nothing to forget", f"Nothing is known of a sensor {name}.", 404)

    async def ask_discard(self, request: web.Request) -> web.Response:
        """Ask before an event is discarded."""
        event_id, webhook = request.match_info["id"], request.query.get("webhook", "")
        return self._question(
            request,
            f"Discard for {texts.cut(webhook, 64)}?" if webhook else "Discard?",
            "It is never sent: the receiver will not hear of this event.",
            "Discard",
            self._link("events", event_id, "discard"),
            back=self._link("events", event_id),
            webhook=webhook,
        )

    async def discard(self, request: web.Request) -> web.Response:
        """Give an event up."""
        return await self._move(request, "discard", self._commands.discard, Filter.to_discard)

    async def replay(self, request: web.Request) -> web.Response:
        """Send an event again."""
        return await self._move(request, "replay", self._commands.replay, Filter.to_replay)

    async def _move(
        self,
        request: web.Request,
        what: str,
        move: Callable[[Filter, Span], Awaitable[Moved]],
        narrowed: Callable[[Filter], Filter],
    ) -> web.Response:
        event_id, webhook = request.match_info["id"], (await request.post()).get("webhook")
        wanted = narrowed(Filter(ids=(event_id,), webhook=str(webhook) if webhook else None))
        moved = await move(wanted, Span())
        shown = ("events",) if what == "discard" else ("events", event_id)  # what was discarded may be no longer there
        return _see(self._link(*shown, done=what if moved.moved else f"{what}-none"))

    # -- answers

    def _link(self, *segments: str, **words: str) -> str:
        return link(self._root, *segments, **words)

    def _question(
        self, request: web.Request, question: str, loses: str, words: str, action: str, *, back: str, webhook: str = ""
    ) -> web.Response:
        facts = {
            "question": question,
            "loses": loses,
            "words": words,
            "action": action,
            "back": back,
            "name": "webhook" if webhook else "",
            "value": webhook,
        }
        may_change = visitor(request).may_change
        return web.Response(text=self._pages.plain("confirm.html", facts, may_change=may_change), content_type=_HTML)

    def _message(self, request: web.Request, heading: str, sentence: str, status: int = 200) -> web.Response:
        facts = {"heading": heading, "sentence": sentence, "back": self._link(""), "back_words": "Back"}
        text = self._pages.plain("message.html", facts, may_change=visitor(request).may_change)
        return web.Response(text=text, content_type=_HTML, status=status)

    def _no_webhook(self, request: web.Request, name: str) -> web.Response:
        return self._message(request, "No such webhook", f"There is no webhook {texts.cut(name, 100)}.", 404)


def _see(path: str) -> web.Response:
    """Go there, by GET (RFC 9110, 15.4.4)."""
    return web.Response(status=303, headers={"Location": path})
