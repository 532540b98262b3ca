"""What the snapshot tells: of a real agent by its JSON, and of the few things that only a clock set by hand shows."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from paho.mqtt import publish

from agent.config import Config
from agent.model import DROP_REASONS, Content, Counters
from agent.observe import Observer
from agent.pipeline import Pipeline
from agent.rules import Book, Engine
from tests.support.agent import AgentProcess, free_port
from tests.support.hands import HandClock
from tests.support.mosquitto import Mosquitto
from tests.support.receiver import Receiver
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  room: {{driver: mqtt, topic: "room/{{name}}", sensors: {{t: {{path: t, unit: "°C"}}, door: {{path: door}}}}}}
rules:
  warm: {{sensor: room.*.t, when: {{above: 5}}, severity: critical}}
  moved: {{sensor: room.*.door, each: {{equals: open}}, throttle: 1h}}
webhooks:
  ops: {{url: "http://127.0.0.1:{http}/hook", unsigned: true}}
  away: {{url: "http://127.0.0.1:{nobody}/hook", unsigned: true}}
status: {{listen: "{{status}}"}}
"""
COUNTS = ("owed", "delivered", "pending", "dead", "dropped")


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[tuple[AgentProcess, Mosquitto]]:
    broker = Mosquitto(folder)
    broker.start()
    async with Receiver() as receiver:
        text = CONFIG.format(mqtt=broker.port, http=receiver.port, nobody=free_port())
        agent = AgentProcess(folder, text)
        try:
            agent.start()
            await agent.ready()
            yield agent, broker
        finally:
            agent.kill()
            broker.stop()


def say(broker: Mosquitto, room: str, *payloads: str) -> None:
    for payload in payloads:
        publish.single(f"room/{room}", payload, 1, hostname="127.0.0.1", port=broker.port)


async def status_with(agent: AgentProcess, **counts: int) -> dict[str, Any]:
    await until(lambda: counts.items() <= agent.status()["outbox"].items(), what=f"{counts}")
    return await asyncio.to_thread(agent.status)


async def test_the_snapshot_tells_what_came_what_it_meant_and_who_is_owed_it(tmp_path: Path) -> None:
    async with house(tmp_path) as (agent, broker):
        say(broker, "hall", '{"t": 9.5}', "{", '{"t": null}', '{"t": 9, "door": "open"}', '{"door": "open"}')
        say(broker, "attic", '{"t": "warm"}', '{"t": 3}')
        found = await status_with(agent, owed=4, delivered=2)
        assert found["agent"].keys() >= {"id", "name", "version", "uptime_s", "clock"}
        assert found["agent"]["name"] == "cabin"
        assert found["agent"]["clock"] in ("synced", "unsynced")
        assert found["sources"]["room"] == {
            "state": "open",
            "detail": found["sources"]["room"]["detail"],
            "messages": 7,
            "repeats": 0,
            "refused": 2,
            "refused_by": {"not_json": 1, "null": 1},
            "last_refusal": "null",
        }
        hall, attic = found["sensors"]["room.hall.t"], found["sensors"]["room.attic.t"]
        assert (hall["value"], hall["unit"], hall["refused"]) == (9, "°C", 1)
        assert hall["last_refusal"].startswith("null")
        assert 0 <= hall["age_s"] < 60
        assert (attic["value"], attic["refused"], attic["last_refusal"]) == (3, 1, "unfit for a rule")
        warm, moved = found["rules"]["warm"], found["rules"]["moved"]
        assert (warm["sensor"], warm["severity"]) == ("room.*.t", "critical")
        assert warm["states"]["room.hall.t"]["state"] == "firing"
        assert warm["states"]["room.hall.t"]["alert_id"].startswith("alt_")
        assert moved["states"]["room.hall.door"]["throttled"] == 1
        ops, away = found["webhooks"]["ops"], found["webhooks"]["away"]
        assert [ops[name] for name in COUNTS] == [2, 2, 0, 0, 0]
        assert [away[name] for name in COUNTS] == [2, 0, 2, 0, 0]
        assert (ops["state"], ops["succeeded"], ops["last_error"]) == ("answering", 2, None)
        assert away["last_error"]
        outbox = found["outbox"]
        assert {name: outbox[name] for name in COUNTS} == {name: ops[name] + away[name] for name in COUNTS}
        assert set(outbox["dropped_by"]) == set(DROP_REASONS)
        assert (outbox["balanced"], outbox["degraded"]) == (True, None)
        assert 0 <= outbox["oldest_pending_s"] < 60
        assert outbox["size_bytes"] > 0


async def test_a_webhook_that_the_configuration_no_longer_has_is_shown_with_its_queue(tmp_path: Path) -> None:
    async with house(tmp_path) as (agent, broker):
        say(broker, "hall", '{"t": 9.5}')
        await status_with(agent, pending=1)
        await asyncio.to_thread(agent.stop)
        text = "\n".join(line for line in agent.config.read_text().splitlines() if not line.startswith("  away:"))
        agent.configure(text)
        agent.start()
        await agent.ready()
        found = await asyncio.to_thread(agent.status)
        assert found["webhooks"]["away"]["state"] == "removed"
        assert found["webhooks"]["away"]["pending"] == 1
        assert found["outbox"]["pending"] == 1


