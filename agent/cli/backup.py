"""`bellcrank backup` and `restore`."""

from datetime import UTC, datetime
from pathlib import Path

import click

from agent.cli.common import USAGE, config_option, end, find_state_dir, outbox_or_end, why

_MEANING = """\
A restore turns the outbox back to what it was at the backup:
- what was sent since then goes out again, with the same webhook-id, so receivers can tell;
- what sensors have said since then is gone, with the alerts that it caused; rules go on with what they knew then;
- numbers of events (`sequence`) go on, so receivers see a gap where events are lost;
- a message that the broker sends again is evaluated once more.
The present outbox is kept beside it."""


@click.command()
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace a file of this name.")
def backup(config_path: Path | None, file: Path, *, force: bool) -> None:
    """Copy the outbox into FILE, whether the agent runs or not. The copy is checked before it has its name."""
    from agent.outbox.backup import back_up

    with outbox_or_end():
        try:
            size_bytes = back_up(find_state_dir(config_path), file, replace=force)
        except FileExistsError as error:
            end(why(error), USAGE)
    click.echo(f"{file} holds the outbox, checked: {size_bytes} bytes. It has what sensors said, so keep it safe.")


@click.command()
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(config_path: Path | None, file: Path, *, yes: bool) -> None:
    """Put the backup FILE in the place of the outbox, while no agent runs."""
    from agent.clock import SystemClock
    from agent.outbox.backup import put_back

    folder = find_state_dir(config_path)
    click.echo(_MEANING, err=True)
    if not yes:
        click.confirm("Restore?", abort=True, err=True)
    with outbox_or_end(locked=": stop it first", refused="nothing has changed: "):
        done = put_back(folder, file, SystemClock().wall())
    made = datetime.fromtimestamp(done.made_wall, UTC).isoformat(timespec="seconds")
    click.echo(f"Restored: the outbox of about {made}, with {done.pending} events to send.")
    if done.replaced is not None:
        click.echo(f"The outbox that it replaces lies in {done.replaced}.")
