"""What goes wrong on the real device: `python -m tests.faults.device NAME --seconds 60 --seed 1`.

Each fault comes upon a running agent under a stream of readings, with a real broker and a real receiver. While it lasts
the agent does what DESIGN says (§1, §7, §8) and shows it; behind it all goes on without a restart, nothing is lost and
nothing is told twice.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.descriptors import out_of_descriptors
from tests.faults.disk_faults import failing_disk, read_only
from tests.faults.fault import Result
from tests.faults.feed_faults import broker_killed, clock_steps, usb_storm
from tests.faults.memory import little_memory

FAULTS: dict[str, Callable[..., Coroutine[Any, Any, Result]]] = {
    "failing-disk": failing_disk,
    "read-only": read_only,
    "descriptors": out_of_descriptors,
    "broker-killed": broker_killed,
    "broker-forgets": partial(broker_killed, persistent=False),
    "usb-storm": usb_storm,
    "clock-steps": clock_steps,
    "memory": little_memory,
}


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.device", description=__doc__)
    options.add_argument("name", choices=[*FAULTS, "all"])
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--mutant", choices=["acknowledge-early", "no-ledger"])
    given = options.parse_args()
    further: dict[str, Any] = {"mutant": given.mutant} if given.mutant else {}
    good = True
    for name in FAULTS if given.name == "all" else [given.name]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = asyncio.run(FAULTS[name](Path(folder), seconds=given.seconds, seed=given.seed, **further))
            except pytest.skip.Exception as skipped:
                print(f"== {name}: skipped: {skipped}")
                continue
        print(f"== {name}\n{result}")
        good = good and result.good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
