"""What goes wrong, as `application/problem+json` (RFC 9457): `{type, title, status, detail}`."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KEPT: Final = ("Allow", "Retry-After", "WWW-Authenticate")


class Problem(Exception):
    """Raised by a handler; the message is the detail."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The problem as an answer; its type, `about:blank`, says that the status tells the kind."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    text = json.dumps(told, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type=CONTENT_TYPE, headers=headers)


def below(path: str) -> Middleware:
    """Answer so whatever fails at or below a path: what a handler raises, and what aiohttp itself refuses."""

    @web.middleware
    async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(path):
            return await handler(request)
        try:
            return await handler(request)
        except Problem as problem:
            return answer(problem.status, str(problem))
        except web.HTTPRedirection:
            raise
        except web.HTTPException as refused:
            kept = {name: refused.headers[name] for name in _KEPT if name in refused.headers}
            return answer(refused.status, _why(request, refused), kept)
        except ConnectionError:  # whoever asked has gone
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            return answer(500, f"{type(error).__name__}: see the log of the agent")

    return told


def _why(request: web.Request, refused: web.HTTPException) -> str:
    """What aiohttp and the guard refuse, in a sentence."""
    match refused:
        case web.HTTPMethodNotAllowed():
            return f"{request.method} is not for {request.path}: allowed is {refused.headers['Allow']}"
        case web.HTTPNotFound():
            return f"there is nothing at {request.path}: see /api/v1/openapi.json"
    return refused.text or refused.reason
