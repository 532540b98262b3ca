"""The real agent on a damaged outbox: it starts, tells, sends no byte that was not owed; and its backup, put back."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish
from standardwebhooks import Webhook

from tests.faults.damage import cut_off, flip_bit, overwrite_root, places_of_bodies
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.receiver import Got, Receiver, answer
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: cabin, events_to: [ops]}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  room: {{driver: mqtt, topic: room, sensors: {{n: {{path: n}}}}}}
rules:
  each_one: {{sensor: room.n, each: reading}}
webhooks:
  ops: {{url: "{url}", secrets: [{secret}], ordering: none, rest: {{min: 1s, max: 1s}}}}
status: {{listen: "{{status}}"}}
"""
N = 60


def flip(path: Path) -> None:
    """One bit of one body, which SQLite does not see."""
    [at] = places_of_bodies(path, b'"value":31,')
    flip_bit(path, at)


KINDS: dict[str, tuple[Callable[[Path], object], int]] = {
    # how, and at least so many of N arrive; more kinds, without an agent: tests/outbox/test_damage.py
    "flipped bit": (flip, N - 1),
    "counters": (lambda path: overwrite_root(path, "webhooks"), N),
    "three quarters": (lambda path: cut_off(path, 0.75), 5),
}


def numbers(got: list[Got]) -> list[int]:
    """What verified requests told of the sensor; all must verify."""
    events = [Webhook(SECRET).verify(one.body, one.headers) for one in got]
    return [event["data"]["value"] for event in events if event["data"].get("rule")]


def types(got: list[Got]) -> list[str]:
    return [json.loads(one.body)["type"] for one in got]


@pytest.fixture
async def rig(tmp_path: Path):  # type: ignore[no-untyped-def]
    broker = Mosquitto(tmp_path)
    broker.start()
    async with Receiver(answer(503)) as receiver:
        agent = AgentProcess(tmp_path, CONFIG.format(mqtt=broker.port, url=receiver.url, secret=SECRET))
        agent.start()
        await agent.ready()
        messages: list[Any] = [("room", json.dumps({"n": n}), 1, False) for n in range(N)]
        await asyncio.to_thread(publish.multiple, messages, hostname="127.0.0.1", port=broker.port)
        await until(lambda: agent.status()["outbox"]["pending"] >= N)
        try:
            yield agent, receiver
        finally:
            agent.kill()
            broker.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_it_starts_on_a_damaged_outbox_and_sends_nothing_that_was_not_owed(
    rig: tuple[AgentProcess, Receiver], kind: str
) -> None:
    agent, receiver = rig
    assert agent.stop() == 0
    damage, at_least = KINDS[kind]
    damage(agent.state / "outbox.db")
    receiver.got.clear()
    receiver.script = answer(204)
    agent.start()
    await agent.ready()
    await until(lambda: agent.status()["outbox"]["pending"] == 0, 30)
    await until(lambda: "outbox.damaged" in types(receiver.got), 30)
    arrived = set(numbers(receiver.got))
    assert arrived <= set(range(N))
    assert len(arrived) >= at_least
    assert (31 in arrived) is not (kind == "flipped bit") or kind == "three quarters"
    outbox = agent.status()["outbox"]
    assert outbox["owed"] == outbox["delivered"] + outbox["pending"] + outbox["dead"] + outbox["dropped"]
    assert agent.stop() == 0


async def test_a_backup_of_the_running_agent_is_put_back_when_it_is_stopped(
    rig: tuple[AgentProcess, Receiver], tmp_path: Path
) -> None:
    agent, receiver = rig

    def bellcrank(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent", *words, "--config", str(agent.config)]
        env = {"STATE_DIRECTORY": str(agent.state), "PATH": ""}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)

    file = str(tmp_path / "copy")
    assert bellcrank("backup", file).returncode == 0
    assert bellcrank("backup", file).returncode == 2, "there is one"
    assert bellcrank("restore", file, "--yes").returncode == 75, "the agent runs"
    receiver.script = answer(204)
    await until(lambda: agent.status()["outbox"]["pending"] == 0, 30)
    before = {one.id for one in receiver.got}
    assert agent.stop() == 0
    receiver.got.clear()
    restored = bellcrank("restore", file, "--yes")
    assert restored.returncode == 0, restored.stderr
    assert "same webhook-id" in restored.stderr
    agent.start()
    await until(lambda: len(set(numbers(receiver.got))) == N, 30)
    assert {one.id for one in receiver.got if json.loads(one.body)["data"].get("rule")} <= before
