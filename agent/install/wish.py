"""What a person asks for, and what this machine is like."""

from pathlib import Path
from typing import NamedTuple

from agent.service import Service

OPT = Path("/opt/bellcrank")
RELEASES = OPT / "releases"
CURRENT = OPT / "current"
LINK = Path("/usr/local/bin/bellcrank")
UNITS = Path("/usr/local/lib/systemd/system")
BACKUPS = Path("/var/backups/bellcrank")


class Source(NamedTuple):
    """A version that can be installed."""

    version: str
    path: Path | None
    """What pip is given: a folder with pyproject.toml, or a wheel; None: what runs this, of which a wheel is made."""
    requirements: Path | None
    """The lock file of a checkout; a wheel brings its own."""


class Wish(NamedTuple):
    """Of `bellcrank install`."""

    source: Source
    service: Service | None = None
    """An agent that there shall be; None: those that are there, or the one of most machines."""
    wheels: Path | None = None
    """A folder in place of the network."""
    within_s: int = 60
    """How long an agent may take to become ready."""


class Standing(NamedTuple):
    """An agent of this machine."""

    service: Service
    running: bool
    """It runs, or systemd tries to."""
    has_process: bool
    """So that its configuration can be read with what it was given."""


class Python(NamedTuple):
    """The interpreter that releases are made with."""

    path: Path
    version: tuple[int, int]
    has_venv: bool


class Facts(NamedTuple):
    """This machine."""

    is_root: bool
    machine: str
    """As `uname -m` has it."""
    has_systemd: bool
    python: Python | None
    free_bytes: int
    """Where releases go."""
    releases: tuple[str, ...]
    current: str | None
    agents: tuple[Standing, ...]
    backups: tuple[str, ...] = ()
    """By the release that came after each; those of updates that failed too."""
    foreign: tuple[Path, ...] = ()
    """What stands where the installer's own things would go, or hides them."""
    states: tuple[Path, ...] = ()
    """The folders with outboxes."""
    configs: tuple[Service, ...] = ()
    """Agents that have a configuration."""
    free_port: int = 8331
    """For the page of one more agent."""
