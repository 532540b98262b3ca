"""Where the control socket stands: for the agent, which listens there, and for the command line, which looks for it.

It stands in the runtime directory that systemd gives the service, else beside the state. What the command line needs
for that is read leniently, since a configuration that is bad must not hide the agent that runs.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from agent import config, secretfiles, yamlfile
from agent.service import Service
from agent.yamlfile import YamlProblem

_NAME = "control.sock"


class Place(NamedTuple):
    """Where to listen, and whether the folder's group may be let in."""

    path: Path
    for_group: bool


def to_listen(state_dir: Path, env: Mapping[str, str] = os.environ) -> Place:
    """The agent's place."""
    runtime = _runtime(env)
    return Place(state_dir / _NAME, for_group=False) if runtime is None else Place(runtime / _NAME, for_group=True)


def to_ask(file: Path, env: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Where an agent of this configuration file may listen, the likeliest first."""
    runtime, service = _runtime(env), Service.of_config(file)
    if runtime is None and service is not None:
        runtime = service.runtime
    if runtime is not None:
        yield runtime / _NAME
    yield likely_state_dir(file, env) / _NAME


def _runtime(env: Mapping[str, str]) -> Path | None:
    return Path(env["RUNTIME_DIRECTORY"].partition(":")[0]) if env.get("RUNTIME_DIRECTORY") else None


def likely_state_dir(file: Path, env: Mapping[str, str] = os.environ) -> Path:
    """Where the state is by a file that may be bad or missing."""
    return known_state_dir(file, env) or config.default_state_dir(file, env)


def known_state_dir(file: Path, env: Mapping[str, str] = os.environ) -> Path | None:
    """Where the state is by a file in which only that needs to be right; None: it is not.

    So the secrets of a service need not be there.
    """
    try:
        document = yamlfile.load(file, secretfiles.tags(file, env))
    except (YamlProblem, OSError):
        return None
    agent = document.value.get("agent", {}) if isinstance(document.value, dict) else None
    if not isinstance(agent, dict) or any(where[:2] == ("agent", "state_dir") for where, _ in document.problems):
        return None
    given = agent.get("state_dir")
    if given is None:
        return config.default_state_dir(file, env)
    return Path(given) if isinstance(given, str) else None
