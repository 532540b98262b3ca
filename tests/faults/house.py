"""The rig of the faults of the device: broker, agent, receiver, a stream of numbers; and what each must come to."""

import asyncio
import math
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import mutants
from tests.faults.fault import Result
from tests.faults.oracle import SECRET, Oracle
from tests.faults.stream import CONFIG, RATE_PER_S, Stream
from tests.support.agent import AgentProcess
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import TooLate, until

PATIENCE_S, MUTANT_PATIENCE_S = 240.0, 160.0
"""The machine may be busy."""


@dataclass
class House:
    """All of it, running."""

    broker: Mosquitto
    link: Link
    """Between the agent and the broker."""
    oracle: Oracle
    agent: AgentProcess
    stream: Stream
    random: Random
    patience_s: float
    """For what has to come. Silence of an eighth of it, and nothing more is to come."""
    running: asyncio.Task[None] = field(init=False)
    """The stream."""
    result: Result = field(default_factory=Result)

    def acknowledged(self) -> int:
        """How many messages the agent has acknowledged, as the broker says."""
        return self.broker.log().count("Received PUBACK from bellcrank")

    def counts(self, webhook: str) -> dict[str, Any]:
        """What the API says of one webhook; {} where it does not answer."""
        found: dict[str, Any] = self.agent.status().get("webhooks", {}).get(webhook, {})
        return found

    def degraded(self) -> str | None:
        """Why nothing can be committed, as the API says."""
        said = self.agent.status().get("outbox", {}).get("degraded")
        return None if said is None else str(said)

    async def goes_on(self) -> None:
        """Wait until a number is told that is not said yet."""
        said = self.stream.count
        await self.comes(lambda: self.oracle.newest > said, "progress")

    async def comes(self, condition: Callable[[], object], what: str) -> None:
        """Wait until it is so, as long as the agent lives or is stopped on purpose."""
        await until(
            lambda: not self.agent.lives() or condition(),
            self.patience_s,
            what=lambda: f"{what}; the agent said {self.agent.said()[-2000:]}",
        )
        assert self.agent.lives(), f"the agent ended by itself with {self.agent.wait()}: {self.agent.said()[-2000:]}"

    async def ready(self) -> None:
        """Wait until all sources of the agent are open."""
        await self.agent.ready(self.patience_s)

    async def degrades(self, why: str) -> None:
        """Wait until it is shown that nothing can be written, and demand that all places show it."""
        await self.comes(self.degraded, "it is degraded")
        demand = self.result.demand
        demand(ask(self.agent, "/readyz")[0] == 503, f"{why}: /readyz does not say 503")
        demand(ask(self.agent, "/healthz")[0] == 200, f"{why}: /healthz does not say 200")
        page = await asyncio.to_thread(ask, self.agent, "/")
        demand("he outbox cannot be written" in page[1], f"{why}: the page's headline does not tell")

    async def recovers(self) -> None:
        """Wait until it is no longer so, by itself."""
        await self.comes(lambda: not self.degraded(), "it goes on")
        self.result.demand(ask(self.agent, "/readyz")[0] == 200, "/readyz does not say 200 again")
        await self.goes_on()

    async def acknowledges_nothing(self, seconds: float, why: str) -> None:
        """Demand that for some time no message is acknowledged."""
        before = self.acknowledged()
        await asyncio.sleep(seconds)
        more = self.acknowledged() - before
        self.result.demand(not more, f"{why}: {more} messages were acknowledged meanwhile")

    def run_stream(self, *, however_much_waits: bool = False) -> None:
        """Let it publish until it is cancelled."""
        told = None if however_much_waits else lambda: len(self.oracle.ids)
        self.running = asyncio.create_task(self.stream.run(told))

    def config_of(self, text: str) -> str:
        """A configuration in which broker, receiver and folder stand."""
        return _filled(text, self.link, self.oracle, self.agent.folder)

    async def judge(
        self,
        may_be_lost: Collection[str] = (),
        may_be_twice: Collection[str] = (),
    ) -> None:
        """Let the stream end, wait for what is still to come; then each number must have been told under one id.

        But for those that others than the agent may have lost, or said twice.
        """
        status = await self.settle(may_be_lost)
        expected = self.stream.expected
        self.oracle.judge(self.result, expected, status, may_be_lost=may_be_lost, may_be_twice=may_be_twice)
        self.result.figures["published"] = self.stream.count

    async def settle(self, may_be_lost: Collection[str] = (), dropped: Callable[[], int] = lambda: 0) -> dict[str, Any]:
        """Let the stream end and wait for what is still to come; returns the status."""
        self.running.cancel()
        with suppress(AssertionError):
            await self.ready()
        await self.all_told(may_be_lost, dropped)
        return await self._settled()

    async def all_told(self, may_be_lost: Collection[str] = (), dropped: Callable[[], int] = lambda: 0) -> None:
        """Wait until all that was said is told, as long as more of it comes.

        `dropped`: how many are not to come, as the agent says.
        """
        told, expected = -1, self.stream.expected.difference(may_be_lost)

        def is_told() -> bool:
            return len(expected - self.oracle.told()) <= dropped()

        while len(self.oracle.ids) > told and not is_told():
            told = len(self.oracle.ids)
            with suppress(AssertionError):
                await until(lambda told=told: len(self.oracle.ids) > told or is_told(), self.patience_s / 8)  # type: ignore[misc]

    async def _settled(self) -> dict[str, Any]:
        """The status, when nothing is pending any more, or has not become less for long."""
        status: dict[str, Any] = {}

        def pending() -> float:
            nonlocal status
            status = self.agent.status()
            return float(status["outbox"]["pending"]) if status else math.inf

        least = pending()
        with suppress(TooLate):
            while least:
                await until(lambda before=least: pending() < before, self.patience_s / 8)  # type: ignore[misc]
                least = pending()
        return status


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
    busy: float = 0.0,
    lose: float = 0.0,
    rate_per_s: float = RATE_PER_S,
    queue_max: int = 20_000,
    any_time: bool = False,
) -> AsyncIterator[House]:
    """Run it in a folder; the stream begins when the agent is ready.

    `settings` and `queue_max` are mosquitto's; `within`: modules that run the agent's, as `tests.faults.plain` does;
    `busy`, `lose`, `any_time`: see `Oracle`.
    """
    random = Random(seed)
    broker = Mosquitto(folder, f"max_queued_messages {queue_max}", *settings)
    oracle = Oracle(random, busy, lose, any_time)
    broker.start()
    link = Link(broker.port)
    async with AsyncExitStack() as stack:
        stack.callback(broker.stop)
        await link.start()
        stack.push_async_callback(link.stop)
        await oracle.start()
        stack.push_async_callback(oracle.stop)
        agent = AgentProcess(folder, _filled(config, link, oracle, folder), (*within, *mutants.module(mutant)))
        agent.state = state or agent.state
        stack.callback(agent.kill)
        agent.start(**env or {})
        await agent.ready(PATIENCE_S)
        stream = Stream(broker.port, random, rate_per_s)
        stack.callback(lambda: at.stream.close())
        at = House(broker, link, oracle, agent, stream, random, MUTANT_PATIENCE_S if mutant else PATIENCE_S)
        stack.callback(lambda: at.running.cancel())
        at.run_stream()
        await at.goes_on()
        yield at


def _filled(config: str, link: Link, oracle: Oracle, folder: Path) -> str:
    return config.format(link=link.port, http=oracle.port, secret=SECRET, folder=folder)


def ask(agent: AgentProcess, path: str) -> tuple[int, str]:
    """GET of the status page: status and text; (0, why) where there is no answer."""
    try:
        with urllib.request.urlopen(f"http://{agent.host}:{agent.port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
