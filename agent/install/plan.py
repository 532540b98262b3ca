"""Facts and a wish into steps: pure.

A release is a virtual environment in a folder of its own, and `current` a link to the one that runs. All that takes
long or may fail for want of network or room is done beside the one that runs; only then are agents stopped, what they
owe is copied, the link is switched, and they are started. Where one does not become ready, `back` does the same
with the old release.
"""

from collections.abc import Iterator
from typing import NamedTuple

from agent.install import steps
from agent.install.source import SHARE
from agent.install.steps import Step, program, step
from agent.install.wish import BACKUPS, RELEASES, Facts, Wish
from agent.service import CONFIG, USER, Service


class Plan(NamedTuple):
    """The steps, in their order."""

    says: str
    """What it comes to."""
    prepare: tuple[Step, ...]
    """Beside what runs; where one of them fails, `abandon` is done."""
    switch: tuple[Step, ...]
    """Where one of them fails, `back` is done."""
    tidy: tuple[Step, ...] = ()
    abandon: tuple[Step, ...] = ()
    back: tuple[Step, ...] = ()
    back_says: str = ""
    watched: tuple[Service, ...] = ()
    """Whose log lines tell why it failed."""


def install(facts: Facts, wish: Wish) -> Plan:
    """The first installation, an update of all agents, or one more agent on the release that is there."""
    current = facts.current or ""
    if wish.service is not None and current.rpartition("-")[0] == wish.source.version:
        return _one_more(facts, wish, wish.service, current)
    return _release(facts, wish)


def next_release(facts: Facts, version: str) -> str:
    """A name that no release had: its version, and a number that counts them all."""
    numbers = [int(number) for name in facts.releases if (number := name.rpartition("-")[2]).isdecimal()]
    return f"{version}-{max(numbers, default=0) + 1}"


def added(facts: Facts, wish: Wish) -> list[Service]:
    """The agents that come to be: what was asked for, or the one of most machines where there is none yet."""
    there = {one.service for one in facts.agents}
    if wish.service is not None:
        return [] if wish.service in there else [wish.service]
    return [] if there else [Service()]


def back(facts: Facts, within_s: int) -> Plan | None:
    """Back to the release before the one that runs; None: there is none."""
    older = [name for name in _by_number(facts) if name != facts.current]
    if facts.current is None or not older:
        return None
    running = [one.service for one in facts.agents if one.running]
    there = tuple(_back_to(older[-1], facts.current, running, within_s))
    return Plan(f"bellcrank {older[-1]} in place of {facts.current}", (), there, watched=tuple(running))


def _one_more(facts: Facts, wish: Wish, service: Service, release: str) -> Plan:
    return Plan(
        f"{service.unit} on bellcrank {release}",
        prepare=(*_configuration(facts, service, release), steps.modes()),
        switch=(_enable(service), *steps.start(service, release, wish.within_s)),
        back=(_disable(service),),
        back_says=f"{service.unit} is off again; its configuration stays, to be mended",
        watched=(service,),
    )


def _release(facts: Facts, wish: Wish) -> Plan:
    release, new = next_release(facts, wish.source.version), added(facts, wish)
    running = [one.service for one in facts.agents if one.running]
    known = [one.service for one in facts.agents]
    old = facts.current
    made = [step for service in new for step in _configuration(facts, service, release)]
    checked = [_check(one.service, release) for one in facts.agents if one.has_process]
    started = [one for service in (*running, *new) for one in steps.start(service, release, wish.within_s)]
    switch = [
        *map(steps.stop, running),
        *(_backup(known, release, old) if old else ()),
        *steps.switch_to(release),
        steps.link(),
        *map(_enable, new),
        *started,
    ]
    return Plan(
        f"bellcrank {release}" + (f" in place of {old}" if old else ""),
        prepare=(*_environment(facts, wish, release), *steps.user(release), *made, steps.modes(), *checked),
        switch=tuple(switch),
        tidy=tuple(_tidy(facts, keep={release, old})),
        abandon=(_remove(release),),
        back=tuple(_go_back(old, release, running, new, wish.within_s)),
        back_says=f"bellcrank {old} runs again" if old else "the agent is off; its configuration stays, to be mended",
        watched=(*running, *new),
    )


# -- the parts


