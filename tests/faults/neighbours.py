"""A good receiver beside one that does harm: to the good one goes the same, whatever the other does, without waiting.

The neighbour is a process of its own (`python -m tests.faults.neighbours NAME` is that), so that its own work is not
taken for waiting.
"""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from agent.clock import SystemClock
from agent.model import Content, Event
from agent.outbox import Outbox
from agent.webhooks.config import Webhook
from agent.webhooks.courier import Courier
from agent.webhooks.transport import Transport
from tests.faults.fault import Fault, Result
from tests.faults.mutants import mutated
from tests.support.receiver import Receiver, Script, answer, reset
from tests.support.waiting import until

SUBJECTS = 10
COUNT = 300
WAITED_MS = 1500.0
"""The way to the good one takes less than this more than beside another good one; who is silent is waited for 15 s."""


async def drip(request: web.Request, _: int) -> web.StreamResponse:
    """One byte a second for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b".")
        await asyncio.sleep(1)


async def huge(request: web.Request, _: int) -> web.StreamResponse:
    """200 MiB."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(200):
        await response.write(bytes(1024 * 1024))
    return response


async def wordy(_: web.Request, _n: int) -> web.Response:
    """10,000 headers."""
    return web.Response(headers=[(f"x-{n}", "y") for n in range(10_000)])


async def silent(_: web.Request, _n: int) -> web.Response:
    """No answer at all."""
    await asyncio.sleep(3600)
    return web.Response()


NEIGHBOURS: dict[str, Script] = {
    "good": answer(204),
    "redirect": answer(307, Location="http://127.0.0.1:9/elsewhere"),
    "drip": drip,
    "huge": huge,
    "wordy": wordy,
    "silent": silent,
    "reset": reset,
    "away for long": answer(503, Retry_After="999999999"),
    "gone": answer(410),
    "poison": answer(400),
}


@dataclass(frozen=True)
class Beside:
    """What came to the good one."""

    told: int
    arrived: int
    out_of_order: int
    p95_ms: float

    @property
    def good(self) -> bool:
        return self.told == self.arrived and not self.out_of_order


async def beside(folder: Path, neighbour: str, *, count: int, pause_s: float = 0.0) -> Beside:
    """Tell `count` events to a good receiver and to its neighbour, by its URL."""
    clock, outbox = SystemClock(), Outbox(folder, {"good": 3600.0, "bad": 3600.0})
    told: dict[str, float] = {}
    async with Receiver() as good, AsyncExitStack() as stack:
        await outbox.open(clock)
        stack.push_async_callback(outbox.close)
        for name, url in (("good", good.url), ("bad", neighbour)):
            await _deliver(stack, outbox, clock, name, url)
        for number in range(count):
            moment = clock.moment()
            event = Event(
                f"evt_{number}",
                "sensor.event",
                f"s{number % SUBJECTS}",
                moment.at,
                moment.wall,
                synced=True,
                send_to=("good", "bad"),
            )
            draft = outbox.draft(moment, lambda event, *_: Content(event.id.encode()))
            draft.owe([event])
            told[event.id] = asyncio.get_running_loop().time()
            await outbox.commit(draft.batch())
            await asyncio.sleep(pause_s)
        await until(lambda: len({got.id for got in good.got}) == count, 120, what="all are with the good one")
        ways = sorted(got.at - told[got.id] for got in good.got)
        return Beside(
            told=count,
            arrived=len({got.id for got in good.got}),
            out_of_order=_out_of_order(good),
            p95_ms=1000 * ways[int(len(ways) * 0.95)],
        )


async def _deliver(stack: AsyncExitStack, outbox: Outbox, clock: SystemClock, name: str, url: str) -> None:
    given: dict[str, Any] = {"url": url, "unsigned": True, "delays": [0, "100ms"]}
    config = Webhook.model_validate(given)
    courier = Courier(name, config, outbox.mailboxes[name], clock, Random(1), Transport(config, clock.wall))
    running = asyncio.create_task(courier.run())
    stack.push_async_callback(asyncio.wait, {running})
    stack.push_async_callback(courier.stop, 0.0)


def _out_of_order(receiver: Receiver) -> int:
    """How often an event of a subject came before one that was told of it earlier."""
    last: dict[int, int] = {}
    count = 0
    for got in receiver.got:
        number = int(got.id.removeprefix("evt_"))
        count += number < last.get(number % SUBJECTS, -1)
        last[number % SUBJECTS] = number
    return count


async def neighbours(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, count: int = COUNT
) -> Result:
    """Beside each kind of neighbour in turn, at least once; there is no chance in it, so the seed changes nothing."""
    del seed
    result, end, base_ms = Result(), time.monotonic() + seconds, 0.0
    with mutated(mutant):
        while not result.strikes or time.monotonic() < end:
            for name in NEIGHBOURS:
                place = folder / str(result.strikes)
                place.mkdir()
                async with _apart(name) as url:
                    one = await beside(place, url, count=count, pause_s=0.005)
                result.strikes += 1
                base_ms = base_ms or one.p95_ms
                result.lost += one.told - one.arrived
                result.figures[f"p95 beside {name}, ms"] = round(one.p95_ms, 1)
                result.demand(not one.out_of_order, f"beside {name} {one.out_of_order} came out of order")
                waits = one.p95_ms - base_ms > WAITED_MS
                result.demand(not waits, f"beside {name} it waits: p95 {one.p95_ms:.0f} ms, else {base_ms:.0f}")
    return result


@asynccontextmanager
async def _apart(name: str) -> AsyncIterator[str]:
    """A neighbour in a process of its own; yields its URL."""
    command = [sys.executable, "-m", "tests.faults.neighbours", name]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.communicate()


async def _serve(name: str) -> None:
    async with Receiver(NEIGHBOURS[name]) as receiver:
        print(receiver.url, flush=True)
        await asyncio.Event().wait()


FAULTS = [
    Fault(
        "neighbours",
        "a receiver that redirects, drips, is silent, resets or refuses, beside a good one",
        "neighbours",
        neighbours,
        ("webhooks-wait",),
        can_reload=False,
    )
]

if __name__ == "__main__":
    logging.disable()  # what a neighbour does to its own connections, and what is said of it
    asyncio.run(_serve(sys.argv[1]))
