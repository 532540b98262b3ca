"""The kill storm: `python -m tests.faults.storm --kills 100 --seed 1`.

A QoS 1 stream of pulses and level changes, each with a number of its own, runs to an agent that is killed (`kill -9`),
whose link is cut, or whose configuration changes again and again, while its receiver answers 503 at times and loses
answers at times. In the end each number must have been told under exactly one `webhook-id`, and the agent's counters
must be the oracle's.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.oracle import SECRET, Oracle
from tests.support.agent import AgentProcess
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: storm, events_to: []}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{link}", keepalive: 5s}}
sources:
  button: {{driver: mqtt, topic: "storm/{{room}}/button", sensors: {{press: {{path: n}}}}}}
  level: {{driver: mqtt, topic: "storm/{{room}}/level", sensors: {{height: {{path: n}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}}}
webhooks:
  oracle:
    url: http://127.0.0.1:{http}/hook
    secrets: [{secret}]
    delays: [0, 100ms, 200ms]
    rest: {{min: 100ms, max: 500ms}}
status: {{listen: "{{status}}"}}
"""
OTHER = {
    "sensors: {{press:": "labels: {{floor: cellar}}, sensors: {{press:",
    "rest: {{": "concurrency: 3\n    rest: {{",
    "rules:": "  door: {{driver: mqtt, topic: storm/door, sensors: {{open: {{}}}}}}\nrules:",
}
"""What changes the feed, the webhook and the sources, but not what a rule means."""
ROOMS = 4
BEHIND_MAX = 2000
"""So much is published and not told at most: a slow machine must not run into the limits of the broker's queue."""


@dataclass(frozen=True)
class Result:
    """What a storm came to."""

    published: int
    kills: int
    cuts: int
    reloads: int
    lost: Sequence[str]
    told_twice: Sequence[str]
    wrong: Sequence[str]
    gaps: int
    requests: int
    repeats_dropped: int
    counters_agree: bool

    @property
    def good(self) -> bool:
        return not (self.lost or self.told_twice or self.wrong or self.gaps) and self.counters_agree

    def __str__(self) -> str:
        """One figure a line, and of what went wrong the first examples."""
        told = {
            name: f"{len(value)} {value[:5]}" if isinstance(value, list) and value else value or 0
            for name, value in asdict(self).items()
        }
        return "\n".join(f"{name}: {value}" for name, value in told.items())


