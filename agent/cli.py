"""The command `bellcrank`. Exit codes.

0 ok, 1 unhealthy, 2 usage, 75 another agent has the outbox, 78 bad configuration.
"""

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import click

from agent.cli_verify import verify
from agent.version import __version__

if TYPE_CHECKING:
    from agent.config import Config

UNHEALTHY, USAGE, LOCKED, BAD_CONFIG = 1, 2, 75, 78
_CODES = {404: USAGE, 422: BAD_CONFIG}
"""The exit codes for what the agent answers."""
_WATCH_EVERY_S = 2.0

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration; default: $BELLCRANK_CONFIG, /etc/bellcrank/bellcrank.yaml or the user's.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bellcrank")
def main() -> None:
    """Turn sensor readings (MQTT, serial) into signed webhooks, and lose none of them."""


main.add_command(verify)


@main.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log more.")
def run(config_path: Path | None, *, verbose: bool) -> NoReturn:
    """Run the agent until SIGTERM."""
    from agent import app, logs
    from agent.config import state_dir
    from agent.outbox import Locked, NewerSchema

    logs.set_up(verbose=verbose)
    file = _find(config_path)
    config = _load(file)
    try:
        code = app.run(file, config, state_dir(config))
    except Locked as locked:
        _end(str(locked), LOCKED)
    except NewerSchema as error:
        _end(str(error), UNHEALTHY)
    except OSError as error:
        _end(_why(error), UNHEALTHY)
    sys.exit(code)


@main.command()
@click.option("--for", "duration", default="", help="End after this long, such as 60s, with a summary.")
def demo(duration: str) -> NoReturn:
    """Show the whole product with nothing to set up.

    Broker, sensors, receiver and agent, on this machine only.
    """
    from agent import demo as show
    from drivers.units import parse_duration

    try:
        for_s = parse_duration(duration) if duration else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    sys.exit(show.run(for_s))


@main.command()
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
        _end(f"{secret_file}: {error}", BAD_CONFIG)
    try:
        serve(port, keys, status, click.echo)
    except OSError as error:
        _end(f"port {port}: {os.strerror(error.errno or 0)}; `--port` takes another", UNHEALTHY)


@main.command()
@config_option
@click.option("--url", help="Where the status page is; default: the control socket, then as the configuration says.")
@json_option
def status(config_path: Path | None, url: str | None, *, as_json: bool) -> None:
    """Ask the running agent how it is. Ends with 1 where something is wrong."""
    found = _ask_page(url, None) if url else _status(config_path)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_status(found)
    sys.exit(UNHEALTHY if found["troubles"] else 0)


@main.command("reload")
@config_option
def reload(config_path: Path | None) -> None:
    """Let the running agent read its configuration again, as SIGHUP does. A bad one changes nothing."""
    answer = _command(config_path, "POST", "/api/v1/reload")
    click.echo("The configuration applies.")
    for key in answer["needs_restart"]:
        click.echo(f"{key} has changed and waits for a restart.")


@main.group("sensors", invoke_without_command=True)
@config_option
@click.option("--watch", is_flag=True, help="Show them again every 2 seconds, until Ctrl-C.")
@json_option
@click.pass_context
def sensors_group(context: click.Context, config_path: Path | None, *, watch: bool, as_json: bool) -> None:
    """Show what every sensor said last, and what of it was refused."""
    context.obj = config_path
    if context.invoked_subcommand is not None:
        return
    pause = threading.Event()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            _print_sensors(_command(config_path, "GET", "/api/v1/sensors"), watch=watch, as_json=as_json)
            if not watch or pause.wait(_WATCH_EVERY_S):
                return


@sensors_group.command("forget")
@click.argument("name")
@config_option
@click.pass_obj
def sensors_forget(given: Path | None, name: str, config_path: Path | None) -> None:
    """Forget all of a sensor, such as one that is no more; its alerts are resolved."""
    _command(config_path or given, "POST", "/api/v1/sensors/forget", {"name": name})
    click.echo(f"{name} is forgotten.")


@main.group("config")
def config_group() -> None:
    """Work with the configuration."""


@config_group.command("check")
@config_option
def config_check(config_path: Path | None) -> None:
    """Read the configuration and tell everything that is wrong with it."""
    config = _load(config_path)
    click.echo(f"The configuration is good: {config.summary()}.")


