"""A receiver that answers badly at times and remembers everything, and what it must have been told.

It counts by what was told and by `webhook-id`, and holds that against what the agent says of itself.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from tests.faults.fault import Result
from tests.support.agent import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"
_MARKED_WITHIN_S = 10.0
"""After its answer; `agent.pipeline` says 1 s. A kill from then on does not let it come again."""
_STATES = ("delivered", "pending", "dead", "dropped")


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
    host: str = "127.0.0.1"
    """Where it listens."""
    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """What was told (`pulse 17`, `firing 1018`) -> the ids under which it was."""
    newest: int = 0
    """The highest number of which something was told."""
    told_at: dict[str, float] = field(default_factory=dict)
    """When it was told first, in monotonic seconds."""
    about_itself: Counter[str] = field(default_factory=Counter)
    """What the agent told about itself, by type."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    late_repeats: int = 0
    """Requests that came again though the agent had long been answered when it died."""
    sequences: Counter[int] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    """Ids that were answered 2xx, whether or not the answer arrived."""
    sequences_by_subject: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """In the order of their first arrival."""
    wrong: list[str] = field(default_factory=list)
    _answered_at: dict[str, float] = field(default_factory=dict)
    """When the 2xx of an id was sent off to the agent that runs."""
    _marked: set[str] = field(default_factory=set)
    _runner: web.AppRunner | None = None
    port: int = field(default_factory=free_port)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True)
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
        message_id = request.headers["webhook-id"]
        if self.bodies.setdefault(message_id, body) != body:
            self.wrong.append(f"{message_id} has come with other bytes")
        roll = self.random.random()
        if roll < self.busy:
            return web.Response(status=503)
        self._note(message_id, event, body)
        if roll < self.busy + self.lose and request.transport is not None:
            request.transport.abort()
        else:
            self._answered_at.setdefault(message_id, time.monotonic())
        return web.Response(status=204)

    def _note(self, message_id: str, event: dict[str, Any], body: bytes) -> None:
        if event["id"] != message_id:
            self.wrong.append(f"{message_id} carries the id {event['id']}")
        data = event["data"]
        if data.get("rule"):
            what = f"{data.get('state', 'pulse')} {data['value']}"
            self.ids[what].add(message_id)
            self.told_at.setdefault(what, time.monotonic())
            self.newest = max(self.newest, abs(data["value"]))
        else:
            self.about_itself[event["type"]] += 1
        self.late_repeats += message_id in self._marked
        if message_id not in self.accepted:
            self.sequences[int(event["sequence"])] += 1
            self.sequences_by_subject[event["subject"]].append(int(event["sequence"]))
        self.accepted[message_id] += 1

    def agent_dies(self) -> None:
        """Before a kill: what was answered long ago must not come again.

        An answer of just now may not have been read: its delivery may come again until it is answered once more,
        however long that takes.
        """
        since = time.monotonic() - _MARKED_WITHIN_S
        self._marked |= {message_id for message_id, at in self._answered_at.items() if at < since}
        self._answered_at.clear()

    def told(self) -> set[str]:
        """What has been told."""
        return set(self.ids)

    def told_twice(self) -> dict[str, set[str]]:
        """What has been told under more than one id."""
        return {what: ids for what, ids in self.ids.items() if len(ids) > 1}

    def gaps(self) -> set[int]:
        """Sequence numbers that never came."""
        return set(range(1, max(self.sequences, default=0) + 1)) - set(self.sequences)

    def out_of_order(self) -> int:
        """How often an event of a subject came before one that was told of it earlier."""
        numbers = self.sequences_by_subject.values()
        return sum(later < earlier for one in numbers for earlier, later in pairwise(one))

    def told_since(self, seconds: float) -> set[str]:
        """What was told first within the last seconds."""
        since = time.monotonic() - seconds
        return {what for what, at in self.told_at.items() if at >= since}

    def judge(
        self,
        result: Result,
        expected: Collection[str],
        status: Mapping[str, Any],
        *,
        may_be_lost: Collection[str] = (),
        may_be_twice: Collection[str] = (),
    ) -> None:
        """Note what is lost, what was told twice, and what else is wrong, when nothing more is to come.

        `expected`: what there was to tell, of it `may_be_...` is what others than the agent may have lost, or said
        twice; `status`: of the agent.
        """
        self.judge_told(result, expected, may_be_lost=may_be_lost, may_be_twice=may_be_twice)
        demand, unique = result.demand, len(self.accepted)
        counts = status.get("webhooks", {}).get("oracle") or status.get("outbox", {})
        demand(not self.gaps(), f"{len(self.gaps())} gaps in `sequence`")
        demand(conserved(status), f"owed is not delivered + pending + dead + dropped: {json.dumps(counts)[:300]}")
        agree = counts and counts["owed"] == counts["delivered"] == unique
        demand(agree, f"the counters are not the oracle's {unique}: {json.dumps(counts)[:300]}")

    def judge_told(
        self,
        result: Result,
        expected: Collection[str],
        *,
        may_be_lost: Collection[str] = (),
        may_be_twice: Collection[str] = (),
    ) -> None:
        """The same, but for the counters of the agent."""
        lost = set(expected) - self.told() - set(may_be_lost)
        twice = self.told_twice().keys() - set(may_be_twice)
        result.lost += len(lost)
        result.duplicates += len(twice)
        demand = result.demand
        demand(not lost, f"{len(lost)} of {len(expected)} lost: {sorted(lost)[:3]}")
        demand(not twice, f"{len(twice)} told twice: {sorted(twice)[:3]}")
        demand(self.told() <= set(expected), "something was told that was never said")
        demand(not self.wrong, f"the receiver has to complain: {self.wrong[:3]}")
        result.figures.update(told=len(self.ids), requests=sum(self.accepted.values()))

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


def conserved(status: Mapping[str, Any]) -> bool:
    """Whether owed = delivered + pending + dead + dropped, in all and for each webhook."""
    counts = [status.get("outbox", {}), *status.get("webhooks", {}).values()]
    return all(one and one["owed"] == sum(one[state] for state in _STATES) for one in counts)
