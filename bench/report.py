"""The page of the bench: the machine in general words, the tables, the plot."""

import datetime as dt
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench import figures, table
from bench.contenders.contender import Contender
from bench.goals import Results, spread


def text(results: Results, here: Mapping[Contender, str], missing: Mapping[Contender, str], rounds: int) -> str:
    """All of it but the plot."""
    who = [f"- **{c.name}**{version and f' {version}'}: {c.what}" for c, version in here.items()]
    who += [f"- **{c.name}** could not be installed: {why}" for c, why in missing.items()]
    return "\n\n".join(
        (
            "## Goals",
            f"Medians of {rounds} rounds, with the extremes. A ratio is that of the same round.",
            table.goals(results),
            "## All figures",
            table.everything(results),
            "## Who was measured",
            "\n".join(who),
            "## On what",
            machine(),
        )
    )


def write(
    page: Path, results: Results, here: Mapping[Contender, str], missing: Mapping[Contender, str], rounds: int
) -> None:
    """The page with its plot beside it."""
    command = f"python -m bench --rounds {rounds} --write {page}"
    plot = Path("images") / page.with_suffix(".svg").name
    _draw(page.parent / plot, results)
    head = f"# Bench\n\nMade by `{command}`; what is measured and how: `bench/`.\n\n![webhooks a second]({plot})\n\n"
    page.write_text(f"{head}{text(results, here, missing, rounds)}\n", encoding="utf-8")


def machine() -> str:
    """Facts that a reader needs, and none that tell whose machine it is."""
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    others = [python, _version("mosquitto", "-h"), _version("node", "--version")]
    cores = len(os.sched_getaffinity(0))
    today = dt.datetime.now(dt.UTC).date()
    return f"{cores} cores {platform.machine()}, {', '.join(filter(None, others))}, {today}."


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
            low, median, high = spread(values)
            bars.append(plots.Bar(name, low, median, high, ours=name.startswith("bellcrank")))
    bars.sort(key=lambda bar: -bar.median)
    plots.bars(path, "Delivered webhooks in a flood of alerts", "webhooks/s", bars)
