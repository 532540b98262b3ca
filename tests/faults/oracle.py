"""A receiver that answers badly at times and remembers everything, and what it must have been told."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from tests.support.agent import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"


@dataclass
class Oracle:
    """Every number is published once; each must be told under one `webhook-id`, for ever."""

    random: Random
    busy: float = 0.0
    """Share of 503 answers."""
    lose: float = 0.0
    """Share of requests that are taken, but whose answer is lost."""
    any_time: bool = False
    """Whether the time of a request does not matter, since the test sets the agent's clock."""
    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """What was told (`pulse 17`, `firing 1018`) -> the ids under which it was."""
    newest: int = 0
    """The highest number that was told."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    sequences: Counter[int] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    """Ids that were answered 2xx, whether or not the answer arrived."""
    sequences_by_subject: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """In the order of their first arrival."""
    wrong: list[str] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    port: int = field(default_factory=free_port)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            verify = _verified if self.any_time else Webhook(SECRET).verify
            event = verify(body, dict(request.headers))
        except Exception as error:  # noqa: BLE001  # whatever it says, it does not verify
            self.wrong.append(f"not verified: {error!r}")
            return web.Response(status=401)
        roll = self.random.random()
        if roll < self.busy:
            return web.Response(status=503)
        self._note(request.headers["webhook-id"], event, body)
        if roll < self.busy + self.lose and request.transport is not None:
            request.transport.abort()
        return web.Response(status=204)

    def _note(self, message_id: str, event: dict[str, Any], body: bytes) -> None:
        if self.bodies.setdefault(message_id, body) != body:
            self.wrong.append(f"{message_id} has come with other bytes")
        if event["id"] != message_id:
            self.wrong.append(f"{message_id} carries the id {event['id']}")
        data = event["data"]
        self.ids[f"{data.get('state', 'pulse')} {data['value']}"].add(message_id)
        self.newest = max(self.newest, abs(data["value"]))
        if message_id not in self.accepted:
            self.sequences[int(event["sequence"])] += 1
            self.sequences_by_subject[event["subject"]].append(int(event["sequence"]))
        self.accepted[message_id] += 1

    def told(self) -> set[str]:
        """What has been told."""
        return set(self.ids)

    def told_twice(self) -> dict[str, set[str]]:
        """What has been told under more than one id."""
        return {what: ids for what, ids in self.ids.items() if len(ids) > 1}

    def gaps(self) -> set[int]:
        """Sequence numbers that never came."""
        return set(range(1, max(self.sequences, default=0) + 1)) - set(self.sequences)

    def report(self) -> str:
        return json.dumps(
            {
                "told": len(self.ids),
                "told twice": len(self.told_twice()),
                "requests": sum(self.accepted.values()),
                "gaps": len(self.gaps()),
                "wrong": self.wrong[:5],
            }
        )


def _verified(body: bytes, headers: dict[str, str]) -> Any:
    """The same as the library does, but for its look at the clock."""
    timestamp = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    signature = Webhook(SECRET).sign(headers["webhook-id"], timestamp, body.decode())
    if signature not in headers["webhook-signature"].split():
        raise ValueError("the signature is wrong")
    return json.loads(body)
