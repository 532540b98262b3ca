"""The MQTT driver with a real mosquitto: what only a broker can do. The rest is in test_contract.py."""

import asyncio
import json
import subprocess
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import SecretStr, ValidationError

import drivers.mqtt_connection
import drivers.mqtt_routing
from agent.outbox.ledger import KEPT
from drivers.base import FeedState, Message
from drivers.mqtt import BrokerConfig, MqttDriver
from drivers.mqtt_packets import Inbox
from tests.drivers.conftest import Make, on
from tests.support.feed import Reader
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto, Said
from tests.support.rawbroker import CONNACK_SESSION, PUBACK, RawBroker, publish
from tests.support.waiting import until

PUBREC, PUBCOMP = 5, 7
BIG = b"7" + b" " * 250_000
"""40 of them are more than the intake holds."""


def acknowledged(broker: Mosquitto) -> int:
    return broker.log().count("Received PUBACK from bellcrank-cabin-01234567")


def intake(reader: Reader) -> int:
    assert isinstance(reader.driver, MqttDriver)
    return len(reader.driver._intake)


# -- what a topic becomes


async def test_a_placeholder_names_the_sensor_and_becomes_a_label(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"rooms": on("home/{room}/climate", labels={"site": "lake", "room": "?"})})
    await reader.open()
    await broker.publish(
        Said("home/kitchen/climate", "21"), Said("home/x/y/climate", "1"), Said("home/v1.*/climate", "5%")
    )
    await broker.publish(Said("home/50%.v1/climate", "22"))
    await reader.come(3)
    assert reader.values == [("rooms.kitchen.v", 21), ("rooms.50%25%2Ev1.v", 22)]
    assert reader.messages[0].readings[0].origin.labels == {"site": "lake", "room": "kitchen"}


async def test_with_overlapping_topics_each_source_sees_a_message_once(make: Make, broker: Mosquitto) -> None:
    reader = make(
        broker.url,
        {
            "all": on("home/{room}/{what}"),
            "kitchen": on("home/kitchen/{what}"),
            "one": on("home/kitchen/climate"),
            "same": on("home/{x}/{y}"),
        },
    )
    await reader.open()
    await broker.publish(
        Said("home/kitchen/climate", "1"), Said("home/kitchen/light", "2"), Said("home/hall/climate", "3")
    )
    await until(lambda: len(reader.values) >= 9)
    await broker.publish(Said("home/hall/last", "4"))
    await until(lambda: len(reader.values) >= 11)
    assert sorted(reader.values) == [
        ("all.hall.climate.v", 3), ("all.hall.last.v", 4), ("all.kitchen.climate.v", 1), ("all.kitchen.light.v", 2),
        ("kitchen.climate.v", 1), ("kitchen.light.v", 2), ("one.v", 1),
        ("same.hall.climate.v", 3), ("same.hall.last.v", 4), ("same.kitchen.climate.v", 1), ("same.kitchen.light.v", 2),
    ]  # fmt: skip


