"""What is to be seen of many sensors: windows, histories and the states of rules, on a real pipeline and outbox."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.config import Config, load
from agent.model import Content
from agent.observe import Observer
from agent.outbox import Outbox
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.rules import Book, Engine
from agent.status.history import Change, Threshold
from agent.status.snapshot import TRENDS_MAX, UNSETTLED_MAX, RuleFacts, Window
from agent.tasks import Tasks
from drivers.base import Message, Origin, Reading, Refusal, Surroundings, Value
from tests.support.hands import HandClock

CONFIG = """
version: 1
agent: {name: cabin, events_to: []}
brokers: {house: {url: "mqtt://127.0.0.1:1"}}
sources:
  room: {driver: mqtt, topic: "room/{name}", labels: {floor: one}, sensors: {t: {path: t}, door: {path: door}}}
  cellar: {driver: mqtt, topic: cellar, labels: {floor: zero}, sensors: {t: {path: t}}}
rules:
  warm: {sensor: room.*.t, when: {above: 5}, clear: {below: 3}, for: 1m, clear_for: 2m, severity: critical}
  open: {sensor: room.*.door, each: {equals: open}, throttle: 1h, send_to: [lan]}
  frost: {sensor: cellar.t, when: {below: 0}}
  both: {when: {all: [{sensor: "room.{name}.t", above: 20}, {sensor: "room.{name}.door", equals: open}]}}
webhooks:
  ops: {url: "https://user.example:8443/secret/path?token=1", secrets: [SECRET]}
  lan: {url: "http://10.0.0.1/hook", unsigned: true}
"""
SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="


class House:
    """An agent without feeds and couriers, to which sensors speak directly."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ids = folder, count(1)
        self.clock = HandClock(now=6000.0)
        self.config = self.configured(CONFIG)
        self.outbox = Outbox(folder, self.config.expires_s())
        self.pipeline: Pipeline
        self.observer: Observer

    def configured(self, text: str) -> Config:
        path = self._folder / "bellcrank.yaml"
        path.touch(0o600)
        path.write_text(text.replace("SECRET", SECRET))
        return load(path)

    def engine(self) -> Engine:
        config = self.config
        return Engine(
            Book(
                config.rules,
                list(config.webhooks),
                {},
                lambda p: f"{p}{next(self._ids)}",
                config.meanings(),
                config.site(),
            )
        )

    async def start(self) -> None:
        loaded = await self.outbox.open(self.clock)
        engine = self.engine()
        step = engine.load(loaded.memory, None, self.clock.moment())
        self.pipeline = Pipeline(engine, self.outbox, {}, self.clock, lambda *_: Content(b"{}"))
        around = Surroundings("cabin", "", self.clock, Random(1), {})
        parts = Parts(self.clock, around, self.outbox, self.pipeline, {}, Tasks(lambda: None))
        self.observer = Observer(self.config, "abc", self.clock, self.pipeline, self.outbox, parts)
        await self.pipeline.begin(step)

    async def reload(self, text: str) -> None:
        self.config = self.configured(text)
        await self.pipeline.follow(self.engine(), self.config.expires_s(), lambda *_: Content(b"{}"))
        self.observer.adopt(self.config)

    async def say(self, said: Mapping[str, Value], refused: str = "", after_s: float = 0.0) -> None:
        self.clock.advance(after_s)
        readings = [Reading(name, value, "°C", _origin(name)) for name, value in said.items()]
        refusals = (Refusal("room", refused, "null", ""),) if refused else ()
        await self.pipeline.take("house", [Message(self.clock.now(), ("room",), tuple(readings), refusals)])

    def rule(self, name: str, query: str = "") -> RuleFacts:
        return self.observer.snapshot(Window(query, 0, 10)).rules[name]


def _origin(name: str) -> Origin:
    source, *parts = name.split(".")
    return Origin(source, {"name": parts[0]} if parts[1:] else {}, {}, None, False)


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    at = House(folder)
    await at.start()
    running = asyncio.create_task(at.pipeline.run())
    try:
        yield at
    finally:
        at.pipeline.stop()
        await running
        await at.outbox.close()


