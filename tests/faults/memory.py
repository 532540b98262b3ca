"""96 MiB for all: much that waits, many sensors, and a flood of large payloads."""

import asyncio
import json
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import SystemClock
from agent.outbox import Limits, Outbox
from agent.webhooks.config import Webhook
from agent.webhooks.writer import Writer
from tests.faults import mutants
from tests.faults.fault import Fault, Result
from tests.faults.house import PATIENCE_S, ask
from tests.faults.oracle import SECRET, Oracle
from tests.outbox.parts import event
from tests.support.agent import AgentProcess
from tests.support.cgroup import bounded_memory
from tests.support.faulty import Faulty
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: memory, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  many: {{driver: mqtt, topic: "many/{{place}}", sensors: {{n: {{path: n}}}}}}
  large: {{driver: mqtt, topic: "large/{{place}}", sensors: {{n: {{path: n}}}}}}
rules:
  high: {{sensor: "many.*.n", when: {{above: 1000000}}, for: 1m}}
  large: {{sensor: "large.*.n", each: reading}}
webhooks:
  oracle: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}], rest: {{min: 1s, max: 1s}}}}
outbox: {{max_size: 200MB}}
status: {{listen: "{{status}}"}}
"""
LIMIT_BYTES = 96 * 2**20
LIMITS = Limits(max_bytes=200 * 10**6)
WAITING, SENSORS, LARGE_BYTES, FLOODS = 100_000, 5_000, 64_000, 8
KILLED = "the kernel has killed it for want of memory"
SYNC_S = 0.5
"""So slow is the card in the flood: what pours in faster has to wait somewhere, and not all of it in the agent."""


async def little_memory(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    waiting: int = WAITING,
    sensors: int = SENSORS,
    mutant: str | None = None,
) -> Result:
    """What is bounded stays so: the kernel, which would kill the agent, finds no reason to."""
    result, card = Result(), Faulty(folder, folder / "state")
    with bounded_memory(LIMIT_BYTES) as bound:
        broker, oracle = Mosquitto(folder, "max_queued_messages 20000"), Oracle(Random(seed))
        await _fill(folder / "state", waiting, sensors)
        broker.start()
        async with AsyncExitStack() as stack:
            stack.callback(broker.stop)
            config = CONFIG.format(mqtt=broker.port, http=oracle.port, secret=SECRET)
            agent = AgentProcess(folder, config, mutants.module(mutant), bound.within)
            stack.callback(agent.kill)
            agent.start(**card.env)
            await agent.ready(PATIENCE_S)
            used = {"at the start": agent.rss_bytes()}
            await asyncio.to_thread(_say, broker.port, [(f"many/{n}", b'{"n": 1}') for n in range(sensors)])
            await until(lambda: _known(agent) >= sensors, 60, what=agent.said)
            used["with the sensors"] = agent.rss_bytes()
            result.strikes = FLOODS
            card.slow_sync(SYNC_S)
            used["in the flood"] = await _flood(agent, broker.port, seconds)
            card.slow_sync(0)
            result.demand(not bound.killed(), KILLED)
            status = agent.status()
            result.demand(status, f"it does not answer: {agent.said()[-1000:]}")
            result.demand(status and status["outbox"]["pending"] >= waiting, "what waited is not there")
            await oracle.start()
            stack.push_async_callback(oracle.stop)
            used["while it drains"] = await _drains(agent, oracle, seconds)
            result.demand(oracle.ids, "nothing goes out")
            result.demand(not oracle.wrong, f"the receiver has to complain: {oracle.wrong[:3]}")
            result.figures.update({f"MiB {when}": n / 2**20 for when, n in used.items()}, told=len(oracle.ids))
            result.demand(not bound.killed(), KILLED)
    return result


async def _fill(state: Path, waiting: int, subjects: int) -> None:
    """Let so many events wait in an outbox, as an agent would leave it."""
    clock = SystemClock()
    webhook = Webhook.model_validate({"url": "http://127.0.0.1:1/hook", "secrets": [SECRET]})
    writer = Writer("memory", "id", {"oracle": webhook})
    outbox = Outbox(state, {"oracle": webhook.expires}, limits=LIMITS)
    await outbox.open(clock)
    for first in range(1, waiting + 1, 1000):
        moment = clock.moment()
        draft = outbox.draft(moment, writer)
        draft.owe(
            event(n, to=["oracle"], subject=f"many.{n % subjects}.n", at=moment.at, value=n, rule="pressed")
            for n in range(first, min(first + 1000, waiting + 1))
        )
        await outbox.commit(draft.batch())
    await outbox.close()


def _say(port: int, messages: list[tuple[str, bytes]]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for told in [client.publish(topic, payload, 1) for topic, payload in messages]:
        told.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def _known(agent: AgentProcess) -> int:
    """How many sensors it knows."""
    status, text = ask(agent, "/api/v1/sensors?limit=1")
    return int(json.loads(text)["total"]) if status == 200 else 0


async def _flood(agent: AgentProcess, port: int, seconds: float) -> int:
    """As many large payloads as go; returns the most memory that the agent had."""
    loop, most = asyncio.get_running_loop(), 0
    stop = threading.Event()
    flooding = [asyncio.create_task(asyncio.to_thread(_pour, port, n, stop)) for n in range(FLOODS)]
    end = loop.time() + seconds
    while loop.time() < end and agent.lives():
        most = max(most, agent.rss_bytes())
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*flooding)
    return most


def _pour(port: int, number: int, stop: threading.Event) -> None:
    """At QoS 1, and at QoS 0, where no broker waits for the agent."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    payload = b'{"n": 1, "padding": "%s"}' % (b"x" * LARGE_BYTES)
    while not stop.is_set():
        client.publish(f"large/{number}", payload, qos=number % 2).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


async def _drains(agent: AgentProcess, oracle: Oracle, seconds: float) -> int:
    """Let it deliver for a while; returns the most memory that it had."""
    loop, most = asyncio.get_running_loop(), 0
    end = loop.time() + seconds
    while agent.lives() and (not oracle.ids or loop.time() < end):
        most = max(most, agent.rss_bytes())
        await asyncio.sleep(0.05)
    return most


FAULTS = [
    Fault(
        "memory",
        "96 MiB in all, while 100,000 events wait and large payloads pour in",
        "floods",
        little_memory,
        ("no-bounds",),
    )
]
