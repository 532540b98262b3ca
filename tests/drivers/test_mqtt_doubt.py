"""A session in doubt: the broker may have made a new one, of which the agent has not heard or kept nothing."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

import drivers.mqtt
from agent.outbox.ledger import Ledger
from drivers.base import Arrival, Batch, FeedState, Message, NewSession, Value
from drivers.mqtt import MqttDriver
from tests.drivers.conftest import Make, on
from tests.drivers.test_mqtt import BIG
from tests.support.feed import Reader
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto, Said
from tests.support.rawbroker import CONNACK_SESSION, UNSUBSCRIBE, RawBroker
from tests.support.waiting import until

VERSIONS = ["5", "3.1.1"]
BELL = {"bell": on("bell", "text")}


def evaluated(arrivals: Iterable[Arrival]) -> list[Value]:
    """The values that are new to the ledger, as the agent keeps it."""
    ledger, values = Ledger(), []
    for arrival in arrivals:
        if isinstance(arrival, NewSession):
            ledger.empty()
        elif isinstance(arrival, Message) and arrival.receipt is not None and not ledger.knows(arrival.receipt):
            ledger.add(arrival.receipt)
            values += [reading.value for reading in arrival.readings]
        ledger.install(committed=True)
    return values


def asked(broker: Mosquitto) -> int:
    return broker.log().count("Received UNSUBSCRIBE")


async def linked(broker: Mosquitto) -> tuple[Link, str]:
    link = Link(broker.port)
    await link.start()
    return link, f"mqtt://127.0.0.1:{link.port}"


async def interrupted(reader: Reader) -> None:
    """The broker makes a new session and its NewSession is not handled, as when the process is killed."""
    async with aclosing(cast("AsyncGenerator[Batch, None]", reader.driver.batches())) as batches:
        assert isinstance((await anext(batches))[0], NewSession)


async def unheard(reader: Reader, link: Link) -> None:
    """The broker makes a new session and its CONNACK is lost."""
    link.lose_what_the_agent_hears()
    reader.start()
    await until(lambda: link.lost_bytes)
    link.cut()
    await reader.lost()


@pytest.mark.parametrize("how", ["the process was killed", "CONNACK was lost"])
async def test_a_press_that_looks_like_one_of_the_session_before_is_not_taken_for_it(
    make: Make, broker: Mosquitto, how: str
) -> None:
    link, url = await linked(broker)
    reader = make(url, BELL)
    await reader.open()
    await broker.publish(Said("bell", "pressed"))
    (before,) = await reader.come(1)
    broker.stop()
    await reader.lost()
    broker.start()
    if how == "CONNACK was lost":
        await unheard(reader, link)
    else:
        await interrupted(make(url, BELL))
        arrivals, reader = reader.arrivals, make(url, BELL, reader.kept[-1])
        reader.arrivals += arrivals
    await reader.open()
    in_vain = link.lost_bytes
    link.lose_what_the_agent_hears()
    await broker.publish(Said("bell", "pressed"))
    await until(lambda: link.lost_bytes > in_vain)
    link.cut()
    await reader.lost()
    await reader.open()
    _, press = await reader.come(2)
    await link.stop()
    assert before.receipt is not None
    assert press.receipt == before.receipt._replace(dup=True), "else it would prove nothing"
    assert evaluated(reader.arrivals) == ["pressed", "pressed"]


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_what_a_broker_sends_again_to_a_new_process_is_known(
    make: Make, broker: Mosquitto, protocol: str
) -> None:
    reader = make(broker.url, BELL, protocol=protocol)
    await reader.open()
    await until(lambda: "bell" in reader.kept[-1])
    reader.may_go_on.clear()
    await broker.publish(Said("bell", "pressed"))
    await reader.come(1)
    await reader.give_up()
    again = make(broker.url, BELL, reader.kept[-1], protocol=protocol)
    await again.open()
    await again.come(1)
    assert again.messages[0].receipt is not None
    assert again.messages[0].receipt.dup
    assert again.new_sessions == 0
    assert evaluated(reader.arrivals + again.arrivals) == ["pressed"]


async def test_only_a_session_in_doubt_costs_a_question_and_an_emptied_ledger(make: Make, tmp_path: Path) -> None:
    with Mosquitto(tmp_path, persistent=True) as broker:
        link, url = await linked(broker)
        reader = make(url, BELL)
        await reader.open()
        link.cut()
        await reader.lost()
        await reader.open()
        broker.stop()
        await reader.lost()
        await link.stop()
        reader.start()
        assert "refused" in await reader.lost(), "nothing was asked of anybody"
        await link.start()
        broker.start()
        await reader.open()
        assert (asked(broker), reader.new_sessions) == (0, 1)
        again = make(url, BELL, reader.kept[-1])
        await again.open()
        link.cut()
        await again.lost()
        await again.open()
        assert (asked(broker), again.new_sessions) == (1, 1)
        await link.stop()


async def test_more_than_the_intake_holds_may_come_before_the_answer(
    make: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers.mqtt, "_IN_DOUBT_MAX_S", 3600.0)
    reader = make(broker.url, {"a": on("a")})
    await reader.open()
    await reader.close()
    await broker.publish(*(Said("a", str(n).encode() + BIG[1:]) for n in range(60)))
    again = make(broker.url, {"a": on("a")}, reader.kept[-1])
    again.start()
    await again.come(60)
    assert isinstance(again.arrivals[0], NewSession)
    assert [value for _, value in again.values] == list(range(60))


@pytest.mark.parametrize("protocol", VERSIONS)
async def test_a_new_session_that_could_not_be_kept_is_told_again_and_subscribed(
    make: Make, broker: Mosquitto, protocol: str
) -> None:
    reader = make(broker.url, BELL, protocol=protocol)
    await reader.open()
    await until(lambda: "bell" in reader.kept[-1])
    broker.stop()
    await reader.lost()
    broker.start()
    await interrupted(reader)
    await reader.open()
    await broker.publish(Said("bell", "pressed"))
    await reader.come(1)
    assert reader.new_sessions == 2


async def test_a_broker_that_does_not_answer_is_not_waited_for_for_ever(
    make: Make, raw: RawBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers.mqtt, "_IN_DOUBT_MAX_S", 0.1)
    raw.greeting, raw.ignores = CONNACK_SESSION, {UNSUBSCRIBE}
    reader = make(raw.url, BELL)
    await reader.open()
    assert reader.new_sessions == 1


async def test_a_session_stays_in_doubt_where_the_connection_is_lost_before_the_answer(
    make: Make, raw: RawBroker
) -> None:
    raw.greeting, raw.ignores = CONNACK_SESSION, {UNSUBSCRIBE}
    reader = make(raw.url, BELL)
    reader.start()
    await until(lambda: any(packet.type == UNSUBSCRIBE for packet in raw.got))
    raw.hang_up()
    assert "closed the connection" in await reader.lost()
    assert reader.new_sessions == 0
    raw.ignores = set()
    await reader.open()
    assert reader.new_sessions == 1


async def test_a_feed_is_closed_while_its_session_is_in_doubt(make: Make, raw: RawBroker) -> None:
    raw.greeting, raw.ignores = CONNACK_SESSION, {UNSUBSCRIBE}
    driver = make(raw.url, BELL).driver
    async with aclosing(cast("AsyncGenerator[Batch, None]", driver.batches())) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        await until(lambda: any(packet.type == UNSUBSCRIBE for packet in raw.got))
        await driver.close()
        with pytest.raises(StopAsyncIteration):
            await waiting


# -- what an earlier connection has left


async def test_what_was_read_is_handed_over_though_the_broker_is_away(make: Make, broker: Mosquitto) -> None:
    """Else no timer of the agent would run until the broker is there again."""
    reader = make(broker.url, {"a": on("a")})
    await reader.open()
    reader.may_go_on.clear()
    await broker.publish(*[Said("a", BIG)] * 60)
    await until(lambda: reader.states == {"a": FeedState.PAUSED})
    await reader.give_up()
    broker.stop()
    assert reader.driver.behind_since() is not None
    come, told = len(reader.messages), reader.presences
    reader.may_go_on.set()
    reader.start()
    await reader.lost()
    assert isinstance(reader.driver, MqttDriver)
    assert reader.driver.behind_since() is None
    assert len(reader.messages) > come
    assert reader.presences == told, "how the source stood on that connection is past"
