"""A good receiver beside one that does harm: `python -m tests.faults.neighbours`.

Webhooks never wait for one another: to the good one goes the same, whatever the other does. Prints p95 of the way to
the good receiver with each bad neighbour, as a ratio to that beside another good one. The neighbour is a process of its
own (`--serve NAME` is that), so that its own work is not taken for waiting.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
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
from tests.support.receiver import Receiver, Script, answer, reset
from tests.support.waiting import until

SUBJECTS = 10
RATIO_MAX = 3.0
"""Beyond is a failure: a neighbour has a share of the processor, but is never waited for."""


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
class Result:
    """What came to the good one."""

    told: int
    arrived: int
    out_of_order: int
    p95_ms: float

    @property
    def good(self) -> bool:
        return self.told == self.arrived and not self.out_of_order


async def beside(folder: Path, neighbour: str, *, count: int, pause_s: float = 0.0) -> Result:
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
        return Result(
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


async def _run(count: int) -> bool:
    fine, base_ms = True, 0.0
    for name in NEIGHBOURS:
        async with _apart(name) as url:
            with tempfile.TemporaryDirectory() as folder:
                result = await beside(Path(folder), url, count=count, pause_s=0.01)
        base_ms = base_ms or result.p95_ms
        ratio = result.p95_ms / base_ms
        fine = fine and result.good and ratio <= RATIO_MAX
        print(f"{name:14} p95 {result.p95_ms:7.1f} ms  {ratio:5.2f} x  {result}")
    return fine


@asynccontextmanager
async def _apart(name: str) -> AsyncIterator[str]:
    """A neighbour in a process of its own; yields its URL."""
    command = [sys.executable, "-m", "tests.faults.neighbours", "--serve", name]
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


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.neighbours", description=__doc__)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--serve", choices=NEIGHBOURS, help=argparse.SUPPRESS)
    given = options.parse_args()
    logging.disable()  # what a neighbour does to its own connections, and what is said of it
    if given.serve:
        asyncio.run(_serve(given.serve))
    sys.exit(0 if asyncio.run(_run(given.count)) else 1)


if __name__ == "__main__":
    main()
