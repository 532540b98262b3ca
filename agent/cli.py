"""The command `bellcrank`. Exit codes.

0 ok, 1 unhealthy, 2 usage, 75 another agent has the outbox, 78 bad configuration.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from agent.version import __version__

if TYPE_CHECKING:
    from agent.config import Config

UNHEALTHY, LOCKED, BAD_CONFIG = 1, 75, 78

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


@main.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log more.")
def run(config_path: Path | None, *, verbose: bool) -> NoReturn:
    """Run the agent until SIGTERM."""
    from agent import app, logs
    from agent.config import state_dir
    from agent.outbox import Locked, NewerSchema

    logs.set_up(verbose=verbose)
    config = _load(config_path)
    try:
        code = app.run(config, state_dir(config))
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
@click.option("--url", help="Where the status page is; default: as the configuration says.")
@json_option
def status(config_path: Path | None, url: str | None, *, as_json: bool) -> None:
    """Ask the running agent how it is. Ends with 1 where something is wrong."""
    token = None
    if url is None:
        config = _load(config_path)
        if config.status.listen is False:
            _end("the status page is off (`status.listen: false`)", UNHEALTHY)
        host, port = config.status.address
        url = f"http://{_reachable(host)}:{port}"
        token = config.status.token.get_secret_value() if config.status.token else None
    found = _ask(url, token)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_status(found)
    sys.exit(UNHEALTHY if found["troubles"] else 0)


@main.group("config")
def config_group() -> None:
    """Work with the configuration."""


@config_group.command("check")
@config_option
def config_check(config_path: Path | None) -> None:
    """Read the configuration and tell everything that is wrong with it."""
    config = _load(config_path)
    parts = {"source": config.sources, "rule": config.rules, "webhook": config.webhooks}
    counts = [f"{len(part)} {word}{'' if len(part) == 1 else 's'}" for word, part in parts.items()]
    click.echo(f"The configuration is good: {', '.join(counts)}.")


@main.group("secret")
def secret_group() -> None:
    """Work with secrets."""


@secret_group.command("new")
def secret_new() -> None:
    """Make a secret for a webhook."""
    from agent.webhooks.signing import new_secret

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
        _end(f"there is no webhook {name}; known: {', '.join(config.webhooks) or 'none'}", 2)
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
    """Let a webhook be tried again that answered 410, while the agent is stopped."""
    from agent.config import state_dir
    from agent.outbox import Locked, enable_webhook

    config = _load(config_path)
    try:
        known = enable_webhook(state_dir(config), name)
    except Locked as locked:
        _end(f"{locked}: stop it first", LOCKED)
    except OSError as error:
        _end(_why(error), UNHEALTHY)
    if not known:
        _end(f"the outbox knows no webhook {name}", 2)
    click.echo(f"{name} is enabled: its queue goes out when the agent starts.")


def _load(path: Path | None) -> "Config":
    from agent.config import ConfigErrors, find, load

    try:
        return load(find(path))
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


def _ask(url: str, token: str | None) -> dict[str, Any]:
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
