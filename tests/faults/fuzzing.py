"""What comes from outside, as hostile as coverage can make it: decoders, framing, answers, configuration, discovery.

For so many inputs in place of so many seconds: `python -m tests.fuzz NAME --inputs N`.
"""

import asyncio
import re
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.faults.fault import Fault, Result
from tests.fuzz.mutants import MUTANTS

WHAT = {
    "decoding": "any bytes as payloads, to decoders of each format",
    "framing": "any bytes in any pieces as what a serial port says",
    "answers": "any bytes in any pieces as what a receiver answers",
    "config": "any bytes as the configuration",
    "discovery": "any topics and payloads as what a broker has, and the YAML suggested for them",
}


async def fuzz(target: str, folder: Path, *, seconds: float, seed: int, mutant: str | None = None) -> Result:
    """Run one target with all that the coverage leads to, in a process of its own."""
    pytest.importorskip("atheris", reason="the extra `fuzz` is not installed")
    bounds = [f"--seconds={max(round(seconds), 1)}", f"--seed={seed}", *(["--mutant"] if mutant else [])]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.fuzz", target, *bounds],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode(errors="replace")
    (folder / "fuzz.log").write_text(said)
    done = re.search(r"^Done (\d+) runs", said, re.MULTILINE)
    result = Result(strikes=int(done[1]) if done else 0)
    why = re.search(r"Uncaught Python exception:.*?\n(.*?)\n\n", said, re.DOTALL)
    result.demand(done and not process.returncode, " ".join((why[1] if why else said)[-600:].split()))
    return result


FAULTS = [
    Fault(
        f"fuzz-{target}",
        what,
        "inputs",
        partial(fuzz, target),
        (MUTANTS[target].__name__.replace("_", "-"),),
        can_reload=False,
    )
    for target, what in WHAT.items()
]