def _environment(facts: Facts, wish: Wish, release: str) -> Iterator[Step]:
    """A virtual environment with all that is locked, and this version."""
    home, source = RELEASES / release, wish.source
    pip = (program(release, "pip"), "--disable-pip-version-check", "--no-input", "install", "--quiet", "--no-cache-dir")
    offline = ("--no-index", "--find-links", wish.wheels.absolute()) if wish.wheels else ()
    python = facts.python.path if facts.python else "python3"
    yield step("Make a folder for releases", "install", "-d", "-m", "755", RELEASES)
    yield step(f"Make a virtual environment for the release {release}", python, "-m", "venv", home)
    locked = (*pip, *offline, "--only-binary", ":all:", "--require-hashes", "--requirement")
    says = "Install what it needs, each file with the hash that is locked (some minutes on a small device)"
    if source.requirements is not None:
        yield step(says, *locked, source.requirements)
        yield step("Install bellcrank", *pip, "--no-deps", "--no-index", "--no-build-isolation", source.path or "")
        return
    wheel = source.path or home / f"bellcrank-{source.version}-py3-none-any.whl"
    if source.path is None:
        yield step("Make a wheel of the bellcrank that runs this", *_here(), "agent.install.pack", wheel)
    yield step("Install bellcrank", *pip, "--no-deps", "--no-index", wheel)
    yield step(says, *locked, home / SHARE / "requirements.txt")


def _here() -> tuple[str, ...]:
    import sys

    return (sys.executable, "-I", "-m")


def _configuration(facts: Facts, service: Service, release: str) -> Iterator[Step]:
    """A first one. One that is there stays as it is."""
    if service in facts.configs:
        return
    options = ("--instance", service.instance, "--port", str(facts.free_port)) if service.instance else ()
    init = (program(release, "bellcrank"), "config", "init", service.config, *options)
    yield step("Write a first configuration, with a secret of its own", *init)


def _check(service: Service, release: str) -> Step:
    """Of an agent that runs, as its secrets may come with the service; another is checked by its start."""
    command = (program(release, "bellcrank"), "config", "check", "--config", service.config)
    return step(f"Check that this version takes {service.config}", *command, like=service)


def _enable(service: Service) -> Step:
    return step(f"Let {service.unit} start with the machine", "systemctl", "enable", "--quiet", service.unit)


def _disable(service: Service) -> Step:
    return step(f"Let {service.unit} be off", "systemctl", "disable", "--quiet", "--now", service.unit)


def _backup(known: list[Service], release: str, old: str) -> Iterator[Step]:
    """What agents owe and remember, and the configuration, as they are while nobody writes."""
    folder = BACKUPS / release
    owner = ("-m", "700", "-o", USER, "-g", USER)
    yield step("Make a folder for backups that only the agents may enter", "install", "-d", *owner, BACKUPS, folder)
    yield step("Keep a copy of the configuration", "cp", "-a", "--no-target-directory", CONFIG, folder / "etc")
    for service in known:
        yield step(f"Keep a copy of the outbox of {service.unit}", *steps.outbox(service, old, "keep", release))


def _go_back(
    old: str | None, release: str, running: list[Service], new: list[Service], within_s: int
) -> Iterator[Step]:
    yield from map(_disable, new)
    if old is not None:
        yield from _back_to(old, release, running, within_s)
        yield _remove(release)


def _back_to(old: str, release: str, running: list[Service], within_s: int) -> Iterator[Step]:
    yield from map(steps.stop, running)
    yield from steps.switch_to(old)
    for service in running:
        says = f"Put the copy of the outbox of {service.unit} back, if {old} cannot read what it has become"
        yield step(says, *steps.outbox(service, old, "put-back", release))
    for service in running:
        yield from steps.start(service, old, within_s)


def _remove(release: str) -> Step:
    return step(f"Remove the release {release}", "rm", "-rf", RELEASES / release)


def _tidy(facts: Facts, keep: set[str | None]) -> Iterator[Step]:
    for name in _by_number(facts):
        if name not in keep:
            yield _remove(name)
    for name in facts.backups:
        if name not in keep:
            yield step(f"Remove the backup made before {name}", "rm", "-rf", BACKUPS / name)


def _by_number(facts: Facts) -> list[str]:
    def number(name: str) -> int:
        last = name.rpartition("-")[2]
        return int(last) if last.isdecimal() else 0

    return sorted(facts.releases, key=number)
