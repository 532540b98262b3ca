"""The command line: exit codes, and what it tells people, with the real agent where one is needed."""

import asyncio
import json
import socket
from copy import copy
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result
from paho.mqtt import publish
from standardwebhooks import Webhook

from agent.cli import main
from agent.listen import Receiver, keys_in
from drivers.signing import key_of, verify
from tests.faults.oracle import SECRET, Oracle
from tests.support.agent import AgentProcess, free_port
from tests.support.mosquitto import Mosquitto
from tests.support.receiver import Receiver as EveryReceiver
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  room: {{driver: mqtt, topic: room, sensors: {{t: {{path: t, unit: "°C"}}}}}}
rules:
  warm: {{sensor: room.t, when: {{above: 5}}}}
webhooks:
  ops: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""


def call(*arguments: str | Path, **env: str) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=env)


def config(folder: Path, **ports: int) -> Path:
    path = folder / "bellcrank.yaml"
    ports = {"mqtt": 1, "http": 1, **ports}
    text = CONFIG.format(**ports, secret=SECRET).replace("{status}", f"127.0.0.1:{free_port()}")
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_configuration_passes_the_check(tmp_path: Path) -> None:
    result = call("config", "check", "--config", config(tmp_path))
    assert (result.exit_code, result.output) == (0, "The configuration is good: 1 source, 1 rule, 1 webhook.\n")


@pytest.mark.parametrize("command", [["config", "check"], ["run"], ["status"], ["webhooks", "test", "ops"]])
def test_a_bad_configuration_ends_with_78_and_its_place(tmp_path: Path, command: list[str]) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text().replace("above", "abov"))
    result = call(*command, "--config", path)
    assert result.exit_code == 78
    assert f"{path}:8:39: rules.warm.when.abov: unknown key 'abov': did you mean above?" in result.output
    assert SECRET not in result.output


def test_a_missing_configuration_ends_with_78(tmp_path: Path) -> None:
    result = call("config", "check", "--config", tmp_path / "none.yaml")
    assert result.exit_code == 78
    assert "No such file" in result.output


def test_wrong_usage_ends_with_2() -> None:
    assert call("run", "--nonsense").exit_code == 2


def test_a_new_secret_is_one_that_the_configuration_takes() -> None:
    one, other = (call("secret", "new").output.strip() for _ in range(2))
    assert one != other
    Webhook(one)
    assert one.startswith("whsec_")


def test_status_of_an_agent_that_is_away_ends_with_1(tmp_path: Path) -> None:
    result = call("status", "--config", config(tmp_path))
    assert result.exit_code == 1
    assert "no agent answers" in result.output


async def test_webhooks_test_sends_a_verified_event_now(tmp_path: Path) -> None:
    told: list[str] = []
    receiver = Receiver([key_of(SECRET)], 200, told.append)
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    async with TestServer(app) as server:
        path = config(tmp_path, http=server.port or 0)
        result = await asyncio.to_thread(call, "webhooks", "test", "ops", "--config", path)
    assert result.exit_code == 0, result.output
    assert "HTTP 200" in result.output
    assert told[0].startswith("VERIFIED evt_")
    assert "webhook.test" in told[0]


@pytest.mark.parametrize(
    ("more", "path", "shown"),
    [
        ("body: {text: '{summary}', n: '{sequence}'}", "/hook", '{"text":"A test of the webhook ops","n":null}'),
        ("preset: slack", "/hook", '{"text":"cabin: webhook.test","attachments":[{"color":'),
        ("preset: healthchecks", "/hook/log", "cabin: webhook.test\nA test of the webhook ops\n"),
    ],
)
async def test_webhooks_test_sends_what_an_event_would_be(tmp_path: Path, more: str, path: str, shown: str) -> None:
    async with EveryReceiver() as receiver:
        file = config(tmp_path, http=receiver.port)
        file.write_text(file.read_text().replace(f"secrets: [{SECRET}]", f"secrets: [{SECRET}], {more}"))
        result = await asyncio.to_thread(call, "webhooks", "test", "ops", "--config", file)
    assert result.exit_code == 0, result.output
    (got,) = receiver.got
    assert got.path == path
    assert got.body.decode().startswith(shown)
    verify([key_of(SECRET)], got.headers, got.body, None)


