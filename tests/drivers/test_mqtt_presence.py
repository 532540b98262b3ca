"""How sources and their devices stand, what the agent says of itself, and what becomes of retained messages."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.base import FeedState, Presence
from drivers.mqtt import BrokerConfig
from tests.drivers.conftest import Make, on
from tests.drivers.test_mqtt import BIG, only
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto, Said
from tests.support.waiting import until

OPEN, OFFLINE, PAUSED, REFUSED = FeedState.OPEN, FeedState.OFFLINE, FeedState.PAUSED, FeedState.REFUSED
STATE = "bellcrank/cabin/state"


def devices(**more: Any) -> Any:
    """Rooms, each with its own availability."""
    return on("home/{room}/climate", availability={"topic": "home/{room}/status", **more})


# -- sources


async def test_each_source_is_open_once_the_broker_has_granted_it(make: Make, tmp_path: Path) -> None:
    with Mosquitto(tmp_path, *only("open/#", tmp_path)) as guarded:
        reader = make(guarded.url, {"a": on("open/a"), "b": on("closed/b"), "also_a": on("open/a")})
        reader.start()
        await until(lambda: len(reader.presences) == 3)
        assert reader.presences == [("a", OPEN), ("also_a", OPEN), ("b", REFUSED)]
        refused = [arrival for arrival in reader.arrivals if isinstance(arrival, Presence) and arrival.prefix == "b"]
        assert refused[0].detail == "the broker refuses the topic closed/b: Not authorized"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_after_a_reconnect_each_source_is_open_again_without_a_subscribe(
    make: Make, broker: Mosquitto, protocol: str
) -> None:
    link = Link(broker.port)
    await link.start()
    reader = make(f"mqtt://127.0.0.1:{link.port}", {"a": on("a"), "b": on("b")}, protocol=protocol)
    await reader.open()
    await until(lambda: len(reader.presences) == 2)
    link.cut()
    await reader.lost()
    await reader.open()
    await until(lambda: reader.presences == [("a", OPEN), ("b", OPEN)] * 2)
    await link.stop()


async def test_a_pause_is_told_in_order_with_the_messages(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    assert reader.driver.behind_since() is None
    await broker.publish(*[Said("a", BIG)] * 60)
    await until(lambda: reader.states == {"a": PAUSED})
    assert reader.driver.behind_since() == 1000.0
    reader.may_go_on.set()
    await reader.come(60)
    await until(lambda: reader.driver.behind_since() is None)
    assert reader.states == {"a": OPEN}
    assert reader.presences[:3] == [("a", OPEN), ("a", PAUSED), ("a", OPEN)]
    paused = next(i for i, a in enumerate(reader.arrivals) if isinstance(a, Presence) and a.state is PAUSED)
    before = [arrival for arrival in reader.arrivals[:paused] if arrival in reader.messages]
    assert 30 <= len(before) <= 40, "what had been read comes before it"


# -- devices


async def test_the_devices_of_a_source_are_there_or_away(make: Make, broker: Mosquitto) -> None:
    kept = {"hall": "offline", "attic": "online"}
    await broker.publish(*(Said(f"home/{room}/status", word, retain=True) for room, word in kept.items()))
    reader = make(broker.url, {"rooms": devices()})
    await reader.open()
    await until(lambda: ("rooms.hall", OFFLINE) in reader.presences and ("rooms.attic", OPEN) in reader.presences)
    assert reader.driver.states()["rooms"] == (OPEN, "away: rooms.hall")
    await broker.publish(Said("home/hall/status", '{"state": "online"}'))
    await broker.publish(Said("home/v1.2/status", '{"state":"offline"}'))
    await until(lambda: reader.presences[-1] == ("rooms.v1%2E2", OFFLINE))
    assert reader.presences[-2] == ("rooms.hall", OPEN)
    assert reader.values == []
    assert reader.refusals == []
    assert all(message.sources == ("rooms",) for message in reader.messages)


async def test_a_source_whose_availability_is_one_topic_is_offline_as_a_whole(make: Make, broker: Mosquitto) -> None:
    bridge = {"topic": "zigbee2mqtt/bridge/state"}
    reader = make(broker.url, {"lamps": on("zigbee2mqtt/{lamp}", availability=bridge), "other": on("x")})
    await reader.open()
    await broker.publish(Said("zigbee2mqtt/bridge/state", '{"state":"offline"}'))
    await until(lambda: reader.states == {"lamps": OFFLINE, "other": OPEN})
    await until(lambda: [state for name, state in reader.presences if name == "lamps"][-1] == OFFLINE)
    await broker.publish(Said("zigbee2mqtt/bridge/state", "online"))
    await until(lambda: reader.states == {"lamps": OPEN, "other": OPEN})
    assert reader.presences[-1] == ("lamps", OPEN)


async def test_the_words_of_a_device_may_be_others(make: Make, broker: Mosquitto) -> None:
    lwt = {"topic": "tele/{device}/LWT", "online": "Online", "offline": "Offline"}
    reader = make(broker.url, {"tasmota": on("tele/{device}/SENSOR", availability=lwt)})
    await reader.open()
    await broker.publish(Said("tele/a/LWT", "Offline"), Said("tele/b/LWT", "offline"), Said("tele/c/LWT", "Online"))
    await reader.come(3)
    await until(lambda: reader.presences == [("tasmota", OPEN), ("tasmota.a", OFFLINE), ("tasmota.c", OPEN)])


@pytest.mark.parametrize(
    "payload",
    ["", "on", "ONLINE", "{", '{"state": 1}', '{"state": null}', '{"state": {"a": 1}}', b"\xff\xfe", '{"a":' * 20_000],
    ids=lambda payload: str(payload[:9]),
)
async def test_what_is_neither_is_refused_and_counted(make: Make, broker: Mosquitto, payload: bytes | str) -> None:
    reader = make(broker.url, {"rooms": devices()})
    await reader.open()
    await broker.publish(Said("home/hall/status", payload), Said("home/hall/climate", "1"))
    await reader.come(2)
    assert [refusal.reason for refusal in reader.refusals] == ["no_availability"]
    assert reader.values == [("rooms.hall.v", 1)]
    assert reader.presences == [("rooms", OPEN)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_after_a_reconnect_it_is_asked_anew_who_is_there(make: Make, broker: Mosquitto, protocol: str) -> None:
    await broker.publish(*(Said(f"home/{room}/status", "offline", qos=0, retain=True) for room in ("attic", "hall")))
    link = Link(broker.port)
    await link.start()
    reader = make(f"mqtt://127.0.0.1:{link.port}", {"rooms": devices()}, protocol=protocol)
    await reader.open()
    await until(lambda: len(reader.presences) == 3)
    link.cut()
    await reader.lost()
    await broker.publish(Said("home/hall/status", "online", qos=0, retain=True))  # a QoS 0 message does not wait for us
    reader.arrivals.clear()
    await reader.open()
    await until(lambda: ("rooms.hall", OPEN) in reader.presences)
    assert reader.presences[:3] == [("rooms", OPEN), ("rooms.attic", OFFLINE), ("rooms.hall", OFFLINE)]
    assert reader.driver.states()["rooms"].detail == "away: rooms.attic"
    await link.stop()


@pytest.mark.parametrize(
    ("topic", "availability", "valid"),
    [
        ("home/{room}/climate", "home/{room}/status", True),
        ("home/{room}/climate", "status", True),
        ("{site}/{room}/climate", "{site}/status", True),
        ("{site}/{room}/climate", "{room}/{site}/status", True),
        ("{site}/{room}/climate", "{room}/status", False),
        ("home/{room}/climate", "home/{device}/status", False),
        ("home/climate", "home/{room}/status", False),
        ("home/{room}/climate", "home/+/status", False),
    ],
)
def test_an_availability_topic_has_the_first_placeholders_of_its_source(
    topic: str, availability: str, valid: bool
) -> None:
    if valid:
        on(topic, availability={"topic": availability})
    else:
        with pytest.raises(ValidationError, match="placeholder"):
            on(topic, availability={"topic": availability})


async def test_placeholders_in_another_order_name_the_same_device(make: Make, broker: Mosquitto) -> None:
    rooms = on("{site}/{room}/climate", availability={"topic": "status/{room}/of/{site}"})
    reader = make(broker.url, {"rooms": rooms})
    await reader.open()
    await broker.publish(Said("status/hall/of/lake", "offline"))
    await until(lambda: reader.presences[-1] == ("rooms.lake.hall", OFFLINE))


# -- retained messages


@pytest.mark.parametrize(
    ("mode", "readings"),
    [("seed", [(1, True), (2, False)]), ("ignore", [(2, False)]), ("fire", [(1, False), (2, False)])],
)
async def test_a_retained_message_is_a_seed_or_ignored_or_live(
    make: Make, broker: Mosquitto, mode: str, readings: list[tuple[int, bool]]
) -> None:
    await broker.publish(Said("a", "1", retain=True))
    reader = make(broker.url, {"a": on("a", retained=mode)})
    await reader.open()
    await reader.come(1)
    await broker.publish(Said("a", "2", retain=True))
    await reader.come(2)
    assert [(r.value, r.origin.retained) for m in reader.messages for r in m.readings] == readings
    assert [message.sources for message in reader.messages] == [("a",), ("a",)]
    assert all(message.receipt for message in reader.messages)


# -- the agent itself


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_agent_says_that_it_is_there_and_that_it_leaves(make: Make, broker: Mosquitto, protocol: str) -> None:
    reader = make(broker.url, {"a": on("a")}, protocol=protocol)
    await reader.open()
    with broker.listening("bellcrank/#") as heard:
        await until(lambda: heard == [(STATE, b"online")], what=str(heard))
        await reader.close()
        await until(lambda: heard == [(STATE, b"online"), (STATE, b"offline")], what=str(heard))
    with broker.listening("bellcrank/#") as heard:
        await until(lambda: heard == [(STATE, b"offline")])


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_broker_says_it_where_the_agent_cannot(make: Make, broker: Mosquitto, protocol: str) -> None:
    link = Link(broker.port)
    await link.start()
    reader = make(f"mqtt://127.0.0.1:{link.port}", {"a": on("a")}, protocol=protocol, availability_topic="my/state")
    await reader.open()
    with broker.listening("my/state") as heard:
        await until(lambda: heard == [("my/state", b"online")])
        link.cut()
        await until(lambda: heard[1:] == [("my/state", b"offline")])
    await link.stop()


async def test_without_an_availability_topic_nothing_is_said(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a")}, availability_topic=False)
    await reader.open()
    with broker.listening("#") as heard:
        await broker.publish(Said("b", "1"))
        await until(lambda: heard)
        await reader.close()
        await broker.publish(Said("b", "2"))
        await until(lambda: len(heard) == 2)
    assert [topic for topic, _ in heard] == ["b", "b"]
    assert "No will message specified" in broker.log()


@pytest.mark.parametrize("topic", ["a/{b}", "a/+", "a/#", "", True, "$SYS/x"])
def test_an_availability_topic_of_the_agent_is_a_plain_topic(topic: object) -> None:
    with pytest.raises(ValidationError):
        BrokerConfig.model_validate({"url": "mqtt://broker", "availability_topic": topic})
