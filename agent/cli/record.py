"""`bellcrank record`: what arrives on the feeds of the configuration, one line each, for `rules test`."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TextIO

import click

from agent.cli.common import config_option, duration, load_config, until_interrupted


@click.command()
@config_option
@click.option("--for", "for_s", type=duration, help="End after this long, such as 1h; default: at Ctrl-C.")
@click.option("--output", type=click.File("x", encoding="utf-8", lazy=False), help="A new file; default: stdout.")
def record(config_path: Path | None, for_s: float | None, output: TextIO | None) -> None:
    """Write all that arrives on the sources as a recording, for `rules test`."""
    from agent import logs
    from agent.overhear import overhear
    from agent.recording import write
    from drivers.base import Raw

    logs.set_up()
    config = load_config(config_path)
    to = output or sys.stdout
    count = 0

    def tap(raw: Raw) -> None:
        nonlocal count
        count += 1
        to.write(write(raw) + "\n")
        to.flush()

    async def run() -> None:
        await overhear(config.sources, config.brokers, tap, until_interrupted(), for_s)

    with contextlib.suppress(BrokenPipeError):
        asyncio.run(run())
        click.echo(f"{count} messages recorded", err=True)
