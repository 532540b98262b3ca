"""Feeds that go and come: the broker is stopped and started, and the serial device unplugged and replugged.

Each time readings must come again within ten seconds, and no descriptor may leak.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults import mutants
from tests.faults.fault import Fault, Result
from tests.faults.house import PATIENCE_S
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.port import Port
from tests.support.waiting import until

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
SENSORS = ("room.n", "device.n")


async def feeds(folder: Path, *, seconds: float, seed: int, mutant: str | None = None, times: int = 3) -> Result:
    """At least so many times; there is no chance in it, so the seed changes nothing."""
    result, loop = Result(), asyncio.get_running_loop()
    end = loop.time() + seconds
    async with AsyncExitStack() as stack:
        broker, device = stack.enter_context(Mosquitto(folder)), stack.enter_context(Port(folder / "device"))
        config = CONFIG.format(mqtt=broker.port, port=device.path)
        agent = AgentProcess(folder, config, mutants.module(mutant))
        stack.callback(agent.kill)
        agent.start()
        await agent.ready(PATIENCE_S)
        before = agent.descriptors()
        while result.strikes < times or loop.time() < end:
            result.strikes += 1
            broker.stop()
            device.unplug()
            await until(lambda: _states(agent) == {"lost"}, 10, what="the agent sees that its feeds are lost")
            broker.start()
            device.plug()
            await _speak(agent, broker, device, seed * 1000 + result.strikes, result)
        grew = agent.descriptors() - before
        result.figures["descriptors grew by"] = grew
        result.demand(grew <= DESCRIPTORS_MAX, f"{grew} descriptors leaked")
    return result


def _states(agent: AgentProcess) -> set[str]:
    return {source["state"] for source in agent.status().get("sources", {}).values()}


async def _speak(agent: AgentProcess, broker: Mosquitto, device: Port, number: int, result: Result) -> None:
    """Let both say a number until the agent has heard it from both, and note the seconds that each took."""
    loop = asyncio.get_running_loop()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    begin, missing = loop.time(), set(SENSORS)
    while missing and (took_s := loop.time() - begin) < 3 * WITHIN_S:
        client.publish("feeds/room", json.dumps({"n": number}), qos=1)
        device.write(json.dumps({"n": number}).encode() + b"\n")
        await asyncio.sleep(0.1)
        facts = (await asyncio.to_thread(agent.status)).get("sensors", {})
        for sensor in [one for one in missing if facts.get(one, {}).get("value") == number]:
            missing.remove(sensor)
            result.figures[f"slowest {sensor}, s"] = max(result.figures.get(f"slowest {sensor}, s", 0.0), took_s)
            result.demand(took_s <= WITHIN_S, f"{sensor} is not heard again within {WITHIN_S:g} s")
    result.demand(not missing, f"not heard again: {sorted(missing)}; it said {agent.said()[-600:]}")
    client.disconnect()
    client.loop_stop()


FAULTS = [
    Fault("feeds", "the broker is restarted and the serial device replugged", "times", feeds, ("feeds-stay-lost",)),
]
