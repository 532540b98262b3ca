"""All faults there are, and one run of one of them."""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest

from tests.faults import (
    away,
    broker_abuse,
    clocks,
    damage,
    descriptors,
    disk_copied,
    disk_faults,
    feed_faults,
    feeds,
    fuzzing,
    memory,
    neighbours,
    packets,
    poison,
    power_cut,
    receivers,
    serial_abuse,
    soak,
    storm,
    walk,
    week,
)
from tests.faults.fault import Fault, Result
from tests.faults.mutants import STALLING
from tests.faults.reloads import reloading, reloads_told
from tests.support.waiting import TooLate

MODULES = (
    storm,
    walk,
    away,
    week,
    neighbours,
    feeds,
    fuzzing,
    feed_faults,
    receivers,
    packets,
    poison,
    serial_abuse,
    broker_abuse,
    clocks,
    disk_faults,
    damage,
    descriptors,
    memory,
    fuzzing,
    soak,
    power_cut,
    disk_copied,
)
FAULTS: dict[str, Fault] = {fault.name: fault for module in MODULES for fault in module.FAULTS}
"""By their names, in the order of the table."""

_BEGIN, _END = 200, 1000
"""Characters."""


@dataclass(frozen=True)
class Record:
    """One run, as a line of a file of results tells it."""

    fault: str
    seed: int
    seconds: float
    """For which it was asked."""
    took_s: float
    result: Result
    mutant: str | None = None
    reloads: bool = False
    skipped: str = ""
    """Why nothing could be run here."""
    broke_off: str = ""
    """Why the run did not come to its end."""

    @property
    def good(self) -> bool:
        """The agent kept its promises, or the mutant was caught."""
        if self.mutant is not None:
            return self.verdict in ("caught", "skipped")
        return bool(self.skipped) or (self.result.good and not self.broke_off)

    @property
    def verdict(self) -> str:
        """What is to be said of a mutant: nothing, where the run broke off, as the harness may be what is broken."""
        if self.skipped:
            return "skipped"
        if self.broke_off:
            return "not judged"
        return "not caught" if self.result.good else "caught"

    @property
    def why(self) -> str:
        """By what the agent, or the mutant, was found out."""
        result = self.result
        return self.broke_off or (result.bad or [f"{result.lost} lost, {result.duplicates} twice"])[0]

    def line(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> Self:
        given: dict[str, Any] = json.loads(line)
        return cls(**{**given, "result": Result(**given["result"])})

    def __str__(self) -> str:
        words = [self.fault, f"seed {self.seed}", *(["with reloads"] if self.reloads else [])]
        if self.skipped:
            return f"== {', '.join(words)}: skipped: {self.skipped}"
        if self.mutant is None:
            said = f"{self.broke_off}\nBROKEN" if self.broke_off else str(self.result)
            return f"== {', '.join(words)}: {self.took_s:.0f} s\n{said}"
        outcome = "NOT CAUGHT" if self.verdict == "not caught" else f"{self.verdict}: {self.why}"
        return f"== {', '.join(words)}, mutant {self.mutant}: {self.took_s:.0f} s\n{outcome}"


def run(fault: Fault, *, seconds: float, seed: int, mutant: str | None = None, reloads: bool = False) -> Record:
    """Run it once in a folder of its own. A run that breaks off is recorded too: of the agent as a broken promise.

    `reloads`: meanwhile the configuration is changed again and again.
    """
    begin, result, skipped, broke_off = time.monotonic(), Result(), "", ""
    with tempfile.TemporaryDirectory(prefix=f"bellcrank-{fault.name}-") as folder, _quiet():
        try:
            result = asyncio.run(_result(fault, Path(folder), seconds, seed, mutant, reloads=reloads))
        except pytest.skip.Exception as skip:
            skipped = str(skip)
        except Exception as error:  # noqa: BLE001  # whatever it is, the campaign tells it and goes on
            if isinstance(error, TooLate) and mutant in STALLING:
                result.bad.append(_brief(str(error)))
            else:
                broke_off = f"the run broke off: {type(error).__name__}: {_brief(str(error))}"
    return Record(fault.name, seed, seconds, time.monotonic() - begin, result, mutant, reloads, skipped, broke_off)


async def _result(
    fault: Fault, folder: Path, seconds: float, seed: int, mutant: str | None, *, reloads: bool
) -> Result:
    async with reloading(folder, Random(seed)) if reloads else nullcontext():
        result = await fault.run(folder, seconds=seconds, seed=seed, mutant=mutant)
    if reloads:
        result.figures["reloads"] = told = reloads_told(folder)
        result.demand(told, "no other configuration was taken, so it shows nothing")
    return result


def _brief(text: str) -> str:
    """Its begin, which says what was waited for, and its end, which says what the agent said last."""
    return text if len(text) <= _BEGIN + _END else f"{text[:_BEGIN]} ... {text[-_END:]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """What servers of the faults say of connections that clients broke is not of interest."""
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
