"""What the commands share: exit codes, options, and how they print."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from agent.config import Config

UNHEALTHY, USAGE, LOCKED, BAD_CONFIG = 1, 2, 75, 78

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


def find_state_dir(path: Path | None) -> Path:
    """Where the outbox is, by a configuration in which only that needs to be right; end with 78 where it is not."""
    from agent.control_socket import known_state_dir

    file = find_file(path)
    found = known_state_dir(file)
    if found is None:
        load_config(file)
        end(f"{file} does not say in a way that can be read where the outbox is: `agent.state_dir`", BAD_CONFIG)
    return found


def end(message: str, code: int) -> NoReturn:
    """End with a message and an exit code."""
    click.echo(message, err=True)
    sys.exit(code)


@contextlib.contextmanager
def outbox_or_end(*, locked: str = "", refused: str = "") -> Iterator[None]:
    """End with a message where the outbox cannot be had.

    `locked` goes behind that another agent has it, `refused` before what the system refused.
    """
    from agent.outbox import Locked, NewerSchema

    try:
        yield
    except Locked as error:
        end(f"{error}{locked}", LOCKED)
    except NewerSchema as error:
        end(str(error), UNHEALTHY)
    except BrokenPipeError:  # of what reads the output
        raise
    except OSError as error:
        end(f"{refused}{why(error)}", UNHEALTHY)


@contextlib.contextmanager
def idle_outbox_or_end() -> Iterator[None]:
    """The same for what people ask, or do, because no agent answers."""
    with outbox_or_end(locked=", but does not answer at its control socket"):
        try:
            yield
        except FileNotFoundError as error:
            end(f"no agent runs, and there is no outbox {error.filename}", UNHEALTHY)


def why(error: OSError) -> str:
    """What the system refused, without its number."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


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


def plain(text: str, chars_max: int = 200) -> str:
    """Text without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:chars_max])


def until_interrupted() -> asyncio.Event:
    """Give an event of the running loop that Ctrl-C and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


class Duration(click.ParamType[float]):
    """A duration as in the configuration, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read `90s`."""
        from drivers.units import parse_duration

        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


duration = Duration()
