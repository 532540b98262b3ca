"""What an open page costs the agent: `python -m bench.page [--sensors N] [--seconds S] [--rounds R]`.

Needs mosquitto. Readings come at a steady rate while no page is open, one, and five; each is a client that reads the
stream of the page as a browser does. What is measured is the CPU time of the agent (proc(5), stat), in turn, so that a
machine that is busy with other things disturbs all alike.
"""

import argparse
import asyncio
import json
import math
import re
import statistics
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.contenders.bellcrank import BELLCRANK_FAST, command
from bench.processes import cpu_s, free_port, wait_for
from bench.running import Setting
from bench.surroundings import Surroundings

PAGES = (0, 1, 5)
VIEWS = ("/", "/", "/sensors/meter.0.t", "/events", "/")
"""What the pages show: those that show the same are rendered once."""
FILES = ("/", "/static/style.css", "/static/script.js", "/static/icon.svg")


class Readings:
    """Published at a steady rate, one sensor after another; none fires a rule."""

    def __init__(self, port: int, sensors: int, rate: float) -> None:
        self._sensors, self._rate, self._n = sensors, rate, 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "bench-page")
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def say(self, count: int) -> None:
        """Publish the next ones at once; returns when the broker has them."""
        told = [self._publish() for _ in range(count)]
        for one in told:
            one.wait_for_publish(60)

    async def run(self, seconds: float) -> None:
        begin, count = time.monotonic(), round(seconds * self._rate)
        for n in range(count):
            await asyncio.sleep(max(0.0, begin + n / self._rate - time.monotonic()))
            self._publish()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self) -> mqtt.MQTTMessageInfo:
        self._n += 1
        value = round(-20 + 5 * math.sin(self._n / 50), 2)
        return self._client.publish(f"bench/{self._n % self._sensors}", f'{{"t": {value}}}', qos=1)


@asynccontextmanager
async def pages(status: int, count: int) -> AsyncIterator[None]:
    """Open so many; yields when each has heard something."""
    heard = [asyncio.Event() for _ in range(count)]
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{status}", timeout=timeout) as session:

        async def listen(n: int) -> None:
            async with session.get(VIEWS[n]) as answer:
                found = re.search(r'data-live-path="([^"]+)"', await answer.text())
            assert found is not None
            async with session.get(found[1].replace("&amp;", "&")) as stream:
                async for _ in stream.content.iter_any():
                    heard[n].set()

        listening = [asyncio.create_task(listen(n)) for n in range(count)]
        await asyncio.gather(*(one.wait() for one in heard))
        yield
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


async def share(status: int, pid: int, readings: Readings, count: int, seconds: float) -> float:
    """Percent of a core that the agent takes with so many pages open."""
    async with pages(status, count):
        begin, before = time.monotonic(), cpu_s(pid)
        await readings.run(seconds)
        return 100 * (cpu_s(pid) - before) / (time.monotonic() - begin)


def weight(status: int) -> int:
    """Bytes of all that a browser loads to show the page."""
    whole = 0
    for path in FILES:
        with urllib.request.urlopen(f"http://127.0.0.1:{status}{path}") as answer:
            whole += len(answer.read())
    return whole


def messages(status: int) -> int:
    """How many readings the agent has heard."""
    with urllib.request.urlopen(f"http://127.0.0.1:{status}/api/v1/status") as answer:
        return int(json.load(answer)["sources"]["meter"]["messages"])


def measure(sensors: int, rate: float, seconds: float, rounds: int) -> None:
    status = free_port()
    agent = replace(BELLCRANK_FAST, command=partial(command, fast=True, status=status))
    with tempfile.TemporaryDirectory() as folder:
        surroundings = Surroundings(Path(folder))
        with surroundings.open(), Setting(surroundings, Path(folder), 8).running(agent) as running:
            readings = Readings(surroundings.mqtt, sensors, rate)
            readings.say(sensors)
            wait_for("the sensors", lambda: messages(status) >= sensors)
            shares: dict[int, list[float]] = {count: [] for count in PAGES}
            for _ in range(rounds):
                for count in PAGES:
                    shares[count].append(asyncio.run(share(status, running.pid, readings, count, seconds)))
            readings.close()
            none = statistics.median(shares[0])
            print(f"{sensors} sensors, {rate:g} readings/s, {rounds} rounds of {seconds:g} s; medians")
            for count in PAGES:
                taken = statistics.median(shares[count])
                print(f"    {count} pages open {taken:8.2f} % of a core, {taken - none:+.2f}")
            print(f"    the page weighs {weight(status) / 1000:.1f} kB with all it needs", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    options.add_argument("--sensors", type=int, nargs="+", default=[16, 5_000])
    options.add_argument("--rate", type=float, default=100.0, help="readings a second")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    for sensors in given.sensors:
        measure(sensors, given.rate, given.seconds, given.rounds)


if __name__ == "__main__":
    main()
