"""What the contract suite needs of a feed: one rig for each driver, a row each in `RIGS`.

A rig brings the other side of the feed (a device, a broker) and makes drivers that read it. It has one
source `bench` with one sensor `value`, so that a sent 7 comes as the reading `bench.value` = 7.
"""

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Self
from unittest.mock import patch

import aiohttp

from drivers.base import Driver, Sensor, Surroundings
from drivers.http import HttpDriver, HttpSource
from drivers.mqtt import BrokerConfig, MqttDriver, MqttSource
from drivers.ports import Opened
from drivers.serial import SerialDriver, SerialSource
from drivers.simulated import SimulatedDriver, SimulatedSource
from tests.support.agent import free_port
from tests.support.hands import HandClock
from tests.support.mosquitto import Mosquitto, Said
from tests.support.port import Port, RemotePort
from tests.support.waiting import until


class Rig(ABC):
    """The other side of one feed, and what may be seen from there.

    An async context manager: entered, the feed can be opened.
    """

    intake_max: ClassVar[int]
    """A driver may hold so many messages that were not yielded, and not many more. 0: it never reads ahead."""
    can_hang: ClassVar[bool] = True
    """Its opening may take long."""
    can_fail: ClassVar[bool] = True
    """Its opening may fail."""
    can_break: ClassVar[bool] = True
    """It may be lost while it is open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()

    def around(self) -> Surroundings:
        """What a driver is given; a rig of a broker overrides it."""
        return Surroundings("bench", "0123456789abcdef", self.clock, Random(1), {})

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    def driver(self) -> Driver:
        """A driver for the feed, always with the same name."""

    def hang(self) -> Driver:
        """A driver for a feed whose opening hangs until `release`."""
        raise NotImplementedError

    def hangs(self) -> bool:
        """Whether the opening has begun to hang."""
        raise NotImplementedError

    def release(self) -> None:
        """Let what hangs go on."""
        raise NotImplementedError

    @abstractmethod
    async def send(self, values: Sequence[int]) -> None:
        """Say each value in a message of its own, in this order; the feed is open.

        The values grow. Returns when all was said, so for ever not while a feed that can wait has no room.
        """

    async def lose(self) -> None:
        """Break the feed, or its opening: unplug the device, stop the broker."""
        raise NotImplementedError

    async def mend(self) -> None:
        """Make it possible to open it again."""
        raise NotImplementedError

    @abstractmethod
    def intake(self, driver: Driver) -> int:
        """How many messages the driver has read and not yielded."""

    def acknowledged(self) -> int | None:
        """How many messages the other side knows to be acknowledged; None where a feed knows no such thing."""
        return None


class _HangingDriver(SerialDriver):
    """Its port takes long to open, as a broken device lets the kernel do."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def _blocking_open(self) -> Opened:
        self.begun.set()
        self.may_go_on.wait(60)
        return super()._blocking_open()


class SerialRig(Rig):
    """A pseudo-terminal. It acknowledges nothing; a full one lets its writer wait."""

    intake_max = 4000

    async def __aenter__(self) -> Self:
        self.port: Port | RemotePort = self.plugged()
        return self

    def plugged(self) -> Port | RemotePort:
        return Port(self.folder / "tty")

    async def __aexit__(self, *_: object) -> None:
        self.port.close()

    def driver(self) -> SerialDriver:
        (driver,) = SerialDriver.feeds({"bench": self._source()}, self.around())
        return driver

    def _source(self) -> SerialSource:
        return SerialSource(driver="serial", port=self.port.name, sensors={"value": Sensor(path="v")})

    def hang(self) -> SerialDriver:
        (self._hanging,) = _HangingDriver.feeds({"bench": self._source()}, self.around())
        return self._hanging

    def hangs(self) -> bool:
        return self._hanging.begun.is_set()

    def release(self) -> None:
        self._hanging.may_go_on.set()

    async def send(self, values: Sequence[int]) -> None:
        left = b"".join(b'{"v": %d}\r\n' % value for value in values)

        def write_on() -> bool:
            nonlocal left
            left = left[self.port.write(left) :]
            return not left

        await until(write_on, 30)

    async def lose(self) -> None:
        self.port.unplug()

    async def mend(self) -> None:
        self.port.plug()

    def intake(self, driver: Driver) -> int:
        assert isinstance(driver, SerialDriver)
        return len(driver._intake)


class SocketRig(SerialRig):
    """The same port behind a socket."""

    def plugged(self) -> RemotePort:
        return RemotePort()


class _WatchedSimulatedDriver(SimulatedDriver):
    """Shows what it waits for."""

    begun_at = waits_for = 0.0

    async def _reaches(self, due: float) -> bool:
        self.begun_at = self.begun_at or due - self._config.every
        self.waits_for = due
        return await super()._reaches(due)


