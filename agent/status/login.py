"""Logging in to the status page: by a one-time link or the token, for a session that a cookie names.

To open a link only shows a button: what looks at links before people do must not use them up. The token, codes and
ids of sessions are never logged.
"""

import logging
from collections.abc import Callable
from math import ceil
from typing import Any

from aiohttp import web

from agent.status.access import LOGIN, is_token, visitor
from agent.status.links import LINK_S, SESSION_S, Links, Sessions
from drivers.buckets import TokenBucket
from drivers.units import RateLimit

_FAILURES = RateLimit(10, 60.0)
"""Of all who try the token together. A code is tried whatever they do: nobody can lock out who has one."""
_WARNINGS = RateLimit(1, 60.0)
"""Of logins that fail."""
_WRONG = "That is not it. A link can be used once and for ten minutes: `bellcrank status --link` makes another."
_TOO_OFTEN = "Too many have tried. Wait a little, or use a link: `bellcrank status --link` makes one."

log = logging.getLogger(__name__)


def link_routes(new_link: Callable[[], dict[str, Any]] | None) -> list[web.RouteDef]:
    """For the control socket only: who may ask there may log in. None: there is no status page."""

    async def make(_: web.Request) -> web.Response:
        if new_link is None:
            raise web.HTTPConflict(text="there is no status page: `status.listen` is false")
        return web.json_response(new_link())

    return [web.post("/api/v1/login-links", make)]


class Login:
    """The links and sessions of one server, and its routes for them."""

    def __init__(self, root: str, port: int, now: Callable[[], float]) -> None:
        """`now()` is on the agent's time line; `port` tells the cookies of several agents of one host apart."""
        self._root = root
        self._cookie = f"bellcrank_{port}"
        self._now = now
        self._links, self._sessions = Links(), Sessions()
        self._failures, self._warnings = TokenBucket(_FAILURES), TokenBucket(_WARNINGS)
        self._untold = 0
        self.token: str | None = None

    def routes(self) -> list[web.RouteDef]:
        """What the status page serves."""
        return [web.get(LOGIN, self._show), web.post(LOGIN, self._log_in), web.post("/logout", self._log_out)]

    def new_link(self) -> dict[str, Any]:
        """`{path, expires_s}` of a link: where to log in once."""
        return {"path": f"{self._root}{LOGIN}?code={self._links.new(self._now())}", "expires_s": LINK_S}

    def has_session(self, request: web.Request) -> bool:
        """Whether a request comes from who has logged in."""
        session_id = request.cookies.get(self._cookie)
        return session_id is not None and self._sessions.is_open(session_id, self._now())

    def session_lasts(self, request: web.Request) -> bool:
        """Whether the session that a request came with is open still; that keeps it open no longer."""
        return self._sessions.lasts(request.cookies.get(self._cookie, ""), self._now())

    def end_all(self) -> None:
        """End all sessions and links."""
        self._links.clear()
        self._sessions.clear()

    async def _show(self, request: web.Request) -> web.Response:
        return self._answer(request, code=request.query.get("code"))

    async def _log_in(self, request: web.Request) -> web.Response:
        try:
            form = await request.post()
        except (LookupError, ValueError, RuntimeError):  # an unknown charset, no text of it, no parts
            raise web.HTTPBadRequest(text="the form cannot be read: a browser sends it in UTF-8") from None
        code, token, now = form.get("code"), form.get("token"), self._now()
        if isinstance(code, str) and self._links.use(code, now):
            return self._welcome(request, "a link")
        if isinstance(token, str):
            wait_s = self._failures.next_s(now)
            if wait_s:
                return self._answer(request, _TOO_OFTEN, 429, {"Retry-After": str(ceil(wait_s))})
            if is_token(token.strip(), self.token):
                return self._welcome(request, "the token")
            self._failures.take(1)
        self._warn(request, now)
        return self._answer(request, _WRONG, 403)

    def _warn(self, request: web.Request, now: float) -> None:
        """Of the first that fails, and of those behind it once a minute: nobody fills the log by trying."""
        self._untold += 1
        if not self._warnings.wait_s(now):
            log.warning("a login from %s failed%s", request.remote, _others(self._untold - 1))
            self._untold = 0

    async def _log_out(self, request: web.Request) -> web.Response:
        self._sessions.end(request.cookies.get(self._cookie, ""))
        answer = _see(f"{self._root}{LOGIN}")
        answer.del_cookie(self._cookie, path=self._root or "/")
        return answer

    def _welcome(self, request: web.Request, by: str) -> web.Response:
        log.info("%s has logged in with %s", request.remote, by)
        answer = _see(f"{self._root}/")
        # Behind a proxy that speaks TLS only the browser knows that it is there.
        is_tls = request.secure or request.headers.get("Origin", "").startswith("https:")
        answer.set_cookie(
            self._cookie,
            self._sessions.begin(self._now()),
            max_age=int(SESSION_S),
            path=self._root or "/",
            secure=is_tls,
            httponly=True,
            samesite="Strict",
        )
        return answer

    def _answer(
        self,
        request: web.Request,
        trouble: str = "",
        status: int = 200,
        headers: dict[str, str] | None = None,
        code: str | None = None,
    ) -> web.Response:
        from agent.status.page.rendering import Templates  # not before somebody logs in

        facts = {
            "code": code,
            "trouble": trouble,
            "logged_in": visitor(request).logged_in,
            "has_token": self.token is not None,
        }
        text = Templates(self._root).render("login.html", facts).html
        return web.Response(text=text, status=status, headers=headers, content_type="text/html")


def _others(n: int) -> str:
    return f", and {n} since the last warning" if n else ""


def _see(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})
