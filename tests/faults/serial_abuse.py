"""Twenty serial devices that speak at the wrong rate, without an end, too fast, too slowly, and go in mid-sentence.

What a device says well, in a line of its own, is told once; nothing else is told, and no two halves make a line.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.support.badbroker import numbered
from tests.support.port import Port
from tests.support.waiting import until

DEVICES = 20
RATE_PER_S = 40.0
CONFIG = """
version: 1
agent: {{name: serial, events_to: []}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{link}"}}
sources:
  button: {{driver: mqtt, topic: "storm/{{room}}/button", sensors: {{press: {{path: n}}}}}}
  level: {{driver: mqtt, topic: "storm/{{room}}/level", sensors: {{height: {{path: n}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}}}
webhooks:
  oracle: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""
SOURCE = """  device{n}: {{{{driver: serial, port: "{{folder}}/device{n}", sensors: {{{{n: {{{{path: n}}}}}}}}}}}}
"""
RULE = """  said{n}: {{{{sensor: device{n}.n, each: reading}}}}
"""
GREW_BYTES_MAX = 24 * 2**20
DESCRIPTORS_MAX = 12
LINE_MAX = 4096
ENDLESS_BYTES = 300_000


class Device:
    """One device, with the numbers that it says."""

    def __init__(self, at: House, port: Port, number: int, random: Random) -> None:
        self.port, self.random = port, random
        self._at = at
        self._name, self._count = number + 1, 0
        self.maybe: set[str] = set()
        """What was said when perhaps nobody listened yet: opening a port empties it."""

    async def write(self, data: bytes, pause_s: float = 0.0, piece: int = 4096) -> None:
        """Say all of it, as fast as it is taken or with a pause behind each piece."""
        while data:
            written = self.port.write(data[:piece])
            data = data[written:]
            await asyncio.sleep(pause_s if written else 0.005)

    async def say(self, before: bytes = b"\n", behind: bytes = b"\n", pause_s: float = 0.0, piece: int = 4096) -> str:
        """A good line with a new number. Returns what is to be told of it."""
        self._count += 1
        number = numbered(self._name, self._count)
        line = json.dumps({"n": number}).encode()
        await self.write(before + line + behind, pause_s, piece)
        self._at.stream.expected.add(f"pulse {number}")
        return f"pulse {number}"

    async def is_heard(self) -> None:
        """Say something well, and wait until it is told."""
        said = await self.say()
        await until(lambda: said in self._at.oracle.ids, 120, what=lambda: f"{said}; {self._at.agent.said()[-2000:]}")

    async def comes_back(self, rest: bytes) -> None:
        """Plug it in, and say the rest of a line and something well until that is told."""
        self.port.plug()
        before = set(self._at.oracle.ids)
        for _ in range(120):
            said = await self.say(rest)
            self._at.stream.expected.discard(said)
            self.maybe.add(said)
            with suppress(AssertionError):
                await until(lambda: self.maybe & self._at.oracle.ids.keys() - before, 1)
                return
        raise AssertionError(f"{self.port.path} is not heard again; {self._at.agent.said()[-2000:]}")


async def wrong_rate(device: Device) -> None:
    """Noise, in which a good line is lost, but not the next."""
    await device.write(device.random.randbytes(device.random.randrange(1, 3 * LINE_MAX)))


async def endless_line(device: Device) -> None:
    """No newline for long."""
    await device.write(b'{"n": 1' * (ENDLESS_BYTES // 7))


async def flood_of_bad_lines(device: Device) -> None:
    """As fast as they are taken."""
    await device.write(b"".join(device.random.choice((b"\xff\n", b"{\r", b"[]\r\n", b"OK\n")) for _ in range(2000)))


async def flood_of_good_lines(device: Device) -> None:
    """As fast as they are taken, with each kind of end."""
    for _ in range(50):
        await device.say(b"", device.random.choice((b"\n", b"\r", b"\r\n", b"\n\r", b"\n\n\r\r")))


async def noughts(device: Device) -> None:
    """Lines alone, and around a good line."""
    await device.write(b"\n" + bytes(2000) + b"\n")
    await device.say(b"\0\0\0", b"\0\0\r\n")


async def flow_control(device: Device) -> None:
    """XOFF and XON as bytes: they stop nothing, and a line with them in it is none."""
    await device.write(b'\n\x13\n{"n": \x13 2}\x11\n\x13\x13\x13\n')
    await device.say()


async def a_byte_at_a_time(device: Device) -> None:
    """One good line."""
    await device.say(pause_s=0.03, piece=1)


async def half_a_line(device: Device) -> None:
    """Unplugged in the middle of it, behind what was heard; the rest comes from what is plugged in next."""
    await device.is_heard()
    await device.write(b'{"n": 12')
    await asyncio.sleep(device.random.choice((0, 0.05)))
    device.port.unplug()
    await asyncio.sleep(device.random.choice((0, 0.2)))
    await device.comes_back(b"34567}\n")


ABUSES: Mapping[str, Callable[[Device], Awaitable[None]]] = {
    abuse.__name__: abuse
    for abuse in (
        wrong_rate,
        endless_line,
        flood_of_bad_lines,
        flood_of_good_lines,
        noughts,
        flow_control,
        a_byte_at_a_time,
        half_a_line,
    )
}


async def serial_abuse(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, devices: int = DEVICES
) -> Result:
    """Each device does all of it in some order, again and again for so long, once at least."""
    config = CONFIG.replace("rules:\n", "".join(SOURCE.format(n=n) for n in range(devices)) + "rules:\n")
    config = config.replace("webhooks:\n", "".join(RULE.format(n=n) for n in range(devices)) + "webhooks:\n")
    with ExitStack() as stack:
        ports = [stack.enter_context(Port(folder / f"device{n}")) for n in range(devices)]
        async with house(folder, seed, config=config, mutant=mutant, rate_per_s=RATE_PER_S) as at:
            before, descriptors = at.agent.rss_bytes(), at.agent.descriptors()
            at.agent.forget_peak()
            end = asyncio.get_running_loop().time() + seconds
            all_of_them = [Device(at, port, n, Random(at.random.random())) for n, port in enumerate(ports)]
            await asyncio.gather(*(_abused(at, device, end) for device in all_of_them))
            await at.goes_on()
            grew, more = at.agent.peak_bytes() - before, at.agent.descriptors() - descriptors
            at.result.figures.update(devices=devices, grew_bytes=grew, descriptors_more=more)
            at.result.demand(grew <= GREW_BYTES_MAX, f"memory grew by {grew} bytes")
            at.result.demand(more <= DESCRIPTORS_MAX, f"{more} descriptors more")
            at.result.demand(at.agent.said().count("\n") < 200 + 8 * at.result.strikes, "the log is flooded")
            maybe = {said for device in all_of_them for said in device.maybe}
            at.stream.expected |= maybe
            await at.judge(may_be_lost=maybe)
            return at.result


async def _abused(at: House, device: Device, end: float) -> None:
    await device.is_heard()
    first = True
    while first or asyncio.get_running_loop().time() < end:
        first = False
        for name in device.random.sample(sorted(ABUSES), len(ABUSES)):
            await ABUSES[name](device)
            at.result.strikes += 1
            await device.say()
    await device.is_heard()


FAULTS = [
    Fault(
        "serial-abuse",
        "20 serial devices: noise, no newline, floods, half lines and unplugging, NULs, XOFF, a byte at a time",
        "abuses",
        serial_abuse,
        ("lines-glued",),
    )
]