@pytest.mark.parametrize(
    ("window", "names", "total"),
    [
        (Window(), ["cellar.t", "room.attic.t", "room.hall.door", "room.hall.t"], 4),
        (Window(limit=2), ["cellar.t", "room.attic.t"], 4),
        (Window(offset=1, limit=2), ["room.attic.t", "room.hall.door"], 4),
        (Window(offset=9, limit=2), [], 4),
        (Window("HALL"), ["room.hall.door", "room.hall.t"], 2),
        (Window("hall", 1, 5), ["room.hall.t"], 2),
        (Window("nobody", 0, 5), [], 0),
        (Window(exact="room.hall.t"), ["room.hall.t"], 1),
        (Window(exact="hall"), [], 0),
        (Window(exact=""), [], 0),
    ],
)
async def test_a_window_has_sensors_by_name_and_tells_how_many_match(
    tmp_path: Path, window: Window, names: list[str], total: int
) -> None:
    async with house(tmp_path) as at:
        await at.say({"room.hall.t": 1, "cellar.t": 2, "nobody.t": 4, "room.hall.nothing": 5}, refused="room.hall.door")
        await at.say({"room.attic.t": 3})
        found = at.observer.snapshot(window)
        assert (list(found.sensors), found.sensors_total) == (names, total)


async def test_a_sensor_tells_its_source_its_labels_and_its_trend(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"room.hall.t": 1, "room.hall.door": "open"}, refused="room.attic.t")
        await at.say({"room.hall.t": 2}, after_s=120)
        found = at.observer.snapshot().sensors
        hall, door, attic = found["room.hall.t"], found["room.hall.door"], found["room.attic.t"]
        assert (hall.source, hall.labels, hall.trend) == ("room", {"name": "hall"}, (*[None] * 28, 1.0, 2.0))
        assert (door.value, door.trend) == ("open", ())
        assert (attic.source, attic.labels, attic.refused, attic.age_s) == ("room", {"floor": "one"}, 1, None)


async def test_the_first_sensors_of_a_snapshot_have_their_trend(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({f"room.{n:03}.t": n for n in range(TRENDS_MAX + 3)})
        found = at.observer.snapshot().sensors
        assert sum(bool(sensor.trend) for sensor in found.values()) == TRENDS_MAX
        assert at.observer.snapshot(Window(offset=TRENDS_MAX, limit=5)).sensors[f"room.{TRENDS_MAX}.t"].trend
        without = at.observer.snapshot(Window(limit=5, trends=False)).sensors
        assert [sensor.trend for sensor in without.values()] == [()] * 5


async def test_a_history_has_what_a_sensor_said_and_the_thresholds_of_all_its_rules(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"room.hall.t": 1, "room.hall.door": "open"})
        await at.say({"room.hall.t": 2}, after_s=1)
        numbers, door = at.observer.history("room.hall.t"), at.observer.history("room.hall.door")
        assert numbers is not None
        assert door is not None
        assert [(bucket.low, bucket.high, bucket.n) for bucket in numbers.minutes] == [(1.0, 2.0, 2)]
        assert numbers.thresholds == [
            Threshold("warm", "critical", 3.0),
            Threshold("warm", "critical", 5.0),
            Threshold("both", "warning", 20.0),
        ]
        assert (door.changes, door.thresholds) == ([Change(at.clock.wall() - 1, "open")], [])
        assert at.observer.history("room.attic.t") is None


