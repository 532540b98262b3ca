"""Real brokers, good and bad, as the doctor finds them."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from agent.doctor.guest import SYS
from agent.doctor.mosquitto import Settings, read
from tests.doctor.parts import configure, found
from tests.support.agent import free_port
from tests.support.certificates import Authority
from tests.support.mosquitto import Mosquitto, Said
from tests.support.rawbroker import SUBSCRIBE, RawBroker
from tests.support.receiver import Receiver
from tests.support.waiting import until

PASSWORD = "canary-of-a-password"
OWN_FILTERS = 1 + len(SYS)
"""That the doctor subscribes for itself: its round trip, and what mosquitto tells of itself."""
SOURCES = """
sources:
  rooms: {driver: mqtt, topic: "home/{room}", sensors: {t: {path: t}}}
"""


def house(folder: Path, url: str, more: str = "") -> Path:
    return configure(folder, f"brokers: {{house: {{url: '{url}'{more}}}}}{SOURCES}")


def access(folder: Path, *rules: str) -> tuple[str, ...]:
    """Settings of a broker that knows one user, pi, and what it may."""
    subprocess.run(["mosquitto_passwd", "-c", "-b", folder / "users", "pi", PASSWORD], check=True, capture_output=True)
    (folder / "acl").write_text("\n".join(["user pi", *rules, ""]))
    for name in ("users", "acl"):
        (folder / name).chmod(0o600)
    return f"password_file {folder}/users", f"acl_file {folder}/acl"


async def test_a_good_broker_is_told_with_its_figures(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, "sys_interval 1") as broker:
        await broker.publish(Said("home/kitchen", '{"t": 1}', qos=1, retain=True))
        it = await found(house(tmp_path, broker.url), "broker", listen_s=0.3)
    assert {name: verdict for name, (verdict, *_) in it.items() if name != "house: queue"} == {
        "house: connection": "ok",
        "house: login": "ok",
        "house: abilities": "ok",
        "house: subscriptions": "ok",
        "house: round trip": "ok",
        "house: messages": "ok",
    }
    assert it["house: login"][1].startswith("MQTT 5, logged in without a user name in ")
    assert "mosquitto version 2" in it["house: queue"][1]
    assert it["house: messages"][1] == "0 messages in 0.3 s and 1 retained ones, on 1 topics"


async def test_who_publishes_with_qos_0_is_told_by_topic_and_of_many_ten(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        said = [Said(f"home/r{n:02}", '{"t": 1}', qos=0, retain=True) for n in range(12)]
        await broker.publish(*said, Said("home/good", '{"t": 1}', qos=1, retain=True))
        it = await found(house(tmp_path, broker.url), "broker", listen_s=0.3)
    verdict, seen, _ = it["house: QoS 0"]
    topics = ", ".join(f"home/r{n:02}" for n in range(10))
    assert (verdict, seen) == ("warn", f"published with QoS 0: {topics} and 2 more")


async def test_a_wrong_password_is_told_and_no_password_is_shown(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, *access(tmp_path, "topic #")) as broker:
        file = house(tmp_path, broker.url, f", username: pi, password: '{PASSWORD}-but-wrong'")
        it = await found(file, "broker")
    assert it["house: login"][0] == "bad"
    assert "are `username` and `password` right?" in it["house: login"][1]
    assert PASSWORD not in str(it)


async def test_an_access_list_that_lets_nothing_through_shows_in_the_round_trip(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, *access(tmp_path, "topic read home/#")) as broker:
        it = await found(house(tmp_path, broker.url, f", username: pi, password: '{PASSWORD}'"), "broker")
    assert it["house: login"][0] == "ok"
    assert it["house: round trip"][0] == "warn"
    assert "access list" in it["house: round trip"][2]


async def test_a_broker_of_the_older_version_is_spoken_to_in_it_and_keeps_no_session(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        it = await found(house(tmp_path, broker.url, ", protocol: 3.1.1"), "broker")
        assert it["house: login"][1].startswith("MQTT 3.1.1, ")
        assert "bellcrank-doctor-" in broker.log()
        assert "(p2, c1," in broker.log()  # as mosquitto logs a clean session of 3.1.1
    assert it["house: round trip"][0] == "ok"


async def test_nobody_there_and_no_such_name_are_told_apart(tmp_path: Path) -> None:
    nobody = await found(house(tmp_path, f"mqtt://127.0.0.1:{free_port()}"), "broker")
    assert nobody.keys() == {"house: connection"}
    assert "Connection refused" in nobody["house: connection"][1]
    nowhere = await found(house(tmp_path, "mqtt://nowhere.invalid"), "broker")
    assert nowhere.keys() == {"house: name"}
    assert nowhere["house: name"][0] == "bad"


async def test_the_certificate_is_told_with_its_days_or_with_what_is_wrong(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    port, late_port = free_port(), free_port()
    good, late = authority.issue("good"), authority.issue("late", until=2021)
    listeners = [f"listener {port} 127.0.0.1", f"certfile {good.cert}", f"keyfile {good.key}"]
    listeners += [f"listener {late_port} 127.0.0.1", f"certfile {late.cert}", f"keyfile {late.key}"]
    trusting = f", tls: {{ca: {authority.own.cert}}}"
    with Mosquitto(tmp_path, *listeners) as broker:
        it = await found(house(tmp_path, f"mqtts://localhost:{port}", trusting), "broker")
        assert it["house: TLS"][0] == "ok"
        assert "valid for another" in it["house: TLS"][1]
        assert it["house: round trip"][0] == "ok"
        outdated = await found(house(tmp_path, f"mqtts://localhost:{late_port}", trusting), "broker")
        assert outdated["house: TLS"][0] == "bad"
        assert "has expired (valid from Jan  1 00:00:00 2020 GMT" in outdated["house: TLS"][1]
        plain = await found(house(tmp_path, broker.url.replace("mqtt:", "mqtts:"), trusting), "broker")
        assert plain["house: TLS"][1].endswith("does it speak TLS there?")
        unknown = await found(house(tmp_path, f"mqtts://localhost:{port}"), "broker")
        assert "CA that is not known" in unknown["house: TLS"][1]


async def test_a_broker_that_says_what_it_cannot_do_and_refuses_a_topic_is_believed(tmp_path: Path) -> None:
    async with RawBroker() as broker:
        # CONNACK with Maximum QoS 0 and no wildcards (MQTT 5, 3.2.2.3.4 and 3.2.2.3.11).
        broker.greeting = bytes([0x20, 7, 0, 0, 4, 0x24, 0, 0x28, 0])
        broker.ignores = {SUBSCRIBE}
        examining = asyncio.ensure_future(found(house(tmp_path, broker.url), "broker"))
        await until(lambda: sum(packet.type == SUBSCRIBE for packet in broker.got) == 1 + OWN_FILTERS)
        for packet in broker.got:
            if packet.type == SUBSCRIBE:  # SUBACK: not authorized (MQTT 5, 3.9.3)
                broker.say(bytes([0x90, 4]) + packet.content[:2] + b"\x00\x87")
        it = await examining
    assert it["house: login"][0] == "ok"
    assert it["house: abilities"] == ("bad", "it allows no wildcards", "a topic with {placeholders} needs them")
    assert it["house: subscription"][:2] == ("bad", "home/+ (source rooms): Not authorized")
    assert it["house: round trip"][0] == "warn"


async def test_what_speaks_no_mqtt_is_told(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        it = await found(house(tmp_path, f"mqtt://127.0.0.1:{receiver.port}"), "broker")
    assert it["house: login"][0] == "bad"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Settings(1000, persistence=False)),
        ("max_queued_messages 0\npersistence true\n", Settings(0, persistence=True)),
        ("# persistence true\n max_queued_messages 50\nmax_queued_messages 60", Settings(60, persistence=False)),
        ("max_queued_messages many", Settings(1000, persistence=False)),
        ("include_dir {folder}/conf.d", Settings(7, persistence=False)),
    ],
)
def test_the_file_of_a_mosquitto_is_read_as_it_reads_it(tmp_path: Path, text: str, expected: Settings) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "own.conf").write_text("max_queued_messages 7\n")
    (tmp_path / "mosquitto.conf").write_text(text.format(folder=tmp_path))
    assert read(tmp_path / "mosquitto.conf") == expected


def test_no_file_of_a_mosquitto_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "none.conf") is None
