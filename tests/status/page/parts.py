"""A snapshot made by hand with something of everything, and a page over it that is served for real."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from agent.model import Moment
from agent.outbox import Archive, Filter, Moved, Span
from agent.status.access import VISITOR, Visitor
from agent.status.api import Tried
from agent.status.history import Bucket, Change, History, Threshold
from agent.status.page import routes
from agent.status.snapshot import (
    ALL,
    AgentFacts,
    HeartbeatFacts,
    OutboxFacts,
    RuleFacts,
    SensorFacts,
    Snapshot,
    SourceFacts,
    WebhookFacts,
    Window,
)

WALL = 1_795_694_400.0  # 2026-11-26 12:00:00 UTC
_NONE_DROPPED = {"full": 0, "discarded": 0, "purged": 0, "replaced": 0, "webhook_removed": 0}


def sensor(value: Any = 4.2, unit: str | None = "°C", age_s: float | None = 1.0, **more: Any) -> SensorFacts:
    return SensorFacts(value, unit, age_s, more.pop("refused", 0), more.pop("last_refusal", None), **more)


def at(state: str, since_s: float | None = 5.0, value: Any = 4.2, **more: Any) -> dict[str, Any]:
    """Where a rule stands for one sensor."""
    usual = {"alert_id": "alt_1", "throttled": 0, "unit": "°C", "changes_in_s": None, "becomes": None}
    return {"state": state, "since_s": since_s, "value": value, **usual, **more}


def rule(sensor: str, states: dict[str, dict[str, Any]], severity: str = "warning", **more: Any) -> RuleFacts:
    counts: dict[str, int] = {}
    for one in states.values():
        counts[one["state"]] = counts.get(one["state"], 0) + 1
    usual: dict[str, Any] = {"condition": {"above": -15}, "send_to": ["ops"], "thresholds": [-15.0], "counts": counts}
    return RuleFacts(sensor, severity, True, states, **{**usual, **more})


def webhook(state: str = "answering", **more: Any) -> WebhookFacts:
    usual: dict[str, Any] = {
        "owed": 103,
        "delivered": 100,
        "pending": 2,
        "dead": 1,
        "dropped": 0,
        "dropped_by": _NONE_DROPPED,
        "host": "ops.example.com",
        "signed": True,
        "succeeded": 100,
        "failed": 4,
        "success_rate": 100 / 104,
        "attempts_by": {"delivered": 100, "timeout": 4},
        "p50_ms": 83.0,
        "p95_ms": 1240.0,
    }
    return WebhookFacts(state=state, **{**usual, **more})


def outbox(**more: Any) -> OutboxFacts:
    usual: dict[str, Any] = {
        "owed": 206,
        "delivered": 200,
        "pending": 4,
        "dead": 2,
        "dropped": 0,
        "dropped_by": _NONE_DROPPED,
        "balanced": True,
        "oldest_pending_s": 95.0,
        "size_bytes": 12_400_000,
        "written_bytes_today": 823_000,
        "degraded": None,
        "max_size_bytes": 64_000_000,
        "max_events": 100_000,
        "free_disk_bytes": 9_100_000_000,
    }
    return OutboxFacts(**{**usual, **more})


def snapshot(**more: Any) -> Snapshot:
    """All is well, with one of each."""
    sensors = {"freezer.temperature": sensor(-18.4, trend=[-18.0 - n % 7 / 10 for n in range(30)], source="freezer")}
    usual: dict[str, Any] = {
        "agent": AgentFacts("5f1c", "cabin", "0.5.0", 93_784.0, "synced", clock_skew_s=0.4),
        "outbox": outbox(pending=0, dead=0, owed=200, oldest_pending_s=None),
        "webhooks": {"ops": webhook(pending=0, dead=0, owed=100)},
        "sources": {"freezer": SourceFacts("open", "", 5123, 2, 1, {"null": 1}, "null t")},
        "sensors": sensors,
        "rules": {"too_warm": rule("freezer.temperature", {"freezer.temperature": at("ok", 8000.0, -18.4)})},
    }
    made = Snapshot(**{**usual, **more})
    return made if "sensors_total" in more else replace(made, sensors_total=len(made.sensors))


def alarming() -> Snapshot:
    """Much is going on."""
    rooms = [f"rooms.{room}.temperature" for room in ("attic", "bath", "cellar", "hall", "kitchen", "study")]
    sensors = {
        "freezer.temperature": sensor(-11.2, trend=[-18.0 + max(0, n - 18) * 0.55 for n in range(30)]),
        "fridge.temperature": sensor(4.6, trend=[4 + n % 5 / 4 if n % 11 else None for n in range(30)]),
        "doorbell.button": sensor("pressed", None, 3_720.0),
        "meter.energy": sensor(20312.408, "kWh", 12.0, trend=[20310 + n / 12 for n in range(30)]),
        "pump.running": sensor(True, None, 41.0),
        "outside.humidity": sensor(None, "%", None, refused=12, last_refusal="invalid 255 is above max 100"),
        **{name: sensor(19 + n, trend=[18 + (n * k) % 5 for k in range(30)]) for n, name in enumerate(rooms)},
    }
    rules = {
        "too_warm": rule(
            "freezer.temperature",
            {"freezer.temperature": at("firing", 754.0, -11.2)},
            "critical",
            for_s=120.0,
            clear={"below": -16},
            told=3,
        ),
        "fridge_warm": rule(
            "fridge.temperature",
            {"fridge.temperature": at("pending", 75.0, 4.6, changes_in_s=42.0, becomes="firing")},
            condition={"above": 4},
            for_s=120.0,
        ),
        "room_cold": rule(
            "rooms.*.temperature",
            {
                rooms[2]: at("firing", 190.0, 12.0),
                rooms[1]: at("recovering", 40.0, 19.5, changes_in_s=80.0, becomes="ok"),
                **{name: at("ok", None, 20.0) for name in (rooms[0], *rooms[3:])},
            },
            condition={"below": 16},
            clear={"above": 18},
        ),
        "someone_at_the_door": rule(
            "doorbell.button", {}, "info", pulses=True, condition={"equals": "pressed"}, send_to=["phone"], told=14
        ),
        "freezer_silent": rule(
            "freezer.temperature", {"freezer.temperature": at("ok", None, -11.2)}, condition={"silent_for": 900.0}
        ),
        "pump_dry": rule(
            "pump.running, cellar.level",
            {"rule:pump_dry": at("ok", None, None, unit=None)},
            condition={"all": [{"sensor": "pump.running", "equals": True}, {"sensor": "cellar.level", "below": 3}]},
        ),
    }
    error = "refused: ops.example.com:443: Connection refused"
    return snapshot(
        sensors=sensors,
        rules=rules,
        webhooks={
            "ops": webhook("resting", resting_s=252.0, next_attempt_s=252.0, last_error=error, oldest_pending_s=95.0),
            "phone": webhook(
                "answering",
                pending=0,
                dead=0,
                signed=False,
                host="ntfy.example.com",
                failed=0,
                success_rate=1.0,
                attempts_by={"delivered": 100},
            ),
            "chat": webhook(
                "disabled",
                pending=2,
                dead=0,
                last_error="410 Gone",
                success_rate=None,
                succeeded=0,
                failed=0,
                attempts_by={},
                p50_ms=None,
                p95_ms=None,
            ),
        },
        sources={
            "freezer": SourceFacts("open", "", 5123, 2, 1, {"null": 1}, "null t"),
            "rooms": SourceFacts("open", "", 90121, 0, 0, {}),
            "meter": SourceFacts(
                "lost",
                "/dev/ttyUSB1: No such file or directory",
                12,
                0,
                3,
                {"invalid": 2, "not_a_number": 1},
                "invalid: 255 is above max 100",
            ),
        },
        outbox=outbox(),
        agent=AgentFacts(
            "5f1c",
            "cabin",
            "0.5.0",
            93_784.0,
            "synced",
            clock_skew_s=0.4,
            heartbeats={"ops": HeartbeatFacts(31, 1, 0, None)},
        ),
    )


def history(wall: float = WALL, *, gap: bool = True) -> History:
    """An hour and a day of a freezer that grows warm."""
    minutes = [
        Bucket(wall - 3540 + 60 * n, value - 0.3, value + 0.2, value, 12)
        for n in range(60)
        if not gap or n not in range(20, 26)
        for value in [-18 + max(0, n - 35) * 0.28 + (n * 7 % 5) / 20]
    ]
    decades = [
        Bucket(wall - 600 * (143 - n), -18.6 + n % 7 / 20, -17.5 + n % 5 / 10, -18 + n % 9 / 20, 120)
        for n in range(144)
    ]
    return History(
        minutes,
        decades,
        [Change(wall - 60.0 * n, f"state {n}") for n in range(3, 0, -1)],
        [Threshold("too_warm", "critical", -15.0)],
    )


@dataclass
class Eyes:
    """What there is to see, set by hand."""

    shown: Snapshot = field(default_factory=snapshot)
    past: History | None = None
    looked: int = 0

    def snapshot(self, window: Window = ALL) -> Snapshot:
        self.looked += 1
        names = self.shown.sensors if window.exact is None else {window.exact} & set(self.shown.sensors)
        found = sorted(name for name in names if window.query.casefold() in name.casefold())
        end = None if window.limit is None else window.offset + window.limit
        sensors = {name: self.shown.sensors[name] for name in found[window.offset : end]}
        return replace(self.shown, sensors=sensors, sensors_total=len(found))

    def history(self, sensor: str) -> History | None:
        return self.past if sensor in self.shown.sensors else None

    def ready(self) -> bool:
        return True

    def alive(self) -> bool:
        return True


@dataclass
class Clock:
    """Set by hand."""

    at: float = 1000.0
    offset_s: float = 0.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return WALL - 1000.0 + self.at

    def moment(self) -> Moment:
        return Moment(self.now(), self.wall(), True)

    def boot_id(self) -> str:
        return "boot"


@dataclass
class Commands:
    """Notes what was asked for."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    tried: Tried | None = field(default_factory=lambda: Tried(204, None, 0.083))
    moved: int = 1

    async def reload(self) -> Sequence[str]:
        return ()

    async def forget(self, sensor: str) -> bool:
        self.asked.append(("forget", sensor))
        return sensor != "unknown"

    async def enable(self, webhook: str) -> bool:
        return self._of("enable", webhook)

    async def disable(self, webhook: str) -> bool:
        return self._of("disable", webhook)

    async def retry(self, webhook: str) -> bool:
        return self._of("retry", webhook)

    async def test(self, webhook: str) -> Tried | None:
        return self.tried if self._of("test", webhook) else None

    async def replay(self, wanted: Filter, span: Span) -> Moved:
        self.asked.append(("replay", wanted))
        return Moved(self.moved, None)

    async def discard(self, wanted: Filter, span: Span) -> Moved:
        self.asked.append(("discard", wanted))
        return Moved(self.moved, None)

    def _of(self, what: str, webhook: str) -> bool:
        self.asked.append((what, webhook))
        return webhook != "unknown"


@asynccontextmanager
async def served(
    eyes: Eyes,
    archive: Path,
    commands: Commands | None = None,
    clock: Any = None,
    *,
    may_change: bool = True,
    zone: tzinfo = UTC,
    root: str = "",
    port: int = 0,
) -> AsyncIterator[aiohttp.ClientSession]:
    """The page over HTTP; of the guard only who asks. `archive`: the file of an outbox."""

    @web.middleware
    async def who(request: web.Request, handler: Any) -> web.StreamResponse:
        request[VISITOR] = Visitor(may_change, may_change)
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[who])
    app.add_routes(routes(eyes, commands or Commands(), Archive(archive), dict, clock or Clock(), lambda: zone, root))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        try:
            yield session
        finally:
            await session.close()
            await runner.cleanup()
