"""What runs here, as a report of a fault should name it."""

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient
from agent.outbox.schema import SQLITE_VERSION
from agent.version import __version__

SUBJECT = "versions"
_LIBRARIES = ("paho-mqtt", "aiohttp", "pydantic", "pyserial")
_FAST = ("orjson", "uvloop")
_finding = partial(Finding, SUBJECT)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found."""

    own: str
    running: str | None
    """Of the running agent."""
    python: str
    sqlite: str
    libraries: Sequence[tuple[str, str]]
    system: str
    machine: str
    fast: Sequence[str]
    """What of the extra is there."""


async def examine(patient: Patient) -> list[Finding]:
    """Versions."""
    return judge(
        Facts(
            own=__version__,
            running=patient.agent.agent["version"] if patient.agent else None,
            python=platform.python_version(),
            sqlite=SQLITE_VERSION,
            libraries=[(name, _version(name)) for name in _LIBRARIES],
            system=_system(),
            machine=f"{platform.machine()}, {sys.maxsize.bit_length() + 1} bits",
            fast=[name for name in _FAST if find_spec(name)],
        )
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = "unknown"
    return f"{name}, Linux {platform.release()}"


def judge(it: Facts) -> list[Finding]:
    """All that is told of versions."""
    libraries = ", ".join(f"{name} {number}" for name, number in it.libraries)
    found = [
        _bellcrank(it),
        _finding("libraries", Verdict.OK, f"Python {it.python}, SQLite {it.sqlite}, {libraries}"),
        _finding("system", Verdict.OK, f"{it.system}, {it.machine}"),
    ]
    if it.fast:
        return [*found, _finding("fast", Verdict.OK, f"{' and '.join(it.fast)} found, and used")]
    return [*found, _finding("fast", Verdict.OK, "orjson and uvloop are not there; all works without")]


def _bellcrank(it: Facts) -> Finding:
    if it.running in (None, it.own):
        return _finding("bellcrank", Verdict.OK, it.own)
    seen = f"{it.own} is installed, but {it.running} runs"
    return _finding("bellcrank", Verdict.WARN, seen, "sudo systemctl restart bellcrank")
