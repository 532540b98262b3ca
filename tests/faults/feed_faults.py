"""What goes wrong with what is plugged in and with the broker beside it."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.storm import PERSISTENT, kill_broker
from tests.support.port import Port
from tests.support.waiting import until

KILLS = 3
TIMES = 50
OPENED_EVERY = 20
"""As many times the agent is waited for; else it looks seldom at a device that does not hold."""
SAID, HEARD = 1_000_000, 2_000_000
"""What the device says in the storm, and outside of it."""
USB = """
version: 1
agent: {{name: usb, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{link}"}}}}
sources:
  button: {{driver: mqtt, topic: "storm/{{room}}/button", sensors: {{press: {{path: n}}}}}}
  level: {{driver: mqtt, topic: "storm/{{room}}/level", sensors: {{height: {{path: n}}}}}}
  device: {{driver: serial, port: "{folder}/device", sensors: {{n: {{path: n}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}}}
  said: {{sensor: device.n, each: reading}}
webhooks:
  oracle: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""
GREW_BYTES_MAX = 8 * 2**20


async def broker_killed(
    folder: Path, *, seconds: float, seed: int, times: int = KILLS, persistent: bool = True, mutant: str | None = None
) -> Result:
    """`kill -9` of the broker in mid-flow, and a new one at its place, with what it has saved or with nothing.

    What the dead broker had taken and not passed on is its own loss, and what it passed on and forgot to have, its own
    repetition: only what was on its way or not yet saved when it was killed may be either.
    """
    settings = [line.format(folder=folder) for line in PERSISTENT] if persistent else []
    async with house(folder, seed, *settings, mutant=mutant) as at:
        unsure: set[str] = set()
        for _ in range(times):
            await asyncio.sleep(seconds / times)
            unsure |= await kill_broker(at)
            await at.goes_on()
        await at.judge(unsure, unsure)
        lost, twice = len(at.stream.expected - at.oracle.told()), len(at.oracle.told_twice())
        at.result.strikes = times
        at.result.figures.update({"unsure": len(unsure), "lost by the broker": lost, "said twice by it": twice})
        return at.result


async def usb_storm(
    folder: Path, *, seconds: float, seed: int, times: int = TIMES, mutant: str | None = None
) -> Result:
    """A device comes and goes again and again, with garbage at each opening and half lines at each end."""
    random = Random(seed)
    port = Port(folder / "device")
    async with house(folder, seed, config=USB, mutant=mutant) as at:
        try:
            await _heard(at, port)
            descriptors, rss, threads = at.agent.descriptors(), at.agent.rss_bytes(), _threads(at.agent.pid)
            most = {"descriptors": 0, "threads": 0}
            for number in range(times):
                waited_for, before = number % OPENED_EVERY == 0, _messages(at)
                port.unplug()
                if waited_for:
                    await at.comes(lambda: not at.agent.open_sources(), "it")
                port.plug()
                if waited_for:
                    await at.comes(at.agent.open_sources, "it")
                port.write(random.randbytes(random.randrange(1, 4000)) + random.choice([b"", b"\n", b'9}\n{"n": 1']))
                port.write(b"\n" + json.dumps({"n": SAID + number}).encode() + b"\n")
                port.write(b'{"n": 7000000')  # and no end: what the next opening says may not be glued to it
                if waited_for:
                    await until(lambda before=before: _messages(at) > before, 30)  # type: ignore[misc]
                await asyncio.sleep(random.uniform(0, 2 * seconds / times))
                most["descriptors"] = max(most["descriptors"], at.agent.descriptors() - descriptors)
                most["threads"] = max(most["threads"], _threads(at.agent.pid) - threads)
            await _heard(at, port)
            grew = at.agent.rss_bytes() - rss
            refused = at.agent.status()["sources"]["device"]["refused"]
            at.result.demand(refused, "no garbage came to the agent, so it shows nothing")
            at.result.strikes = times
            at.result.figures.update(refused=refused, grew_bytes=grew)
            at.result.figures.update({f"{name} more": n for name, n in most.items()})
            at.result.demand(most["descriptors"] <= 12 and most["threads"] <= 6, f"unbounded: {most}")
            at.result.demand(grew <= GREW_BYTES_MAX, f"memory grew by {grew} bytes")
            at.result.demand(at.agent.said().count("\n") < 4 * times, "the log is flooded")
            values = {int(what.split()[1]) for what in at.oracle.told() if what.startswith("pulse")}
            wrong = {n for n in values if n > at.stream.count and not SAID <= n < SAID + times and n != HEARD}
            at.result.demand(not wrong, f"lines were glued together: {sorted(wrong)[:3]}")
            at.stream.expected |= {f"pulse {n}" for n in values if n >= SAID}
            await at.judge(may_be_twice={f"pulse {HEARD}"})
        finally:
            port.close()
        return at.result


async def _heard(at: House, port: Port) -> None:
    """Speak until it is heard."""
    before = _messages(at)

    def heard() -> bool:
        port.write(b"\n%s\n" % json.dumps({"n": HEARD}).encode())
        return _messages(at) > before and _value(at) == HEARD

    with suppress(BlockingIOError):
        await until(heard, 30, what=lambda: f"the device is heard; {at.agent.said()[-2000:]}")


def _messages(at: House) -> int:
    return int(at.agent.status().get("sources", {}).get("device", {}).get("messages", 0))


def _value(at: House) -> object:
    return at.agent.status().get("sensors", {}).get("device.n", {}).get("value")


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


FAULTS = [
    Fault(
        "broker-killed",
        "`kill -9` of a broker that saves each second, under way",
        "kills",
        broker_killed,
        ("feeds-stay-lost",),
    ),
    Fault(
        "broker-forgets",
        "`kill -9` of a broker that saves nothing, under way",
        "kills",
        partial(broker_killed, persistent=False),
        ("feeds-stay-lost",),
    ),
    Fault(
        "usb-storm",
        "a serial device comes and goes, with garbage and half lines",
        "replugs",
        usb_storm,
        ("feeds-stay-lost",),
    ),
]
