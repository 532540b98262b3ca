"""The serial driver on a real pseudo-terminal or socket: what only a port can do. The rest is in test_contract.py."""

import asyncio
import os
import socket
import termios
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from drivers import ports
from drivers.base import Batch, DriverError, FeedState, Message, Refusal, Sensor, Surroundings, Valid
from drivers.paths import Format
from drivers.serial import SerialDriver, SerialSource
from tests.support.hands import HandClock
from tests.support.port import Port, RemotePort
from tests.support.waiting import until

Batches = AsyncGenerator[Batch, None]


class CountingDriver(SerialDriver):
    """Shows how much it has read: the kernel does not, as bytes on their way are nowhere to be seen."""

    bytes_read = 0

    def _take(self, data: bytes) -> None:
        super()._take(data)
        self.bytes_read += len(data)


class Bench:
    """A port, a driver that reads it, and what came."""

    def __init__(
        self, port: Port | RemotePort, format_: Format = "number", valid: Valid | None = None, **more: Any
    ) -> None:
        self.port = port
        self.clock = HandClock()
        sensor = Sensor(path="v" if format_ == "json" else None, valid=valid)
        source = SerialSource(driver="serial", port=port.name, format=format_, sensors={"v": sensor}, **more)
        (self.driver,) = CountingDriver.feeds({"a": source}, Surroundings("", "", self.clock, cast("Any", None), {}))
        self.messages: list[Message] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.reader: asyncio.Task[None] | None = None

    async def open(self, quiet_s: float = 1.0) -> None:
        """Open the port, and let so much time pass without a word from it."""
        self.reader = asyncio.create_task(self._read())
        await until(lambda: self.state is FeedState.OPEN)
        self.clock.advance(quiet_s)

    async def _read(self) -> None:
        async with aclosing(cast("Batches", self.driver.batches())) as batches:
            async for batch in batches:
                self.messages += [message for message in batch if isinstance(message, Message)]
                await self.may_go_on.wait()

    async def lost(self) -> str:
        """Wait for the reader to be told that the port is lost. Returns what it was told."""
        assert self.reader is not None
        with pytest.raises(DriverError) as error:
            await asyncio.wait_for(self.reader, 10)
        return str(error.value)

    async def say(self, data: bytes) -> None:
        """Write it and wait until the driver has read it."""
        to_read = self.driver.bytes_read + len(data)

        def write_on() -> bool:
            nonlocal data
            data = data[self.port.write(data) :]
            return self.driver.bytes_read == to_read

        await until(write_on, longest_s=0.001)

    async def come(self, count: int) -> list[object]:
        """So many messages: the value of each, or the reason why it has none."""
        await until(lambda: len(self.messages) >= count, what=str(self.messages))
        return self.told

    @property
    def told(self) -> list[object]:
        return [(*(r.value for r in m.readings), *(r.reason for r in m.refusals))[0] for m in self.messages]

    @property
    def state(self) -> FeedState:
        return self.driver.states()["a"].state

    async def end(self) -> None:
        self.may_go_on.set()
        await self.driver.close()
        if self.reader is not None:
            await asyncio.gather(self.reader, return_exceptions=True)
        self.port.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
async def benches(tmp_path: Path) -> AsyncIterator[Any]:
    made: list[Bench] = []

    def make(format_: Format = "number", *, remote: bool = False, **more: Any) -> Bench:
        port = RemotePort() if remote else Port(tmp_path / f"tty{len(made)}")
        made.append(Bench(port, format_, **more))
        return made[-1]

    yield make
    for bench in made:
        await bench.end()


async def test_lines_of_a_port_come_as_readings_without_a_receipt(benches: Any) -> None:
    bench = benches()
    await bench.open()
    await bench.say(b"1\r\n2\n3\r4\n")
    assert await bench.come(4) == [1, 2, 3, 4]
    assert all(message.receipt is None and message.sources == ("a",) for message in bench.messages)
    assert bench.messages[0].readings[0].sensor == "a.v"
    assert not bench.messages[0].readings[0].origin.retained


async def test_garbage_and_banners_are_counted_and_not_fatal(benches: Any) -> None:
    bench = benches()
    await bench.open()
    await bench.say(b"Booting v1.2 ...\r\n\xff\xfe\x00\x80\n\n\n1e999\n5\n")
    assert await bench.come(4) == ["not_a_number", "not_utf8", "not_finite", 5]
    assert bench.messages[0].refusals == (Refusal("a", None, "not_a_number", "Booting v1.2 ..."),)


