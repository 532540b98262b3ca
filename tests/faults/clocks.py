"""A wall clock that is set, that drifts, that is wrong at the start: nothing fires, expires or is lost by it."""

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.stream import CONFIG as STREAM
from tests.support.faulty import Faulty

STEPS_S = (3600, -3600, 365 * 86400, -365 * 86400, -3600, 3600)
RATES = (-0.5, 1.0, 100.0, -10.0)
"""Seconds by which it goes wrong in a second: it runs at half speed, at double, like mad, and backwards."""
_TICK_S = 0.02
_MOMENT_S = 1.0
RULES = """rules:
  held: {{sensor: "level.*.height", when: {{above: 0}}, for: 30m, send_to: []}}
  silent: {{sensor: "button.*.press", when: {{silent_for: 20m}}, send_to: [oracle]}}"""
CONFIG = STREAM.replace("rules:", RULES)


async def clock_steps(folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    """It is set by an hour, by a year, back and forth."""
    faulty = Faulty(folder, folder / "state")
    async with house(folder, seed, config=CONFIG, env=faulty.env, mutant=mutant, any_time=True) as at:
        for step_s in STEPS_S:
            faulty.step_clock(step_s)
            at.result.strikes += 1
            await asyncio.sleep(seconds / len(STEPS_S))
            await at.goes_on()
            _fires_nothing(at, f"the clock was set by {step_s} s")
        await at.judge()
        return at.result


async def clock_drift(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, moment_s: float = _MOMENT_S
) -> Result:
    """It runs too slow, too fast and backwards, each for a moment at least, and is set right again."""
    faulty = Faulty(folder, folder / "state")
    async with house(folder, seed, config=CONFIG, env=faulty.env, mutant=mutant, any_time=True) as at:
        for rate in RATES:
            drifting = asyncio.create_task(_drift(faulty, rate))
            at.result.strikes += 1
            await asyncio.sleep(max(moment_s, seconds / len(RATES)))
            await at.goes_on()
            _fires_nothing(at, f"the clock was wrong by {rate:+g} s a second")
            drifting.cancel()
            at.result.figures["wrong by at most, s"] = max(
                at.result.figures.get("wrong by at most, s", 0), abs(faulty.step_s)
            )
            faulty.set_clock(0)
        await at.judge()
        return at.result


async def _drift(faulty: Faulty, rate: float) -> None:
    begin = time.monotonic()
    while True:
        faulty.set_clock(rate * (time.monotonic() - begin))
        await asyncio.sleep(_TICK_S)


async def clock_unset(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, times: int = 2, moment_s: float = _MOMENT_S
) -> Result:
    """The agent starts in 1970, as on a device without a battery; then the clock becomes right. Again and again."""
    faulty, loop = Faulty(folder, folder / "state"), asyncio.get_running_loop()
    faulty.set_clock(-time.time())
    async with house(folder, seed, config=CONFIG, env=faulty.env, mutant=mutant, any_time=True) as at:
        end = loop.time() + seconds
        while True:
            at.result.strikes += 1
            await asyncio.sleep(at.random.uniform(0, 2 * moment_s))
            faulty.set_clock(0)
            await at.goes_on()
            _fires_nothing(at, "the clock became right")
            if at.result.strikes >= times and loop.time() >= end:
                break
            at.agent.kill()
            faulty.set_clock(-time.time())
            at.agent.start(**faulty.env)
            await at.ready()
        await at.judge()
        at.result.figures.update(_clocks(at))
        return at.result


def _fires_nothing(at: House, why: str) -> None:
    rules = at.agent.status()["rules"]
    fires = [name for name in ("held", "silent") if rules[name]["counts"].get("firing")]
    at.result.demand(not fires, f"{fires} fires, as {why}")


def _clocks(at: House) -> Counter[str]:
    """How often events said what of their time."""
    said: Counter[str] = Counter()
    for body in at.oracle.bodies.values():
        with suppress(ValueError, KeyError):
            said[f"told as {json.loads(body)['data']['clock']}"] += 1
    return said


FAULTS = [
    Fault(
        "clock-steps",
        "the wall clock is set by an hour and by a year, back and forth",
        "steps",
        clock_steps,
        ("wall-clock",),
    ),
    Fault(
        "clock-drift",
        "the wall clock runs slow, fast, a hundred times too fast and backwards",
        "drifts",
        clock_drift,
        ("wall-clock",),
    ),
    Fault("clock-unset", "a start in 1970, then the clock becomes right", "starts", clock_unset, ("wall-clock",)),
]
