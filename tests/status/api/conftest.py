"""A real agent with sensors that say something, and a webhook that is away."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.status.api.asking import SENSORS, TOKEN
from tests.support.agent import AgentProcess, free_port
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {name: cabin, events_to: []}
sources:
  rooms: {driver: simulated, every: 20ms, sensors: {sensors}}
rules:
  warm: {sensor: rooms.t_0, when: {above: 5}}
  any: {sensor: rooms.t_1, when: {above: 0}}
webhooks:
  away: {url: "http://127.0.0.1:{nobody}/hook", unsigned: true}
status: {listen: "{status}", token: {token}}
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    wave = "{wave: {square: {min: 1, max: 9, period: 200ms}}}"
    sensors = "{" + ", ".join(f"t_{n}: {wave}" for n in range(SENSORS)) + "}"
    text = CONFIG.replace("{nobody}", str(free_port())).replace("{token}", TOKEN).replace("{sensors}", sensors)
    agent = AgentProcess(tmp_path_factory.mktemp("agent"), text)
    agent.token = TOKEN
    try:
        agent.start()
        asyncio.run(agent.ready())
        asyncio.run(until(lambda: agent.status()["outbox"]["owed"] > 2))
        yield agent
    finally:
        agent.kill()
