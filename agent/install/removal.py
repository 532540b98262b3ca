"""The steps of `bellcrank uninstall`: pure. Data and configuration stay, unless they are asked for."""

from collections.abc import Iterator

from agent.install import steps
from agent.install.steps import Step, step
from agent.install.wish import BACKUPS, LINK, OPT, UNITS, Facts
from agent.service import CONFIG, USER, Service


def uninstall(facts: Facts, service: Service | None, *, purge: bool) -> list[Step]:
    """One agent of several, or all and the programs."""
    if service is not None:
        return [*_off([service]), *(_purge_one(service) if purge else ())]
    return [*_off([one.service for one in facts.agents]), *_programs(), *(_purge(facts) if purge else ())]


def kept(facts: Facts) -> list[str]:
    """What stays without `--purge`."""
    return [str(path) for path in (CONFIG, *facts.states, BACKUPS)]


def _off(services: list[Service]) -> Iterator[Step]:
    for service in services:
        yield step(f"Stop {service.unit} for good", "systemctl", "disable", "--quiet", "--now", service.unit)


def _programs() -> Iterator[Step]:
    files = (*(UNITS / name for name in steps.UNIT_FILES), steps.SYSUSERS, steps.TMPFILES, LINK)
    yield step("Remove the units and the command", "rm", "-f", *files)
    yield step("Let systemd forget them", "systemctl", "daemon-reload")
    yield step("Remove all releases", "rm", "-rf", OPT)


def _purge_one(service: Service) -> Iterator[Step]:
    files = (service.config, service.config.with_suffix(".whsec"))
    yield step(f"Remove the configuration of {service.unit}", "rm", "-f", *files)
    yield step(f"Remove the outbox of {service.unit}, with all that is still owed", "rm", "-rf", service.state)


def _purge(facts: Facts) -> Iterator[Step]:
    yield step("Remove the configuration and its secrets", "rm", "-rf", CONFIG)
    yield step("Remove the outboxes, with all that is still owed", "rm", "-rf", *facts.states, BACKUPS)
    yield step("Remove the user", "sh", "-c", f"! getent passwd {USER} >/dev/null || userdel {USER}")
