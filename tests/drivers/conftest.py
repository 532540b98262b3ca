"""What the tests of the MQTT driver share: a broker, and readers of it."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from drivers.base import Sensor, Surroundings
from drivers.mqtt import BrokerConfig, MqttDriver, MqttSource
from drivers.paths import Format
from tests.support.feed import Reader
from tests.support.hands import HandClock
from tests.support.mosquitto import Mosquitto
from tests.support.rawbroker import RawBroker

Make = Callable[..., Reader]


def on(topic: str, format_: Format = "number", path: str | None = None, **more: Any) -> MqttSource:
    """A source with one sensor `v`."""
    return MqttSource(driver="mqtt", topic=topic, format=format_, sensors={"v": Sensor(path=path)}, **more)


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes readers of a broker: its URL, the sources, what filters are kept, and keys of the broker."""
    made: list[Reader] = []

    def reader(
        url: str, sources: Mapping[str, MqttSource], kept: Mapping[str, int] | None = None, **broker: Any
    ) -> Reader:
        brokers = {"house": BrokerConfig(url=url, **broker)}
        subscriptions = {"broker:house": kept or {}}
        around = Surroundings("cabin", "0123456789abcdef", HandClock(), Random(1), brokers, subscriptions)
        (driver,) = MqttDriver.feeds(sources, around)
        made.append(Reader(driver))
        return made[-1]

    yield reader
    for each in made:
        await each.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, "max_inflight_messages 0", "max_queued_messages 0") as started:
        yield started


@pytest.fixture
async def raw() -> AsyncIterator[RawBroker]:
    async with RawBroker() as started:
        yield started