async def test_qos_0_has_no_receipt_and_qos_1_has_one(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a", qos=0), "b": on("b")})
    await reader.open()
    await broker.publish(Said("a", "1"), Said("b", "2", qos=0), Said("b", "3"), Said("b", "3"))
    none, also_none, first, second = await reader.come(4)
    assert none.receipt is None
    assert also_none.receipt is None
    assert first.receipt is not None
    assert second.receipt is not None
    assert first.receipt.digest == second.receipt.digest
    assert first.receipt.packet_id != second.receipt.packet_id
    assert not first.receipt.dup
    await until(lambda: acknowledged(broker) == 2)


async def test_one_filter_of_two_sources_is_subscribed_at_the_higher_qos(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a", qos=0), "b": on("a", qos=1)})
    await reader.open()
    await broker.publish(Said("a", "1"))
    (message,) = await reader.come(1)
    assert message.sources == ("a", "b")
    assert message.receipt is not None


async def test_a_retained_message_is_marked_as_such_and_comes_once(make: Make, broker: Mosquitto) -> None:
    await broker.publish(Said("a", "1", retain=True))
    reader = make(broker.url, {"a": on("a")})
    await reader.open()
    await reader.come(1)
    await broker.publish(Said("a", "2", retain=True))
    await reader.come(2)
    assert [message.readings[0].origin.retained for message in reader.messages] == [True, False]


# -- what is no value


async def test_a_payload_that_is_too_large_is_refused_and_acknowledged(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a")}, max_payload="10B")
    await reader.open()
    await broker.publish(Said("a", "7" * 11), Said("a", "7" * 10))
    await reader.come(2)
    assert [(refusal.reason, refusal.detail) for refusal in reader.refusals] == [("too_large", "11 bytes")]
    assert reader.values == [("a.v", 7777777777)]
    await until(lambda: acknowledged(broker) == 2)


async def test_a_topic_that_is_too_long_is_refused_and_acknowledged_and_nothing_of_it_is_kept(
    make: Make, broker: Mosquitto
) -> None:
    reader = make(broker.url, {"rooms": on("home/{room}", availability={"topic": "home/{room}"}), "b": on("b/{x}")})
    await reader.open()
    await broker.publish(*(Said(f"home/{letter * 1020}", "1") for letter in "xyz"), Said(f"home/{'x' * 1019}", "2"))
    await reader.come(4)
    assert [(r.source, r.sensor, r.reason) for r in reader.refusals[:3]] == [("rooms", None, "topic_too_long")] * 3
    assert reader.refusals[0].detail.startswith("home/xxx")
    assert [value for _, value in reader.values] == [2]
    assert [message.sources for message in reader.messages] == [("rooms",)] * 4
    assert isinstance(reader.driver, MqttDriver)
    assert len(reader.driver._router._routes) == 1
    await until(lambda: acknowledged(broker) == 4)


async def test_more_sensors_than_a_source_may_have_are_refused(
    make: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers.mqtt_routing, "SENSORS_MAX", 3)
    reader = make(broker.url, {"rooms": on("home/{room}")})
    await reader.open()
    await broker.publish(*(Said(f"home/{room}", "1") for room in "abcdeab"))
    await reader.come(7)
    assert [sensor for sensor, _ in reader.values] == ["rooms.a.v", "rooms.b.v", "rooms.c.v", "rooms.a.v", "rooms.b.v"]
    assert [(r.reason, r.detail) for r in reader.refusals] == [
        ("too_many_sensors", "home/d"),
        ("too_many_sensors", "home/e"),
    ]


def test_ten_thousand_sensors_are_the_bound() -> None:
    assert drivers.mqtt_routing.SENSORS_MAX == 10_000


async def test_a_topic_that_is_no_utf8_is_acknowledged_and_belongs_to_nobody(make: Make, raw: RawBroker) -> None:
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    raw.say(publish(5, b"\xff\xfe", b"1") + publish(6, b"a", b"2"))
    first, _ = await reader.come(2)
    assert first.sources == ()
    assert reader.values == [("a.v", 2)]
    await until(lambda: raw.acknowledged(0) == [5, 6])


@pytest.mark.parametrize(
    "malformed",
    [
        b"\x32\x03\x00\x09a",  # a topic longer than its packet
        b"\x32\x00",
        b"\x36\x06\x00\x01a\x00\x05\x00",  # QoS 3
        b"\x32\x07\x00\x01a\x00\x05\x01\x7f",  # a property that does not exist
        b"\x32\x08\x00\x01a\x00\x05\x09\x0b\x01",  # properties longer than their packet
        b"\x90\x00",
        b"\x90\x04\x00\x01\x00\x77",  # a reason code that does not exist
        b"\x40\x00",
        b"\xe0\x01\x77",
        b"\x00\x00",
        b"\xf0\x00",
        b"\x32\xff\xff\xff\xff\x01",  # a length of five bytes
    ],
    ids=bytes.hex,
)  # fmt: skip
async def test_a_malformed_packet_ends_the_connection_and_the_next_one_is_whole(
    make: Make, raw: RawBroker, malformed: bytes
) -> None:
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    raw.say(publish(1, b"a", b"1") + malformed)
    assert await reader.lost()
    assert reader.values == [("a.v", 1)]
    await reader.open()
    raw.say(publish(2, b"a", b"2"))
    await reader.come(2)


# -- acknowledgements


async def test_a_batch_is_acknowledged_after_it_and_in_order(make: Make, raw: RawBroker) -> None:
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    ids = [9, 3, 700, 1, 2]
    raw.say(b"".join(publish(packet_id, b"a", b"1") for packet_id in ids))
    await until(lambda: len(reader.messages) + intake(reader) == len(ids))
    assert raw.acknowledged(0) == []
    reader.may_go_on.set()
    await until(lambda: len(raw.acknowledged(0)) == len(ids))
    assert raw.acknowledged(0) == ids


async def test_nothing_is_acknowledged_on_another_connection_than_its_own(make: Make, raw: RawBroker) -> None:
    raw.greeting = CONNACK_SESSION
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    raw.say(publish(1, b"a", b"1"))
    await reader.come(1)
    raw.say(publish(2, b"a", b"2"))
    await until(lambda: intake(reader) == 1)
    raw.hang_up()
    await until(lambda: reader.states == {"a": FeedState.LOST})
    reader.may_go_on.set()
    await reader.lost()
    await reader.open()
    raw.say(publish(3, b"a", b"3"))
    await until(lambda: raw.acknowledged(1) == [3])
    assert raw.acknowledged(0) == []
    assert [value for _, value in reader.values] == [1, 2, 3]


async def test_what_was_read_on_a_connection_that_was_let_go_is_not_acknowledged_on_the_next(
    make: Make, raw: RawBroker
) -> None:
    raw.greeting = CONNACK_SESSION
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    raw.say(publish(1, b"a", b"1"))
    await reader.come(1)
    raw.say(publish(2, b"a", b"2"))
    await until(lambda: intake(reader) == 1)
    await reader.give_up()
    reader.may_go_on.set()
    await reader.open()
    raw.say(publish(3, b"a", b"3"))
    await until(lambda: raw.acknowledged(1))
    assert [value for _, value in reader.values] == [1, 2, 3]
    assert raw.acknowledged(1) == [3]


async def test_what_was_not_acknowledged_comes_again_with_the_flag(make: Make, broker: Mosquitto) -> None:
    link = Link(broker.port)
    await link.start()
    reader = make(f"mqtt://127.0.0.1:{link.port}", {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    await broker.publish(Said("a", "1"))
    (first,) = await reader.come(1)
    link.cut()
    reader.may_go_on.set()
    await reader.lost()
    await reader.open()
    _, again = await reader.come(2)
    await link.stop()
    assert first.receipt is not None
    assert again.receipt == first.receipt._replace(dup=True)
    assert reader.new_sessions == 1, "the broker still had the session"


# -- back pressure


async def test_a_full_intake_is_not_read_beyond_and_goes_on_when_there_is_room(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    await broker.publish(*[Said("a", BIG)] * 60)
    await until(lambda: reader.states == {"a": FeedState.PAUSED})
    await asyncio.sleep(0.1)  # time enough to go on reading, which it must not
    assert intake(reader) <= 35, "8 MiB, and how the source stands"
    assert acknowledged(broker) == 0
    reader.may_go_on.set()
    await reader.come(60)
    await until(lambda: acknowledged(broker) == 60)
    assert [value for _, value in reader.values] == [7] * 60


async def test_topics_count_into_what_the_intake_holds(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"rooms": on("home/{room}")})
    await reader.open()
    reader.may_go_on.clear()
    await broker.publish(*[Said(f"home/{'x' * 60_000}", "1")] * 300)
    await until(lambda: reader.states == {"rooms": FeedState.PAUSED})
    reader.may_go_on.set()
    await reader.come(300)


async def test_the_broker_is_told_to_leave_no_more_unacknowledged_than_the_ledger_knows_again(
    make: Make, raw: RawBroker
) -> None:
    await make(raw.url, {"a": on("a")}).open()
    receive_maximum = b"\x21" + (4000).to_bytes(2, "big")
    assert receive_maximum in raw.got[0].content
    assert KEPT > 4000


async def test_paused_for_half_the_keepalive_it_leaves_and_loses_nothing_at_qos_1(
    make: Make, broker: Mosquitto
) -> None:
    reader = make(broker.url, {"a": on("a")}, keepalive="1s")
    await reader.open()
    reader.may_go_on.clear()
    await broker.publish(*(Said("a", str(n).encode() + BIG[1:]) for n in range(60)))
    await until(lambda: reader.states == {"a": FeedState.LOST})
    reader.may_go_on.set()
    assert "could not keep up" in await reader.lost()
    await reader.open()
    await until(lambda: {value for _, value in reader.values} == set(range(60)), 20)
    assert reader.new_sessions == 1
    first_seen = dict.fromkeys(value for _, value in reader.values)
    assert list(first_seen) == list(range(60)), "in order"


async def test_however_often_it_pauses_in_a_flood_no_more_is_read_than_is_taken(
    make: Make, raw: RawBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [0]

    class Watched(Inbox):
        def put(self, data: bytes) -> None:
            super().put(data)
            held.append(len(self._bytes))

    monkeypatch.setattr(drivers.mqtt_connection, "Inbox", Watched)
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    raw.say(b"\x30\x05\x00\x01a\x007" * 20_000)
    await reader.come(20_000)
    assert max(held) < 70_000


# -- QoS 2, which an older session under the same client id may hold


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_messages_of_qos_2_are_told_once_and_the_broker_lets_go_of_them(
    make: Make, broker: Mosquitto, protocol: str
) -> None:
    earlier = mqtt.Client(
        CallbackAPIVersion.VERSION2, "bellcrank-cabin-01234567", clean_session=False, protocol=mqtt.MQTTv311
    )
    earlier.connect("127.0.0.1", broker.port)
    earlier.loop_start()
    earlier.subscribe("a", 2)
    await until(lambda: "Sending SUBACK to bellcrank-cabin-01234567" in broker.log())
    earlier.disconnect()
    earlier.loop_stop()
    await broker.publish(*(Said("a", str(n), qos=2) for n in range(50)))
    reader = make(broker.url, {"a": on("a")}, protocol=protocol)
    await reader.open()
    await reader.come(50)
    assert reader.values == [("a.v", n) for n in range(50)]
    await until(lambda: broker.log().count("Received PUBCOMP from bellcrank-cabin-01234567") == 50)
    await reader.close()
    again = make(broker.url, {"a": on("a")}, protocol=protocol)
    await again.open()
    await broker.publish(Said("a", "51"))
    await again.come(1)
    assert again.values == [("a.v", 51)]


async def test_a_message_of_qos_2_is_taken_over_behind_its_batch_only(make: Make, raw: RawBroker) -> None:
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    raw.say(publish(1, b"a", b"1") + b"\x34\x07\x00\x01a\x00\x09\x002" + publish(3, b"a", b"3"))
    await until(lambda: len(reader.messages) + intake(reader) == 3)
    assert not _acknowledgements(raw)
    reader.may_go_on.set()
    await until(lambda: len(_acknowledgements(raw)) == 3)
    raw.say(b"\x62\x02\x00\x09" * 2)  # as a broker asks again that has not heard the answer
    await until(lambda: len(_acknowledgements(raw)) == 5)
    assert _acknowledgements(raw) == [(PUBACK, 1), (PUBREC, 9), (PUBACK, 3), (PUBCOMP, 9), (PUBCOMP, 9)]


def _acknowledgements(raw: RawBroker) -> list[tuple[int, int]]:
    return [(p.type, int.from_bytes(p.content[:2], "big")) for p in raw.got if p.type in (PUBACK, PUBREC, PUBCOMP)]


# -- sessions


async def test_a_session_that_is_lost_is_told_first_and_all_is_subscribed_anew(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a"), "b": on("b")})
    await reader.open()
    broker.stop()
    await reader.lost()
    broker.start()
    reader.arrivals.clear()
    await reader.open()
    await broker.publish(Said("b", "1"))
    await reader.come(1)
    assert reader.new_sessions == 1
    assert not isinstance(reader.arrivals[0], Message)


async def test_with_its_session_kept_nothing_is_subscribed_again_and_nothing_is_lost(
    make: Make, broker: Mosquitto
) -> None:
    link = Link(broker.port)
    await link.start()
    await broker.publish(Said("a", "0", retain=True))
    reader = make(f"mqtt://127.0.0.1:{link.port}", {"a": on("a")})
    await reader.open()
    await reader.come(1)
    await until(lambda: acknowledged(broker) == 1)
    link.cut()
    await reader.lost()
    await broker.publish(Said("a", "1"))
    await reader.open()
    await reader.come(2)
    await link.stop()
    assert [value for _, value in reader.values] == [0, 1], "the retained one did not come again"
    assert broker.log().count("Received SUBSCRIBE from bellcrank-cabin-01234567") == 1
    assert reader.new_sessions == 1


# -- what goes wrong


async def test_without_a_broker_it_is_told_where_it_was_looked_for(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a")})
    broker.stop()
    reader.start()
    told = await reader.lost()
    assert broker.url in told
    assert "refused" in told
    assert reader.driver.states()["a"] == (FeedState.LOST, told)
    broker.start()
    await reader.open()


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_takes_connections_but_is_no_broker_is_told(
    make: Make, raw: RawBroker, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr(drivers.mqtt_connection, "_CONNACK_TIMEOUT_S", 0.2)
    raw.greeting = greeting
    reader = make(raw.url, {"a": on("a")})
    reader.start()
    told = await reader.lost()
    assert "is it an MQTT broker" in told
    assert reader.driver.states()["a"] == (FeedState.LOST, told)


@pytest.mark.parametrize("password", ["wrong", None])
async def test_a_wrong_password_is_told_and_not_shown(make: Make, tmp_path: Path, password: str | None) -> None:
    given = {} if password is None else {"username": "agent", "password": SecretStr(password)}
    with Mosquitto(tmp_path, users(tmp_path)) as guarded:
        reader = make(guarded.url, {"a": on("a")}, **given)
        reader.start()
        told = await reader.lost()
        right = make(guarded.url, {"a": on("a")}, username="agent", password=SecretStr("right"))
        await right.open()
    assert told == "the broker refuses the connection: Not authorized: are `username` and `password` right?"
    assert reader.driver.states()["a"] == (FeedState.LOST, told)


async def test_a_topic_that_the_broker_refuses_is_told_of_its_source_alone(make: Make, tmp_path: Path) -> None:
    with Mosquitto(tmp_path, *only("open/#", tmp_path)) as guarded:
        reader = make(guarded.url, {"a": on("open/a"), "b": on("closed/b")})
        reader.start()
        await until(lambda: reader.states == {"a": FeedState.OPEN, "b": FeedState.REFUSED})
        assert reader.driver.states()["b"].detail == "the broker refuses the topic closed/b: Not authorized"
        await guarded.publish(Said("open/a", "1"), Said("closed/b", "2"), Said("open/a", "3"))
        await reader.come(2)
    assert reader.values == [("a.v", 1), ("a.v", 3)]


def users(folder: Path) -> str:
    """A setting of a broker that knows the user `agent` with the password `right` alone."""
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "users", "agent", "right"], check=True)
    return f"password_file {folder}/users"


def only(allowed: str, folder: Path) -> tuple[str, ...]:
    """Settings of a broker that grants subscriptions below one topic alone, to anybody."""
    acl = {"acltype": "subscribePattern", "topic": allowed, "allow": True}
    security = {
        "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True, "unsubscribe": True},
        "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
        "roles": [{"rolename": "some", "acls": [acl]}],
        "anonymousGroup": "all",
    }
    (folder / "security.json").write_text(json.dumps(security))
    plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
    return f"plugin {plugin}", f"plugin_opt_config_file {folder}/security.json"


async def test_two_agents_with_one_client_id_are_told_clearly(make: Make, broker: Mosquitto) -> None:
    first, second = make(broker.url, {"a": on("a")}), make(broker.url, {"a": on("a")})
    await first.open()
    await second.open()
    told = await first.lost()
    assert "does another client connect as bellcrank-cabin-01234567?" in told, "this mosquitto says nothing more"
    assert first.driver.states()["a"] == (FeedState.LOST, told)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            b"\xe0\x01\x8e",
            "another client has connected as bellcrank-cabin-01234567: has a second agent the same name?",
        ),
        (b"\xe0\x01\x8b", "the broker ends the connection: Server shutting down"),
        (b"\xe0\x00", "the broker ends the connection: Normal disconnection"),
        (b"\xf0\x00", "the broker sent what is no MQTT packet"),
    ],
    ids=["taken over", "shutting down", "no reason", "no MQTT"],
)
async def test_why_the_connection_ended_is_told(make: Make, raw: RawBroker, said: bytes, told: str) -> None:
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    raw.say(said)
    assert await reader.lost() == told


async def test_a_broker_that_no_longer_answers_is_told(make: Make, broker: Mosquitto) -> None:
    reader = make(broker.url, {"a": on("a")}, keepalive="1s")
    await reader.open()
    broker.freeze()
    told = await reader.lost()
    broker.thaw()
    assert told == "the broker no longer answers"


@pytest.mark.parametrize(
    "url",
    [
        "http://broker", "broker.lan", "mqtt://", "mqtt://host:99999", "mqtt://host/path", "mqtt://host?x=1", "mqtt://u:p@host",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_broker_is_told(url: str) -> None:
    with pytest.raises(ValidationError) as error:
        BrokerConfig(url=url)
    assert "p@host" not in str(error.value.errors(include_input=False, include_url=False))
