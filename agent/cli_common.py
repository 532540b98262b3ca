"""What the commands share: exit codes, options, how they print, and how they ask a running agent."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from agent.config import Config

UNHEALTHY, USAGE, LOCKED, BAD_CONFIG = 1, 2, 75, 78
_CODES = {404: USAGE, 422: BAD_CONFIG}
"""The exit codes for what the agent answers."""

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration; default: $BELLCRANK_CONFIG, /etc/bellcrank/bellcrank.yaml or the user's.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def find_file(path: Path | None) -> Path:
    """Find the configuration; end with 78 where there is none."""
    from agent.config import ConfigErrors, find

    try:
        return find(path)
    except ConfigErrors as errors:
        end(str(errors), BAD_CONFIG)


def load_config(path: Path | None) -> "Config":
    """Find and read the configuration; end with 78 and all that is wrong with it."""
    from agent.config import ConfigErrors, load

    try:
        return load(find_file(path))
    except ConfigErrors as errors:
        end(str(errors), BAD_CONFIG)


def end(message: str, code: int) -> NoReturn:
    """End with a message and an exit code."""
    click.echo(message, err=True)
    sys.exit(code)


def why(error: OSError) -> str:
    """What the system refused, without its number."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


def ask(config_path: Path | None, method: str, target: str, body: Any = None) -> Any:
    """Ask over the control socket. Raises NoAgent, NotAllowed."""
    from agent.control_client import CommandRefused, ask
    from agent.control_socket import to_ask

    try:
        return ask(to_ask(find_file(config_path)), method, target, body)
    except CommandRefused as refused:
        end(str(refused), _CODES.get(refused.status, UNHEALTHY))


def table(what: str, things: dict[str, Any] | Iterable[tuple[str, Any]], *keys: str) -> None:
    """Print a row for each thing; a key that ends in `_s` is a duration."""
    from tabulate import tabulate

    named = things.items() if isinstance(things, dict) else things
    cells = [[plain(name), *(_cell(key, thing[key]) for key in keys)] for name, thing in named]
    if cells:
        headers = [what, *(key.removesuffix("_s").replace("_", " ") for key in keys)]
        click.echo("\n" + tabulate(cells, headers=headers, tablefmt="plain", disable_numparse=True))


def _cell(key: str, value: Any) -> str:
    from agent.status.words import age

    if value is None:
        return "-"
    if key.endswith("_s"):
        return age(value)
    return plain(str(value)) or "(empty)"


def plain(text: str) -> str:
    """Text without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:200])
