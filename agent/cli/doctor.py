"""`bellcrank doctor`."""

import asyncio
import json
import logging
import shutil
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import config_option, duration, json_option, plain

if TYPE_CHECKING:
    from agent.doctor import Finding

_LOOKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✗", "red"), "skipped": ("-", "bright_black")}
_TEXT_CHARS_MAX = 4000
_INDENT = " " * 12


@click.command()
@config_option
@click.option("--only", help="Some subjects, such as broker,disk.")
@click.option("--listen", "listen_s", type=duration, default="10s", show_default=True, help="To brokers and ports.")
@click.option("--send-test", is_flag=True, help="Send each webhook a signed test event.")
@json_option
def doctor(config_path: Path | None, only: str | None, listen_s: float, *, send_test: bool, as_json: bool) -> None:
    """Look for what may be the matter, and tell what to do about it.

    A running agent is asked, not disturbed. Ends with 1 where something does not work, 78 where the configuration is
    bad.
    """
    from agent.clock import SystemClock
    from agent.doctor import SUBJECTS, admit, counted, examine, exit_code

    subjects = _subjects(only, tuple(SUBJECTS))
    patient = admit(config_path, SystemClock(), listen_s=listen_s, send_test=send_test)
    logging.disable(logging.ERROR)
    findings = asyncio.run(examine(patient, subjects))
    logging.disable(logging.NOTSET)
    counts = counted(findings)
    if as_json:
        click.echo(json.dumps({"findings": [_escaped(one) for one in findings], "counts": counts}, indent=2))
    else:
        _tell(findings)
        click.echo(f"\n{counts['ok']} ok, {counts['warn']} warnings, {counts['bad']} bad, {counts['skipped']} skipped")
    sys.exit(exit_code(findings, bad_config=patient.config is None))


def _subjects(only: str | None, known: tuple[str, ...]) -> list[str]:
    chosen = list(known) if only is None else [word.strip() for word in only.split(",") if word.strip()]
    for word in chosen:
        if word not in known:
            raise click.BadParameter(f"there is no subject {word}; known: {', '.join(known)}", param_hint="--only")
    return chosen


def _escaped(finding: "Finding") -> dict[str, Any]:
    """Whatever brokers and receivers said moves no terminal's cursor."""
    return {key: plain(str(value), _TEXT_CHARS_MAX) for key, value in asdict(finding).items()}


def _tell(findings: list["Finding"]) -> None:
    width = min(shutil.get_terminal_size().columns, 120)
    subject = ""
    for finding in findings:
        texts = _escaped(finding)
        if texts["subject"] != subject:
            subject = texts["subject"]
            click.secho(f"{'' if finding is findings[0] else chr(10)}{subject}", bold=True)
        sign, colour = _LOOKS[texts["verdict"]]
        head = click.style(f"  {sign} {texts['verdict']:<8}", fg=colour)
        body = _wrapped(f"{texts['name']}: {texts['seen']}", width, _INDENT)
        click.echo(head + body[len(_INDENT) :])
        if texts["advice"]:
            click.echo(_wrapped(f"-> {texts['advice']}", width, _INDENT, "   "))


def _wrapped(text: str, width: int, indent: str, hanging: str = "") -> str:
    """Long words, such as paths, stay whole."""
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