async def test_a_line_that_is_too_long_is_told_of_once_before_its_end(benches: Any) -> None:
    bench = benches(max_line="16B")
    await bench.open()
    await bench.say(b"7" * 10_000)
    assert await bench.come(1) == ["too_large"]
    await bench.say(b"7\n8\n")
    assert await bench.come(2) == ["too_large", 8]


async def test_a_partial_line_before_the_unplugging_is_never_glued_to_what_comes_after(benches: Any) -> None:
    bench = benches()
    await bench.open()
    await bench.say(b"1\n21")
    await bench.come(1)
    bench.port.unplug()
    assert "the device is gone" in await bench.lost()
    bench.port.plug()
    await bench.open()
    await bench.say(b"5\n")
    assert await bench.come(2) == [1, 5]


async def test_what_was_read_before_the_unplugging_is_still_yielded(benches: Any) -> None:
    bench = benches()
    await bench.open()
    bench.may_go_on.clear()
    await bench.say(b"1\n")
    await bench.come(1)
    await bench.say(b"".join(b"%d\n" % n for n in range(2, 2502)))
    bench.port.unplug()
    await until(lambda: bench.state is FeedState.LOST)
    bench.may_go_on.set()
    await bench.lost()
    assert bench.told == list(range(1, 2502))


async def test_a_device_that_went_without_a_sign_is_noticed_by_its_path(benches: Any) -> None:
    bench = benches()
    await bench.open()
    bench.port.path.unlink()
    assert "the device is gone" in await bench.lost()


# -- the first line after opening


@pytest.mark.parametrize(
    ("format_", "said", "told"),
    [
        ("number", b"1.5\n2\n", ["cut_line", 2]),
        ("text", b"pen\nopen\n", ["cut_line", "open"]),
        ("json", b'v": 1}\n{"v": 2}\n', ["cut_line", 2]),
        ("json", b'{"b": 1}}\n{"v": 2}\n', ["cut_line", 2]),
        ("json", b'{"v": 1}\n{"v": 2}\n', [1, 2]),
    ],
)
async def test_what_comes_at_once_after_opening_may_be_the_rest_of_a_line(
    benches: Any, format_: Format, said: bytes, told: list[object]
) -> None:
    bench = benches(format_)
    await bench.open(quiet_s=0)
    await bench.say(said)
    assert await bench.come(2) == told


async def test_a_number_that_may_be_cut_does_not_count_for_max_jump(benches: Any) -> None:
    bench = benches(valid=Valid(max_jump=5))
    await bench.open(quiet_s=0)
    await bench.say(b"1.5\n21.5\n22\n")
    assert await bench.come(3) == ["cut_line", 21.5, 22]


async def test_a_line_that_begins_after_a_moment_of_silence_is_whole(benches: Any) -> None:
    bench = benches()
    await bench.open(quiet_s=1)
    await bench.say(b"1.5\n")
    assert await bench.come(1) == [1.5]


async def test_a_slow_line_that_began_before_the_opening_is_cut_however_long_it_takes(benches: Any) -> None:
    bench = benches()
    await bench.open(quiet_s=0)
    await bench.say(b"1")
    bench.clock.advance(5)
    await bench.say(b".5\n2\n")
    assert await bench.come(2) == ["cut_line", 2]


# -- what cannot be opened


async def refused(bench: Bench) -> str:
    bench.reader = asyncio.create_task(bench._read())
    told = await bench.lost()
    assert bench.driver.states()["a"] == (FeedState.LOST, told)
    return told


async def test_a_port_that_is_not_there_is_told_so(benches: Any) -> None:
    bench = benches()
    bench.port.unplug()
    assert await refused(bench) == f"{bench.port.path}: there is no such port: is it plugged in?"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
async def test_a_port_without_permission_is_told_with_what_to_do(benches: Any) -> None:
    bench = benches()
    bench.port.path.resolve().chmod(0)
    assert "dialout" in await refused(bench)


async def test_a_port_that_another_has_open_is_told_so(benches: Any) -> None:
    bench, other = benches(), benches()
    await bench.open()
    other.port.close()
    other.port.path.symlink_to(bench.port.path)
    assert "another program has the port open" in await refused(other)


async def test_a_file_that_is_no_port_is_an_error_and_no_crash(benches: Any) -> None:
    bench = benches()
    bench.port.unplug()
    bench.port.path.write_text("no port")
    assert str(bench.port.path) in await refused(bench)
    bench.port.path.unlink()


async def test_a_port_that_fails_to_open_a_hundred_times_leaks_nothing(benches: Any) -> None:
    bench = benches()
    bench.port.unplug()
    await refused(bench)
    before, threads = descriptors(), threading.active_count()
    for _ in range(100):
        await refused(bench)
    assert descriptors() <= before
    await until(lambda: threading.active_count() <= threads)


