"""Feeds that go and come: `python -m tests.faults.feeds --times 20`.

The broker is restarted and the serial device unplugged and replugged, again and again; each time readings must come
again within ten seconds, and no descriptor may leak.
"""

import argparse
import asyncio
import json
import os
import pty
import sys
import tempfile
import tty
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto

CONFIG = """
version: 1
agent: {{name: feeds}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{mqtt}"}}
sources:
  room: {{driver: mqtt, topic: feeds/room, sensors: {{n: {{path: n}}}}}}
  device: {{driver: serial, port: {port}, sensors: {{n: {{path: n}}}}}}
webhooks: {{}}
status: {{listen: "{{status}}"}}
"""
WITHIN_S = 10.0
DESCRIPTORS_MAX = 2


@dataclass(frozen=True)
class Result:
    """What it came to."""

    times: int
    slowest_broker_s: float
    slowest_device_s: float
    descriptors_grew: int

    @property
    def good(self) -> bool:
        return (
            max(self.slowest_broker_s, self.slowest_device_s) <= WITHIN_S and self.descriptors_grew <= DESCRIPTORS_MAX
        )


class Device:
    """A serial device that can be unplugged; it comes back behind the same path."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._ours = self._theirs = -1

    def plug(self) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self._link.symlink_to(os.ttyname(self._theirs))

    def unplug(self) -> None:
        self._link.unlink(missing_ok=True)
        os.close(self._ours)
        os.close(self._theirs)

    def say(self, number: int) -> None:
        os.write(self._ours, json.dumps({"n": number}).encode() + b"\n")


async def feeds(folder: Path, *, times: int) -> Result:
    """Run it in a folder."""
    broker, device = Mosquitto(folder), Device(folder / "device")
    broker.start()
    device.plug()
    async with AsyncExitStack() as stack:
        stack.callback(broker.stop)
        stack.callback(device.unplug)
        agent = AgentProcess(folder, CONFIG.format(mqtt=broker.port, port=folder / "device"))
        stack.callback(agent.kill)
        agent.start()
        await agent.ready()
        before = agent.descriptors()
        slowest = {"room.n": 0.0, "device.n": 0.0}
        for number in range(1, times + 1):
            broker.stop()
            device.unplug()
            await _until_lost(agent)
            broker.start()
            device.plug()
            client = mqtt.Client(CallbackAPIVersion.VERSION2)
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            for sensor, took_s in (await _heard(agent, client, device, number)).items():
                slowest[sensor] = max(slowest[sensor], took_s)
            client.disconnect()
            client.loop_stop()
        grew = agent.descriptors() - before
        return Result(times, slowest["room.n"], slowest["device.n"], grew)


async def _until_lost(agent: AgentProcess) -> None:
    for _ in range(500):
        status = await asyncio.to_thread(agent.status)
        if all(source["state"] == "lost" for source in status["sources"].values()):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the agent does not see that its feeds are lost")


async def _heard(agent: AgentProcess, client: mqtt.Client, device: Device, number: int) -> dict[str, float]:
    """Let both speak until the agent has heard both. Returns the seconds that each took."""
    begin = asyncio.get_running_loop().time()
    took: dict[str, float] = {}
    while len(took) < 2:
        now = asyncio.get_running_loop().time() - begin
        if now > 3 * WITHIN_S:
            raise AssertionError(f"not heard again: only {took}; it said {agent.said()[-2000:]}")
        client.publish("feeds/room", json.dumps({"n": number}), qos=1)
        device.say(number)
        await asyncio.sleep(0.1)
        for sensor, facts in (await asyncio.to_thread(agent.status)).get("sensors", {}).items():
            if facts["value"] == number:
                took.setdefault(sensor, now)
    return took


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.feeds", description=__doc__)
    options.add_argument("--times", type=int, default=20)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(feeds(Path(folder), times=given.times))
    print(result)
    sys.exit(0 if result.good else 1)


if __name__ == "__main__":
    main()
