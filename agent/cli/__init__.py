"""The command `bellcrank`. Exit codes.

0 ok, 1 unhealthy, 2 usage, 75 another agent has the outbox, 78 bad configuration.
"""

import gc
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from agent.cli.common import config_option, find_file, load_config, outbox_or_end
from agent.version import __version__

_ELSEWHERE = {
    "backup": "agent.cli.backup:backup",
    "config": "agent.cli.config:config_group",
    "demo": "agent.cli.trying:demo",
    "discover": "agent.cli.discover:discover",
    "doctor": "agent.cli.doctor:doctor",
    "events": "agent.cli.events:events_group",
    "install": "agent.cli.install:install",
    "listen": "agent.cli.trying:listen",
    "record": "agent.cli.record:record",
    "restore": "agent.cli.backup:restore",
    "rules": "agent.cli.rules:rules_group",
    "secret": "agent.cli.config:secret_group",
    "sensors": "agent.cli.status:sensors_group",
    "status": "agent.cli.status:status",
    "uninstall": "agent.cli.install:uninstall",
    "verify": "agent.cli.verify:verify",
    "webhooks": "agent.cli.webhooks:webhooks_group",
}
"""Where the other commands are: each is imported when it is called, so that a running agent has none of them."""


class _Commands(click.Group):
    """The commands of this file, and those elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, name = _ELSEWHERE[cmd_name].split(":")
        found: click.Command = getattr(import_module(module), name)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bellcrank")
def main() -> None:
    """Turn sensor readings (MQTT, serial) into signed webhooks, and lose none of them."""


@main.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log more.")
def run(config_path: Path | None, *, verbose: bool) -> NoReturn:
    """Run the agent until SIGTERM."""
    gc.disable()  # what is imported is there to stay: to look through it again and again takes a sixth of a start
    from agent import app, logs
    from agent.config import state_dir

    logs.set_up(verbose=verbose)
    file = find_file(config_path)
    config = load_config(file)
    gc.enable()
    with outbox_or_end():
        code = app.run(file, config, state_dir(config, file))
    sys.exit(code)


@main.command("reload")
@config_option
def reload(config_path: Path | None) -> None:
    """Let the running agent read its configuration again, as SIGHUP does. A bad one changes nothing."""
    from agent.cli.asking import command

    answer = command(config_path, "POST", "/api/v1/reload")
    click.echo("The configuration applies.")
    for key in answer["needs_restart"]:
        click.echo(f"{key} has changed and waits for a restart.")
