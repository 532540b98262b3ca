"""The agent that is recorded: under a stream of messages, with a receiver that is busy at times, killed now and then.

Now and then its disk cannot make anything durable for a moment, too, and it goes on, or is killed and started again.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.house import House, house
from tests.faults.power_cut.recording import Record, Recorder
from tests.support.faulty import Faulty
from tests.support.waiting import until

_BUSY = 0.1
_CALLS_MAX = {"kill": 200, "fail, kill": 3}
"""The agent is killed within so many, at the trouble of that name."""
TROUBLES = ("kill", "fail", "fail, kill")
"""The agent is killed; for a moment nothing can be made durable; and so, and it is killed meanwhile."""


@dataclass
class Recording:
    """All of it."""

    records: list[Record]
    mqtt: int
    http: int
    """The ports of broker and receiver, as the agent knows them."""
    state: Path
    """The folder as it was in the end."""
    published: int
    troubles: Mapping[str, int]
    """How often there was each."""


async def record(
    folder: Path, seed: int, *, messages: int, troubles: Sequence[str] = (), mutant: str | None = None
) -> Recording:
    """Let it run in a folder for so many messages, with these of TROUBLES spread over them, and end in order."""
    state = folder / "state"
    state.mkdir()
    faulty, recorder, chance = Faulty(folder, state), Recorder(folder, state), Random(seed)
    libraries = f"{recorder.env['LD_PRELOAD']} {faulty.env['LD_PRELOAD']}"
    env = recorder.env | faulty.env | {"LD_PRELOAD": libraries}
    async with house(folder, seed, mutant=mutant, env=env, busy=_BUSY) as at:
        for n, trouble in enumerate(troubles, 1):
            await _until_said(at, messages * n // (len(troubles) + 1))
            if "fail" in trouble:
                before = faulty.refused
                faulty.fail_sync()
                await at.comes(lambda before=before: faulty.refused > before, "a failure")  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0, 0.2))
            if "kill" in trouble:
                recorder.kill_after(chance.randint(1, _CALLS_MAX[trouble]))
                await until(lambda: not at.agent.lives(), at.patience_s, "its end")
                at.running.cancel()
                faulty.heal()
                at.agent.start(**env)
                await at.ready()
                at.run_stream()
            faulty.heal()
            await at.goes_on()
        await _until_said(at, messages)
        at.running.cancel()
        at.agent.stop()
        records = list(recorder.records())
        return Recording(records, at.link.port, at.oracle.port, state, at.stream.count, Counter(troubles))


async def _until_said(at: House, messages: int) -> None:
    await at.comes(lambda: at.stream.count >= messages, f"{messages} messages")
