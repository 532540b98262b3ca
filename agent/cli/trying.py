"""`bellcrank demo` and `bellcrank listen`: what one may try before there is anything."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from agent.cli.common import BAD_CONFIG, UNHEALTHY, duration, end


@click.command()
@click.option("--for", "for_s", type=duration, help="End after this long, such as 60s, with a summary.")
def demo(for_s: float | None) -> NoReturn:
    """Show the whole product with nothing to set up.

    Broker, sensors, receiver and agent, on this machine only.
    """
    from agent import demo as show

    sys.exit(show.run(for_s))


@click.command()
@click.option("--port", default=9000, type=click.IntRange(1, 65535), show_default=True)
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with one or more secrets (whsec_...), such as secrets.yaml.",
)
@click.option("--status", default=200, type=click.IntRange(200, 599), help="What to answer.", show_default=True)
def listen(port: int, secret_file: Path | None, status: int) -> None:
    """Receive webhooks on loopback, verify them and print a line for each."""
    from agent.listen import keys_in, serve

    try:
        keys = keys_in(secret_file.read_text(encoding="utf-8")) if secret_file else []
    except ValueError as error:
        end(f"{secret_file}: {error}", BAD_CONFIG)
    try:
        serve(port, keys, status, click.echo)
    except OSError as error:
        end(f"port {port}: {os.strerror(error.errno or 0)}; `--port` takes another", UNHEALTHY)
