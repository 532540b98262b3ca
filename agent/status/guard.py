"""In front of every route of the status page: who may, by `access`; the headers of every answer; bodies in time."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from agent.status.access import READING, SESSION_LASTS, VISITOR, Asked, Policy, Refused, judge
from agent.status.login import Login
from drivers.http_connections import Connections

BODY_BYTES_MAX = 64 * 1024
BODY_S = 15.0
"""For a body to come."""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not `no-referrer`: with it a browser calls the Origin of the page's own forms `null` (Fetch, 3.2).
    "Referrer-Policy": "same-origin",
    "Server": "bellcrank",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)


class Guard:
    """Of one server. The middlewares are for its application: `outer` before all others, `inner` behind them."""

    def __init__(self, policy: Policy, login: Login, connections: Connections, root: str) -> None:
        self.policy = policy
        self._login = login
        self._connections = connections
        self._root = root

    @web.middleware
    async def outer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Say when a request is handled, and answer whatever fails with a sentence."""
        self._connections.busy(request)
        try:
            return await handler(request)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as refused:
            answer = web.Response(status=refused.status, text=f"{refused.text or refused.reason}\n")
            answer.headers.update({name: refused.headers[name] for name in _KEPT if name in refused.headers})
            return answer
        except ConnectionError:  # whoever asked has gone
            raise
        except Exception:
            log.exception("%s %s failed", request.method, _path(request))
            if request.writer.output_size > 0:
                raise ConnectionError("part of the answer was sent already") from None
            return web.Response(status=500, text="this failed: see the log of the agent\n")
        finally:
            self._connections.idle(request)

    @web.middleware
    async def inner(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may."""
        path = _path(request).removeprefix(self._root)
        verdict = judge(_asked(request, path, has_session=self._login.has_session(request)), self.policy)
        if isinstance(verdict, Refused):
            raise self._refusal(verdict)
        request[VISITOR] = verdict
        if verdict.logged_in:
            lasts: Callable[[], bool] = partial(self._login.session_lasts, request)
            request[SESSION_LASTS] = lasts
        if request.method not in READING:
            await _read_body(request)
        return await handler(request)

    async def add_headers(self, request: web.Request, answer: web.StreamResponse) -> None:
        """To every answer, also to one that is sent bit by bit."""
        answer.headers.update(HEADERS)
        if _path(request).removeprefix(self._root).startswith("/static/"):
            answer.headers.setdefault("Cache-Control", "no-cache")
        else:
            answer.headers["Cache-Control"] = "no-store"

    def _refusal(self, refused: Refused) -> web.HTTPException:
        match refused.status:
            case 303:
                return web.HTTPSeeOther(f"{self._root}/login")
            case 401:
                return web.HTTPUnauthorized(text=refused.why, headers={"WWW-Authenticate": "Bearer"})
            case 403:
                return web.HTTPForbidden(text=refused.why)
        return web.HTTPMisdirectedRequest(text=refused.why)


_KEPT = ("Allow", "Retry-After", "WWW-Authenticate")


def _path(request: web.Request) -> str:
    """Of the route that answers, so that it is that which is judged; where there is none, as it was asked for."""
    resource = request.match_info.route.resource
    return request.path if resource is None else resource.canonical


def _asked(request: web.Request, path: str, *, has_session: bool) -> Asked:
    headers = request.headers
    hosts = headers.getall("Host", [])
    return Asked(
        method=request.method,
        path=path,
        host=hosts[0] if len(hosts) == 1 else "",
        came_to=_local_address(request),
        origin=headers.get("Origin"),
        fetch_site=headers.get("Sec-Fetch-Site"),
        fetch_mode=headers.get("Sec-Fetch-Mode"),
        authorization=headers.get("Authorization"),
        has_session=has_session,
        takes_html="text/html" in headers.get("Accept", ""),
    )


def _local_address(request: web.Request) -> str:
    name: Any = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]) if name else ""


async def _read_body(request: web.Request) -> None:
    """Keep the body with the request, as far as it is not too long and comes in time."""
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body did not come") from None
    except web.RequestPayloadError:
        raise web.HTTPBadRequest(text="the body cannot be read") from None
