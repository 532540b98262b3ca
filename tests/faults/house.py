"""The rig of the faults of the device: broker, agent, receiver, a stream of numbers; and what each must come to."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import mutants
from tests.faults.fault import Result
from tests.faults.oracle import SECRET, Oracle
from tests.faults.storm import CONFIG, Stream
from tests.support.agent import AgentProcess
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

RATE_PER_S = 120.0


@dataclass
class House:
    """All of it, running."""

    broker: Mosquitto
    link: Link
    """From the agent to the broker."""
    oracle: Oracle
    agent: AgentProcess
    stream: Stream
    random: Random
    running: asyncio.Task[None] = field(init=False)
    """The stream."""
    result: Result = field(default_factory=Result)

    def acknowledged(self) -> int:
        """How many messages the agent has acknowledged, as the broker says."""
        return self.broker.log().count("Received PUBACK from bellcrank")

    def degraded(self) -> str | None:
        """Why nothing can be committed, as the API says."""
        said = self.agent.status().get("outbox", {}).get("degraded")
        return None if said is None else str(said)

    async def goes_on(self, seconds: float = 60.0) -> None:
        """Wait until something is told that is not said yet."""
        said = set(self.stream.expected)
        await until(lambda: self.oracle.told() - said, seconds, what=lambda: f"progress; {self.agent.said()[-2000:]}")

    async def degrades(self, why: str) -> None:
        """Wait until it is shown that nothing can be written, and demand that all places show it."""
        await until(self.degraded, 60, what=lambda: f"it is degraded; {self.agent.said()[-2000:]}")
        demand = self.result.demand
        demand(ask(self.agent, "/readyz")[0] == 503, f"{why}: /readyz does not say 503")
        demand(ask(self.agent, "/healthz")[0] == 200, f"{why}: /healthz does not say 200")
        page = await asyncio.to_thread(ask, self.agent, "/")
        demand("he outbox cannot be written" in page[1], f"{why}: the page's headline does not tell")

    async def recovers(self) -> None:
        """Wait until it is no longer so, by itself."""
        await until(lambda: not self.degraded(), 60, what=lambda: f"it goes on; {self.agent.said()[-2000:]}")
        self.result.demand(ask(self.agent, "/readyz")[0] == 200, "/readyz does not say 200 again")
        await self.goes_on()

    async def acknowledges_nothing(self, seconds: float, why: str) -> None:
        """Demand that for some time no message is acknowledged."""
        before = self.acknowledged()
        await asyncio.sleep(seconds)
        more = self.acknowledged() - before
        self.result.demand(not more, f"{why}: {more} messages were acknowledged meanwhile")

    def run_stream(self) -> None:
        """Let it publish until it is cancelled."""
        self.running = asyncio.create_task(self.stream.run(lambda: len(self.oracle.ids)))

    async def judge(self, may_be_lost: Collection[str] = (), may_be_twice: Collection[str] = ()) -> None:
        """Let the stream end, wait for what is still to come; then each number must have been told under one id.

        But for those that others than the agent may have lost, or said twice.
        """
        self.running.cancel()
        stream, oracle, demand = self.stream, self.oracle, self.result.demand
        told = -1
        while len(oracle.ids) > told and not stream.expected <= oracle.told():
            told = len(oracle.ids)
            for _ in range(100):
                await asyncio.sleep(0.1)
                if len(oracle.ids) > told:
                    break
        lost, twice = stream.expected - oracle.told() - set(may_be_lost), oracle.told_twice().keys() - set(may_be_twice)
        self.result.lost += len(lost)
        self.result.duplicates += len(twice)
        demand(not lost, f"{len(lost)} of {stream.count} lost: {sorted(lost)[:3]}")
        demand(not twice, f"{len(twice)} told twice: {sorted(twice)[:3]}")
        demand(oracle.told() <= stream.expected | set(may_be_lost), "something was told that was never said")
        demand(not oracle.wrong, f"the receiver has to complain: {oracle.wrong[:3]}")
        demand(not oracle.gaps(), f"{len(oracle.gaps())} gaps in `sequence`")
        await self._counters()
        self.result.figures["published"] = stream.count

    def counts(self, webhook: str = "oracle") -> dict[str, Any]:
        """What the API says of one webhook; {} where it does not answer."""
        found: dict[str, Any] = self.agent.status().get("webhooks", {}).get(webhook, {})
        return found

    async def _counters(self) -> None:
        counts = self.counts()
        for _ in range(100):
            if counts and not counts["pending"]:
                break
            await asyncio.sleep(0.1)
            counts = self.counts()
        unique = len(self.oracle.accepted)
        balanced = self.agent.status().get("outbox", {}).get("balanced")
        agree = counts and balanced and counts["owed"] == counts["delivered"] == unique
        self.result.demand(agree, f"the counters are not the oracle's {unique}: {json.dumps(counts)[:300]}")


@asynccontextmanager
async def house(
    folder: Path,
    seed: int,
    *settings: str,
    config: str = CONFIG,
    state: Path | None = None,
    mutant: str | None = None,
    within: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    pulses: float = 0.6,
) -> AsyncIterator[House]:
    """Run it in a folder; the stream begins when the agent is ready.

    `settings` are mosquitto's; `within`: modules that run the agent's, as `tests.faults.plain` does.
    """
    random = Random(seed)
    broker, oracle = Mosquitto(folder, "max_queued_messages 20000", *settings), Oracle(random)
    broker.start()
    link = Link(broker.port)
    async with AsyncExitStack() as stack:
        stack.callback(broker.stop)
        await link.start()
        stack.push_async_callback(link.stop)
        await oracle.start()
        stack.push_async_callback(oracle.stop)
        places = {"link": link.port, "http": oracle.port, "secret": SECRET, "folder": folder}
        agent = AgentProcess(folder, config.format(**places), (*within, *mutants.module(mutant)))
        agent.state = state or agent.state
        stack.callback(agent.kill)
        agent.start(**env or {})
        await agent.ready()
        stream = Stream(broker.port, random, RATE_PER_S, pulses)
        stack.callback(lambda: at.stream.close())
        at = House(broker, link, oracle, agent, stream, random)
        stack.callback(lambda: at.running.cancel())
        at.run_stream()
        await at.goes_on()
        yield at


def ask(agent: AgentProcess, path: str) -> tuple[int, str]:
    """GET of the status page: status and text; (0, why) where there is no answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{agent.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
