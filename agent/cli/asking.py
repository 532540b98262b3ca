"""How the commands ask a running agent: by its control socket, or where it has a status page by that."""

import json
import ssl
from pathlib import Path
from typing import Any

import click

from agent.cli.common import BAD_CONFIG, UNHEALTHY, USAGE, end, find_file, load_config, why

_CODES = {404: USAGE, 422: BAD_CONFIG}
"""The exit codes for what the agent answers."""


def ask_status(config_path: Path | None) -> Any:
    """By the control socket, or the status page where no agent listens there."""
    from agent.control_client import NoAgent, NotAllowed

    try:
        return ask(config_path, "GET", "/api/v1/status")
    except (NoAgent, NotAllowed) as nobody:
        config = load_config(config_path)
        if config.status.listen is False:
            end(str(nobody), UNHEALTHY)
        (host, port), tls = config.status.address, config.status.tls
        url = f"{'http' if tls is None else 'https'}://{_reachable(host)}:{port}"
        return ask_page(url, config.status.secret_token, None if tls is None else tls.cert)


def command(config_path: Path | None, method: str, target: str, body: Any = None) -> Any:
    """What only a running agent can do."""
    from agent.control_client import NoAgent, NotAllowed

    try:
        return ask(config_path, method, target, body)
    except (NoAgent, NotAllowed) as nobody:
        end(str(nobody), UNHEALTHY)


def ask(config_path: Path | None, method: str, target: str, body: Any = None) -> Any:
    """Ask over the control socket. Raises NoAgent, NotAllowed."""
    from agent.control_client import CommandRefused, ask
    from agent.control_socket import to_ask

    try:
        return ask(to_ask(find_file(config_path)), method, target, body)
    except CommandRefused as refused:
        end(str(refused), _CODES.get(refused.status, UNHEALTHY))


def _reachable(host: str) -> str:
    """Where an agent that listens there can be asked from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def ask_page(url: str, token: str | None, cert: Path | None = None) -> dict[str, Any]:
    """Ask the status page; `cert` is the certificate that it shows, by whatever name it is asked."""
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("use http://host:port", param_hint="--url")
    request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/status")  # noqa: S310
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5, context=_trusting(cert)) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        end(f"{url}: HTTP {error.code} {error.reason}", UNHEALTHY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        end(f"no agent answers at {url}: {why(reason) if isinstance(reason, OSError) else reason}", UNHEALTHY)
    return found


def _trusting(cert: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        return None
    context = ssl.create_default_context(cafile=cert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be that of a CA
    context.check_hostname = False
    return context
