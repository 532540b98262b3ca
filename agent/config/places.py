"""Where things are on this machine: the configuration file, and the state of the agent."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.config.model import Config
from agent.config.problems import ConfigErrors, Problem
from agent.service import Service
from agent.yamlfile import Place


def find(explicit: Path | None, env: Mapping[str, str] = os.environ) -> Path:
    """The configuration file. Raises ConfigErrors that says where it was looked for."""
    if explicit is not None:
        return explicit
    if "BELLCRANK_CONFIG" in env:
        return Path(env["BELLCRANK_CONFIG"])
    for place in _places(env):
        if place.exists():
            return place
    looked = [str(place) for place in _places(env)]
    advice = f"no configuration; looked for {', '.join(looked)}; use --config, or make one: bellcrank config init"
    raise ConfigErrors([Problem(Path(looked[0]), Place(1, 1), "", advice)])


def home(env: Mapping[str, str] = os.environ) -> Path:
    """Where a first configuration is found by `find` and may be written; the user's, if nothing else."""
    if "BELLCRANK_CONFIG" in env:
        return Path(env["BELLCRANK_CONFIG"])
    *others, users = _places(env)
    return next((place for place in others if os.access(place.parent, os.W_OK)), users)


def _places(env: Mapping[str, str]) -> Iterator[Path]:
    if "CONFIGURATION_DIRECTORY" in env:
        yield Path(env["CONFIGURATION_DIRECTORY"]) / "bellcrank.yaml"
    yield Path("/etc/bellcrank/bellcrank.yaml")
    import platformdirs  # not before it is asked: a service has folders of its own

    yield platformdirs.user_config_path("bellcrank") / "bellcrank.yaml"


def state_dir(config: Config, file: Path, env: Mapping[str, str] = os.environ) -> Path:
    """Where the outbox lives; `file` is the configuration's."""
    return default_state_dir(file, env) if config.agent.state_dir is None else config.agent.state_dir


def default_state_dir(file: Path, env: Mapping[str, str] = os.environ) -> Path:
    """Where it lives when the configuration does not say; that of a service never leads to another agent's."""
    if "STATE_DIRECTORY" in env:
        return Path(env["STATE_DIRECTORY"].partition(":")[0])
    if service := Service.of_config(file):
        return service.state
    system = Path("/var/lib/bellcrank")
    if os.access(system, os.W_OK):
        return system
    import platformdirs

    return platformdirs.user_state_path("bellcrank")
