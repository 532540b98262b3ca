"""`bellcrank rules`: what the rules of a configuration make of a recording."""

import json
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from agent.cli.common import UNHEALTHY, USAGE, config_option, end, json_option, load_config, plain, table

if TYPE_CHECKING:
    from agent.replay import Happened, Report, Tally

_STATES = ("firing", "repeated", "resolved", "pulse")
_UNWANTED_SHOWN = 10
_SENSORS_SHOWN = 3


@click.group("rules")
def rules_group() -> None:
    """Work with rules."""


@rules_group.command("test")
@config_option
@click.option(
    "--replay",
    "recording",
    type=click.File("r", encoding="utf-8"),
    default="-",
    help="The recording; default: standard input.",
)
@click.option("--explain", metavar="RULE", help="Show every reading of this rule, and what it made of it.")
@json_option
def rules_test(config_path: Path | None, recording: TextIO, explain: str | None, *, as_json: bool) -> None:
    """Put a recording through the rules, and tell which would fire, when, and why.

    A recording is JSON lines {time, topic or source, payload}, as `bellcrank record` writes them, or CSV of
    time,sensor,value. Nothing is sent.
    """
    from agent.recording import BadRecording, read
    from agent.replay import Replay

    config = load_config(config_path)
    if explain is not None and explain not in config.rules:
        known = ", ".join(config.rules) or "none"
        raise click.BadParameter(f"there is no rule {explain}; known: {known}", param_hint="--explain")
    replay = Replay(config, explain)
    happened = (one for one in replay.happened(read(recording)) if explain in (None, one.rule))
    try:
        _tell_json(happened, replay.report) if as_json else _tell(happened, replay.report)
    except BadRecording as bad:
        end(f"{recording.name}: {bad}", USAGE)
    except UnicodeDecodeError:
        end(f"{recording.name}: not UTF-8", USAGE)
    if not replay.report.readings:
        end(f"{recording.name}: nothing in it is for a sensor of the configuration", UNHEALTHY)


def _tell(happened: Iterable["Happened"], report: "Report") -> None:
    for at, rule, sensor, what, why, told in happened:
        to = f"  -> {', '.join(told)}" if told else ""
        click.echo(f"{_local(at)}  {rule}  {plain(sensor)}  {what}  {plain(why)}{to}")
    rows = {name: _row(tally) for name, tally in report.rules.items()}
    table("rule", rows, "readings", *_STATES, "throttled", "at the end")
    click.echo(f"\n{report.lines} lines, {report.readings} readings")
    for name, n in report.refused.most_common():
        click.echo(f"  {n} refused of {name}")
    for name, n in report.unwanted.most_common(_UNWANTED_SHOWN):
        click.echo(f"  {n} of {plain(name)}, which no source or rule wants")
    if report.backwards:
        click.echo(f"  {report.backwards} earlier than the line before; they count as of the same time")


def _tell_json(happened: Iterable["Happened"], report: "Report") -> None:
    """One JSON document, written while it goes."""
    click.echo('{"happened": [', nl=False)
    for i, one in enumerate(happened):
        click.echo(("," if i else "") + "\n" + json.dumps(one._asdict(), ensure_ascii=False), nl=False)
    click.echo("\n],\n" + json.dumps(report, default=_members, ensure_ascii=False)[1:])


def _members(one: Any) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def _row(tally: "Tally") -> dict[str, Any]:
    told = {state: tally.told[state] for state in _STATES}
    return {
        "readings": tally.readings,
        **told,
        "throttled": tally.throttled,
        "at the end": _at_the_end(tally.at_the_end),
    }


def _at_the_end(states: dict[str, str]) -> str:
    shown = ", ".join(f"{sensor} {state}" for sensor, state in list(states.items())[:_SENSORS_SHOWN])
    return f"{shown} and {len(states) - _SENSORS_SHOWN} more" if len(states) > _SENSORS_SHOWN else shown or "ok"


def _local(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
