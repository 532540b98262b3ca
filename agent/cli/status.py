"""`bellcrank status` and `bellcrank sensors`: how the running agent is, and what its sensors said."""

import contextlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from agent.cli.asking import ask_page, ask_status, command
from agent.cli.common import UNHEALTHY, config_option, json_option, plain, table
from agent.cli.link import print_link

_WATCH_EVERY_S = 2.0
_PAGE = 500
_watch_option = click.option("--watch", is_flag=True, help="Show it again every 2 seconds, until Ctrl-C.")


@click.command()
@config_option
@click.option("--url", help="Where the status page is; default: the control socket, then as the configuration says.")
@click.option("--link", is_flag=True, help="Print a link for logging in once, within ten minutes, and its QR code.")
@click.option("--at", help="With --link: where the page is reached, such as https://cabin.example.com.")
@_watch_option
@json_option
def status(
    config_path: Path | None, url: str | None, at: str | None, *, link: bool, watch: bool, as_json: bool
) -> None:
    """Ask the running agent how it is. Ends with 1 where something is wrong."""
    if link:
        print_link(config_path, at, as_json=as_json)
        return
    if at is not None:
        raise click.UsageError("--at is for --link")

    def ask() -> Any:
        return ask_page(url, None) if url else ask_status(config_path)

    found = _show(ask, _print_status, watch=watch, as_json=as_json)
    sys.exit(UNHEALTHY if found["troubles"] else 0)


@click.group("sensors", invoke_without_command=True)
@config_option
@_watch_option
@json_option
@click.pass_context
def sensors_group(context: click.Context, config_path: Path | None, *, watch: bool, as_json: bool) -> None:
    """Show what every sensor said last, and what of it was refused."""
    context.obj = config_path
    if context.invoked_subcommand is not None:
        return
    _show(lambda: _sensors(config_path), _print_sensors, watch=watch, as_json=as_json)


@sensors_group.command("forget")
@click.argument("name")
@config_option
@click.pass_obj
def sensors_forget(given: Path | None, name: str, config_path: Path | None) -> None:
    """Forget all of a sensor, such as one that is no more; its alerts are resolved."""
    command(config_path or given, "DELETE", f"/api/v1/sensors/{quote(name, safe='')}")
    click.echo(f"{name} is forgotten.")


def _show(ask: Callable[[], Any], words: Callable[[Any], None], *, watch: bool, as_json: bool) -> Any:
    """Ask and print, with `watch` again and again until Ctrl-C: JSON in a line each, words on a clean screen.

    Returns what was answered last.
    """
    pause = threading.Event()
    found = ask()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            if as_json:
                click.echo(json.dumps(found, indent=None if watch else 2, ensure_ascii=False))
            else:
                if watch:
                    click.clear()
                words(found)
            if not watch or pause.wait(_WATCH_EVERY_S):
                break
            found = ask()
    return found


def _sensors(config_path: Path | None) -> dict[str, dict[str, Any]]:
    """All of them, page by page."""
    found: dict[str, dict[str, Any]] = {}
    offset: int | None = 0
    while offset is not None:
        page = command(config_path, "GET", f"/api/v1/sensors?limit={_PAGE}&offset={offset}")
        found |= page["sensors"]
        offset = page["next"]
    return found


def _print_status(found: dict[str, Any]) -> None:
    from agent.status.words import age, size

    agent, outbox = found["agent"], found["outbox"]
    click.echo(f"{agent['name']}  bellcrank {agent['version']}  up {age(agent['uptime_s'])}  clock {agent['clock']}")
    for trouble in found["troubles"]:
        click.secho(f"  ! {plain(trouble)}", fg="red")
    table("source", found["sources"], "state", "messages", "refused", "last_refusal")
    table("sensor", found["sensors"], "value", "unit", "age_s")
    table("rule", _rules(found["rules"]), "sensor", "state", "since_s")
    table("webhook", found["webhooks"], "state", "resting_s", "delivered", "pending", "dead", "dropped", "last_error")
    click.echo(
        f"\noutbox: {outbox['owed']} owed = {outbox['delivered']} delivered + {outbox['pending']} pending"
        f" + {outbox['dead']} dead + {outbox['dropped']} dropped; {size(outbox['size_bytes'])}"
    )


def _print_sensors(found: dict[str, dict[str, Any]]) -> None:
    table("sensor", found, "value", "unit", "age_s", "refused", "last_refusal")
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
