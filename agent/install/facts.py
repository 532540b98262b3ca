"""What there is on this machine. Nothing here changes anything."""

import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from agent.install.wish import BACKUPS, CURRENT, LINK, OPT, RELEASES, Facts, Python, Standing
from agent.service import CONFIG, Service

_ETC_UNITS = Path("/etc/systemd/system")
_PYTHON = Path("/usr/bin/python3")
_FIRST_PORT = 8331


def gather() -> Facts:
    """Look at all of it."""
    current = CURRENT.resolve().name if CURRENT.is_symlink() else None
    return Facts(
        is_root=os.geteuid() == 0,
        machine=platform.machine(),
        has_systemd=Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None,
        python=_python(_PYTHON),
        free_bytes=shutil.disk_usage(_existing(OPT)).free,
        releases=tuple(sorted(path.name for path in _listed(RELEASES) if path.is_dir())),
        current=current,
        agents=_agents(),
        backups=tuple(path.name for path in _listed(BACKUPS)),
        foreign=tuple(_foreign()),
        states=tuple(path for path in _listed(Path("/var/lib")) if re.fullmatch(r"bellcrank(-.+)?", path.name)),
        configs=_configs(),
        free_port=_free_port(),
    )


def environment_of(unit: str) -> dict[str, str]:
    """What a running service was given: secrets too. Empty where it does not run."""
    pid = _said("systemctl", "show", "--property=MainPID", "--value", unit)
    try:
        raw = Path(f"/proc/{int(pid)}/environ").read_bytes() if pid not in ("", "0") else b""
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def _python(path: Path) -> Python | None:
    """The system's: one in a home directory could not be reached by the service."""
    ask = "import sys, importlib.util as u; print(*sys.version_info[:2], int(u.find_spec('ensurepip') is not None))"
    words = _said(str(path), "-I", "-c", ask).split()
    return Python(path, (int(words[0]), int(words[1])), words[2] == "1") if len(words) == 3 else None


def _agents() -> tuple[Standing, ...]:
    enabled = {path.name for path in _listed(_ETC_UNITS / "multi-user.target.wants")}
    loaded = _said("systemctl", "list-units", "--all", "--plain", "--no-legend", "bellcrank.service", "bellcrank@*")
    named = enabled | {line.split()[0] for line in loaded.splitlines() if line.split()}
    services = {service for unit in named if (service := Service.of_unit(unit))}
    states = {service: _said("systemctl", "is-active", service.unit).strip() for service in services}
    return tuple(
        Standing(
            service,
            states[service] in ("active", "activating", "reloading"),
            states[service] in ("active", "reloading"),
        )
        for service in sorted(services)
        if service.unit in enabled or states[service] not in ("inactive", "unknown", "")
    )


def _foreign() -> Iterable[Path]:
    """Units that hide ours, a folder that was a virtual environment itself, a command of another origin."""
    for path in _listed(_ETC_UNITS):
        if path.name in ("bellcrank.service", "bellcrank@.service") and path.is_file():
            yield path
    if (OPT / "pyvenv.cfg").exists():
        yield OPT
    if os.path.lexists(LINK) and not (LINK.is_symlink() and LINK.readlink().is_relative_to(OPT)):
        yield LINK


def _configs() -> tuple[Service, ...]:
    found = (path for path in _listed(CONFIG) if path.suffix == ".yaml" and path.name != "secrets.yaml")
    return tuple(service for path in found if (service := Service.of_config(path)))


def _free_port() -> int:
    """The first that nobody listens at and no configuration names."""
    named = "".join(service.config.read_text(encoding="utf-8", errors="replace") for service in _readable(_configs()))
    port = _FIRST_PORT
    while str(port) in named or not _can_bind(port):
        port += 1
    return port


def _readable(services: Iterable[Service]) -> Iterable[Service]:
    return (service for service in services if os.access(service.config, os.R_OK))


def _can_bind(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return ""
