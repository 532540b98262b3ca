"""Why it cannot be done here: pure, a sentence each, with what to do."""

from collections.abc import Iterator

from agent.install.wish import OPT, Facts, Wish
from agent.service import Service

PYTHON_MIN = (3, 11)
ROOM_BYTES = 250_000_000
"""For a release beside the one that runs, and a backup of an outbox of the default size."""
MACHINES = ("x86_64", "aarch64", "armv7l", "armv8l")
"""Those that all dependencies have wheels for; armv8l is a 64-bit processor with a 32-bit system."""


def of_install(facts: Facts, wish: Wish) -> list[str]:
    """All that stands against it."""
    return [*_of_both(facts), *_of_python(facts), *_of_machine(facts, wish), *(_moved(facts))]


def of_uninstall(facts: Facts, service: Service | None) -> list[str]:
    """All that stands against it."""
    found = list(_of_both(facts))
    if service is not None and service not in {one.service for one in facts.agents}:
        known = ", ".join(one.service.unit for one in facts.agents) or "none"
        found.append(f"There is no agent {service.unit} here; there is: {known}.")
    return found


def _of_both(facts: Facts) -> Iterator[str]:
    if not facts.is_root:
        yield "This has to be done as root: put `sudo` before it."
    if not facts.has_systemd:
        yield "systemd does not run this machine, so there can be no service. `bellcrank run` needs none."


def _of_python(facts: Facts) -> Iterator[str]:
    wanted = ".".join(map(str, PYTHON_MIN))
    if facts.python is None:
        yield f"There is no /usr/bin/python3; Python {wanted} or newer is needed: apt-get install python3 python3-venv"
        return
    if facts.python.version < PYTHON_MIN:
        have = ".".join(map(str, facts.python.version))
        yield f"{facts.python.path} is Python {have}; {wanted} or newer is needed (Debian 12, Raspberry Pi OS 12)."
    if not facts.python.has_venv:
        yield "Python cannot make virtual environments here: apt-get install python3-venv"


def _of_machine(facts: Facts, wish: Wish) -> Iterator[str]:
    if facts.machine not in MACHINES and wish.wheels is None:
        yield (
            f"There are no ready-made packages for a processor of the kind {facts.machine}, only for"
            f" {', '.join(MACHINES)}. Build them elsewhere and name their folder: --wheels DIR"
        )
    if facts.free_bytes < ROOM_BYTES:
        yield f"There are {facts.free_bytes // 10**6} MB free at {OPT}; {ROOM_BYTES // 10**6} MB are needed."


def _moved(facts: Facts) -> Iterator[str]:
    for path in facts.foreign:
        if path.suffix == ".service":
            yield f"{path} hides the unit of this version: move it away; yours goes into `systemctl edit {path.name}`."
        else:
            yield f"{path} is there and was not made by `bellcrank install`: move it away."
