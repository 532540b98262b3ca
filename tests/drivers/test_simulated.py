"""Simulated sensors: what they say, and when. The rest is in test_contract.py."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from random import Random
from typing import Any, cast

import pytest
from pydantic import ValidationError

from drivers.base import Batch, Message, Surroundings
from drivers.simulated import SimulatedDriver, SimulatedSource, Wave
from tests.support.hands import HandClock
from tests.support.waiting import until

Batches = AsyncGenerator[Batch, None]


def source(**given: Any) -> SimulatedSource:
    sensors = {"n": {"wave": {"ramp": {"min": 0, "max": 1000, "period": "2s"}}}}
    return SimulatedSource.model_validate({"driver": "simulated", "every": "2ms", "sensors": sensors, **given})


def said(wave: dict[str, Any], count: int, *, every_ms: int = 1000, key: str = "") -> list[Any]:
    """What the first messages say."""
    return [Wave.model_validate(wave).value(number, every_ms, key) for number in range(1, count + 1)]


BAND = {"min": -10, "max": 10, "period": "4s"}


@pytest.mark.parametrize(
    ("wave", "values"),
    [
        ({"sine": BAND}, [10, 0, -10, 0, 10]),
        ({"square": BAND}, [-10, 10, 10, -10, -10]),
        ({"ramp": BAND}, [-5, 0, 5, -10, -5]),
        ({"pulse": {"period": "3s"}}, [None, None, "pressed", None, None, "pressed"]),
        ({"pulse": {"period": "2500ms"}}, [None, None, "pressed", None, "pressed", None]),
        ({"pulse": {"period": "1ms"}}, ["pressed", "pressed"]),
    ],
)
def test_a_wave_says_what_its_shape_says(wave: dict[str, Any], values: list[Any]) -> None:
    assert said(wave, len(values)) == values


def test_noise_stays_in_its_band_and_uses_it() -> None:
    values = said({"noise": {"min": 20, "max": 24}}, 1000)
    assert 20 <= min(values) < 20.1
    assert 23.9 < max(values) <= 24


def test_noise_follows_from_seed_sensor_and_number() -> None:
    noise = {"noise": {"min": 0, "max": 1}}
    assert said(noise, 9, key="0 a") == said(noise, 9, key="0 a")
    assert said(noise, 9, key="0 a") != said(noise, 9, key="1 a")
    assert len(set(said(noise, 9, key="0 a"))) == 9


def test_a_phase_is_exact_after_years() -> None:
    wave = Wave.model_validate({"ramp": {"min": 0, "max": 1, "period": "700ms"}})
    assert wave.value(7 * 10**12, 100, "") == 0
    assert wave.value(7 * 10**12 + 1, 100, "") == wave.value(1, 100, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sensors": {"n": {}}},
        {"sensors": {"n": {"wave": {}}}},
        {"sensors": {"n": {"wave": {"sine": BAND, "ramp": BAND}}}},
        {"sensors": {"n": {"wave": {"triangle": BAND}}}},
        {"sensors": {"n": {"wave": {"sine": {"min": 1, "max": 1, "period": "1s"}}}}},
        {"sensors": {"n": {"wave": {"sine": {"min": 0, "max": float("inf"), "period": "1s"}}}}},
        {"sensors": {"n": {"wave": {"sine": {"min": 0, "max": 1}}}}},
        {"sensors": {"n": {"wave": {"sine": BAND}, "path": "n"}}},
        {"sensors": {"n": {"wave": {"pulse": BAND}}}},
        {"every": 0},
        {"every": 5},
        {"seed": "x"},
        {"format": "json"},
    ],
)
def test_what_makes_no_sense_is_an_error(wrong: dict[str, Any]) -> None:
    assert source().seed == 0
    with pytest.raises(ValidationError):
        source(**wrong)


class Listener:
    """Reads a simulated source, as fast as it is let."""

    def __init__(self, config: SimulatedSource) -> None:
        self.clock = HandClock()
        around = Surroundings("", "", self.clock, Random(1), {})
        (self.driver,) = SimulatedDriver.feeds({"lab": config}, around)
        self.messages: list[Message] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with aclosing(cast("Batches", self.driver.batches())) as batches:
            async for batch in batches:
                self.messages += [message for message in batch if isinstance(message, Message)]
                await self.may_go_on.wait()

    def at(self, milliseconds: int) -> None:
        """So long after the start it is now."""
        self.clock.at = 1000.0001 + milliseconds / 1000

    @property
    def values(self) -> list[Any]:
        return [message.readings[0].value for message in self.messages]

    async def come(self, count: int) -> None:
        """Wait until so many came, and no more do."""
        await until(lambda: len(self.messages) >= count)
        for _ in range(5):
            await asyncio.sleep(0.002)
        assert len(self.messages) == count

    async def end(self) -> None:
        self.may_go_on.set()
        await self.driver.close()
        await self._reader


async def test_one_message_holds_all_that_the_sensors_say() -> None:
    sensors = {
        "warmth": {"unit": "°C", "wave": {"square": {"min": 4, "max": 21, "period": "4ms"}}},
        "button": {"wave": {"pulse": {"period": "4ms"}}},
    }
    listener = Listener(source(sensors=sensors, labels={"room": "lab"}))
    await listener.come(0)
    for number in (1, 2):
        listener.at(2 * number)
        await listener.come(number)
    await listener.end()
    first, second = listener.messages
    assert [(r.sensor, r.value, r.unit) for r in first.readings] == [("lab.warmth", 21, "°C")]
    assert [(r.sensor, r.value) for r in second.readings] == [("lab.warmth", 4), ("lab.button", "pressed")]
    assert first.sources == ("lab",)
    assert first.receipt is None
    assert second.at == listener.clock.now()
    assert second.readings[0].origin == ("lab", {"room": "lab"}, {}, {"warmth": 4, "button": "pressed"}, False)


async def test_after_a_sleep_what_was_due_meanwhile_is_left_out() -> None:
    listener = Listener(source())
    await listener.come(0)
    for count, at in enumerate((2, 1002, 1004), 1):
        listener.at(at)
        await listener.come(count)
    await listener.end()
    assert listener.values == [1, 501, 502]


async def test_an_agent_that_cannot_keep_up_is_told_the_newest_only() -> None:
    listener = Listener(source())
    await listener.come(0)
    listener.may_go_on.clear()
    listener.at(2)
    await listener.come(1)
    listener.at(102)
    await listener.come(1)
    listener.may_go_on.set()
    await listener.come(2)
    await listener.end()
    assert listener.values == [1, 51]


async def test_a_late_message_does_not_put_off_the_next() -> None:
    listener = Listener(source())
    await listener.come(0)
    for count, at in enumerate((3, 4, 7, 8), 1):
        listener.at(at)
        await listener.come(count)
    await listener.end()
    assert listener.values == [1, 2, 3, 4]