@config_group.command("init")
@click.argument("path", required=False, type=click.Path(path_type=Path, dir_okay=False))
def config_init(path: Path | None) -> None:
    """Write a first configuration that runs as it is, and secrets.yaml beside it.

    PATH is where `bellcrank run` looks if it is left out. Nothing is asked and nothing is overwritten.
    """
    from agent.config import home
    from agent.starter import write

    path = home() if path is None else path
    try:
        secrets = write(path.absolute(), os.urandom(32))
    except FileExistsError as error:
        _end(f"{error.filename} is there already; nothing was written", UNHEALTHY)
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}", UNHEALTHY)
    click.echo(f"Wrote {path} and {secrets}: read the first lines of {path.name}.")


@config_group.command("show")
@config_option
def config_show(config_path: Path | None) -> None:
    """Print the configuration with all its defaults; secrets are not shown."""
    from agent.config import ConfigErrors, find, read
    from agent.effective import effective

    try:
        click.echo(effective(read(find(config_path))), nl=False)
    except ConfigErrors as errors:
        _end(str(errors), BAD_CONFIG)


@config_group.command("schema")
def config_schema() -> None:
    """Print a JSON Schema of the configuration, with which an editor completes its words."""
    from agent.schema import schema

    click.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


@main.group("secret")
def secret_group() -> None:
    """Work with secrets."""


@secret_group.command("new")
def secret_new() -> None:
    """Make a secret for a webhook."""
    from drivers.signing import new_secret

    click.echo(new_secret(os.urandom(32)))


@main.group("webhooks")
def webhooks_group() -> None:
    """Work with webhooks."""


@webhooks_group.command("test")
@config_option
@click.argument("name")
def webhooks_test(config_path: Path | None, name: str) -> None:
    """Send a test event to a webhook now, and tell what it answers."""
    import asyncio

    from agent.trial import send

    config = _load(config_path)
    if name not in config.webhooks:
        _end(f"there is no webhook {name}; known: {', '.join(config.webhooks) or 'none'}", USAGE)
    outcome = asyncio.run(send(config, name))
    took = f"in {outcome.duration_s * 1000:.0f} ms"
    if outcome.status is None:
        _end(f"{name}: no answer {took}: {outcome.error}: {outcome.detail}", UNHEALTHY)
    if not 200 <= outcome.status < 300:
        _end(f"{name}: HTTP {outcome.status} {took}", UNHEALTHY)
    click.echo(f"{name}: HTTP {outcome.status} {took}")


@webhooks_group.command("enable")
@config_option
@click.argument("name")
def webhooks_enable(config_path: Path | None, name: str) -> None:
    """Let a webhook be tried again now: one that answered 410, that rests, or that was disabled."""
    _switch(config_path, name, enabled=True)
    click.echo(f"{name} is enabled.")


@webhooks_group.command("disable")
@config_option
@click.argument("name")
def webhooks_disable(config_path: Path | None, name: str) -> None:
    """Send nothing to a webhook until it is enabled; what it is owed waits for as long as it may."""
    _switch(config_path, name, enabled=False)
    click.echo(f"{name} is disabled.")


def _switch(config_path: Path | None, name: str, *, enabled: bool) -> None:
    """By the running agent, or in the outbox itself where none runs."""
    from agent.control_client import NoAgent, NotAllowed

    try:
        _ask(config_path, "POST", f"/api/v1/webhooks/{quote(name, safe='')}/{'enable' if enabled else 'disable'}")
    except NotAllowed as kept_out:
        _end(str(kept_out), UNHEALTHY)
    except NoAgent:
        _switch_in_outbox(_load(config_path), name, enabled=enabled)


def _switch_in_outbox(config: "Config", name: str, *, enabled: bool) -> None:
    from agent.config import state_dir
    from agent.outbox import Locked, switch_webhook

    try:
        known = switch_webhook(state_dir(config), name, enabled=enabled)
    except Locked as locked:
        _end(f"{locked}, but does not answer at its control socket", LOCKED)
    except FileNotFoundError as error:
        _end(f"no agent runs, and there is no outbox {error.filename}", UNHEALTHY)
    except OSError as error:
        _end(_why(error), UNHEALTHY)
    if not known:
        _end(f"there is no webhook {name}", USAGE)


def _status(config_path: Path | None) -> Any:
    """By the control socket, or the status page where no agent listens there."""
    from agent.control_client import NoAgent, NotAllowed

    try:
        return _ask(config_path, "GET", "/api/v1/status")
    except (NoAgent, NotAllowed) as nobody:
        config = _load(config_path)
        if config.status.listen is False:
            _end(str(nobody), UNHEALTHY)
        host, port = config.status.address
        return _ask_page(f"http://{_reachable(host)}:{port}", config.status.secret_token)


