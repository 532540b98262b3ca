"""Each page by the name of its view: gathers its facts, lets a view word them, and fills its template."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from datetime import tzinfo
from typing import Any, NamedTuple

from agent.clock import DeviceClock
from agent.outbox import Filter
from agent.status.page import texts
from agent.status.page.post import Post
from agent.status.page.rendering import Rendered, Templates
from agent.status.page.views import events, frame, overview, sensor
from agent.status.snapshot import Eyes, Snapshot, Window

_GLANCE = Window(limit=0)
"""All but sensors."""


class NotThere(Exception):
    """There is no such thing, or no more. The message is a sentence."""


class Asked(NamedTuple):
    """Which page, for whom. Pages that were asked for alike are alike."""

    view: str
    words: tuple[tuple[str, str], ...] = ()
    """What the view is of, and the query."""
    may_change: bool = False


class Pages:
    """Renders pages."""

    def __init__(self, eyes: Eyes, post: Post, clock: DeviceClock, zone: Callable[[], tzinfo], root: str) -> None:
        """`zone`: of times of day; `root`: before all paths."""
        self._eyes, self._post, self._clock, self._zone, self._root = eyes, post, clock, zone, root
        self._templates = Templates(root)
        self.home = frame.link(root, "")
        self._views: Mapping[str, Callable[[Asked, frame.Notice | None], Awaitable[Rendered]]] = {
            "page": self._overview,
            "sensor": self._sensor,
            "events": self._events,
            "event": self._event,
        }

    async def show(self, asked: Asked, notice: frame.Notice | None = None) -> Rendered:
        """Render a page. Raises NotThere."""
        if asked.view not in self._views:
            raise NotThere(f"There is no page {asked.view}.")
        return await self._views[asked.view](asked, notice)

    async def regions(self, asked: Asked) -> Mapping[str, str]:
        """Its live parts; none where there is no such thing any more."""
        try:
            return (await self.show(asked)).regions
        except NotThere:
            return {}

    def plain(self, template: str, facts: Mapping[str, Any], *, may_change: bool = False) -> str:
        """A page of which nothing lives, such as a question."""
        here = self._here(Asked("", (), may_change), (), frame.link(self._root, ""))
        snapshot = self._eyes.snapshot(_GLANCE)
        return self._templates.render(template, {**frame.frame(snapshot, here), **facts}).html

    async def _overview(self, asked: Asked, notice: frame.Notice | None) -> Rendered:
        query = overview.OverviewQuery.parse(dict(asked.words))
        here = self._here(asked, query.words(), frame.link(self._root, "", **dict(query.words())))
        offset = (query.page - 1) * overview.SENSORS_A_PAGE
        snapshot = self._eyes.snapshot(Window(query.q, offset, overview.SENSORS_A_PAGE))
        webhooks = max(1, len(snapshot.webhooks))
        recent = await self._post.newest(Filter(), overview.EVENTS_SHOWN * webhooks, _mark(snapshot))
        facts = overview.overview(snapshot, recent, query, here)
        return self._render("page.html", snapshot, here, facts, notice)

    async def _sensor(self, asked: Asked, notice: frame.Notice | None) -> Rendered:
        name = dict(asked.words).get("name", "")
        snapshot = self._eyes.snapshot(Window(exact=name))
        facts = snapshot.sensors.get(name)
        if facts is None:
            raise NotThere(f"There is no sensor {texts.cut(name, 200)}, or it is not heard yet.")
        here = self._here(asked, (("name", name),), frame.link(self._root, "sensors", name))
        letters = await self._post.newest(Filter(sensor=name), 100, _mark(snapshot))
        shown = sensor.sensor(name, facts, self._eyes.history(name), snapshot, letters, here)
        return self._render("sensor.html", snapshot, here, shown, notice)

    async def _events(self, asked: Asked, notice: frame.Notice | None) -> Rendered:
        query = events.EventQuery.parse(dict(asked.words))
        here = self._here(asked, query.words(), frame.link(self._root, "events", **dict(query.words())))
        snapshot = self._eyes.snapshot(_GLANCE)
        wanted, limit = Filter.parse(query.wanted()), events.DELIVERIES_A_PAGE
        if query.before:
            letters = await self._post.find(wanted, limit, int(query.before)) or ()
        else:
            letters = await self._post.newest(wanted, limit, _mark(snapshot))
        shown = events.events(letters, query, list(snapshot.webhooks), limit, here)
        return self._render("events.html", snapshot, here, shown, notice)

    async def _event(self, asked: Asked, notice: frame.Notice | None) -> Rendered:
        event_id = dict(asked.words).get("id", "")
        found = await self._post.whole(event_id)
        if not found:
            raise NotThere(f"There is no event {texts.cut(event_id, 100)}, or no more.")
        here = self._here(asked, (("id", event_id),), frame.link(self._root, "events", event_id))
        return self._render("event.html", self._eyes.snapshot(_GLANCE), here, events.event(found, here), notice)

    def _here(self, asked: Asked, words: tuple[tuple[str, str], ...], path: str) -> frame.Here:
        wall, zone = self._clock.wall(), self._zone()
        return frame.Here(wall, zone, self._root, asked.may_change, asked.view, words, path)

    def _render(
        self, template: str, snapshot: Snapshot, here: frame.Here, facts: Mapping[str, Any], notice: frame.Notice | None
    ) -> Rendered:
        return self._templates.render(template, {**frame.frame(snapshot, here, notice), **facts})


def _mark(snapshot: Snapshot) -> Hashable:
    """As long as it is the same, nothing has become of any delivery."""
    return tuple(
        (name, hook.owed, hook.delivered, hook.pending, hook.dead, hook.succeeded, hook.failed)
        for name, hook in snapshot.webhooks.items()
    )