def test_webhooks_test_tells_that_nobody_answers(tmp_path: Path) -> None:
    result = call("webhooks", "test", "ops", "--config", config(tmp_path, http=free_port()))
    assert result.exit_code == 1
    assert "refused" in result.output


@pytest.mark.parametrize(
    ("text", "n"), [("{}\n", 1), ("{} {}", 2), ("whsec_ops: {}\nother: 'x'\n", 1), ('a: "{}"\nb: {}', 2)]
)
def test_listen_takes_the_secrets_of_any_file(text: str, n: int) -> None:
    assert keys_in(text.format(SECRET, SECRET)) == [key_of(SECRET)] * n


@pytest.mark.parametrize("text", ["", "mqtt_password: x", "whsec_ops: x", "ops: whsec_short"])
def test_listen_says_where_a_file_has_no_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.yaml").write_text(text)
    result = call("listen", "--secret-file", tmp_path / "secrets.yaml")
    assert result.exit_code == 78
    assert "`bellcrank secret new` makes" in result.output


def test_listen_tells_of_a_port_in_use_in_one_line() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        result = call("listen", "--port", str(port))
    assert result.exit_code == 1
    assert result.output == f"port {port}: Address already in use; `--port` takes another\n"


def test_a_state_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    path = config(tmp_path)
    result = call("run", "--config", path, STATE_DIRECTORY=str(path))
    assert result.exit_code == 1
    assert result.output == f"{path}: File exists\n"


def test_webhooks_test_knows_the_names(tmp_path: Path) -> None:
    result = call("webhooks", "test", "opps", "--config", config(tmp_path))
    assert result.exit_code == 2
    assert "known: ops" in result.output


async def test_status_shows_the_running_agent_and_a_second_one_is_refused(tmp_path: Path) -> None:
    broker, oracle = Mosquitto(tmp_path), Oracle(Random(1))
    broker.start()
    await oracle.start()
    agent = AgentProcess(tmp_path, CONFIG.format(mqtt=broker.port, http=oracle.port, secret=SECRET))
    try:
        agent.start()
        await agent.ready()
        result = await asyncio.to_thread(call, "status", "--config", agent.config)
        assert result.exit_code == 0, result.output
        for text in ("cabin", "room", "open", "warm", "ops", "0 owed"):
            assert text in result.output
        as_json = await asyncio.to_thread(call, "status", "--json", "--config", agent.config)
        assert json.loads(as_json.output)["agent"]["name"] == "cabin"
        second = copy(agent)
        second.start()
        assert await asyncio.to_thread(second.wait) == 75
        broker.stop()
        await until(lambda: not agent.open_sources())
        away = await asyncio.to_thread(call, "status", "--config", agent.config)
        assert away.exit_code == 1
        assert "source room is lost" in away.output
    finally:
        agent.kill()
        broker.stop()
        await oracle.stop()


async def test_sigterm_ends_the_agent_with_0_and_everything_committed(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    broker.start()
    agent = AgentProcess(tmp_path, CONFIG.format(mqtt=broker.port, http=free_port(), secret=SECRET))
    try:
        agent.start()
        await agent.ready()
        publish.single("room", '{"t": 9}', qos=1, hostname="127.0.0.1", port=broker.port)
        await until(lambda: agent.status()["outbox"]["pending"] == 1)
        assert await asyncio.to_thread(agent.stop) == 0
        agent.start()
        await agent.ready()
        status = await asyncio.to_thread(agent.status)
        assert status["outbox"]["pending"] == 1
        assert status["rules"]["warm"]["states"]["room.t"]["state"] == "firing"
    finally:
        agent.kill()
        broker.stop()


async def test_without_a_broker_at_the_start_the_agent_waits_for_it(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    agent = AgentProcess(tmp_path, CONFIG.format(mqtt=broker.port, http=free_port(), secret=SECRET))
    try:
        agent.start()
        await until(lambda: agent.status().get("sources", {}).get("room", {}).get("state") == "lost")
        broker.start()
        await agent.ready()
    finally:
        agent.kill()
        broker.stop()
