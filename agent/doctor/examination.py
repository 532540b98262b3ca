"""All subjects at the same time, each in bounded time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from agent.doctor import broker, clock, configuration, disk, memory, receivers, serial, versions
from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient

Examine = Callable[[Patient], Awaitable[list[Finding]]]

SUBJECTS: Mapping[str, Examine] = {
    subject.SUBJECT: subject.examine
    for subject in (configuration, broker, serial, receivers, disk, clock, memory, versions)
}
"""In the order in which they are told."""
_PATIENCE_S = 60.0
"""For one subject, beside what it listens: its probes have shorter bounds of their own."""


async def examine(patient: Patient, subjects: Collection[str]) -> list[Finding]:
    """The findings of some of SUBJECTS, in their order. Never raises for what is wrong with the patient."""
    chosen = [name for name in SUBJECTS if name in subjects]
    found = await asyncio.gather(*(_bounded(name, patient) for name in chosen))
    return [finding for findings in found for finding in findings]


async def _bounded(name: str, patient: Patient) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE_S + patient.listen_s):
            return await SUBJECTS[name](patient)
    except TimeoutError:
        return [Finding(name, "all", Verdict.BAD, f"not done within {_PATIENCE_S + patient.listen_s:g} s")]
    except OSError as error:
        return [Finding(name, "all", Verdict.SKIPPED, f"it cannot be looked at: {error}")]
