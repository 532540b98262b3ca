"""`bellcrank webhooks`."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from agent.cli.asking import ask
from agent.cli.common import LOCKED, UNHEALTHY, USAGE, config_option, end, load_config, why

if TYPE_CHECKING:
    from agent.config import Config


@click.group("webhooks")
def webhooks_group() -> None:
    """Work with webhooks."""


@webhooks_group.command("test")
@config_option
@click.argument("name")
def webhooks_test(config_path: Path | None, name: str) -> None:
    """Send a test event to a webhook now, and tell what it answers."""
    import asyncio

    from agent.trial import send

    config = load_config(config_path)
    if name not in config.webhooks:
        end(f"there is no webhook {name}; known: {', '.join(config.webhooks) or 'none'}", USAGE)
    outcome = asyncio.run(send(config, name))
    took = f"in {outcome.duration_s * 1000:.0f} ms"
    if outcome.status is None:
        end(f"{name}: no answer {took}: {outcome.error}: {outcome.detail}", UNHEALTHY)
    if not 200 <= outcome.status < 300:
        end(f"{name}: HTTP {outcome.status} {took}", UNHEALTHY)
    click.echo(f"{name}: HTTP {outcome.status} {took}")


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


def _switch(config_path: Path | None, name: str, *, enabled: bool) -> None:
    """By the running agent, or in the outbox itself where none runs."""
    from agent.control_client import NoAgent, NotAllowed

    word = "enable" if enabled else "disable"
    try:
        ask(config_path, "POST", f"/api/v1/webhooks/{quote(name, safe='')}/{word}")
    except NotAllowed as kept_out:
        end(str(kept_out), UNHEALTHY)
    except NoAgent:
        _switch_in_outbox(load_config(config_path), name, enabled=enabled)
    click.echo(f"{name} is {word}d.")


def _switch_in_outbox(config: "Config", name: str, *, enabled: bool) -> None:
    from agent.config import state_dir
    from agent.outbox import Locked, switch_webhook

    try:
        known = switch_webhook(state_dir(config), name, enabled=enabled)
    except Locked as locked:
        end(f"{locked}, but does not answer at its control socket", LOCKED)
    except FileNotFoundError as error:
        end(f"no agent runs, and there is no outbox {error.filename}", UNHEALTHY)
    except OSError as error:
        end(why(error), UNHEALTHY)
    if not known:
        end(f"there is no webhook {name}", USAGE)
