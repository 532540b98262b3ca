"""The pictures of the README: `scripts/screenshots`, which is `python -m tests.browser.pictures FOLDER`.

A real agent to which an hour passes within seconds (`quick`): a freezer is open for too long, a pump runs dry, somebody
is at the door, and one of two receivers no longer answers.
"""

import asyncio
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from aiohttp import web
from playwright.async_api import async_playwright

from tests.browser.house import House
from tests.browser.png import smaller
from tests.browser.quick import AHEAD_S, TIMES
from tests.browser.visits import Visits, chromium
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto, Said
from tests.support.proxy import proxy
from tests.support.receiver import Receiver

CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
brokers: {{house: {{url: "{broker}"}}}}
sources:
  freezer: {{driver: mqtt, topic: freezer, sensors: {{temperature: {{path: t, unit: "°C", valid: {{not: [85]}}}}}}}}
  greenhouse:
    driver: mqtt
    topic: greenhouse
    sensors: {{temperature: {{path: t, unit: "°C"}}, humidity: {{path: h, unit: "%"}}}}
  pumps: {{driver: mqtt, topic: "pumps/{{pump}}", sensors: {{flow: {{path: flow, unit: l/min}}}}}}
  doorbell: {{driver: mqtt, topic: doorbell, sensors: {{button: {{path: action}}}}}}
rules:
  too_warm: {{sensor: freezer.temperature, when: {{above: -15}}, clear: {{below: -17}}, for: 10m, severity: critical}}
  pump_dry: {{sensor: "pumps.*.flow", when: {{below: 1}}, for: 15m, send_to: [ops]}}
  frost: {{sensor: greenhouse.temperature, when: {{below: 3}}, for: 5m, send_to: [ops]}}
  someone_at_the_door: {{sensor: doorbell.button, each: {{equals: pressed}}, severity: info}}
webhooks:
  ops: {{url: "http://ops.example.com/hooks/cabin", secrets: [{secret}], allow_http: true}}
  pager: {{url: "http://pager.example.com/v2", secrets: [{secret}], allow_http: true}}
status: {{listen: "{{status}}"}}
"""
RINGS_S = (600.0, 1500.0, 3300.0)
"""When somebody is at the door, and then once more in the end."""
PAGER_GOES_S = 330.0
"""Before the end."""
SHOTS: Mapping[str, Mapping[str, object]] = {
    "desktop.png": {"path": "/", "width": 1100, "height": 1380},
    "phone.png": {"path": "/", "width": 390, "height": 844, "device_scale_factor": 2},
    "dark.png": {"path": "/sensors/freezer.temperature", "width": 1100, "height": 900, "color_scheme": "dark"},
}


def readings(at_s: float, random: Random) -> dict[str, dict[str, float]]:
    """What all say at a time of the story, by topic."""
    left_s = AHEAD_S - at_s
    open_for = max(0.0, 1 - left_s / 1200)
    freezer = -18.6 + 0.5 * (at_s % 1500 / 1500) + 6.4 * min(1.0, 2 * open_for) + random.uniform(-0.08, 0.08)
    warmth = 17 + 4.5 * math.sin(at_s / 2600) + random.uniform(-0.1, 0.1)
    south = (11.6 if left_s > 420 else 0.5) + random.uniform(-0.3, 0.3)
    return {
        "freezer": {"t": 85 if 1800 < at_s < 1830 else round(freezer, 1)},
        "greenhouse": {"t": round(warmth, 1), "h": round(88 - 1.6 * warmth + random.uniform(-0.4, 0.4))},
        "pumps/north": {"flow": round(12.2 + random.uniform(-0.5, 0.5), 1)},
        "pumps/south": {"flow": round(south, 1)},
    }


async def say(house: House, at_s: float, random: Random) -> None:
    said = readings(at_s, random)
    await house.broker.publish(*(Said(topic, json.dumps(fields)) for topic, fields in said.items()))


async def play(house: House) -> None:
    """Let the hour pass."""
    random, begin, rings = Random(7), time.monotonic(), list(RINGS_S)
    os.kill(house.agent.pid, signal.SIGUSR1)
    while (at_s := (time.monotonic() - begin) * TIMES) < AHEAD_S:
        await say(house, at_s, random)
        if rings and at_s > rings[0]:
            rings.pop(0)
            await house.ring()
        if at_s > AHEAD_S - PAGER_GOES_S:
            house.ops.script = without_pager
        await asyncio.sleep(0.02)
    await house.ring()
    await house.webhook("ops", pending=0)
    await house.webhook("pager", state="resting")


async def without_pager(request: web.Request, _: int) -> web.Response:
    if request.host.startswith("pager"):
        return web.Response(status=503, headers={"Retry-After": "1500"})
    return web.Response(status=204)


@asynccontextmanager
async def cabin(folder: Path) -> AsyncIterator[House]:
    """Both receivers are one, behind a proxy, so that they have names."""
    with Mosquitto(folder) as broker:
        async with Receiver() as receiver, proxy(receiver.port) as between:
            text = CONFIG.format(broker=broker.url, secret=SECRET)
            agent = AgentProcess(folder, text, ("tests.browser.quick",))
            agent.start(http_proxy=between.url)
            try:
                await agent.ready()
                yield House(broker, agent, receiver, receiver)
            finally:
                agent.kill()


async def pictures() -> dict[str, bytes]:
    """PNG files by their names."""
    with tempfile.TemporaryDirectory() as folder:
        async with cabin(Path(folder)) as house, async_playwright() as playwright:
            visit, taken = Visits(await chromium(playwright), house), dict[str, bytes]()
            await play(house)
            for name, how in SHOTS.items():
                await say(house, AHEAD_S, Random(7))
                page = await visit(log_in=True, **how)  # type: ignore[arg-type]
                taken[name] = smaller(await page.screenshot())
            await visit.close()
            return taken


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in asyncio.run(pictures()).items():
        (folder / name).write_bytes(picture)
        print(f"{folder / name}: {len(picture) // 1000} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
