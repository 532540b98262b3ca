"""`bellcrank listen`: a receiver on loopback that verifies what comes and prints a line for each."""

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from drivers.signing import BadSignature, key_of, verify

_BODY_BYTES_MAX = 1024 * 1024
_SECRET = re.compile(r"\bwhsec_[A-Za-z0-9+/=]+(?![\w:])")
"""A name such as `whsec_ops:` is none."""


def keys_in(text: str) -> list[bytes]:
    """The keys of all secrets in a text, whatever else stands there. Raises ValueError where there is none."""
    secrets = _SECRET.findall(text)
    if not secrets:
        raise ValueError("there is no secret (whsec_...): `bellcrank secret new` makes one")
    return [key_of(secret) for secret in secrets]


class Receiver:
    """Verifies, tells, and answers with a status."""

    def __init__(self, keys: Sequence[bytes], status: int, tell: Callable[[str], None]) -> None:
        """Without keys nothing can be verified, which is told."""
        self._keys, self._status, self._tell = keys, status, tell
        self._seen: dict[str, int] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Take one webhook; a wrong signature is answered with 401."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            verdict = self._verdict(headers, body)
        except BadSignature as bad:
            self._tell(f"REFUSED  {plain(headers.get('webhook-id', '-'))}  {bad}")
            return web.Response(status=401)
        message_id = headers.get("webhook-id", "-")
        self._seen[message_id] = self._seen.get(message_id, 0) + 1
        again = f" (again: {self._seen[message_id]})" if self._seen[message_id] > 1 else ""
        self._tell(f"{verdict:8} {plain(message_id)}  {plain(summary(body))}{again}")
        return web.Response(status=self._status)

    def _verdict(self, headers: dict[str, str], body: bytes) -> str:
        if not self._keys:
            return "UNSIGNED" if "webhook-signature" not in headers else "UNCHECKED"
        verify(self._keys, headers, body, time.time())
        return "VERIFIED"


def serve(port: int, keys: Sequence[bytes], status: int, tell: Callable[[str], None]) -> None:
    """Listen on loopback until interrupted. Raises OSError where the port is taken."""
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    app.router.add_route("*", "/{path:.*}", Receiver(keys, status, tell).handle)

    def begun(_: str) -> None:
        tell(f"listening on http://127.0.0.1:{port}/ (Ctrl-C ends it)")

    web.run_app(app, host="127.0.0.1", port=port, print=begun, access_log=None)


def summary(body: bytes) -> str:
    """What an event tells, in one line."""
    try:
        event: Any = json.loads(body)
        data = event["data"]
        return f"{event['type']}  {data.get('summary') or event.get('subject')}  [{event.get('sequence', '-')}]"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{len(body)} bytes that are no event"


def plain(text: str) -> str:
    """Text without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:500])
