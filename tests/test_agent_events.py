"""What the running agent tells about itself, as real receivers hear it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner
from standardwebhooks import Webhook as Judge

from agent import observe, pipeline
from agent.app import Agent
from agent.cli import main
from agent.config import load
from agent.outbox import Batch
from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess, free_port
from tests.support.receiver import Receiver, answer
from tests.support.waiting import until

TOKEN = "a-token-of-thirty-two-characters"
CONFIG = """
version: 1
agent: {{name: cabin}}
sources:
  door: {{driver: http, listen: "127.0.0.1:{listen}", path: /in, token: {token}, sensors: {{n: {{path: n}}}}}}
rules:
  seen: {{sensor: door.n, each: {{reading: true}}, send_to: [ops]}}
webhooks:
  ops: {{url: "{ops}", secrets: [{secret}], delays: [0, 10ms]}}
  phone: {{url: "{phone}", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""


@dataclass
class House:
    """An agent with a door, and two who hear of it."""

    agent: AgentProcess
    door: str
    ops: Receiver
    phone: Receiver

    async def command(self, *words: str) -> None:
        runner = CliRunner(env={"STATE_DIRECTORY": str(self.agent.state)})
        done = await asyncio.to_thread(runner.invoke, main, [*words, "--config", str(self.agent.config)])
        assert done.exit_code == 0, done.output


async def ring(door: str, n: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as client, client.post(door, json={"n": n}) as taken:
        assert taken.status == 204


def heard(receiver: Receiver, kind: str) -> list[dict[str, Any]]:
    """The events of a type that came, verified, each once: after a kill some come again."""
    for got in receiver.got:
        Judge(SECRET).verify(got.body, got.headers)
    events = {got.id: json.loads(got.body) for got in receiver.got}
    return [event for event in events.values() if event["type"] == kind]


def beats(at: House) -> dict[str, Any]:
    """What the status says of the heartbeats to phone."""
    found: dict[str, Any] = at.agent.status()["agent"]["heartbeats"]["phone"]
    return found


def with_heartbeat(text: str) -> str:
    return text.replace("name: cabin", "name: cabin, events_to: [], heartbeat: {every: 1s, send_to: [phone]}")


@asynccontextmanager
async def house(folder: Path, change: Callable[[str], str] = lambda text: text) -> AsyncIterator[House]:
    async with Receiver() as ops, Receiver() as phone:
        door = free_port()
        text = CONFIG.format(listen=door, token=TOKEN, secret=SECRET, ops=ops.url, phone=phone.url)
        agent = AgentProcess(folder, change(text))
        try:
            agent.start()
            await agent.ready()
            yield House(agent, f"http://127.0.0.1:{door}/in", ops, phone)
        finally:
            agent.kill()


async def starts(at: House, n: int) -> None:
    """Until both have heard of so many starts."""
    await until(lambda: all(len(heard(one, "agent.started")) == n for one in (at.ops, at.phone)), what=f"start {n}")


async def test_each_start_is_told_with_how_the_last_run_ended(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await starts(at, 1)
        for n, end in enumerate([at.agent.stop, at.agent.kill, at.agent.stop], 2):
            await asyncio.to_thread(end)
            at.agent.start()
            await starts(at, n)
        told = [event["data"]["attributes"] for event in heard(at.ops, "agent.started")]
        assert [one["ended_well"] for one in told] == [None, True, False, True]
        assert told[0]["downtime_s"] is None
        assert all(0 < one["downtime_s"] < 120 for one in told[1:]), "it is the same boot"
        assert [event["sequence"] for event in heard(at.ops, "agent.started")] == [f"{n:020d}" for n in (1, 2, 3, 4)]


async def test_dead_letters_are_told_to_the_others_and_not_to_who_refused_them(tmp_path: Path) -> None:
    async def refuses(request: web.Request, _: int) -> web.Response:
        return web.Response(status=400 if b"sensor.event" in await request.read() else 204)

    async with house(tmp_path) as at:
        at.ops.script = refuses
        await ring(at.door, 1)
        await until(lambda: heard(at.phone, "delivery.exhausted"), what=at.agent.said())
        [event] = heard(at.phone, "delivery.exhausted")
        assert event["subject"] == "webhook:ops"
        number = int(heard(at.ops, "sensor.event")[0]["sequence"])
        assert event["data"]["attributes"]["rules"] == {"seen": {"count": 1, "first": number, "last": number}}
        assert not heard(at.ops, "delivery.exhausted")


async def test_a_webhook_that_is_gone_and_comes_back_is_told_to_the_others(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await until(lambda: heard(at.ops, "agent.started"))
        at.ops.script = answer(410)
        await ring(at.door, 1)
        await until(lambda: heard(at.phone, "webhook.disabled"))
        assert [event["data"]["attributes"] for event in heard(at.phone, "webhook.disabled")] == [{"reason": "gone"}]
        at.ops.script = answer(204)
        await at.command("webhooks", "enable", "ops")
        await until(lambda: heard(at.phone, "webhook.recovered"))
        [event] = heard(at.phone, "webhook.recovered")
        assert (event["subject"], event["data"]["attributes"]) == ("webhook:ops", {"reason": "enabled"})
        await until(lambda: sum(b"sensor.event" in got.body for got in at.ops.got) == 2, what="its queue was kept")
        assert not heard(at.ops, "webhook.disabled") + heard(at.ops, "webhook.recovered")


async def test_only_those_who_are_named_hear_of_the_agent(tmp_path: Path) -> None:
    def change(text: str) -> str:
        return text.replace("name: cabin", "name: cabin, events_to: [phone]")

    async with house(tmp_path, change) as at:
        await until(lambda: heard(at.phone, "agent.started"))
        await ring(at.door, 1)
        await until(lambda: heard(at.ops, "sensor.event"))
        assert len(at.ops.got) == 1


async def test_a_heartbeat_is_sent_and_neither_owed_nor_numbered(tmp_path: Path) -> None:
    async with house(tmp_path, with_heartbeat) as at:
        await until(lambda: len(heard(at.phone, "agent.heartbeat")) >= 2, what="one follows another")
        for event in heard(at.phone, "agent.heartbeat"):
            assert "sequence" not in event
            assert (event["subject"], event["data"]["attributes"]) == ("agent", {"every_s": 1.0})
        status = at.agent.status()
        assert status["outbox"]["owed"] == 0
        assert beats(at)["sent"] >= 2
        assert not at.ops.got, "only to those that are named"


async def test_a_heartbeat_that_does_not_arrive_is_counted_and_shown_and_not_sent_again(tmp_path: Path) -> None:
    async with house(tmp_path, with_heartbeat) as at:
        at.phone.script = answer(503)
        await until(lambda: beats(at)["failed"] >= 2)
        assert beats(at)["last_error"] == "HTTP 503"
        assert len({got.id for got in at.phone.got}) == len(at.phone.got)
        assert at.agent.status()["webhooks"]["phone"]["state"] == "idle", "its breaker knows nothing of it"
        at.phone.script = answer(204)
        await until(lambda: beats(at)["last_error"] is None)


async def test_no_heartbeat_is_sent_to_a_webhook_that_is_disabled(tmp_path: Path) -> None:
    async with house(tmp_path, with_heartbeat) as at:
        await at.command("webhooks", "disable", "phone")
        await until(lambda: beats(at)["skipped"] >= 1)
        n = len(at.phone.got)
        await until(lambda: beats(at)["skipped"] >= 3)
        assert len(at.phone.got) == n


@asynccontextmanager
async def running(folder: Path, phone: Receiver) -> AsyncIterator[tuple[Agent, str]]:
    """The agent in this process, so that a part of it can be made to hang."""
    door = free_port()
    text = CONFIG.format(listen=door, token=TOKEN, secret=SECRET, ops="http://127.0.0.1:1/", phone=phone.url)
    path = folder / "bellcrank.yaml"
    path.touch(0o600)
    path.write_text(with_heartbeat(text).replace("{status}", f"127.0.0.1:{free_port()}"))
    agent = Agent(path, load(path), folder / "state")
    task = asyncio.create_task(agent.run())
    try:
        await until(lambda: phone.got)
        yield agent, f"http://127.0.0.1:{door}/in"
    finally:
        agent._stop.set()
        await task


async def test_a_pipeline_that_is_stuck_ends_the_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_LONGEST_WAIT_S", 0.1)
    monkeypatch.setattr(observe, "_STUCK_S", 1.0)
    async with Receiver() as phone, running(tmp_path, phone) as (agent, door):
        await until(lambda: len(phone.got) >= 3, what="it lives though there is nothing to do")
        goes_on = asyncio.Event()
        commit = agent._outbox.commit

        async def hangs(batch: Batch) -> None:
            await goes_on.wait()
            await commit(batch)

        monkeypatch.setattr(agent._outbox, "commit", hangs)
        ringing = asyncio.create_task(ring(door, 1))
        counts = agent._parts.heartbeats["phone"].beats
        await until(lambda: counts.skipped >= 2)
        n = len(phone.got)
        await until(lambda: counts.skipped >= 4)
        assert len(phone.got) == n
        goes_on.set()
        await ringing
        await until(lambda: len(phone.got) > n, what="it lives again")


async def test_an_outbox_that_cannot_be_written_ends_the_heartbeat(tmp_path: Path) -> None:
    async with Receiver() as phone, running(tmp_path, phone) as (agent, _):
        agent._outbox.worker.degraded = "disk is full"
        counts = agent._parts.heartbeats["phone"].beats
        await until(lambda: counts.skipped >= 1)
        n = len(phone.got)
        await until(lambda: counts.skipped >= 3)
        assert len(phone.got) == n
