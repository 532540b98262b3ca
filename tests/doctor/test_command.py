"""The command `bellcrank doctor`, with a real agent where one is needed."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli import main
from agent.service import Service
from tests.doctor.parts import SECRET, configure
from tests.support.agent import AgentProcess, free_port
from tests.support.mosquitto import Mosquitto, Said
from tests.support.port import Port
from tests.support.rawbroker import SUBSCRIBE, RawBroker
from tests.support.receiver import Receiver
from tests.support.waiting import until

CANARY = "canary-in-every-secret-place"
CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  room: {{driver: mqtt, topic: room, sensors: {{t: {{path: t}}}}}}
  stove: {{driver: serial, port: "{port}", sensors: {{t: {{path: t}}}}}}
rules:
  warm: {{sensor: room.t, when: {{above: 5}}}}
webhooks:
  ops: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""


def call(*arguments: str | Path, **env: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)], env=env)


async def test_a_running_agent_is_asked_and_not_disturbed(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Port(tmp_path / "ttyA") as port:
        async with Receiver() as receiver:
            settings = {"mqtt": broker.port, "http": receiver.port, "port": port.name, "secret": SECRET}
            agent = AgentProcess(tmp_path, CONFIG.format(**settings))
            try:
                agent.start()
                await agent.ready()
                port.write(b'{"t": 1}\n')
                await until(lambda: agent.status()["sources"]["stove"]["messages"] == 1)
                env = {"STATE_DIRECTORY": str(agent.state)}
                options = ("--config", agent.config, "--json", "--listen", "300ms")
                result = await asyncio.to_thread(call, *options, **env)
                await broker.publish(Said("room", '{"t": 9}'))
                port.write(b'{"t": 2}\n')
                await until(lambda: receiver.got)
                await until(lambda: agent.status()["sources"]["stove"]["messages"] == 2)
                assert "lost" not in agent.said()
            finally:
                agent.kill()
    report = json.loads(result.output)
    it = {f"{one['subject']}: {one['name']}": (one["verdict"], one["seen"]) for one in report["findings"]}
    assert it["configuration: agent"][1].startswith("it runs: cabin, bellcrank ")
    assert it["serial: stove: data"] == ("ok", "the agent has it: open, 1 messages, 0 refused")
    assert it["broker: house: round trip"][0] == "ok"
    assert it["receivers: ops: deliveries"][0] == "ok"
    assert "memory: agent" in it
    assert report["counts"]["bad"] == 0
    assert result.exit_code == 0


def test_what_does_not_work_ends_with_1_and_tells_what_to_do(tmp_path: Path) -> None:
    file = configure(
        tmp_path,
        f"""
brokers: {{house: {{url: "mqtt://127.0.0.1:{free_port()}", username: pi, password: {CANARY}}}}}
sources: {{room: {{driver: mqtt, topic: room, sensors: {{t: {{}}}}}}}}
webhooks:
  ops:
    url: "http://127.0.0.1:{free_port()}/{CANARY}"
    secrets: [{SECRET}]
    headers: {{Authorization: {CANARY}}}
""",
    )
    result = call("--config", file, "--only", "broker,receivers", "--send-test", "--listen", "10ms")
    assert result.exit_code == 1
    assert "✗ bad     house: connection: 127.0.0.1: Connection refused" in result.output
    assert "-> is the broker started?" in result.output
    assert result.output.endswith("0 ok, 0 warnings, 2 bad, 0 skipped\n")
    assert "\x1b[" not in result.output  # colours are for terminals
    assert CANARY not in result.output
    assert SECRET not in result.output


def test_a_bad_configuration_ends_with_78_and_the_rest_is_told(tmp_path: Path) -> None:
    result = call("--config", configure(tmp_path, "sourcs: {}\n"), "--json")
    assert result.exit_code == 78
    report = json.loads(result.output)
    assert {"clock", "disk", "memory", "versions"} <= {one["subject"] for one in report["findings"]}


def test_only_some_subjects_are_looked_at(tmp_path: Path) -> None:
    file = configure(tmp_path, "sources: {}\n")
    result = call("--config", file, "--only", "versions, memory", "--json")
    assert {one["subject"] for one in json.loads(result.output)["findings"]} == {"memory", "versions"}
    wrong = call("--config", file, "--only", "brokr")
    assert wrong.exit_code == 2
    assert "there is no subject brokr; known: configuration, broker" in wrong.output


async def test_what_a_broker_says_moves_no_cursor(tmp_path: Path) -> None:
    """mosquitto passes on no topic with control characters; others do."""
    topic = "home/\x1b[2J\x9b2J\u202ex".encode()
    async with RawBroker() as broker:
        text = f"brokers: {{house: {{url: '{broker.url}'}}}}\n"
        file = configure(tmp_path, text + "sources: {rooms: {driver: mqtt, topic: 'home/{room}', sensors: {t: {}}}}\n")
        options = ("--config", file, "--only", "broker", "--listen", "500ms")
        examining = asyncio.ensure_future(asyncio.to_thread(call, *options))
        await until(lambda: any(packet.type == SUBSCRIBE for packet in broker.got))
        broker.say(bytes([0x30, 3 + len(topic)]) + len(topic).to_bytes(2, "big") + topic + b"\0")
        result = await examining
    assert "published with QoS 0: home/" in " ".join(result.output.split())
    assert not {"\x1b", "\x9b", "\u202e"} & set(result.output)


@pytest.mark.parametrize("service", [Service(), Service("garage")])
def test_the_credentials_of_the_service_are_read_as_it_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    credentials = tmp_path / "credentials" / service.unit
    credentials.mkdir(parents=True)
    (credentials / "whsec").touch(0o600)
    (credentials / "whsec").write_text(SECRET)
    monkeypatch.setattr("agent.doctor.patient._CREDENTIALS", tmp_path / "credentials")
    monkeypatch.setattr("agent.service.CONFIG", tmp_path)
    webhook = "{url: 'https://example.com', secrets: [!credential whsec]}"
    file = configure(tmp_path, f"sources: {{}}\nwebhooks: {{ops: {webhook}}}\n")
    file = file.rename(tmp_path / service.config.name)
    assert call("--config", file, "--only", "configuration").exit_code == 0
