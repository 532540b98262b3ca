"""`bellcrank webhooks`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from agent.cli.asking import ask, command
from agent.cli.common import UNHEALTHY, USAGE, config_option, end, find_state_dir, idle_outbox_or_end, load_config
from agent.cli.events import webhooks_list

if TYPE_CHECKING:
    from agent.config import Config


@click.group("webhooks")
def webhooks_group() -> None:
    """Work with webhooks."""


webhooks_group.add_command(webhooks_list)


@webhooks_group.command("test")
@config_option
@click.argument("name")
def webhooks_test(config_path: Path | None, name: str) -> None:
    """Send a test event to a webhook now, and tell what it answers; by the running agent, where one runs."""
    from agent.control_client import NoAgent, NotAllowed

    try:
        tried = ask(config_path, "POST", f"{_path(name)}/test")
    except NotAllowed as kept_out:
        end(str(kept_out), UNHEALTHY)
    except NoAgent:
        tried = _try(load_config(config_path), name)
    took = f"in {tried['duration_s'] * 1000:.0f} ms"
    if tried["status"] is None:
        end(f"{name}: no answer {took}: {tried['error']}", UNHEALTHY)
    if tried["error"] is not None:
        end(f"{name}: {tried['error']}, {took}", UNHEALTHY)
    click.echo(f"{name}: HTTP {tried['status']} {took}")


@webhooks_group.command("retry")
@config_option
@click.argument("name")
def webhooks_retry(config_path: Path | None, name: str) -> None:
    """Try now what waits for a webhook: one that rests, or whose next attempts are a while off."""
    command(config_path, "POST", f"{_path(name)}/retry")
    click.echo(f"{name} is tried now.")


@webhooks_group.command("enable")
@config_option
@click.argument("name")
def webhooks_enable(config_path: Path | None, name: str) -> None:
    """Let a webhook be tried again now: one that answered 410, that rests, or that was disabled."""
    _switch(config_path, name, enabled=True)


@webhooks_group.command("disable")
@config_option
@click.argument("name")
def webhooks_disable(config_path: Path | None, name: str) -> None:
    """Send nothing to a webhook until it is enabled; what it is owed waits for as long as it may."""
    _switch(config_path, name, enabled=False)


def _path(name: str) -> str:
    return f"/api/v1/webhooks/{quote(name, safe='')}"


def _try(config: "Config", name: str) -> dict[str, Any]:
    """Without an agent."""
    import asyncio
    import secrets

    from agent.clock import SystemClock
    from agent.webhooks.retry import why_failed
    from agent.webhooks.trial import send
    from agent.webhooks.writer import Writer

    if name not in config.webhooks:
        end(f"there is no webhook {name}; known: {', '.join(config.webhooks) or 'none'}", USAGE)
    write = Writer(config.agent.name, "", config.webhooks)
    outcome = asyncio.run(send(name, config.webhooks[name], write, SystemClock(), f"evt_{secrets.token_hex(13)}"))
    return {"status": outcome.status, "error": why_failed(outcome), "duration_s": outcome.duration_s}


def _switch(config_path: Path | None, name: str, *, enabled: bool) -> None:
    """By the running agent, or in the outbox itself where none runs."""
    from agent.control_client import NoAgent, NotAllowed

    word = "enable" if enabled else "disable"
    try:
        ask(config_path, "POST", f"{_path(name)}/{word}")
    except NotAllowed as kept_out:
        end(str(kept_out), UNHEALTHY)
    except NoAgent:
        _switch_in_outbox(find_state_dir(config_path), name, enabled=enabled)
    click.echo(f"{name} is {word}d.")


def _switch_in_outbox(state_dir: Path, name: str, *, enabled: bool) -> None:
    from agent.outbox.idle import switch_webhook

    with idle_outbox_or_end():
        known = switch_webhook(state_dir, name, enabled=enabled)
    if not known:
        end(f"there is no webhook {name}", USAGE)
