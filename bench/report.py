"""The page of the bench: the machine in general words, the tables, the plot."""

import datetime as dt
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import figures, table
from bench.contenders.contender import Contender
from bench.goals import Results, spread

_HEAD = """# Bench

bellcrank beside its peers, in one run, with the same broker and the same receiver. Made by

    {command}

![Delivered webhooks a second]({plot})
"""
_GOALS = """## Goals

The median of {rounds} rounds, with the extremes. A ratio is that of two figures of the same round; *by CPU* is the
ratio of the CPU time that each needs for the same, on which a busy machine has less influence.
"""
_NOTES = """## What is measured

- **In a flood** every reading is an alert; they are of 16 sensors. bellcrank and the bare chain send 8 at once,
  bellcrank one at a time for each sensor. Both have a file with an fsync between; the others keep what they hear in
  memory.
- **Receiver away**: readings are published for 3 s while nobody listens; what has not come 4 s after the last that came
  is lost. **`kill -9`**: once a quarter of a flood has come; then it is started again.
- **Readings that change nothing** are below the rule's threshold. What the broker drops it tells itself (`$SYS`).
- Memory, CPU and bytes are those of the contender's process, as Linux counts them (`/proc`).
"""


@dataclass(frozen=True)
class Report:
    """What a run has found."""

    results: Results
    here: Mapping[Contender, str]
    """Who was measured, with the version."""
    missing: Mapping[Contender, str]
    """Who could not be, and why."""
    failed: Sequence[str]
    """What could not be measured, and why."""
    command: str
    """What made it."""
    rounds: int
    load: float
    """The load average before the first round: what else the machine had to do."""

    def __str__(self) -> str:
        parts = [_GOALS.format(rounds=self.rounds), table.goals(self.results)]
        parts += ["## All figures\n", table.everything(self.results)]
        parts += [_NOTES, "## Who was measured\n", self._who(), "## On what\n", self._machine()]
        return "\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts)

    def _who(self) -> str:
        lines = [f"- **{one.name}**{version and f' {version}'}: {one.what}" for one, version in self.here.items()]
        lines += [f"- **{one.name}** could not be installed: {why}" for one, why in self.missing.items()]
        lines += [f"- Not measured: {what}" for what in self.failed]
        return "\n".join(lines)

    def _machine(self) -> str:
        """Facts that a reader needs, and none that tell whose machine it is."""
        facts = [f"{len(os.sched_getaffinity(0))} cores {platform.machine()}", f"Python {platform.python_version()}"]
        facts += [f"SQLite {sqlite3.sqlite_version}", _version("mosquitto", "-h"), _version("node", "--version")]
        facts += [f"load average {self.load:.1f} before the first round", str(dt.datetime.now(dt.UTC).date())]
        return f"{', '.join(filter(None, facts))}."


def write(page: Path, report: Report) -> None:
    """The page with its plot beside it."""
    plot = Path("images") / page.with_suffix(".svg").name
    _draw(page.parent / plot, report.results)
    page.write_text(f"{_HEAD.format(command=report.command, plot=plot)}\n{report}", encoding="utf-8")


def _version(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    found = re.search(r"\d+\.\d+\.\d+", said)
    return f"{command[0]} {found[0]}" if found else ""


def _draw(path: Path, results: Results) -> None:
    from bench import plots  # matplotlib, needed for this alone

    bars = []
    for name, found in results.items():
        if values := found.get(figures.WEBHOOKS):
            low, median, high = spread(values.values())
            bars.append(plots.Bar(name, low, median, high, ours=name.startswith("bellcrank")))
    bars.sort(key=lambda bar: -bar.median)
    plots.bars(path, "Delivered webhooks in a flood of alerts", "webhooks/s", bars)