class SimulatedRig(Rig):
    """A ramp that says how many messages there were; what it is to say is chosen by the time."""

    intake_max = 0
    can_hang = can_fail = can_break = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def driver(self) -> SimulatedDriver:
        wave = {"ramp": {"min": -1, "max": 9999, "period": "20s"}}
        given = {"driver": "simulated", "every": "2ms", "sensors": {"value": {"wave": wave}}}
        source = SimulatedSource.model_validate(given)
        (self._driver,) = _WatchedSimulatedDriver.feeds({"bench": source}, self.around())
        return self._driver

    async def send(self, values: Sequence[int]) -> None:
        driver, clock = self._driver, self.clock
        for value in values:
            await until(lambda: driver.waits_for > clock.now())
            clock.at = driver.begun_at + (value + 1) * 0.002

    def intake(self, driver: Driver) -> int:
        return 0


class _CountingHttpDriver(HttpDriver):
    """Shows how many requests it has taken."""

    taken = 0

    async def _take(self, *request: Any) -> int:
        self._check_room()
        self.taken += 1
        return await super()._take(*request)


class HttpRig(Rig):
    """A client that sends one request after the other and does not wait for the answers to the earlier ones."""

    intake_max = 128
    can_hang = can_break = False

    async def __aenter__(self) -> Self:
        self._port = free_port()
        self._thief: socket.socket | None = None
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._answers: set[asyncio.Task[int]] = set()
        self._answered = 0
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.mend()
        for answer in self._answers:
            answer.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)
        await self._client.close()

    def driver(self) -> HttpDriver:
        given = {
            "driver": "http",
            "listen": f"127.0.0.1:{self._port}",
            "path": "/in",
            "token": "0123456789abcdef",
            "rate": "99999/s",
            "sensors": {"value": {"path": "v"}},
        }
        (self._driver,) = _CountingHttpDriver.feeds({"bench": HttpSource.model_validate(given)}, self.around())
        return self._driver

    async def send(self, values: Sequence[int]) -> None:
        for value in values:
            while await self._says_no(value):
                pass

    async def _says_no(self, value: int) -> bool:
        """Send one and wait until it is in the intake, or said no to."""
        taken = self._driver.taken
        answer = asyncio.create_task(self._post(value))
        self._answers.add(answer)
        await until(lambda: answer.done() or self._driver.taken > taken)
        return answer.done() and answer.result() == 503

    async def _post(self, value: int) -> int:
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        url = f"http://127.0.0.1:{self._port}/in"
        async with self._client.post(url, json={"v": value}, headers=headers) as answer:
            self._answered += answer.status == 204
            return answer.status

    async def lose(self) -> None:
        self._thief = socket.create_server(("127.0.0.1", self._port))

    async def mend(self) -> None:
        if self._thief is not None:
            self._thief.close()
            self._thief = None

    def intake(self, driver: Driver) -> int:
        assert isinstance(driver, HttpDriver)
        return len(driver._intake)

    def acknowledged(self) -> int:
        return self._answered


class MqttRig(Rig):
    """A mosquitto that sends as much unacknowledged as the driver takes. What hangs is the look-up of its name."""

    intake_max = 3000

    async def __aenter__(self) -> Self:
        self.broker = Mosquitto(self.folder, "max_queued_messages 0", "max_inflight_messages 0")
        self.broker.start()
        self._begun, self._may_go_on = threading.Event(), threading.Event()
        self._look_up = socket.getaddrinfo
        self._patch = patch("socket.getaddrinfo", self._slow_look_up)
        self._patch.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._patch.stop()
        self.broker.stop()

    def driver(self) -> MqttDriver:
        return self._driver(self.broker.url)

    def hang(self) -> MqttDriver:
        return self._driver(f"mqtt://slow.invalid:{self.broker.port}")

    def hangs(self) -> bool:
        return self._begun.is_set()

    def release(self) -> None:
        self._may_go_on.set()

    async def send(self, values: Sequence[int]) -> None:
        await self.broker.publish(*(Said("bench", f'{{"v": {value}}}') for value in values))

    async def lose(self) -> None:
        self.broker.stop()

    async def mend(self) -> None:
        self.broker.start()

    def intake(self, driver: Driver) -> int:
        assert isinstance(driver, MqttDriver)
        return len(driver._intake)

    def acknowledged(self) -> int:
        return self.broker.log().count("Received PUBACK from bellcrank-bench-01234567")

    def _driver(self, url: str) -> MqttDriver:
        around = replace(self.around(), brokers={"house": BrokerConfig(url=url)})
        source = MqttSource(driver="mqtt", topic="bench", sensors={"value": Sensor(path="v")})
        (driver,) = MqttDriver.feeds({"bench": source}, around)
        return driver

    def _slow_look_up(self, host: str, *more: Any, **options: Any) -> Any:
        if host != "slow.invalid":
            return self._look_up(host, *more, **options)
        self._begun.set()
        self._may_go_on.wait(60)
        return self._look_up("127.0.0.1", *more, **options)


RIGS: tuple[type[Rig], ...] = (SerialRig, SocketRig, SimulatedRig, HttpRig, MqttRig)
"""Another driver is one more row."""