async def test_a_pending_and_a_recovering_rule_tell_when_time_makes_them_fire_and_clear(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"room.hall.t": 9})
        at.clock.advance(20)
        pending = at.rule("warm").states["room.hall.t"]
        assert pending == {
            "state": "pending",
            "since_s": 20.0,
            "alert_id": None,
            "throttled": 0,
            "value": 9,
            "unit": "°C",
            "changes_in_s": 40.0,
            "becomes": "firing",
        }
        await at.say({"room.hall.t": 8}, after_s=41)
        firing = at.rule("warm").states["room.hall.t"]
        assert (firing["state"], firing["value"], firing["changes_in_s"]) == ("firing", 8, None)
        await at.say({"room.hall.t": 2}, after_s=1)
        recovering = at.rule("warm").states["room.hall.t"]
        assert (recovering["state"], recovering["changes_in_s"], recovering["becomes"]) == ("recovering", 120.0, "ok")


async def test_a_rule_tells_its_condition_whom_it_tells_and_how_often_it_has(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"room.hall.t": 9, "room.hall.door": "open"})
        await at.say({"room.hall.t": 9, "room.hall.door": "open"}, after_s=61)
        await at.say({}, after_s=1)
        rules = at.observer.snapshot().rules
        warm, opened, frost, both = rules["warm"], rules["open"], rules["frost"], rules["both"]
        assert (warm.pulses, warm.condition, warm.clear, warm.for_s) == (False, {"above": 5}, {"below": 3}, 60.0)
        assert (warm.thresholds, list(warm.send_to), warm.told, warm.heard) == ([3, 5], ["ops", "lan"], 1, True)
        assert warm.counts == {"ok": 0, "pending": 0, "firing": 1, "recovering": 0}
        assert (opened.pulses, opened.condition, opened.told) == (True, {"equals": "open"}, 1)
        assert (opened.thresholds, list(opened.send_to)) == ([], ["lan"])
        assert opened.states["room.hall.door"]["throttled"] == 1
        assert (frost.heard, frost.told, frost.states) == (False, 0, {})
        assert both.sensor == "room.{name}.t, room.{name}.door"
        assert both.condition["all"][0] == {"sensor": "room.{name}.t", "above": 20}


