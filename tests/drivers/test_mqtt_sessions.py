"""Which filters a session has: identifiers that are kept, what is subscribed and what no longer, MQTT 5 and 3.1.1."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from agent.demo import _AMQTT
from drivers.base import NewSession, Presence, Subscriptions
from drivers.topics import HIGHEST, identifiers
from tests.drivers.conftest import Make, on
from tests.support.agent import free_port, wait_for_port
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto, Said
from tests.support.rawbroker import CONNECT, RawBroker
from tests.support.waiting import until

VERSIONS = ["5", "3.1.1"]
ME = "bellcrank-cabin-01234567"


def count(broker: Mosquitto, what: str) -> int:
    return broker.log().count(f"Received {what} from {ME}")


def test_an_identifier_is_never_given_twice() -> None:
    ids = identifiers(["a", "b"], {})
    assert ids == {"a": 1, "b": 2, HIGHEST: 2}
    ids.pop("b")
    assert identifiers(["c", "a"], ids) == {"a": 1, "c": 3, HIGHEST: 3}
    assert identifiers([], {}) == {}


async def test_identifiers_are_kept_before_the_broker_is_told(make: Make, broker: Mosquitto) -> None:
    batches = aiter(make(broker.url, {"a": on("a"), "b": on("b/{x}")}).driver.batches())
    assert isinstance((await anext(batches))[0], NewSession)
    (kept,) = await anext(batches)
    assert isinstance(kept, Subscriptions)
    assert kept.ids == {"a": 1, "b/+": 2, HIGHEST: 2}
    await asyncio.sleep(0.1)  # time enough for what must not be
    assert count(broker, "SUBSCRIBE") == 0
    assert isinstance((await anext(batches))[0], Presence)
    await until(lambda: count(broker, "SUBSCRIBE") == 2)


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_over_a_changed_configuration_the_new_is_subscribed_and_the_old_no_longer(
    make: Make, broker: Mosquitto, protocol: str
) -> None:
    reader = make(broker.url, {"a": on("a"), "b": on("b")}, protocol=protocol)
    await reader.open()
    await until(lambda: set(reader.kept[-1]) == {"a", "b", HIGHEST})
    await reader.close()
    await broker.publish(Said("a", "1"), Said("b", "2"))
    changed = make(broker.url, {"a": on("a"), "c": on("c")}, reader.kept[-1], protocol=protocol)
    await changed.open()
    await until(lambda: set(changed.kept[-1]) == {"a", "c", HIGHEST})
    assert changed.kept[-1]["c"] == changed.kept[-1][HIGHEST] == 3
    await broker.publish(Said("b", "3"), Said("c", "4"))
    await changed.come(3)
    assert changed.values == [("a.v", 1), ("c.v", 4)]
    assert [message.sources for message in changed.messages] == [("a",), (), ("c",)], "what waited for b is nobody's"
    assert "\tb\n" in broker.log().split("Received UNSUBSCRIBE")[-1]


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_nothing_is_kept_anew_and_no_retained_message_comes_again_over_a_restart(
    make: Make, broker: Mosquitto, protocol: str
) -> None:
    await broker.publish(Said("a", "1", retain=True))
    reader = make(broker.url, {"a": on("a")}, protocol=protocol)
    await reader.open()
    await reader.come(1)
    await until(lambda: "a" in reader.kept[-1])
    await until(lambda: count(broker, "PUBACK") == 1)
    await reader.close()
    again = make(broker.url, {"a": on("a")}, reader.kept[-1], protocol=protocol)
    await again.open()
    await broker.publish(Said("a", "2"))
    await again.come(1)
    assert again.values == [("a.v", 2)]
    assert again.kept == []


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_with_a_lost_session_all_is_subscribed_with_its_known_identifiers(
    make: Make, broker: Mosquitto, protocol: str
) -> None:
    reader = make(broker.url, {"a": on("a"), "b": on("b")}, {"a": 7, "old": 9, HIGHEST: 9}, protocol=protocol)
    await reader.open()
    await until(lambda: reader.kept[-1] == {"a": 7, "b": 10, HIGHEST: 10})
    assert isinstance(reader.arrivals[0], NewSession)
    assert count(broker, "SUBSCRIBE") == 2
    assert count(broker, "UNSUBSCRIBE") == 0, "the new session never had the old one"
    broker.stop()
    await reader.lost()
    broker.start()
    await reader.open()
    await until(lambda: reader.kept[-1] == {"a": 7, "b": 10, HIGHEST: 10})
    assert count(broker, "SUBSCRIBE") == 4


async def test_with_3_1_1_overlapping_topics_are_matched_here(make: Make, broker: Mosquitto) -> None:
    sources = {"all": on("home/{room}/{what}"), "kitchen": on("home/kitchen/{what}"), "one": on("home/kitchen/climate")}
    reader = make(broker.url, sources, protocol="3.1.1")
    await reader.open()
    await broker.publish(Said("home/kitchen/climate", "1"), Said("home/hall/light", "2"))
    await reader.come(2)
    assert reader.values == [
        ("all.kitchen.climate.v", 1),
        ("kitchen.climate.v", 1),
        ("one.v", 1),
        ("all.hall.light.v", 2),
    ]
    assert f"as {ME} (p2, c0" in broker.log(), "version 3.1.1, and the session is kept"


async def test_with_3_1_1_what_was_not_acknowledged_comes_again_and_only_the_new_is_subscribed(
    make: Make, broker: Mosquitto
) -> None:
    link = Link(broker.port)
    await link.start()
    reader = make(f"mqtt://127.0.0.1:{link.port}", {"a": on("a")}, protocol="3.1.1")
    await reader.open()
    await until(lambda: "a" in reader.kept[-1])
    reader.may_go_on.clear()
    await broker.publish(Said("a", "1"))
    await reader.come(1)
    link.cut()
    reader.may_go_on.set()
    await reader.lost()
    await reader.open()
    first, again = await reader.come(2)
    await link.stop()
    assert first.receipt is not None
    assert again.receipt == first.receipt._replace(dup=True)
    assert count(broker, "SUBSCRIBE") == 1
    assert reader.new_sessions == 1


@contextmanager
def old_broker(folder: Path) -> Iterator[str]:
    """amqtt speaks 3.1.1 alone. Its URL."""
    port = free_port()
    (folder / "amqtt.yaml").write_text(_AMQTT.format(port=port))
    command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(folder / "amqtt.yaml")]
    with (folder / "amqtt.log").open("wb") as log, Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for_port(port)
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            process.kill()


async def test_a_broker_of_3_1_1_alone_is_spoken_to_in_it(make: Make, tmp_path: Path) -> None:
    with old_broker(tmp_path) as url:
        await make(url, {"a": on("a")}, protocol="3.1.1").open()


async def test_the_version_that_the_broker_speaks_is_remembered(make: Make, raw: RawBroker) -> None:
    raw.greeting = b"\x20\x02\x00\x01"
    reader = make(raw.url, {"a": on("a")})
    await reader.open()
    raw.hang_up()
    await reader.lost()
    await reader.open()
    versions = [packet.content[6] for packet in raw.got if packet.type == CONNECT]
    assert versions == [5, 4, 4]


async def test_the_version_that_is_asked_for_is_not_given_up(make: Make, raw: RawBroker) -> None:
    raw.greeting = b"\x20\x02\x00\x01"
    reader = make(raw.url, {"a": on("a")}, protocol="5")
    reader.start()
    assert await reader.lost() == "the broker refuses the connection: Unsupported protocol version: see `protocol`"
    assert [packet.content[6] for packet in raw.got if packet.type == CONNECT] == [5]


@pytest.mark.parametrize("refusal", [b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x01"], ids=["as 5", "as 3.1.1"])
async def test_both_ways_to_refuse_the_version_are_known(make: Make, raw: RawBroker, refusal: bytes) -> None:
    raw.greeting = refusal
    await make(raw.url, {"a": on("a")}).open()
