"""`bellcrank status --link`: a link for logging in to the status page once, and its QR code."""

import getpass
import io
import json
import socket
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from agent.cli.asking import command
from drivers.urls import parse_authority

_ANY_HOST = ("0.0.0.0", "::")  # noqa: S104  # to be named, not to be listened on
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LIGHT_ON_DARK = "\x1b[38;5;231;48;5;16m"
"""The light parts of the code are drawn: white on black whatever the terminal's colours are."""
_PLAIN = "\x1b[0m"


class Reached(NamedTuple):
    """Where people reach the page, and what they have to know about it."""

    base: str
    advice: str


def print_link(config_path: Path | None, at: str | None, *, as_json: bool) -> None:
    """Ask the running agent for a link and print it."""
    reached = None if at is None else Reached(checked_base(at), "")
    made = command(config_path, "POST", "/api/v1/login-links")
    reached = reached or reached_at(made, socket.gethostname(), getpass.getuser())
    url = f"{reached.base}{made['path']}"
    if as_json:
        click.echo(json.dumps({"url": url, "expires_s": made["expires_s"], "advice": reached.advice}))
        return
    click.echo(qr_code(url))
    click.echo(url)
    click.echo(f"\nIt can be used once, within {made['expires_s'] / 60:.0f} minutes. {reached.advice}".rstrip())


def checked_base(at: str) -> str:
    """What was given as `--at`, without a path. Raises click.BadParameter."""
    try:
        parts = urlsplit(at)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.path.strip("/") or parts.query or parts.fragment:
        raise click.BadParameter("use https://host or http://host:port; a path is `status.prefix`", param_hint="--at")
    return f"{parts.scheme}://{parts.netloc}"


def reached_at(made: dict[str, Any], hostname: str, user: str) -> Reached:
    """Of a link as the agent makes it, on a machine of this name."""
    scheme = "https" if made["tls"] else "http"
    host, _, port = made["listen"].rpartition(":")
    host = host.strip("[]")
    if host in _LOOPBACK or host.startswith("127."):
        tunnel = f"ssh -L {port}:{made['listen']} {user}@{hostname}"
        advice = f"It works on this machine; elsewhere through a tunnel: {tunnel}"
        if made["hosts"]:
            advice += f"\nThrough a proxy: bellcrank status --link --at https://{made['hosts'][0]}"
        return Reached(f"{scheme}://{_bracketed(host)}:{port}", advice)
    if host in _ANY_HOST:
        named = parse_authority(made["hosts"][0]) if made["hosts"] else None
        host = named.host if named else hostname if "." in hostname else f"{hostname}.local"
    advice = "" if made["tls"] else "Without TLS (`status.tls`) others in this network can read along."
    return Reached(f"{scheme}://{_bracketed(host)}:{port}", advice)


def qr_code(text: str) -> str:
    """As lines for a terminal, two rows of the code in each."""
    import segno

    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawn, compact=True)
    return "\n".join(f"{_LIGHT_ON_DARK}{line}{_PLAIN}" for line in drawn.getvalue().splitlines())


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
