"""Who is examined: the configuration as far as it can be read, and the agent that may be running."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.clock import DeviceClock
from agent.config import Config, ConfigErrors, find, load, state_dir
from agent.control_client import CommandRefused, NoAgent, NotAllowed, ask, process_behind
from agent.control_socket import likely_state_dir, to_ask
from agent.doctor.finding import Finding, Verdict
from agent.doctor.processes import Account, account
from agent.service import Service

_CREDENTIALS = Path("/run/credentials")
"""Where systemd keeps what `LoadCredential=` loaded for each service, while it runs; root may read there."""


@dataclass(frozen=True, slots=True)
class RunningAgent:
    """What the agent itself says, as `/api/v1/` gives it. What it has open is left to it."""

    pid: int | None
    """None: it cannot be seen from here, as from another container."""
    agent: Mapping[str, Any]
    outbox: Mapping[str, Any]
    sources: Mapping[str, Mapping[str, Any]]
    webhooks: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Patient:
    """All that the checks are given."""

    file: Path | None
    """None: there is no configuration."""
    config: Config | None
    problems: tuple[str, ...]
    """Why there is no `config`."""
    state_dir: Path
    agent: RunningAgent | None
    kept_out: str | None
    """Why an agent that runs could not be asked."""
    account: Account
    """Whom the agent runs as, or would."""
    clock: DeviceClock
    listen_s: float
    """How long to listen to brokers and ports."""
    send_test: bool
    """Whether each webhook is sent a test event."""

    @property
    def may_be_running(self) -> bool:
        """Whether an agent may have the ports."""
        return self.agent is not None or self.kept_out is not None


def admit(path: Path | None, clock: DeviceClock, *, listen_s: float, send_test: bool) -> Patient:
    """Read what there is; `path` is the file that was named on the command line."""
    file, config, problems = None, None, tuple[str, ...]()
    try:
        file = find(path)
        config = load(file, _environment(file))
    except ConfigErrors as errors:
        problems = tuple(map(str, errors.problems))
    agent, kept_out = (None, None) if file is None else _ask(file)
    return Patient(
        file=file,
        config=config,
        problems=problems,
        state_dir=state_dir(config, file) if config and file else likely_state_dir(file or Path("bellcrank.yaml")),
        agent=agent,
        kept_out=kept_out,
        account=account(agent.pid if agent else None),
        clock=clock,
        listen_s=listen_s,
        send_test=send_test,
    )


def _environment(file: Path) -> Mapping[str, str]:
    """As the service of this configuration has it, so that `!credential` can be read."""
    service = Service.of_config(file)
    if service is None or "CREDENTIALS_DIRECTORY" in os.environ or not (_CREDENTIALS / service.unit).is_dir():
        return os.environ
    return {**os.environ, "CREDENTIALS_DIRECTORY": str(_CREDENTIALS / service.unit)}


def without_config(subject: str) -> list[Finding]:
    """For a check that needs the configuration."""
    return [Finding(subject, "all", Verdict.SKIPPED, "there is no good configuration that would say what to look at")]


def _ask(file: Path) -> tuple[RunningAgent | None, str | None]:
    try:
        pid = process_behind(to_ask(file))
        found = {noun: ask(to_ask(file), "GET", f"/api/v1/{noun}") for noun in ("agent", "outbox")}
        sources = ask(to_ask(file), "GET", "/api/v1/sources")["sources"]
        webhooks = ask(to_ask(file), "GET", "/api/v1/webhooks")["webhooks"]
    except NoAgent:
        return None, None
    except (NotAllowed, CommandRefused) as refused:
        return None, str(refused)
    return RunningAgent(pid, found["agent"], found["outbox"], sources, webhooks), None
