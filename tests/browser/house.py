"""A broker, a receiver and the agent between them, with something of everything to be seen."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.oracle import SECRET
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto, Said
from tests.support.receiver import Receiver
from tests.support.waiting import until

CONFIG = """
version: 1
agent: {{name: cabin, events_to: []}}
brokers: {{house: {{url: "{broker}"}}}}
sources:
  freezer: {{driver: mqtt, topic: freezer, sensors: {{temperature: {{path: t, unit: "°C", valid: {{max: 60}}}}}}}}
  doorbell: {{driver: mqtt, topic: doorbell, sensors: {{button: {{path: action}}}}}}
  pumps: {{driver: mqtt, topic: "pumps/{{pump}}", sensors: {{flow: {{path: flow, unit: l/min}}}}}}
rules:
  too_warm:
    sensor: freezer.temperature
    when: {{above: -15}}
    clear: {{below: -17}}
    for: {for_s}s
    clear_for: {for_s}s
    severity: critical
  ring: {{sensor: doorbell.button, each: {{equals: pressed}}, send_to: [ops]}}
  dry: {{sensor: "pumps.*.flow", when: {{below: 1}}, for: 1h}}
webhooks:
  ops: {{url: "{ops}", secrets: [{secret}], rest: {{min: 1s, max: 2s}}, delays: [0, 1s, 2s]}}
  spare: {{url: "{spare}", secrets: [{secret}], rest: {{min: 1h, max: 1h}}, delays: [0, 1h]}}
status: {{listen: "{{status}}"}}
"""


class House:
    """The real parts, and what is done with them."""

    def __init__(self, broker: Mosquitto, agent: AgentProcess, ops: Receiver, spare: Receiver) -> None:
        self.broker, self.agent, self.ops, self.spare = broker, agent, ops, spare

    @property
    def url(self) -> str:
        """Of the status page."""
        return f"http://127.0.0.1:{self.agent.port}"

    async def say(self, topic: str, **fields: Any) -> None:
        """Publish a JSON object."""
        await self.broker.publish(Said(topic, json.dumps(fields)))

    async def ring(self) -> None:
        """Press the button of the doorbell."""
        await self.say("doorbell", action="pressed")

    async def login_link(self) -> str:
        """A one-time link, as `bellcrank status --link` gets it."""
        control = aiohttp.UnixConnector(str(self.agent.state / "control.sock"))
        async with (
            aiohttp.ClientSession(connector=control) as session,
            session.post("http://agent/api/v1/login-links") as answer,
        ):
            return f"{self.url}{(await answer.json())['path']}"

    async def webhook(self, name: str, **wanted: Any) -> None:
        """Wait until the status tells this of a webhook."""

        def is_so() -> bool:
            facts = self.agent.status().get("webhooks", {}).get(name, {})
            return all(facts.get(word) == value for word, value in wanted.items())

        await until(is_so, what=lambda: f"{name}: {wanted}; it is {self.agent.status().get('webhooks')}")


@asynccontextmanager
async def house(folder: Path, config: str = CONFIG, **words: Any) -> AsyncIterator[House]:
    """All parts, ready; `words` are filled into the configuration."""
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder, "max_inflight_messages 0", "max_queued_messages 0"))
        ops, spare = [await stack.enter_async_context(Receiver()) for _ in range(2)]
        urls = {"broker": broker.url, "ops": ops.url, "spare": spare.url}
        agent = AgentProcess(folder, config.format(**{"secret": SECRET, "for_s": 1, **urls, **words}))
        stack.callback(agent.kill)
        agent.start()
        await agent.ready()
        yield House(broker, agent, ops, spare)