class Stream:
    """Publishes numbers until stopped: each press is a pulse, each level an alert's begin or end."""

    def __init__(self, port: int, random: Random, rate: float, pulses: float = 0.6) -> None:
        """`pulses`: their share. Where a broker may lose what was published, only they are told one by one."""
        self._pulses = pulses
        self.expected: set[str] = set()
        self.count = 0
        self._random, self._rate = random, rate
        self._high = [False] * ROOMS
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "storm-stream")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    async def run(self, told: Callable[[], int] | None = None) -> None:
        """Publish; with `told`, which counts what has arrived, only as long as not too much is on its way."""
        while True:
            if told is None or self.count - told() < BEHIND_MAX:
                self._publish()
            await asyncio.sleep(1 / self._rate)

    def _publish(self) -> None:
        self.count += 1
        room = self._random.randrange(ROOMS)
        if self._random.random() < self._pulses:
            topic, value, what = f"storm/{room}/button", self.count, f"pulse {self.count}"
        else:
            self._high[room] = high = not self._high[room]
            value = self.count if high else -self.count
            topic, what = f"storm/{room}/level", f"{'firing' if high else 'resolved'} {value}"
        self.expected.add(what)
        self._client.publish(topic, json.dumps({"n": value}), qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


async def storm(
    folder: Path,
    *,
    kills: int,
    cuts: int,
    seed: int,
    reloads: int = 0,
    rate: float = 120.0,
    mutant: str | None = None,
    patience_s: float = 30.0,
) -> Result:
    """Run one storm in a folder. `patience_s`: what has not come behind so much silence is lost."""
    random = Random(seed)
    broker = Mosquitto(folder, "max_queued_messages 20000")
    broker.start()
    link, oracle = Link(broker.port), Oracle(random, busy=0.10, lose=0.05)
    async with AsyncExitStack() as stack:
        stack.callback(broker.stop)
        await link.start()
        stack.push_async_callback(link.stop)
        await oracle.start()
        stack.push_async_callback(oracle.stop)
        module = ("tests.faults.mutants", mutant) if mutant else ("agent",)
        places = {"link": link.port, "http": oracle.port, "secret": SECRET}
        configs = [text.format(**places) for text in (CONFIG, _changed(CONFIG))]
        agent = AgentProcess(folder, configs[0], module)
        stack.callback(agent.kill)
        agent.start()
        await agent.ready()
        stream = Stream(broker.port, random, rate)
        stack.callback(stream.close)
        running = asyncio.create_task(stream.run(lambda: len(oracle.ids)))
        faults = ["kill"] * kills + ["cut"] * cuts + ["reload"] * reloads
        random.shuffle(faults)
        repeats = await _faults(agent, link, oracle, random, faults, configs)
        running.cancel()
        await _rest(oracle, stream, patience_s)
        return await _judge(agent, oracle, stream, kills, cuts, repeats)


def _changed(text: str) -> str:
    for this, that in OTHER.items():
        assert this in text
        text = text.replace(this, that, 1)
    return text


async def _faults(
    agent: AgentProcess, link: Link, oracle: Oracle, random: Random, faults: Sequence[str], configs: list[str]
) -> int:
    """One fault after another, each behind some progress.

    Returns how many repeated messages the agents said to have dropped.
    """
    repeats = 0
    for fault in faults:
        aim = len(oracle.ids) + random.randrange(5, 60)
        await until(
            lambda aim=aim: len(oracle.ids) >= aim,  # type: ignore[misc]
            60,
            what=lambda: f"progress; the agent said {agent.said()[-2000:]}",
        )
        if fault == "kill":
            repeats += _repeats(await asyncio.to_thread(agent.status))
            agent.kill()
            agent.start()
        elif fault == "reload":
            await agent.ready()
            configs.reverse()
            if deaf := random.random() < 0.5:
                link.lose_what_the_agent_says()
                await asyncio.sleep(random.uniform(0.02, 0.3))
            await agent.reload(configs[0])
            if deaf:
                link.cut()
        else:
            link.lose_what_the_agent_says()
            await asyncio.sleep(random.uniform(0.02, 0.3))
            link.cut()
    return repeats


def _repeats(status: dict[str, Any]) -> int:
    return sum(source["repeats"] for source in status.get("sources", {}).values())


async def _judge(agent: AgentProcess, oracle: Oracle, stream: Stream, kills: int, cuts: int, repeats: int) -> Result:
    status = await _settled(agent)
    counts = status.get("outbox", {})
    unique = len(oracle.accepted)
    return Result(
        published=stream.count,
        kills=kills,
        cuts=cuts,
        reloads=agent.said().count("reloaded:"),
        lost=sorted(stream.expected - oracle.told()),
        told_twice=sorted([*oracle.told_twice(), *(oracle.told() - stream.expected)]),
        wrong=oracle.wrong,
        gaps=len(oracle.gaps()),
        requests=sum(oracle.accepted.values()),
        repeats_dropped=repeats + _repeats(status),
        counters_agree=bool(counts)
        and counts["balanced"]
        and (counts["owed"], counts["delivered"], counts["pending"], counts["dead"]) == (unique, unique, 0, 0),
    )


async def _rest(oracle: Oracle, stream: Stream, patience_s: float) -> None:
    """Wait for what is still to come, as long as more of it comes."""
    told = -1
    while len(oracle.ids) > told and not stream.expected <= oracle.told():
        told = len(oracle.ids)
        with suppress(AssertionError):
            await until(lambda told=told: len(oracle.ids) > told, patience_s)  # type: ignore[misc]


async def _settled(agent: AgentProcess) -> dict[str, Any]:
    """The status when nothing is pending any more."""
    status: dict[str, Any] = {}
    for _ in range(300):
        status = await asyncio.to_thread(agent.status)
        if status and not status["outbox"]["pending"]:
            return status
        await asyncio.sleep(0.1)
    return status


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--cuts", type=int, default=50)
    options.add_argument("--reloads", type=int, default=50)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--mutant", choices=["acknowledge-early", "no-ledger"])
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        faults = {"kills": given.kills, "cuts": given.cuts, "reloads": given.reloads}
        result = asyncio.run(storm(Path(folder), **faults, seed=given.seed, mutant=given.mutant))
    print(result)
    sys.exit(0 if result.good else 1)


if __name__ == "__main__":
    main()
