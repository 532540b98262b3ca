"""Hear what there is: all topics of a broker, or what a serial port says at one of the usual speeds."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from serial.tools.list_ports import comports

from agent.discovery.homeassistant import Announced, announced, is_announcement
from agent.discovery.seen import Seen
from agent.overhear import overhear
from drivers.base import FeedState, Raw, SourceState
from drivers.mqtt import BrokerConfig, MqttSource
from drivers.serial import SerialSource

LEVELS_MAX = 8
"""`#` is heard to this depth."""
BAUDRATES = (9600, 115200, 57600, 38400, 19200, 4800, 2400)
_BY_ID = Path("/dev/serial/by-id")


class Heard(NamedTuple):
    """What came, what was announced, and how the sources stood at the end."""

    seen: Seen
    announced: list[Announced]
    states: Mapping[str, SourceState]

    @property
    def troubles(self) -> list[str]:
        """Why some of it could not be heard."""
        return sorted({one.detail for one in self.states.values() if one.state is not FeedState.OPEN})


async def hear_broker(broker: BrokerConfig, filter_: str, stop: asyncio.Event, for_s: float) -> Heard:
    """All that is published on a topic filter for a while, and what the broker keeps.

    Raises ValueError for what is no filter.
    """
    seen, announcements = Seen(), dict[str, Announced]()

    def tap(raw: Raw) -> None:
        topic = raw.topic or ""
        if not is_announcement(topic):
            seen.add(topic, raw.payload, raw.at, retained=raw.retained, qos=raw.qos)
        elif found := announced(raw.payload):
            announcements[topic] = found

    topics = {f"levels_{i}": topic for i, topic in enumerate(placeholders(filter_))}
    sources = {name: MqttSource(driver="mqtt", topic=topic, sensors={}) for name, topic in topics.items()}
    states = await overhear(sources, {"broker": broker}, tap, stop, for_s)
    return Heard(seen, list(announcements.values()), states)


def placeholders(filter_: str) -> list[str]:
    """A topic filter as topics of the configuration: a placeholder for each `+`, for `#` a topic for each depth."""
    levels = filter_.split("/")
    open_end = levels[-1] == "#"
    fixed = [f"{{l{i}}}" if level == "+" else level for i, level in enumerate(levels[: -1 if open_end else None])]
    if any(set(level) & set("#+") for level in fixed):
        raise ValueError("a topic filter has `+` as a whole level and `#` as the last one, such as zigbee2mqtt/#")
    depths = range(0 if fixed else 1, LEVELS_MAX + 1 - len(fixed)) if open_end else range(1)
    return ["/".join([*fixed, *(f"{{d{i}}}" for i in range(depth))]) for depth in depths]


class Port(NamedTuple):
    """A serial port of this machine."""

    path: str
    """By its id where it has one, since ttyUSB0 may be another device after a boot."""
    description: str


def ports() -> list[Port]:
    """The serial ports of this machine that a device is behind."""
    by_id = {str(path.resolve()): str(path) for path in sorted(_BY_ID.glob("*"))} if _BY_ID.is_dir() else {}
    return [Port(by_id.get(port.device, port.device), port.description) for port in sorted(comports())]


async def hear_port(port: str, speeds: Sequence[int], stop: asyncio.Event, for_s: float) -> tuple[int, Heard]:
    """What a port says, at the first of the speeds at which it can be read; else at the last one."""
    for baudrate in speeds:
        seen = Seen()
        source = SerialSource(driver="serial", port=port, baudrate=baudrate, format="text", sensors={})
        states = await overhear({port: source}, {}, partial(_add_line, seen, port), stop, for_s)
        heard = Heard(seen, [], states)
        if stop.is_set() or _readable(heard) or states[port].state is not FeedState.OPEN:
            break
    return baudrate, heard


def _add_line(seen: Seen, port: str, raw: Raw) -> None:
    seen.add(port, raw.payload, raw.at)


def _readable(heard: Heard) -> bool:
    """Whether the lines look like what somebody meant: at the wrong speed they are noise."""
    return any(place.readable > place.messages / 2 for place in heard.seen.places.values())
