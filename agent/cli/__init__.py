"""The command `bellcrank`. Exit codes.

0 ok, 1 unhealthy, 2 usage, 75 another agent has the outbox, 78 bad configuration.
"""

import sys
from pathlib import Path
from typing import NoReturn

import click

from agent.cli import backup, discover, doctor, events, install, record, rules, status, trying, verify, webhooks
from agent.cli import config as config_commands
from agent.cli.asking import command
from agent.cli.common import LOCKED, UNHEALTHY, config_option, end, find_file, load_config, why
from agent.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bellcrank")
def main() -> None:
    """Turn sensor readings (MQTT, serial) into signed webhooks, and lose none of them."""


@main.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log more.")
def run(config_path: Path | None, *, verbose: bool) -> NoReturn:
    """Run the agent until SIGTERM."""
    from agent import app, logs
    from agent.config import state_dir
    from agent.outbox import Locked, NewerSchema

    logs.set_up(verbose=verbose)
    file = find_file(config_path)
    config = load_config(file)
    try:
        code = app.run(file, config, state_dir(config, file))
    except Locked as locked:
        end(str(locked), LOCKED)
    except NewerSchema as error:
        end(str(error), UNHEALTHY)
    except OSError as error:
        end(why(error), UNHEALTHY)
    sys.exit(code)


@main.command("reload")
@config_option
def reload(config_path: Path | None) -> None:
    """Let the running agent read its configuration again, as SIGHUP does. A bad one changes nothing."""
    answer = command(config_path, "POST", "/api/v1/reload")
    click.echo("The configuration applies.")
    for key in answer["needs_restart"]:
        click.echo(f"{key} has changed and waits for a restart.")


for _command in (
    trying.demo,
    trying.listen,
    verify.verify,
    status.status,
    doctor.doctor,
    status.sensors_group,
    config_commands.config_group,
    config_commands.secret_group,
    webhooks.webhooks_group,
    events.events_group,
    rules.rules_group,
    record.record,
    discover.discover,
    backup.backup,
    backup.restore,
    install.install,
    install.uninstall,
):
    main.add_command(_command)
webhooks.webhooks_group.add_command(events.webhooks_list)