def _command(config_path: Path | None, method: str, target: str, body: Any = None) -> Any:
    """What only a running agent can do."""
    from agent.control_client import NoAgent, NotAllowed

    try:
        return _ask(config_path, method, target, body)
    except (NoAgent, NotAllowed) as nobody:
        _end(str(nobody), UNHEALTHY)


def _ask(config_path: Path | None, method: str, target: str, body: Any = None) -> Any:
    """Ask over the control socket. Raises NoAgent, NotAllowed."""
    from agent.control_client import CommandRefused, ask
    from agent.control_socket import to_ask

    try:
        return ask(to_ask(_find(config_path)), method, target, body)
    except CommandRefused as refused:
        _end(str(refused), _CODES.get(refused.status, UNHEALTHY))


def _load(path: Path | None) -> "Config":
    from agent.config import ConfigErrors, load

    try:
        return load(_find(path))
    except ConfigErrors as errors:
        _end(str(errors), BAD_CONFIG)


def _find(path: Path | None) -> Path:
    from agent.config import ConfigErrors, find

    try:
        return find(path)
    except ConfigErrors as errors:
        _end(str(errors), BAD_CONFIG)


def _end(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def _why(error: OSError) -> str:
    """What the system refused, without its number."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


def _reachable(host: str) -> str:
    """Where an agent that listens there can be asked from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _ask_page(url: str, token: str | None) -> dict[str, Any]:
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("use http://host:port", param_hint="--url")
    request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/status")  # noqa: S310
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        _end(f"{url}: HTTP {error.code} {error.reason}", UNHEALTHY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        _end(f"no agent answers at {url}: {_why(reason) if isinstance(reason, OSError) else reason}", UNHEALTHY)
    return found


def _print_status(found: dict[str, Any]) -> None:
    from agent.status.words import age, size

    agent, outbox = found["agent"], found["outbox"]
    click.echo(f"{agent['name']}  bellcrank {agent['version']}  up {age(agent['uptime_s'])}  clock {agent['clock']}")
    for trouble in found["troubles"]:
        click.secho(f"  ! {_plain(trouble)}", fg="red")
    _table("source", found["sources"], "state", "messages", "refused", "last_refusal")
    _table("sensor", found["sensors"], "value", "unit", "age_s")
    _table("rule", _rules(found["rules"]), "sensor", "state", "since_s")
    _table("webhook", found["webhooks"], "state", "resting_s", "delivered", "pending", "dead", "dropped", "last_error")
    click.echo(
        f"\noutbox: {outbox['owed']} owed = {outbox['delivered']} delivered + {outbox['pending']} pending"
        f" + {outbox['dead']} dead + {outbox['dropped']} dropped; {size(outbox['size_bytes'])}"
    )


def _print_sensors(found: dict[str, dict[str, Any]], *, watch: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=None if watch else 2, ensure_ascii=False))
        return
    if watch:
        click.clear()
    _table("sensor", found, "value", "unit", "age_s", "refused", "last_refusal")
    if not found:
        click.echo("no sensor has been heard yet")


def _rules(rules: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """A row for each sensor that a rule remembers; else one for the rule."""
    rows = []
    for name, rule in rules.items():
        unmoved = {"state": "ok" if rule["heard"] else "not heard yet", "since_s": None}
        states = rule["states"] or {rule["sensor"]: unmoved}
        rows += [(name, {"sensor": sensor, **at}) for sensor, at in states.items()]
    return rows


def _table(what: str, things: dict[str, Any] | list[tuple[str, Any]], *keys: str) -> None:
    """One row for each thing; a key that ends in `_s` is a duration."""
    from tabulate import tabulate

    named = things.items() if isinstance(things, dict) else things
    cells = [[_plain(name), *(_cell(key, thing[key]) for key in keys)] for name, thing in named]
    if cells:
        headers = [what, *(key.removesuffix("_s").replace("_", " ") for key in keys)]
        click.echo("\n" + tabulate(cells, headers=headers, tablefmt="plain", disable_numparse=True))


def _cell(key: str, value: Any) -> str:
    from agent.status.words import age

    if value is None:
        return "-"
    if key.endswith("_s"):
        return age(value)
    return _plain(str(value)) or "(empty)"


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:200])