async def test_a_window_has_the_states_of_its_sensors_and_all_that_are_not_ok(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        calm = {f"room.{n:03}.t": 4 for n in range(50)}
        await at.say({"room.900.t": 9} | {f"{name[:-1]}door": "open" for name in calm}, after_s=0)
        await at.say(calm | {"room.800.t": 9}, after_s=61)
        found = at.observer.snapshot(Window(limit=4))
        assert list(found.rules["warm"].states) == ["room.900.t", "room.800.t"]
        assert [alert.sensor for alert in found.alerts()] == ["room.900.t"]
        assert list(found.rules["open"].states) == ["room.000.door", "room.001.door"]
        assert found.rules["open"].counts["ok"] == 50
        assert len(at.observer.snapshot().rules["open"].states) == 50


async def test_what_is_told_of_a_rule_without_states_is_made_anew_only_where_something_became_of_it(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as at:
        names = ("frost", "open", "both", "warm")
        before = {name: at.rule(name) for name in names}
        assert all(at.rule(name) is before[name] for name in names)
        await at.say({"cellar.t": 4, "room.hall.t": 1, "room.hall.door": "open"})
        assert all(at.rule(name).heard and not before[name].heard for name in names)
        assert [at.rule("open").told, before["open"].told] == [1, 0]
        await at.say({"room.hall.t": 6})
        assert at.rule("warm").states["room.hall.t"]["state"] == "pending"
        await at.say({"room.hall.t": 1})
        assert (at.rule("warm").states, at.rule("warm").counts["pending"]) == ({}, 0)
        await at.reload(CONFIG.replace("above: 5", "above: 50"))
        assert at.rule("warm").condition == {"above": 50}


async def test_of_one_sensor_the_rules_tell_their_state_though_it_is_ok(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"room.hall.t": 1, "room.attic.t": 1, "room.hall.door": "shut"}, refused="room.cellar.t")
        hall = at.observer.snapshot(Window(exact="room.hall.t")).rules
        assert hall["warm"].states["room.hall.t"]["state"] == "ok"
        assert (list(hall["warm"].states), list(hall["both"].states)) == (["room.hall.t"], ["rule:both:hall"])
        assert not hall["open"].states
        door = at.observer.snapshot(Window(exact="room.hall.door")).rules
        assert not door["open"].states, "a pulse has no state"
        cellar = at.observer.snapshot(Window(exact="room.cellar.t")).rules
        assert not cellar["warm"].states, "it has said nothing yet"
        assert not at.observer.snapshot(Window("hall", 0, 9)).rules["warm"].states


async def test_of_very_many_that_fire_a_window_has_some_and_counts_all(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        hot = {f"room.{n:03}.t": 9 for n in range(UNSETTLED_MAX + 50)}
        await at.say(hot)
        await at.say({}, after_s=61)
        window = at.observer.snapshot(Window(limit=0))
        assert len(window.rules["warm"].states) == UNSETTLED_MAX
        assert window.rules["warm"].counts["firing"] == len(hot)
        assert window.verdict().sentence.endswith(f"; {len(hot) - 1} more alerts.")
        assert len(at.observer.snapshot().rules["warm"].states) == len(hot)


async def test_a_compound_rule_tells_of_its_binding_what_led_into_the_state(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"room.hall.t": 25})
        await at.say({"room.hall.door": "open"}, after_s=1)
        found = at.rule("both", "hall.t")
        assert list(found.states) == ["rule:both:hall"]
        assert (found.states["rule:both:hall"]["state"], found.states["rule:both:hall"]["value"]) == ("firing", "open")


async def test_what_is_forgotten_is_no_more_to_be_seen_until_it_is_heard_again(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"cellar.t": 1}, refused="room.hall.t")
        assert await at.pipeline.forget("cellar.t")
        assert await at.pipeline.forget("room.hall.t")
        found = at.observer.snapshot()
        assert (found.sensors, found.sensors_total, found.rules["frost"].heard) == ({}, 0, False)
        assert at.observer.history("cellar.t") is None
        await at.say({"cellar.t": 2}, refused="room.hall.t")
        found = at.observer.snapshot()
        assert (list(found.sensors), found.rules["frost"].heard) == (["cellar.t", "room.hall.t"], True)
        again = at.observer.history("cellar.t")
        assert again is not None
        assert [bucket.n for bucket in again.minutes] == [1]
        assert await at.pipeline.forget("room.hall.t")
        await at.say({}, refused="room.hall.t")
        assert "room.hall.t" in at.observer.snapshot().sensors, "though nobody looked in between"


async def test_a_reload_keeps_the_history_of_sensors_that_there_still_are(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await at.say({"cellar.t": -1, "room.hall.t": 9, "room.hall.door": "open"})
        smaller = CONFIG.replace(", door: {path: door}", "").replace("  both:", "  #").replace("  open:", "  #")
        await at.reload(smaller)
        assert list(at.observer.snapshot().sensors) == ["cellar.t", "room.hall.t"]
        assert at.observer.history("cellar.t") is not None
        assert at.observer.history("room.hall.door") is None
        rules = at.observer.snapshot().rules
        assert (list(rules), rules["frost"].heard, rules["frost"].told) == (["warm", "frost"], True, 1)
        assert rules["warm"].states["room.hall.t"]["state"] == "pending"
        await at.reload(CONFIG)
        assert list(at.observer.snapshot().sensors) == ["cellar.t", "room.hall.door", "room.hall.t"]
        assert at.observer.history("room.hall.door") is None, "it was let go of"


async def test_a_webhook_shows_its_host_and_nothing_else_of_its_url(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        found = at.observer.snapshot().webhooks
        assert (found["ops"].host, found["ops"].signed) == ("user.example:8443", True)
        assert (found["lan"].host, found["lan"].signed) == ("10.0.0.1", False)
        assert "secret/path" not in repr(at.observer.snapshot())


async def test_the_outbox_tells_its_bounds_and_what_is_free(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        found: Any = at.observer.snapshot().outbox
        assert (found.max_size_bytes, found.max_events) == (64_000_000, 100_000)
        assert found.free_disk_bytes > 0
