"""`bellcrank config` and `bellcrank secret`."""

import json
import os
import socket
from pathlib import Path

import click

from agent.cli.common import BAD_CONFIG, UNHEALTHY, config_option, end, find_file, load_config
from agent.service import Service


@click.group("config")
def config_group() -> None:
    """Work with the configuration."""


@config_group.command("check")
@config_option
def config_check(config_path: Path | None) -> None:
    """Read the configuration and tell everything that is wrong with it."""
    config = load_config(config_path)
    for warning in config.status.warnings():
        click.secho(f"! {warning}", fg="yellow")
    click.echo(f"The configuration is good: {config.summary()}.")


@config_group.command("init")
@click.argument("path", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--instance", metavar="NAME", help="For one of several agents: with its own name, state and page.")
@click.option("--port", default=8331, type=click.IntRange(1, 65535), help="Of its page.", show_default=True)
def config_init(path: Path | None, instance: str | None, port: int) -> None:
    """Write a first configuration that runs as it is, and its secrets beside it.

    PATH is where `bellcrank run` looks if it is left out. Nothing is asked and nothing is overwritten.
    """
    from agent.config import home
    from agent.starter import Instance, write

    one = None if instance is None else Instance(_service(instance), socket.gethostname(), port)
    if path is None:
        path = home() if one is None else one.service.config
    try:
        secrets = write(path.absolute(), os.urandom(32), one)
    except FileExistsError as error:
        end(f"{error.filename} is there already; nothing was written", UNHEALTHY)
    except OSError as error:
        end(f"{error.filename}: {error.strerror}", UNHEALTHY)
    click.echo(f"Wrote {path} and {secrets}: read the first lines of {path.name}.")


def _service(instance: str) -> Service:
    try:
        return Service.named(instance)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--instance") from None


@config_group.command("show")
@config_option
def config_show(config_path: Path | None) -> None:
    """Print the configuration with all its defaults; secrets are not shown."""
    from agent.config import ConfigErrors, read
    from agent.effective import effective

    try:
        click.echo(effective(read(find_file(config_path))), nl=False)
    except ConfigErrors as errors:
        end(str(errors), BAD_CONFIG)


@config_group.command("schema")
def config_schema() -> None:
    """Print a JSON Schema of the configuration, with which an editor completes its words."""
    from agent.schema import schema

    click.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


@click.group("secret")
def secret_group() -> None:
    """Work with secrets."""


@secret_group.command("new")
def secret_new() -> None:
    """Make a secret: of a webhook, or a token."""
    from drivers.signing import new_secret

    click.echo(new_secret(os.urandom(32)))
