"""The fault campaign: `python -m tests.faults NAME --seconds 60 --seed 1`, or `all`; `--list` names them.

Each fault strikes a real agent for a while; then what it was owed must have been told, each under one id, and what the
agent says of itself must agree. With `--mutant NAME` the agent has a promise broken (tests/faults/mutants.py), and the
fault must see it; `--mutant all`: the agent itself, then each mutant that the fault must catch. With `--reloads` the
configuration changes in the middle of it, again and again.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.faults import table
from tests.faults.campaign import FAULTS, Record, run
from tests.faults.fault import Fault

MUTANT_SECONDS_MAX = 20.0
"""A mutant is caught soon."""


def main() -> None:
    given = _options().parse_args()
    if given.list:
        for fault in FAULTS.values():
            print(f"{fault.name:18} {fault.what}; must catch: {', '.join(fault.mutants) or '-'}")
        return
    if not given.name:
        sys.exit("which fault? `--list` names them")
    if given.write and given.mutant is None:
        given.mutant = "all"
    records = []
    for fault in _chosen(given):
        for record in _runs(fault, given):
            print(record, flush=True)
            records.append(record)
            if given.results:
                with given.results.open("a") as file:
                    file.write(record.line() + "\n")
    if given.write:
        given.write.write_text(table.page(FAULTS, _all(given.results, records)), encoding="utf-8")
    sys.exit(0 if all(record.good for record in records) else 1)


def _chosen(given: argparse.Namespace) -> list[Fault]:
    if given.name != "all":
        return [FAULTS[given.name]]
    return [fault for fault in FAULTS.values() if fault.can_reload or not given.reloads]


def _runs(fault: Fault, given: argparse.Namespace) -> Iterator[Record]:
    """The agent, unless one mutant is asked for; then the mutants."""
    if given.mutant in (None, "all"):
        yield run(fault, seconds=given.seconds, seed=given.seed, reloads=given.reloads)
    mutants = fault.mutants if given.mutant == "all" else [given.mutant] if given.mutant else []
    for mutant in mutants:
        yield run(fault, seconds=min(given.seconds, MUTANT_SECONDS_MAX), seed=given.seed, mutant=mutant)


def _all(results: Path | None, records: list[Record]) -> list[Record]:
    """Those of earlier invocations too, where they are kept."""
    if results is None:
        return records
    return [Record.read(line) for line in results.read_text(encoding="utf-8").splitlines()]


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("name", nargs="?", choices=[*FAULTS, "all"], metavar="NAME|all")
    options.add_argument("--seconds", type=float, default=60, help="how long it strikes (default: %(default)g)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument(
        "--mutant", choices=["all", *sorted({name for fault in FAULTS.values() for name in fault.mutants})]
    )
    options.add_argument("--reloads", action="store_true", help="meanwhile change the configuration again and again")
    options.add_argument("--list", action="store_true", help="what there is")
    options.add_argument("--results", type=Path, metavar="FILE", help="append each run to it, as a line of JSON")
    options.add_argument("--write", type=Path, metavar="FILE", help="write the table of all runs to it")
    return options


if __name__ == "__main__":
    main()
