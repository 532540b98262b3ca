"""Packets are lost on a real wire: some, all in one direction, all; and peers vanish without a word and come back.

The agent is in a network namespace of its own, broker and receiver at the other end of the wire. What happens there is
TCP's: retransmission, half-open connections, sessions of the broker that are stale and taken over.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from tests.faults import mutants
from tests.faults.fault import Fault, Result
from tests.faults.house import House, ask
from tests.faults.oracle import SECRET, Oracle
from tests.faults.stream import Stream
from tests.support.agent import AgentProcess, free_port
from tests.support.link import Link
from tests.support.mosquitto import Mosquitto
from tests.support.wire import Wire

TOKEN = "a-token-for-the-status-page-of-the-wire"
RATE_PER_S = 40.0
PATIENCE_S = 120.0
CONFIG = """
version: 1
agent: {{name: wire, events_to: []}}
brokers:
  house: {{url: "mqtt://{far}:{mqtt}", keepalive: 4s}}
sources:
  button: {{driver: mqtt, topic: "storm/{{room}}/button", sensors: {{press: {{path: n}}}}}}
  level: {{driver: mqtt, topic: "storm/{{room}}/level", sensors: {{height: {{path: n}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}}}
webhooks:
  oracle:
    url: http://{far}:{http}/hook
    secrets: [{secret}]
    timeout: {{connect: 1s, total: 2s}}
    delays: [0, 200ms, 500ms]
    rest: {{min: 200ms, max: 1s}}
status: {{listen: "{{status}}", token: {token}}}
"""
LONG_S = 10.0
"""The broker gives a client up behind one and a half times the keepalive, and the agent a broker behind one."""


class Storm:
    """What comes upon a house whose agent is at the end of a wire."""

    def __init__(self, at: House, wire: Wire, ports: Collection[int]) -> None:
        self._at, self._wire, self._ports = at, wire, ports

    async def some(self, hold_s: float) -> None:
        """5 to 30 % are lost, both ways."""
        await self._lose(hold_s, hears=self._at.random.randrange(5, 31), says=self._at.random.randrange(5, 31))

    async def deaf(self, hold_s: float) -> None:
        """The agent hears nothing, but what it says arrives."""
        await self._lose(hold_s, hears=100, says=0)

    async def mute(self, hold_s: float) -> None:
        """Nothing that the agent says arrives."""
        await self._lose(hold_s, hears=0, says=100)

    async def black_hole(self, hold_s: float) -> None:
        """Nothing arrives at either end."""
        await self._lose(hold_s, hears=100, says=100)

    async def agent_vanishes(self, hold_s: float) -> None:
        """It is killed unseen, and comes back under its address while the broker still holds its old connection."""
        self._wire.lose(self._ports, hears=100, says=100)
        self._at.agent.kill()
        await asyncio.sleep(min(hold_s, 1.0))
        self._wire.lose(self._ports, hears=0, says=0)
        self._at.agent.start()
        await self._at.ready()  # its page comes behind its feeds, and is asked next

    async def receiver_vanishes(self, hold_s: float) -> None:
        """The same of the receiver: what the agent has kept of its connections is of nobody."""
        self._wire.lose(self._ports, hears=100, says=100)
        await self._at.oracle.stop()
        await self._at.oracle.start()
        await asyncio.sleep(min(hold_s, 1.0))
        self._wire.lose(self._ports, hears=0, says=0)

    async def _lose(self, hold_s: float, *, hears: int, says: int) -> None:
        self._wire.lose(self._ports, hears=hears, says=says)
        await asyncio.sleep(hold_s)
        health = await asyncio.to_thread(ask, self._at.agent, "/healthz")
        self._at.result.demand(health[0] == 200, f"/healthz says {health} while packets are lost")
        self._wire.lose(self._ports, hears=0, says=0)

    @property
    def kinds(self) -> Mapping[str, Callable[[float], Awaitable[None]]]:
        """By name."""
        found = (self.some, self.deaf, self.mute, self.black_hole, self.agent_vanishes, self.receiver_vanishes)
        return {kind.__name__: kind for kind in found}


async def packets(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, hold_s: tuple[float, float] = (0.3, LONG_S)
) -> Result:
    """All kinds in some order, again and again for so long, once at least; each is held for `hold_s`, from and to."""
    with Wire() as wire:
        async with _house(folder, seed, wire, mutant) as (at, ports):
            storm, end = Storm(at, wire, ports), asyncio.get_running_loop().time() + seconds
            while not at.result.strikes or asyncio.get_running_loop().time() < end:
                for name in at.random.sample(sorted(storm.kinds), len(storm.kinds)):
                    await storm.kinds[name](at.random.uniform(*hold_s))
                    at.result.strikes += 1
                    await at.goes_on()
            at.result.figures.update({"packets dropped": wire.dropped, "connections": _connections(at)})
            at.result.demand(wire.dropped, "no packet was dropped, so it shows nothing")
            await at.judge()
            return at.result


@asynccontextmanager
async def _house(
    folder: Path, seed: int, wire: Wire, mutant: str | None
) -> AsyncIterator[tuple[House, Collection[int]]]:
    random, far_port = Random(seed), free_port()
    broker = Mosquitto(folder, "max_queued_messages 20000", f"listener {far_port} {wire.far}")
    oracle = Oracle(random, host=wire.far)
    async with AsyncExitStack() as stack:
        stack.enter_context(broker)
        await oracle.start()
        stack.push_async_callback(oracle.stop)
        config = CONFIG.format(far=wire.far, mqtt=far_port, http=oracle.port, secret=SECRET, token=TOKEN)
        agent = AgentProcess(folder, config, mutants.module(mutant), wire.within, host=wire.near)
        agent.token = TOKEN
        stack.callback(agent.kill)
        agent.start()
        await agent.ready()
        stream = Stream(broker.port, random, RATE_PER_S)
        stack.callback(stream.close)
        at = House(broker, Link(broker.port), oracle, agent, stream, random, PATIENCE_S)
        at.run_stream()
        stack.callback(at.running.cancel)
        await at.goes_on()
        yield at, (far_port, oracle.port)


def _connections(at: House) -> int:
    return at.broker.log().count(" as bellcrank-wire-")


FAULTS = [
    Fault(
        "packets",
        "packets are lost: some, all in one direction, all; agent and receiver vanish without a word and come back",
        "losses",
        packets,
        ("gives-up",),
    )
]