# -- how it is read


async def test_the_intake_is_bounded_in_bytes_too(benches: Any) -> None:
    bench = benches("text", max_line="64KiB")
    await bench.open()
    bench.may_go_on.clear()
    await bench.say(b"first\n")
    await bench.come(1)
    line = b"x" * 60_000 + b"\n"
    saying = asyncio.create_task(bench.say(line * 60))
    await until(lambda: bench.driver._intake_bytes >= 2**20)
    await asyncio.sleep(0.1)  # time enough to go on reading, which it must not
    assert bench.driver._intake_bytes < 2**20 + len(line)
    bench.may_go_on.set()
    await saying
    await bench.come(61)


async def test_the_port_has_the_settings_of_the_configuration(benches: Any) -> None:
    bench = benches(baudrate=115_200, bytesize=7, parity="E", stopbits=2)
    await bench.open()
    port = bench.driver._opened
    assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (115_200, 7, "E", 2)
    assert termios.tcgetattr(port.fileno())[4] == termios.B115200


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": "COM3"},
        {"port": "/"},
        {"port": "socket://"},
        {"port": "socket://10.0.0.5"},
        {"port": "socket://10.0.0.5:0"},
        {"port": "socket://10.0.0.5:99999"},
        {"port": "socket://10.0.0.5:4001/x"},
        {"port": "socket://me:pw@10.0.0.5:4001"},
        {"port": "rfc2217://10.0.0.5:4001"},
        {"baudrate": 0},
        {"parity": "even"},
        {"bytesize": 9},
        {"max_line": "1B"},
        {"max_line": 4096},
        {"stop_bits": 1},
    ],
)
def test_a_setting_that_no_port_has_is_an_error(wrong: dict[str, Any]) -> None:
    right = {"driver": "serial", "port": "/dev/ttyUSB0", "sensors": {"v": {}}}
    assert SerialSource.model_validate(right).baudrate == 9600
    with pytest.raises(ValidationError):
        SerialSource.model_validate(right | wrong)


# -- behind a socket


async def test_a_connection_that_the_other_side_closes_is_told_so_and_a_partial_line_is_forgotten(benches: Any) -> None:
    bench = benches(remote=True)
    await bench.open()
    await bench.say(b"1\n21")
    await bench.come(1)
    bench.port.hang_up()
    assert await bench.lost() == f"{bench.port.name}: the other side closed the connection"
    await bench.open()
    await bench.say(b"5\n")
    assert await bench.come(2) == [1, 5]


async def test_the_first_line_of_a_connection_may_be_cut_too(benches: Any) -> None:
    bench = benches(remote=True)
    await bench.open(quiet_s=0)
    await bench.say(b"1.5\n2\n")
    assert await bench.come(2) == ["cut_line", 2]


async def test_where_nobody_listens_is_told_so(benches: Any) -> None:
    bench = benches(remote=True)
    bench.port.unplug()
    assert await refused(bench) == f"{bench.port.name}: nobody listens there"


async def test_a_host_that_nobody_knows_is_told_so(benches: Any) -> None:
    bench = benches(remote=True)
    bench.port.name = "socket://nowhere.invalid:4001"
    source = SerialSource(driver="serial", port=bench.port.name, sensors={"v": Sensor()})
    bench.driver = CountingDriver("a", source, Surroundings("", "", bench.clock, cast("Any", None), {}))
    assert (await refused(bench)).startswith("socket://nowhere.invalid:4001: ")


async def test_a_host_that_does_not_answer_is_given_up(benches: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_CONNECT_S", 0.2)
    bench = benches(remote=True)
    bench.port.unplug()
    with socket.create_server(bench.port._address, backlog=0) as full, socket.create_connection(full.getsockname()):
        assert await refused(bench) == f"{bench.port.name}: no connection within 0.2 s"


async def test_a_dead_peer_is_asked_for_by_keep_alives(benches: Any) -> None:
    bench = benches(remote=True)
    await bench.open()
    connection = bench.driver._opened
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle_s, every_s, times = (
        connection.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle_s + every_s * times == 30


@pytest.mark.parametrize("setting", [{"baudrate": 115_200}, {"parity": "E"}, {"stopbits": 1}])
def test_the_settings_of_a_device_are_an_error_with_a_socket(setting: dict[str, Any]) -> None:
    right = {"driver": "serial", "port": "socket://[::1]:4001", "sensors": {"v": {}}}
    assert SerialSource.model_validate(right).place == ("::1", 4001)
    with pytest.raises(ValidationError, match=f"the other side sets up its port: take away `{next(iter(setting))}`"):
        SerialSource.model_validate(right | setting)
