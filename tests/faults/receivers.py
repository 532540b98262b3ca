"""Receivers that lie, drip, reset, redirect, flood, never answer, are gone, or ask for ten years of patience.

They lie to one webhook of an agent whose other webhook is sound. What the agent counts as delivered must have been
answered a true 2xx, its memory is bounded, the sound webhook is told all meanwhile; and when the liars are honest
again, all is told without a restart.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from agent import control_client
from tests.faults.fault import Fault, Result
from tests.faults.house import House, house
from tests.faults.lies import all_lies
from tests.support.liar import Liar
from tests.support.receiver import Receiver, answer
from tests.support.waiting import until

LIARS = 4
RATE_PER_S = 40.0
CONFIG = """
version: 1
agent: {{name: liars, events_to: []}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{link}"}}
sources:
  button: {{driver: mqtt, topic: "storm/{{room}}/button", sensors: {{press: {{path: n}}}}}}
  level: {{driver: mqtt, topic: "storm/{{room}}/level", sensors: {{height: {{path: n}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}, send_to: [oracle, gone, patient]}}
webhooks:
  oracle: {{url: "http://127.0.0.1:{http}/hook", secrets: [{secret}]}}
  gone: {{url: "http://127.0.0.1:GONE/hook", unsigned: true}}
  patient: {{url: "http://127.0.0.1:PATIENT/hook", unsigned: true, delays: [0, 50ms]}}
status: {{listen: "{{status}}"}}
"""
LIAR = """
  NAME:
    url: http://127.0.0.1:PORT/hook
    unsigned: true
    ordering: none
    timeout: {{connect: 300ms, total: 600ms}}
    delays: [0, 50ms]
    rest: {{min: 20ms, max: 50ms}}
"""
GREW_BYTES_MAX = 32 * 2**20
DAY_S = 86400.0
TEN_YEARS_S = str(3650 * 86400)


async def receivers_lie(
    folder: Path, *, seconds: float, seed: int, mutant: str | None = None, share: float = 1.0
) -> Result:
    """For so long, and until each lie was told at least once; `share`: of all lies, only so many."""
    random = Random(seed)
    async with AsyncExitStack() as stack:
        trap, gone, patient = Receiver(), Receiver(answer(410)), Receiver(answer(503, Retry_After=TEN_YEARS_S))
        lies = all_lies(random, f"http://127.0.0.1:{trap.port}/trap")
        lies = random.sample(lies, round(share * len(lies)))
        liars = {f"liar{n}": Liar(random, lies[n::LIARS]) for n in range(LIARS)}
        for receiver in (trap, gone, patient):
            await stack.enter_async_context(receiver)
        for liar in liars.values():
            await stack.enter_async_context(liar)
        config = _config(gone, patient, liars)
        at = await stack.enter_async_context(house(folder, seed, config=config, mutant=mutant, rate_per_s=RATE_PER_S))
        await _lied_to(at, list(liars.values()), seconds)
        at.result.demand(not trap.got, f"a redirect was followed: {trap.got[:1]}")
        await _is_left_alone(at, "gone", gone, "disabled")
        await _is_left_alone(at, "patient", patient, "resting")
        at.running.cancel()
        gone.script = patient.script = answer(204)
        _command(at, "gone", "enable")
        _command(at, "patient", "retry")
        for name, liar in liars.items():
            liar.lies = ()
            await _all_is_told(at, name, lambda liar=liar: liar.taken)  # type: ignore[misc]
            at.result.demand(not liar.believed(), f"{name}: believed {sorted(liar.believed())[:5]}")
        await _all_is_told(at, "gone", lambda: {got.id for got in gone.got})
        await _all_is_told(at, "patient", lambda: {got.id for got in patient.got})
        await at.judge()
        return at.result


def _config(gone: Receiver, patient: Receiver, liars: Mapping[str, Liar]) -> str:
    config = CONFIG.replace("GONE", str(gone.port)).replace("PATIENT", str(patient.port))
    all_of_them = (LIAR.replace("NAME", name).replace("PORT", str(liar.port)) for name, liar in liars.items())
    return config.replace("status:", "".join(all_of_them).lstrip("\n") + "status:")


async def _lied_to(at: House, liars: Sequence[Liar], seconds: float) -> None:
    """Watch the memory, and that the sound webhook is told meanwhile."""
    kinds = sum(len(liar.lies) for liar in liars)
    before, end = at.agent.rss_bytes(), asyncio.get_running_loop().time() + seconds
    at.agent.forget_peak()
    while sum(len(liar.lied) for liar in liars) < kinds or asyncio.get_running_loop().time() < end:
        await _sound_is_told(at)
        await asyncio.sleep(0.1)
    grew = at.agent.peak_bytes() - before
    at.result.strikes = sum(sum(liar.lied.values()) for liar in liars)
    at.result.figures.update(kinds=kinds, requests=sum(liar.requests for liar in liars), grew_bytes=grew)
    at.result.demand(grew <= GREW_BYTES_MAX, f"memory grew by {grew} bytes")


async def _sound_is_told(at: House) -> None:
    """What was said until now comes to the sound webhook while the others lie."""
    said = set(at.stream.expected)

    def missing() -> str:
        left = sorted(said - at.oracle.told())
        return f"{len(left)} of {len(said)} that were said are told to the sound webhook: {left[:3]}"

    await until(lambda: said <= at.oracle.ids.keys(), 120, what=missing)


async def _is_left_alone(at: House, name: str, receiver: Receiver, state: str) -> None:
    """One attempt of those in flight, then none; its queue is kept; and no patience is longer than a day."""
    counts = at.counts(name)
    demand = at.result.demand
    demand(counts["state"] == state, f"{name} is {counts['state']}, not {state}")
    demand(len(receiver.got) <= 8, f"{name} was asked {len(receiver.got)} times")
    demand(counts["pending"] == counts["owed"], f"{name} does not keep its queue: {counts}")
    demand(counts["resting_s"] is None or counts["resting_s"] <= DAY_S * 1.2, f"{name} rests {counts['resting_s']} s")


def _command(at: House, name: str, word: str) -> None:
    control_client.ask([at.agent.state / "control.sock"], "POST", f"/api/v1/webhooks/{name}/{word}")


async def _all_is_told(at: House, name: str, taken: Callable[[], set[str]]) -> None:
    """What is owed is told in the end; and what was counted as told had been taken."""
    counts = await asyncio.to_thread(at.counts, name)
    for _ in range(600):
        if counts.get("pending") == 0:
            break
        await asyncio.sleep(0.2)
        counts = await asyncio.to_thread(at.counts, name)
    unique = len(taken())
    at.result.lost += max(0, counts["owed"] - unique)
    agree = counts["delivered"] == counts["owed"] == unique
    at.result.demand(agree, f"{name}: {unique} were answered with success: {str(counts)[:200]}")


FAULTS = [
    Fault(
        "receivers-lie",
        "receivers answer what is no answer, drip, flood, reset, redirect, are silent, are gone, ask for ten years",
        "lies",
        receivers_lie,
        ("any-answer", "first-line-counts", "surplus-answer-counts"),
    )
]
