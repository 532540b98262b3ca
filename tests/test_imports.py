"""What a running agent has in memory: nothing that only people's commands, a first request or a repair needs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: lean, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  room: {{driver: mqtt, topic: room, sensors: {{t: {{path: t}}}}}}
rules:
  warm: {{sensor: room.t, when: {{above: 5}}}}
webhooks:
  ops: {{url: "http://127.0.0.1:1/hook", secrets: [{secret}]}}
status: {{listen: "{{status}}"}}
"""
SPARED = {
    "sqlite_utils": "an older outbox is migrated",
    "numpy": "an older outbox is migrated, and it is installed",
    "jinja2": "somebody opens the page",
    "agent.status.page.pages": "somebody opens the page",
    "prometheus_client": "somebody scrapes the metrics",
    "platformdirs": "nobody says where the configuration or the state is",
    "tabulate": "a command prints a table",
    "segno": "a command prints a QR code",
    "difflib": "a name is mistyped",
    "agent.outbox.backup": "a command asks for it",
    "agent.cli.events": "a command asks for it",
    "agent.doctor": "a command asks for it",
    "agent.install": "a command asks for it",
}
"""What is not imported before that."""


async def imported(agent: AgentProcess, file: Path) -> set[str]:
    """Once it runs, with all its feeds open and its page answering."""
    await agent.ready()
    os.kill(agent.pid, signal.SIGUSR1)
    await until(file.exists)
    return names(file)


def names(file: Path) -> set[str]:
    return set(file.read_text(encoding="utf-8").split("\n"))


async def test_a_running_agent_has_not_imported_what_it_does_not_need(tmp_path: Path) -> None:
    file = tmp_path / "modules"
    with Mosquitto(tmp_path) as broker:
        config = CONFIG.format(mqtt=broker.port, secret=SECRET)
        agent = AgentProcess(tmp_path, config, ("tests.support.modules", str(file)))
        agent.start()
        try:
            found = await imported(agent, file)
        finally:
            agent.stop()
    assert "agent.status.front" in found
    assert {module: needed for module, needed in SPARED.items() if module in found} == {}


def test_what_the_broker_waits_for_does_not_bring_the_page_and_its_server() -> None:
    code = "import sys, agent.app, drivers.mqtt, drivers.http; print('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
