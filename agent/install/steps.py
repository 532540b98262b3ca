"""The steps that more than one plan has."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.install.source import SHARE
from agent.install.wish import BACKUPS, CURRENT, LINK, RELEASES, UNITS
from agent.service import CONFIG, USER, Service

SYSUSERS = Path("/usr/local/lib/sysusers.d/bellcrank.conf")
TMPFILES = Path("/usr/local/lib/tmpfiles.d/bellcrank.conf")
UNIT_FILES = ("bellcrank.service", "bellcrank@.service")


class Step(NamedTuple):
    """One command, and in plain words what it is for."""

    says: str
    command: tuple[str, ...]
    like: Service | None = None
    """Runs with the environment of this agent, which secrets may come from, where it runs."""


def step(says: str, *command: str | Path, like: Service | None = None) -> Step:
    """Make one."""
    return Step(says, tuple(map(str, command)), like)


def program(release: str, name: str = "python") -> Path:
    """A program of a release."""
    return RELEASES / release / "bin" / name


def switch_to(release: str) -> Iterator[Step]:
    """Let `current` be another release, with its units."""
    beside = CURRENT.with_name("current.new")
    yield step(f"Name the release {release}", "ln", "-sfn", RELEASES / release, beside)
    yield step("as the one that runs, in one rename", "mv", "-T", beside, CURRENT)
    for name in UNIT_FILES:
        yield copy(release, f"systemd/{name}", UNITS / name)
    yield step("Let systemd read them", "systemctl", "daemon-reload")


def link() -> Step:
    """The command for everybody."""
    return step("Put the command `bellcrank` where everybody finds it", "ln", "-sfn", CURRENT / "bin/bellcrank", LINK)


def user(release: str) -> Iterator[Step]:
    """The user that agents run as, and the configuration's folder with its modes."""
    yield copy(release, "systemd/bellcrank.sysusers.conf", SYSUSERS)
    yield step("Make the user bellcrank, who may use serial ports", "systemd-sysusers", SYSUSERS)
    yield copy(release, "systemd/bellcrank.tmpfiles.conf", TMPFILES)


def modes() -> Step:
    """Who may read the configuration."""
    return step(f"Let {CONFIG} be root's, and the agents read it", "systemd-tmpfiles", "--create", TMPFILES)


def copy(release: str, name: str, target: Path) -> Step:
    """Install a file that a release brings."""
    return step(f"Install {target}", "install", "-D", "-m", "644", RELEASES / release / SHARE / name, target)


def start(service: Service, release: str, within_s: int) -> Iterator[Step]:
    """Start an agent and wait until it is ready."""
    yield step(f"Start {service.unit}", "systemctl", "start", "--no-block", service.unit)
    ready = (program(release), "-I", "-m", "agent.install.ready", service.unit, within_s)
    yield step(f"Wait until {service.unit} is ready, for up to {within_s} s", *map(str, ready))


def stop(service: Service) -> Step:
    """Stop an agent; what it owes stays in its outbox."""
    return step(f"Stop {service.unit}", "systemctl", "stop", service.unit)


def outbox(service: Service, release: str, verb: str, backup: str) -> tuple[str | Path, ...]:
    """What a release does to an outbox, as the user that it belongs to."""
    at = ("runuser", "-u", USER, "--", "env", f"STATE_DIRECTORY={service.state}")
    return (*at, program(release), "-I", "-m", "agent.install.outbox", verb, service.config, copy_of(service, backup))


def copy_of(service: Service, backup: str) -> Path:
    """Where the copy of an agent's outbox is, of those made before the release `backup`."""
    return BACKUPS / backup / f"{service.config.stem}.outbox"
