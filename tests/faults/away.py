"""The receiver goes away under load, and mosquitto stands at its default limits.

When it is back everything must arrive, in order and without a gap in `sequence`; the agent's memory must be where it
was after its warm-up.
"""

import asyncio
from pathlib import Path

from tests.faults.fault import Fault, Result
from tests.faults.house import house

MEMORY_BYTES_MAX = 8 * 1024 * 1024


async def away(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    mutant: str | None = None,
    rate_per_s: float = 200.0,
    warm_up_s: float = 10.0,
    least: int = 300,
) -> Result:
    """Once, for so long, and until so many events wait at least: with fewer it would show nothing."""
    async with house(folder, seed, mutant=mutant, rate_per_s=rate_per_s, queue_max=1000) as at:
        await asyncio.sleep(warm_up_s)
        warm_bytes = at.agent.rss_bytes()
        await at.oracle.stop()
        at.running.cancel()
        at.run_stream(however_much_waits=True)
        await asyncio.sleep(seconds)
        await at.comes(lambda: at.counts("oracle").get("pending", 0) >= least, f"{least} events that wait")
        at.running.cancel()
        at.result.strikes = 1
        at.result.figures["waiting"] = (await asyncio.to_thread(at.agent.status))["outbox"]["pending"]
        grew = at.agent.rss_bytes() - warm_bytes
        await at.oracle.start()
        await at.judge()
        grew = max(grew, at.agent.rss_bytes() - warm_bytes)
        at.result.figures["memory grew by MiB"] = grew / 2**20
        at.result.demand(grew <= MEMORY_BYTES_MAX, f"memory grew by {grew} bytes")
        at.result.demand(not at.oracle.out_of_order(), f"{at.oracle.out_of_order()} out of order")
    return at.result


FAULTS = [
    Fault("away", "the receiver is away under 200 events a second", "outages", away, ("gives-up", "marks-lost")),
]
