"""The driver of sensors that do not exist: to try rules and webhooks before the real ones are there.

Each time that `every` has passed there is one message with all sensors of the source. What it says follows from
its number, counted from the start, and for `noise` from the seed too: the same configuration says the same
again. A `pulse` is an event, not a value: each time that its period has passed it says `pressed`, and nothing in
between. What could not be said in time (the device slept, the agent could not keep up) is left out with its
number, and never said later in a burst.
"""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from drivers.base import (
    Batch,
    Driver,
    FeedState,
    Message,
    Origin,
    Presence,
    Raw,
    Reading,
    Refusal,
    SourceConfig,
    SourceState,
    Surroundings,
    Value,
)
from drivers.settings import Settings
from drivers.units import Duration, Name

PRESSED = "pressed"
_DECIMALS = 6
_LOOK_EVERY_S = 1.0
"""The loop's own clock stands while the device sleeps, so it is looked at the right one so often."""
Period = Annotated[Duration, Field(ge=0.001)]
Bound = Annotated[float, Field(ge=-1e15, le=1e15)]


class Band(Settings):
    """Between what a number stays."""

    min: Bound
    max: Bound

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.min >= self.max:
            raise ValueError("`min` has to be less than `max`")
        return self


class Swing(Band):
    """A band, and how long it takes until all comes again."""

    period: Period


class Beat(Settings):
    """How often something happens."""

    period: Period


class Wave(Settings):
    """One shape, by its name."""

    sine: Swing | None = None
    """Begins in the middle, upwards."""
    square: Swing | None = None
    """`min` for the first half, then `max`."""
    ramp: Swing | None = None
    """Up from `min`, and at `max` down at once."""
    noise: Band | None = None
    pulse: Beat | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(shape is not None for _, shape in self) != 1:
            raise ValueError(f"has to be exactly one of {', '.join(type(self).model_fields)}")
        return self

    def value(self, number: int, every_ms: int, key: str) -> Value | None:
        """What the message of this number says; None: nothing.

        `key` makes the noise of one sensor another than that of the others.
        """
        if self.pulse is not None:
            return PRESSED if number * every_ms % _period_ms(self.pulse) < every_ms else None
        if self.noise is not None:
            return _within(self.noise, _chance(f"{key} {number}"))
        if self.sine is not None:
            return _within(self.sine, 0.5 + 0.5 * math.sin(math.tau * _phase(number, every_ms, self.sine)))
        if self.square is not None:
            return self.square.max if _phase(number, every_ms, self.square) >= 0.5 else self.square.min
        return _within(self.ramp, _phase(number, every_ms, self.ramp)) if self.ramp is not None else None


class SimulatedSensor(Settings):
    """One sensor that does not exist."""

    unit: str | None = None
    wave: Wave


class SimulatedSource(SourceConfig):
    """Sensors that speak together."""

    driver: Literal["simulated"]
    seed: int = 0
    every: Period = 1.0
    sensors: dict[Name, SimulatedSensor]  # type: ignore[assignment]  # they have a wave in place of a path

    @model_validator(mode="after")
    def _has_no_format(self) -> Self:
        if "format" in self.model_fields_set:
            raise ValueError("a simulated source has no `format`: take it away")
        return self

    def wrong_paths(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """None: there are no paths."""
        return iter(())

    def decoding(self, sensor: str) -> str:
        """The wave."""
        return self.sensors[sensor].wave.model_dump_json()


class SimulatedDriver(Driver):
    """One source."""

    Source = SimulatedSource

    def __init__(self, source: str, config: SimulatedSource, around: Surroundings) -> None:
        self.name = f"simulated:{source}"
        self._source = source
        self._config = config
        self._clock, self._tap = around.clock, around.tap
        self._every_ms = round(config.every * 1000)
        self._closed = asyncio.Event()
        self._state = SourceState(FeedState.CONNECTING)

    @classmethod
    def feeds(cls, sources: Mapping[str, Any], around: Surroundings) -> Sequence[Self]:
        """One feed for each source."""
        return [cls(name, config, around) for name, config in sources.items()]

    async def batches(self) -> AsyncIterator[Batch]:
        """Yield a message each time that one is due."""
        if self._closed.is_set():
            return
        self._state = SourceState(FeedState.OPEN)
        begun_at, number = self._clock.now(), 1
        yield [Presence(begun_at, self._source, self._source, FeedState.OPEN)]
        while await self._reaches(begun_at + number * self._config.every):
            now = self._clock.now()
            number = max(number, round((now - begun_at) * 1000) // self._every_ms)
            yield [self._message(now, number)]
            number += 1

    async def close(self) -> None:
        """Say no more."""
        self._closed.set()
        self._state = SourceState(FeedState.LOST, "closed")

    def states(self) -> Mapping[str, SourceState]:
        """The state of the one source."""
        return {self._source: self._state}

    async def _reaches(self, due: float) -> bool:
        """Wait for a time. Returns whether it came before the end."""
        while not self._closed.is_set() and (left_s := due - self._clock.now()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _LOOK_EVERY_S)):
                    await self._closed.wait()
        return not self._closed.is_set()

    def decode(self, raw: Raw) -> Sequence[Message | Presence]:
        """What was simulated once, said again."""
        if raw.source != self._source:
            return ()
        try:
            said = json.loads(raw.payload)
            return [self._says(raw.at, {name: said[name] for name in self._config.sensors if name in said})]
        except (ValueError, TypeError):
            return [Message(raw.at, (self._source,), (), (Refusal(self._source, None, "not_json"),))]

    def _message(self, now: float, number: int) -> Message:
        said = {
            name: value
            for name, sensor in self._config.sensors.items()
            if (value := sensor.wave.value(number, self._every_ms, f"{self._config.seed} {name}")) is not None
        }
        if self._tap is not None:
            self._tap(Raw(now, self.name, None, self._source, json.dumps(said).encode()))
        return self._says(now, said)

    def _says(self, now: float, said: Mapping[str, Value]) -> Message:
        origin = Origin(self._source, self._config.labels, {}, said, False)
        units = {name: sensor.unit for name, sensor in self._config.sensors.items()}
        readings = [Reading(f"{self._source}.{name}", value, units[name], origin) for name, value in said.items()]
        return Message(now, (self._source,), tuple(readings))


def _phase(number: int, every_ms: int, shape: Swing) -> float:
    """Where in its period a message falls, in [0, 1): by integers, so that it is exact for ever."""
    return number * every_ms % _period_ms(shape) / _period_ms(shape)


def _period_ms(shape: Swing | Beat) -> int:
    return round(shape.period * 1000)


def _within(band: Band, share: float) -> float:
    return round(band.min + (band.max - band.min) * share, _DECIMALS)


def _chance(key: str) -> float:
    """A number in [0, 1) that follows from the key."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / 2**48
