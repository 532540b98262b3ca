"""The power is cut: at any point of a recording of the agent, whatever its disk has by then, it must be able to go on.

A real agent is recorded under load with all that it asks of its disk and says to others (`load`, `recording`,
`recorder.c`). Then its files are built as they may be found behind a cut at one point after another (`disk`, `cuts`):
all that was written is there, only what was made durable, or something between. From each the outbox is started, and
held against what had been acknowledged and told by then (`story`, `judge`). From some the agent itself is started, and
must deliver (`revive`).
"""

import asyncio
import shutil
from pathlib import Path
from random import Random

from tests.faults.fault import Fault, Result
from tests.faults.power_cut.cuts import Cuts
from tests.faults.power_cut.load import TROUBLES, record

SHORT_S, JUDGE_S = 10.0, 60.0
"""What takes less is short: one small recording. At most so long one is cut; then comes another."""
MESSAGES, MESSAGES_SHORT = 400, 60
"""What a state costs grows with them."""


async def power_cut(folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    """Record and cut, for about so many seconds, at least once."""
    result, loop, chance = Result(), asyncio.get_running_loop(), Random(seed)
    end, n, is_short = loop.time() + seconds, 0, seconds < SHORT_S
    while n == 0 or loop.time() < end:
        place, n = folder / f"recording-{n}", n + 1
        place.mkdir()
        troubles = () if is_short else chance.sample(TROUBLES, len(TROUBLES))
        messages = MESSAGES_SHORT if is_short else MESSAGES
        recording = await record(place, chance.randrange(2**32), messages=messages, troubles=troubles, mutant=mutant)
        cuts = Cuts(recording, place, Random(chance.randrange(2**32)), result)
        await cuts.make(min(JUDGE_S, seconds), with_agent=not is_short)
        shutil.rmtree(place)
    return result


FAULTS = [
    Fault(
        "power-cut",
        "the power is cut: of what was not made durable any part is there or not, in any order, torn",
        "states",
        power_cut,
        ("acknowledge-early", "synchronous-normal", "log-believed"),
    )
]