@pytest.mark.parametrize(
    ("ahead_s", "skew_s", "trouble"),
    [
        ([], None, []),
        ([None], None, []),
        ([-30.0, 9000.0], 30.0, []),
        ([121.0, 9000.0], -121.0, ["the clock is 2 m 1 s behind that of the receivers"]),
        ([-7200.0], 7200.0, ["the clock is 2 h ahead of that of the receivers"]),
    ],
)
def test_the_clock_is_compared_with_the_receiver_that_agrees_most(
    ahead_s: list[float | None], skew_s: float | None, trouble: list[str]
) -> None:
    clock = HandClock()
    distance_s = clock.wall() - clock.now()
    said = [None if ahead is None else distance_s + ahead for ahead in ahead_s]
    views = [SimpleNamespace(ahead_s=one) for one in said]
    couriers = {str(n): SimpleNamespace(view=lambda view=view: view) for n, view in enumerate(views)}
    watched = observer(clock, couriers=couriers)
    clock.advance(5000)
    snapshot = watched.snapshot()
    assert snapshot.agent.clock_skew_s == skew_s
    assert snapshot.troubles() == trouble
    clock.unix += 50
    assert watched.snapshot().agent.clock_skew_s == (None if skew_s is None else skew_s + 50), "as it is set now"


def test_a_year_that_cannot_be_is_shown() -> None:
    clock = HandClock(wall=946_684_800.0, synced=False)
    snapshot = observer(clock).snapshot()
    assert snapshot.agent.clock == "implausible"
    assert snapshot.troubles() == ["the clock is surely wrong: it is from before this program was made"]


def observer(
    clock: HandClock, couriers: Mapping[str, Any] = MappingProxyType({}), zone: str = "UTC", **outbox: Any
) -> Observer:
    """One that looks at an agent in which nothing runs; `outbox`: what that says of itself."""
    mailboxes = dict.fromkeys(couriers, SimpleNamespace(oldest=lambda: None))
    written_bytes = outbox.pop("written_bytes", lambda: None)
    file = SimpleNamespace(size_bytes=lambda: 0, disk=SimpleNamespace(free_bytes=lambda: None))
    rooms = {"gathering": SimpleNamespace(), "telling": SimpleNamespace()}
    rooms |= {"worker": SimpleNamespace(written_bytes=written_bytes), "store": SimpleNamespace(file=file)}
    box: Any = SimpleNamespace(**{"degraded": None, "counters": {}, "mailboxes": mailboxes, **rooms, **outbox})
    pipeline = Pipeline(Engine(Book({}, (), {}, str, {})), box, {}, clock, lambda *_: Content(b""))
    config = Config.model_validate({"version": 1, "agent": {"name": "cabin", "timezone": zone}, "sources": {}})
    parts: Any = SimpleNamespace(drivers=[], couriers=couriers, heartbeats={})
    return Observer(config, "abc", clock, pipeline, box, parts)


@pytest.mark.parametrize(("degraded", "alive"), [(None, False), ("disk I/O error", True)])
def test_an_agent_whose_pipeline_does_not_move_is_not_alive_unless_the_disk_is_to_blame(
    degraded: str | None, alive: bool
) -> None:
    clock = HandClock()
    watched = observer(clock, degraded=degraded)
    clock.advance(14)
    assert watched.alive() is True
    clock.advance(2)
    assert watched.alive() is alive


@pytest.mark.parametrize(("degraded", "ready"), [(None, True), ("disk I/O error", False)])
def test_it_is_ready_while_the_outbox_can_be_written(degraded: str | None, ready: bool) -> None:
    assert observer(HandClock(), degraded=degraded).ready() is ready


def test_bytes_written_are_counted_by_day() -> None:
    clock, written = HandClock(), [1000]
    watched = observer(clock, written_bytes=lambda: written[0])
    assert watched.snapshot().outbox.written_bytes_today == 1000
    written[0] = 1500
    assert watched.snapshot().outbox.written_bytes_today == 1500
    clock.advance(86400)
    assert watched.snapshot().outbox.written_bytes_today == 0
    written[0] = 1600
    assert watched.snapshot().outbox.written_bytes_today == 100


def test_a_day_begins_where_the_agent_is_and_though_nobody_looks_then() -> None:
    clock, written = HandClock(wall=1_795_694_400.0), [1000]  # noon in UTC, 2 hours after midnight in Kiritimati
    watched = observer(clock, zone="Pacific/Kiritimati", written_bytes=lambda: written[0])
    for hours, more in ((21, 500), (2, 200), (1, 30)):
        clock.advance(hours * 3600)
        written[0] += more
        watched._pipeline.on_step(Engine(Book({}, (), {}, str, {})).step(clock.moment()))
    assert watched.snapshot().outbox.written_bytes_today == 30, "since the first sign of life on this day"


def test_what_was_dropped_for_want_of_room_before_the_start_is_no_news() -> None:
    counters = {"ops": Counters(owed=7, dropped_by={**dict.fromkeys(DROP_REASONS, 0), "full": 7})}
    watched = observer(HandClock(), counters=counters)
    assert watched.snapshot().troubles() == []
    for name, dropped in (("ops", 8), ("new", 1)):
        counters[name] = Counters(dropped, dropped_by={**dict.fromkeys(DROP_REASONS, 0), "full": dropped})
    facts = watched.snapshot().outbox
    assert (facts.dropped_full_since_start, facts.dropped_by["full"]) == (2, 9)


def test_where_the_kernel_does_not_count_them_nothing_is_claimed() -> None:
    assert observer(HandClock()).snapshot().outbox.written_bytes_today is None


@pytest.mark.parametrize(("synced", "word"), [(True, "synced"), (False, "unsynced")])
def test_uptime_and_clock_are_those_of_the_device(synced: bool, word: str) -> None:
    clock = HandClock(synced=synced)
    watched = observer(clock)
    clock.advance(61)
    clock.unix += 1e6
    facts = watched.snapshot().agent
    assert (facts.uptime_s, facts.clock, facts.id) == (61, word, "abc")
