"""Commands to a running agent, as a user gives them."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from paho.mqtt import publish
from standardwebhooks import Webhook as Judge

from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.receiver import Receiver, answer
from tests.support.waiting import until
from tests.test_cli import CONFIG, call, config


class Commanded:
    """An agent with its broker and its receiver, and the command line that goes with its configuration."""

    def __init__(self, agent: AgentProcess, broker: Mosquitto, receiver: Receiver) -> None:
        self.agent, self.broker, self.receiver = agent, broker, receiver

    async def call(self, *arguments: str) -> Result:
        return await asyncio.to_thread(
            call, *arguments, "--config", self.agent.config, STATE_DIRECTORY=str(self.agent.state)
        )

    def say(self, payload: str) -> None:
        publish.single("room", payload, qos=1, hostname="127.0.0.1", port=self.broker.port)


@asynccontextmanager
async def commanded(folder: Path) -> AsyncIterator[Commanded]:
    broker = Mosquitto(folder)
    broker.start()
    async with Receiver() as receiver:
        agent = AgentProcess(folder, CONFIG.format(mqtt=broker.port, http=receiver.port, secret=SECRET))
        try:
            agent.start()
            await agent.ready()
            yield Commanded(agent, broker, receiver)
        finally:
            agent.kill()
            broker.stop()


async def test_sensors_shows_value_age_and_why_something_was_refused(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        assert (await at.call("sensors")).output == "no sensor has been heard yet\n"
        at.say('{"t": 4.5}')
        at.say('{"t": "warm"}')
        at.say('{"t": null}')
        await until(lambda: at.agent.status()["sensors"].get("room.t", {}).get("refused"))
        shown = await at.call("sensors")
        assert shown.exit_code == 0
        for text in ("room.t", "warm", "°C", "null"):
            assert text in shown.output
        as_json = json.loads((await at.call("sensors", "--json")).output)
        assert as_json["room.t"]["value"] == "warm"
        assert as_json["room.t"]["refused"] > 0


@pytest.mark.parametrize(("command", "empty"), [("sensors", {}), ("status", {"sensors": {}})])
async def test_with_watch_it_is_shown_again_until_it_is_interrupted(tmp_path: Path, command: str, empty: Any) -> None:
    async with commanded(tmp_path) as at:
        arguments = [sys.executable, "-m", "agent", command, "--watch", "--json", "--config", str(at.agent.config)]
        env = {"STATE_DIRECTORY": str(at.agent.state), "PATH": "/usr/bin", "PYTHONUNBUFFERED": "1"}
        watching = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE, env=env)
        assert watching.stdout is not None
        try:
            first = json.loads(await watching.stdout.readline())
            assert {key: first[key] for key in empty} == empty
            assert b"room.t" not in json.dumps(first.get("sensors", first)).encode()
            at.say('{"t": 4.5}')
            await until(lambda: "room.t" in at.agent.status()["sensors"])
            following = json.loads(await watching.stdout.readline())
            assert "room.t" in following.get("sensors", following)
            watching.send_signal(signal.SIGINT)
            assert await watching.wait() == 0
        finally:
            if watching.returncode is None:
                watching.kill()
                await watching.wait()


async def test_forgetting_a_sensor_resolves_its_alert_and_takes_it_from_the_list(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.say('{"t": 9}')
        await until(lambda: len(at.receiver.got) == 1)
        assert (await at.call("sensors", "forget", "room.t")).exit_code == 0
        await until(lambda: len(at.receiver.got) == 2)
        assert [json.loads(got.body)["data"]["state"] for got in at.receiver.got] == ["firing", "resolved"]
        assert (await at.call("sensors")).output == "no sensor has been heard yet\n"
        unknown = await at.call("sensors", "forget", "room.t")
        assert (unknown.exit_code, unknown.output) == (2, "nothing is known of a sensor room.t\n")


async def test_a_webhook_that_is_disabled_keeps_its_queue_over_a_restart_until_it_is_enabled(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        assert (await at.call("webhooks", "disable", "ops")).exit_code == 0
        assert at.agent.status()["webhooks"]["ops"]["state"] == "disabled"
        at.say('{"t": 9}')
        await until(lambda: at.agent.status()["outbox"]["pending"] == 1)
        at.agent.kill()
        at.agent.start()
        await at.agent.ready()
        assert at.agent.status()["webhooks"]["ops"]["state"] == "disabled"
        assert (await at.call("webhooks", "enable", "ops")).exit_code == 0
        await until(lambda: len(at.receiver.got) == 1)


async def test_enabling_a_webhook_that_rests_tries_it_at_once(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.receiver.script = answer(503, Retry_After="3000")
        at.say('{"t": 9}')
        await until(lambda: at.agent.status()["webhooks"]["ops"]["state"] == "resting")
        at.receiver.script = answer(204)
        assert (await at.call("webhooks", "enable", "ops")).exit_code == 0
        await until(lambda: at.agent.status()["outbox"]["delivered"] == 1)


async def test_a_webhook_that_rests_is_tried_when_it_is_asked_for_and_a_disabled_one_is_not(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.receiver.script = answer(503, Retry_After="3000")
        at.say('{"t": 9}')
        await until(lambda: at.agent.status()["webhooks"]["ops"]["state"] == "resting")
        at.receiver.script = answer(204)
        assert (await at.call("webhooks", "disable", "ops")).exit_code == 0
        refused = await at.call("webhooks", "retry", "ops")
        assert (refused.exit_code, refused.output) == (1, "ops is disabled: enable it first\n")
        assert (await at.call("webhooks", "enable", "ops")).exit_code == 0
        await until(lambda: at.agent.status()["outbox"]["delivered"] == 1)
        at.receiver.script = answer(503, Retry_After="3000")
        at.say('{"t": 1}')
        await until(lambda: at.agent.status()["webhooks"]["ops"]["state"] == "resting")
        at.receiver.script = answer(204)
        tried = await at.call("webhooks", "retry", "ops")
        assert (tried.exit_code, tried.output) == (0, "ops is tried now.\n")
        await until(lambda: at.agent.status()["outbox"]["delivered"] == 2)
        unknown = await at.call("webhooks", "retry", "opps")
        assert (unknown.exit_code, unknown.output) == (2, "there is no webhook opps\n")


async def test_a_test_event_is_sent_by_the_running_agent_as_it_would_send_it_and_is_never_owed(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.agent.config.write_text(at.agent.config.read_text().replace("rules:", "ruls:"))
        sent = await at.call("webhooks", "test", "ops")
        assert sent.exit_code == 0, "the agent has its configuration, whatever the file says"
        assert sent.output.startswith("ops: HTTP 204 in ")
        (got,) = at.receiver.got
        Judge(SECRET).verify(got.body, got.headers)
        body, status = json.loads(got.body), at.agent.status()
        assert (body["type"], "sequence" in body) == ("webhook.test", False)
        assert body["data"]["agent"] == status["agent"]["id"]
        assert (status["outbox"]["owed"], status["webhooks"]["ops"]["succeeded"]) == (0, 0)
        at.receiver.script = answer(404)
        refused = await at.call("webhooks", "test", "ops")
        assert (refused.exit_code, refused.output.startswith("ops: HTTP 404, in ")) == (1, True)
        await at.receiver.stop()
        away = await at.call("webhooks", "test", "ops")
        assert away.exit_code == 1
        assert f"refused: 127.0.0.1:{at.receiver.port}: Connection refused" in away.output
        unknown = await at.call("webhooks", "test", "opps")
        assert (unknown.exit_code, unknown.output) == (2, "there is no webhook opps\n")


async def test_a_webhook_is_switched_in_the_outbox_where_no_agent_runs(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.agent.stop()
        assert (await at.call("webhooks", "disable", "ops")).exit_code == 0
        assert (await at.call("webhooks", "enable", "opps")).exit_code == 2
        at.agent.start()
        await at.agent.ready()
        assert at.agent.status()["webhooks"]["ops"]["state"] == "disabled"


async def test_commands_find_an_agent_that_was_killed_and_started_again(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.agent.kill()
        assert (at.agent.state / "control.sock").exists(), "it is stale"
        assert (await at.call("sensors")).exit_code == 1
        at.agent.start()
        await at.agent.ready()
        assert (await at.call("sensors")).exit_code == 0


async def test_status_asks_the_control_socket_first(tmp_path: Path) -> None:
    async with commanded(tmp_path) as at:
        at.agent.config.write_text(at.agent.config.read_text().replace("rules:", "ruls:"))
        found = await at.call("status", "--json")
        assert json.loads(found.output)["agent"]["name"] == "cabin", "a bad file does not hide the agent"


@pytest.mark.parametrize("command", [["sensors"], ["sensors", "forget", "a.b"], ["webhooks", "retry", "ops"]])
def test_without_an_agent_a_command_ends_with_1(tmp_path: Path, command: list[str]) -> None:
    state = tmp_path / "state"
    result = call(*command, "--config", config(tmp_path), STATE_DIRECTORY=str(state))
    assert result.exit_code == 1
    assert "no agent" in result.output
