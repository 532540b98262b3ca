"""A session that the broker forgot, with a real mosquitto behind a link that can be cut."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal, cast

import paho.mqtt.publish
import pytest

from drivers.base import Batch, DriverError, FeedState, Message, NewSession, Sensor, Surroundings
from drivers.mqtt import BrokerConfig, MqttDriver, MqttSource
from tests.support.hands import HandClock
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until


class Bench:
    """A driver, its broker and the link between them."""

    def __init__(self, folder: Path, qos: Literal[0, 1] = 1) -> None:
        self.qos = qos
        self.broker = Mosquitto(folder)
        self.link = Link(self.broker.port)
        self.driver: MqttDriver

    async def start(self) -> None:
        self.broker.start()
        await self.link.start()
        brokers = {"house": BrokerConfig(url=f"mqtt://127.0.0.1:{self.link.port}", keepalive="1s")}
        around = Surroundings("bench", "0123456789abcdef", HandClock(), Random(1), brokers)
        source = MqttSource(driver="mqtt", topic="bench", qos=self.qos, sensors={"value": Sensor()})
        (self.driver,) = MqttDriver.feeds({"bench": source}, around)

    def batches(self) -> aclosing[AsyncGenerator[Batch, None]]:
        return aclosing(cast("AsyncGenerator[Batch, None]", self.driver.batches()))

    async def opened(self, batches: AsyncGenerator[Batch, None]) -> "asyncio.Task[Batch]":
        """The next batch, asked for, once the topic is subscribed."""
        waiting = asyncio.ensure_future(anext(batches))
        await until(lambda: waiting.done() or self.driver.states()["bench"].state is FeedState.OPEN)
        return waiting

    async def publish(self, *values: int) -> None:
        messages: list[Any] = [("bench", str(value), self.qos, False) for value in values]
        await asyncio.to_thread(paho.mqtt.publish.multiple, messages, hostname="127.0.0.1", port=self.broker.port)


@asynccontextmanager
async def benched(folder: Path, qos: Literal[0, 1] = 1) -> AsyncIterator[Bench]:
    bench = Bench(folder, qos)
    await bench.start()
    try:
        yield bench
    finally:
        await bench.driver.close()
        await bench.link.stop()
        bench.broker.stop()


def values(batch: Batch) -> list[object]:
    return [reading.value for message in batch if isinstance(message, Message) for reading in message.readings]


async def test_a_session_whose_connack_was_lost_is_subscribed_all_the_same(tmp_path: Path) -> None:
    """The broker forgets the session, makes a new one, and the agent never hears that it is new."""
    async with benched(tmp_path) as bench:
        async with bench.batches() as batches:
            assert isinstance((await anext(batches))[0], NewSession)
            waiting = await bench.opened(batches)
            bench.broker.stop()
            with pytest.raises(DriverError):
                await waiting
        bench.broker.start()
        bench.link.lose_what_the_agent_hears()
        async with bench.batches() as batches:
            waiting = asyncio.ensure_future(anext(batches))
            await until(lambda: bench.link.lost_bytes)
            bench.link.cut()
            with pytest.raises(DriverError):
                await waiting
        async with bench.batches() as batches:
            waiting = await bench.opened(batches)
            await bench.publish(7)
            assert values(await asyncio.wait_for(waiting, 10)) == [7]


async def test_who_cannot_keep_up_is_told_so(tmp_path: Path) -> None:
    async with benched(tmp_path, qos=0) as bench, bench.batches() as batches:
        await anext(batches)
        waiting = await bench.opened(batches)
        await bench.publish(*range(6000))
        await waiting
        await until(lambda: bench.driver.states()["bench"].state is FeedState.LOST)
        assert "could not keep up" in bench.driver.states()["bench"].detail
