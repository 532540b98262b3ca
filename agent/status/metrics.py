"""`/metrics` for Prometheus. What makes the text is imported at the first request: who scrapes nothing pays nothing."""

import asyncio

from aiohttp import web

from agent.status.snapshot import Eyes, Snapshot, Window

SENSORS_MAX = 1000
"""So many sensors have series of their own, the first ones by name; how many were left out is told."""


def routes(eyes: Eyes) -> list[web.RouteDef]:
    """GET /metrics, in the text format, or in OpenMetrics where the Accept header names it."""

    async def metrics(request: web.Request) -> web.Response:
        snapshot = eyes.snapshot(Window(limit=SENSORS_MAX, trends=False))
        body, content_type = await asyncio.to_thread(_render, snapshot, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [web.get("/metrics", metrics)]


def _render(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    from agent.status.exposition import render

    return render(snapshot, accept)
