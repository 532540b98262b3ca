"""The campaign's table, in Markdown."""

from collections.abc import Mapping, Sequence

from tests.faults.campaign import Record
from tests.faults.fault import Fault

_HEAD = """\
# The fault campaign

What bellcrank promises ([architecture](architecture.md)), under what goes wrong. This page is the table of the runs in
[faults.jsonl](faults.jsonl), each with its seed and seconds. More of them are added, and the page is written anew, by

    python -m tests.faults NAME --seconds 60 --seed 1 --mutant all --results docs/faults.jsonl --write docs/faults.md

`python -m tests.faults --list` names the faults; `all` in place of NAME runs one after the other.
*Lost*: never told, though the agent had acknowledged it. *Twice*: told under more than one `webhook-id`. *Broken*: runs
in which a promise did not hold, or that could not be brought to an end. Each fault has to catch agents with a promise
broken on purpose (`tests/faults/mutants.py`), else it would show nothing; where the run of one broke off, it is *not
judged*. *With reloads*: in the middle of it the configuration changed again and again (`--reloads`).

"""


def page(faults: Mapping[str, Fault], records: Sequence[Record]) -> str:
    """All of it; a fault that was not run has a row that says so."""
    rows = [_row(fault, [one for one in records if one.fault == name]) for name, fault in faults.items()]
    head = "| fault | what happens | runs | struck | lost | twice | broken | mutants caught | took |\n"
    text = _HEAD + head + "|---|---|---:|---:|---:|---:|---:|---|---:|\n" + "".join(rows)
    caught = [_caught(one) for one in records if one.mutant and not one.skipped]
    if caught:
        text += "\n## By what each mutant was caught\n\n| fault | mutant | caught by |\n|---|---|---|\n"
        text += "".join(caught)
    broken = [one for one in records if not one.mutant and not one.good]
    if broken:
        text += "\n## Broken\n\n" + "".join(
            f"- {one.fault}, seed {one.seed}: {_cell('; '.join(one.result.bad) or one.why)}\n" for one in broken
        )
    return text


def _row(fault: Fault, records: Sequence[Record]) -> str:
    runs = [one for one in records if not one.mutant and not one.skipped]
    skipped = next((one.skipped for one in records if one.skipped), "not run")
    cells = [f"`{fault.name}`", fault.what, *(_counts(fault, runs) if runs else [skipped, *"----"])]
    tried = {one.mutant: one for one in records if one.mutant}
    cells.append("; ".join(f"{name}: {_tried(tried.get(name))}" for name in fault.mutants) or "-")
    cells.append(_duration(sum(one.took_s for one in records)))
    return "| " + " | ".join(map(_cell, cells)) + " |\n"


def _counts(fault: Fault, runs: Sequence[Record]) -> list[str]:
    """Runs, strikes, lost, told twice, broken runs."""
    results, reloaded = [one.result for one in runs], sum(one.reloads for one in runs)
    return [
        f"{len(runs)}" + (f", {reloaded} with reloads" if reloaded else ""),
        f"{sum(one.strikes for one in results):,} {fault.unit}",
        str(sum(one.lost for one in results)),
        str(sum(one.duplicates for one in results)),
        str(sum(not one.good for one in runs)),
    ]


def _tried(record: Record | None) -> str:
    if record is None:
        return "not run"
    return record.verdict if record.good else f"**{record.verdict}**"


def _caught(record: Record) -> str:
    by = record.why if record.good else f"**{record.verdict}**"
    if record.broke_off:
        by += f": {record.why}"
    return f"| `{record.fault}` | {record.mutant} | {_cell(by)} |\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())[:300]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
