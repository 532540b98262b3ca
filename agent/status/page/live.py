"""The live parts of a page as a stream of server-sent events (HTML, section 9.2).

Once a second a view is rendered, once for all that listen to it, and each listener is sent the parts whose HTML has
changed since it was last sent something: `data: {id: html}`. The first message, and each after the set of parts has
changed, is of the kind `all` and has all of them: a page with other parts fetches itself anew.

The time of day is a part of every page, so there is a message each second: silence means that the connection is lost.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress

from aiohttp import web

from agent.status.access import may_stay

LISTENERS_MAX = 16
_EVERY_S = 1.0
_SEND_WITHIN_S = 10.0
"""Who takes longer to take a message is let go."""
_RETRY_MS = 1000

Regions = Mapping[str, str]
Render = Callable[[], Awaitable[Regions]]


class Live:
    """All streams of one agent."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` in seconds; views are rendered when a whole one begins."""
        self._now = now
        self._renderings: dict[Hashable, tuple[int, asyncio.Task[Regions]]] = {}
        """The second of each view's last rendering, and its outcome."""
        self._open: list[web.Request] = []

    async def stream(self, request: web.Request, view: Hashable, render: Render) -> web.StreamResponse:
        """Send until the listener goes, or its session. Raises HTTPServiceUnavailable where there are too many."""
        if sum(one.transport is not None for one in self._open) >= LISTENERS_MAX:  # who has gone is noticed at a write
            raise web.HTTPServiceUnavailable(text=f"{LISTENERS_MAX} pages are open already, close one")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._open.append(request)
        try:
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % _RETRY_MS)
            with suppress(ConnectionError, TimeoutError):
                await self._send(request, response, view, render)
        finally:
            self._open.remove(request)
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse, view: Hashable, render: Render) -> None:
        sent: Regions | None = None
        while may_stay(request):
            regions = await self._rendered(view, render)
            text = message(sent, regions)
            if text is not None:
                async with asyncio.timeout(_SEND_WITHIN_S):
                    await response.write(text)
            sent = regions
            await asyncio.sleep(_EVERY_S - self._now() % _EVERY_S)

    async def _rendered(self, view: Hashable, render: Render) -> Regions:
        """Of the second that goes on; whoever asks first in it renders for all."""
        second = int(self._now() / _EVERY_S)
        known = self._renderings.get(view)
        if known is None or known[0] != second:
            self._renderings = {one: made for one, made in self._renderings.items() if second - made[0] <= 1}
            known = self._renderings[view] = second, asyncio.ensure_future(render())
        return await asyncio.shield(known[1])


def message(sent: Regions | None, regions: Regions) -> bytes | None:
    """What tells a listener that was sent the one (None: nothing) of the other; None: they are the same."""
    if sent is None or sent.keys() != regions.keys():
        return b"event: all\n" + _data(regions)
    changed = {name: html for name, html in regions.items() if sent[name] != html}
    return _data(changed) if changed else None


def _data(regions: Regions) -> bytes:
    """JSON has no line breaks of its own."""
    return b"data: %b\n\n" % json.dumps(regions, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
