"""The receiver goes away under load: `python -m tests.faults.away --seconds 60 --rate 200`.

mosquitto stands at its default limits. When the receiver is back everything must arrive, without a gap in `sequence`,
and the agent's memory must be where it was after its warm-up.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from tests.faults.oracle import SECRET, Oracle
from tests.faults.storm import CONFIG, Stream
from tests.support.agent import AgentProcess
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import until

MEMORY_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True)
class Result:
    """What it came to."""

    published: int
    waiting_at_the_end: int
    lost: int
    gaps: int
    out_of_order: int
    memory_grew_bytes: int
    drained_in_s: float

    @property
    def good(self) -> bool:
        return not (self.lost or self.gaps or self.out_of_order) and self.memory_grew_bytes <= MEMORY_BYTES_MAX


async def away(folder: Path, *, seconds: float, rate: float, warm_up_s: float = 10.0) -> Result:
    """Run it in a folder."""
    broker, oracle = Mosquitto(folder), Oracle(Random(1))
    broker.start()
    async with AsyncExitStack() as stack:
        stack.callback(broker.stop)
        await oracle.start()
        stack.push_async_callback(oracle.stop)
        agent = AgentProcess(folder, CONFIG.format(link=broker.port, http=oracle.port, secret=SECRET))
        stack.callback(agent.kill)
        agent.start()
        await agent.ready()
        stream = Stream(broker.port, Random(1), rate)
        stack.callback(stream.close)
        running = asyncio.create_task(stream.run())
        await asyncio.sleep(warm_up_s)
        warm = agent.rss_bytes()
        await oracle.stop()
        await asyncio.sleep(seconds)
        running.cancel()
        waiting = (await asyncio.to_thread(agent.status))["outbox"]["pending"]
        grew = agent.rss_bytes() - warm
        begin = asyncio.get_running_loop().time()
        await oracle.start()
        await until(lambda: stream.expected <= oracle.told(), 300, what=oracle.report())
        return Result(
            published=stream.count,
            waiting_at_the_end=waiting,
            lost=len(stream.expected - oracle.told()),
            gaps=len(oracle.gaps()),
            out_of_order=_out_of_order(oracle),
            memory_grew_bytes=max(grew, agent.rss_bytes() - warm),
            drained_in_s=asyncio.get_running_loop().time() - begin,
        )


def _out_of_order(oracle: Oracle) -> int:
    """How often an event of a subject came before one that was told of it earlier."""
    return sum(
        1 for numbers in oracle.sequences_by_subject.values() for earlier, later in pairwise(numbers) if later < earlier
    )


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.away", description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--rate", type=float, default=200)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(away(Path(folder), seconds=given.seconds, rate=given.rate))
    print(result)
    sys.exit(0 if result.good else 1)


if __name__ == "__main__":
    main()
