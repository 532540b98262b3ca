"""Serial ports: there, permitted, nobody else's, and saying what can be read."""

import asyncio
import grp
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from agent.clock import DeviceClock
from agent.doctor.aside import aside
from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient, without_config
from agent.doctor.processes import Account, Process, openers
from agent.supervise import keep_open
from drivers.base import Batch, FeedState, Message, Surroundings
from drivers.ports import SCHEME
from drivers.serial import SerialDriver, SerialSource

SUBJECT = "serial"
_BY_ID = Path("/dev/serial/by-id")
_ENOUGH = 3
"""Messages with a value, after which there is nothing more to find out."""
_NUMBERED = re.compile(r"/dev/tty(USB|ACM)\d+")
"""Names that are given out anew at each start."""
_finding = partial(Finding, SUBJECT)


@dataclass(slots=True)
class Said:
    """What a port said while it was listened to."""

    listened_s: float
    messages: int = 0
    with_values: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    last_refusal: str = ""
    lost: str = ""
    """Why it could not be opened or was lost."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one port."""

    source: str
    config: SerialSource
    status: os.stat_result | None = None
    """Of the device; None: there is none, or it is behind a socket."""
    by_id: str | None = None
    """A name of the same device that stays."""
    openers: tuple[Process, ...] = ()
    said: Said | None = None
    """None: it was not listened to."""
    agent: Mapping[str, Any] | None = None
    """What the running agent says of the source."""

    @property
    def is_remote(self) -> bool:
        """Whether it is behind a socket."""
        return self.config.port.startswith(SCHEME)


async def examine(patient: Patient) -> list[Finding]:
    """All ports, at the same time. One that the agent may have is not opened."""
    if patient.config is None:
        return without_config(SUBJECT)
    sources = {name: one for name, one in patient.config.sources.items() if isinstance(one, SerialSource)}
    if not sources:
        return [_finding("all", Verdict.OK, "the configuration has no serial ports")]
    facts = await asyncio.gather(*(_measure(name, source, patient) for name, source in sources.items()))
    agent = patient.agent.pid if patient.agent else None
    return [finding for one in facts for finding in judge(one, patient.account, agent, patient.kept_out)]


async def _measure(name: str, source: SerialSource, patient: Patient) -> Facts:
    told = patient.agent.sources.get(name) if patient.agent else None
    if source.port.startswith(SCHEME):
        if patient.may_be_running:
            return Facts(name, source, agent=told)
        # Not tried before: ser2net serves one client at a time.
        return Facts(name, source, said=await listen(name, source, patient.clock, patient.listen_s))
    device = await aside(Path(source.port).resolve)
    try:
        status = device.stat()
    except OSError:
        return Facts(name, source, agent=told)
    others = await aside(partial(openers, device))
    is_free = not (others or patient.may_be_running) and stat.S_ISCHR(status.st_mode)
    said = await listen(name, source, patient.clock, patient.listen_s) if is_free else None
    return Facts(name, source, status, _name_that_stays(device), tuple(others), said, told)


async def listen(name: str, source: SerialSource, clock: DeviceClock, for_s: float) -> Said:
    """Open the port as the agent would, until enough is heard or the time is over."""
    said, enough = Said(for_s), asyncio.Event()

    async def take(_feed: str, batch: Batch) -> None:
        _note(said, batch)
        if said.with_values >= _ENOUGH or said.lost:
            enough.set()

    around = Surroundings("doctor", "0" * 32, clock, SystemRandom(), {})
    (driver,) = SerialDriver.feeds({name: source}, around)
    task = asyncio.create_task(keep_open(driver, take, clock, SystemRandom()))
    try:
        async with asyncio.timeout(for_s):
            await enough.wait()
    except TimeoutError:
        pass
    finally:
        await driver.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return said


def _note(said: Said, batch: Batch) -> None:
    for one in batch:
        if isinstance(one, Message):
            said.messages += 1
            said.with_values += bool(one.readings)
            for refusal in one.refusals:
                said.refused[refusal.reason] += 1
                said.last_refusal = refusal.detail
        elif getattr(one, "state", None) is FeedState.LOST:
            said.lost = getattr(one, "detail", "")


def _name_that_stays(device: Path) -> str | None:
    if not _BY_ID.is_dir():
        return None
    return next((str(link) for link in sorted(_BY_ID.iterdir()) if link.resolve() == device), None)


def judge(it: Facts, account: Account, agent: int | None, kept_out: str | None) -> list[Finding]:
    """`account`: whom the agent runs as; `agent`: its process id; `kept_out`: why it could not be asked."""
    if it.is_remote:
        return list(_data(it, kept_out))
    if it.status is None:
        advice = "is it plugged in? `bellcrank discover serial` lists the ports, `dmesg | tail` tells what came"
        return [_finding(f"{it.source}: port", Verdict.BAD, f"{it.config.port}: there is no such port", advice)]
    return [_device(it, it.status, account), *_openers(it, agent), *_name(it), *_data(it, kept_out)]


def _device(it: Facts, status: os.stat_result, account: Account) -> Finding:
    name, port = f"{it.source}: port", it.config.port
    if not stat.S_ISCHR(status.st_mode):
        return _finding(name, Verdict.BAD, f"{port} is no device", "name the port under /dev/serial/by-id")
    group = _group_name(status.st_gid)
    mode = f"{port} ({group}, {stat.filemode(status.st_mode)})"
    if account.may(status, os.R_OK | os.W_OK):
        return _finding(name, Verdict.OK, f"{mode} is there, and {account.name} may open it")
    advice = f"sudo usermod -a -G {group} {account.name}, then log in again or restart the service"
    return _finding(name, Verdict.BAD, f"{mode} may not be opened by {account.name}", advice)


def _openers(it: Facts, agent: int | None) -> Iterable[Finding]:
    others = [process for process in it.openers if process.pid != agent]
    if others:
        advice = "end it: of two readers each gets a part of the lines"
        if any("getty" in process.name for process in others):
            advice = "a login console has it: sudo raspi-config, Interface Options, Serial Port (or disable that getty)"
        yield _finding(f"{it.source}: in use", Verdict.BAD, f"by {', '.join(map(str, others))}", advice)


def _name(it: Facts) -> Iterable[Finding]:
    if _NUMBERED.fullmatch(it.config.port):
        advice = f"use {it.by_id}" if it.by_id else "use its name under /dev/serial/by-id or by-path"
        seen = f"{it.config.port} may be another device after the next start"
        yield _finding(f"{it.source}: name", Verdict.WARN, seen, advice)


def _data(it: Facts, kept_out: str | None) -> Iterable[Finding]:
    name = f"{it.source}: data"
    if it.said is not None:
        yield _heard(name, it.config, it.said)
    elif it.agent is not None:
        told = it.agent
        seen = f"the agent has it: {told['state']}, {told['messages']} messages, {told['refused']} refused"
        trouble = told["detail"] or told["last_refusal"] or ""
        is_open = told["state"] in (FeedState.OPEN, FeedState.PAUSED)
        verdict = Verdict.BAD if not is_open else Verdict.WARN if told["refused"] else Verdict.OK
        yield _finding(name, verdict, f"{seen}{f' ({trouble})' if trouble else ''}")
    elif kept_out:
        yield _finding(name, Verdict.SKIPPED, "an agent may have it, and a port has one reader")
    elif it.openers:
        yield _finding(name, Verdict.SKIPPED, "another program has it")
    elif it.is_remote or (it.status and stat.S_ISCHR(it.status.st_mode)):
        seen = "the running agent does not know this source yet"
        yield _finding(name, Verdict.WARN, seen, "`bellcrank reload` applies the changed configuration")


def _heard(name: str, config: SerialSource, said: Said) -> Finding:
    at = "" if config.port.startswith(SCHEME) else f" at {config.baudrate} baud"
    lines = f"{said.messages} lines in {said.listened_s:g} s{at}"
    if said.with_values:
        return _finding(name, Verdict.OK, f"it speaks{at}: {said.with_values} lines with a value were heard")
    if said.messages:
        reasons = ", ".join(f"{n} {reason}" for reason, n in said.refused.most_common())
        seen = f"{lines}, none with a value ({reasons or 'none of the sensors is in them'}): {said.last_refusal}"
        return _finding(name, Verdict.BAD, seen, "is `baudrate` right, and `format`? `bellcrank discover serial` tries")
    if said.lost:
        return _finding(name, Verdict.BAD, said.lost)
    advice = "a device that speaks seldom is fine (`--listen 5m` waits longer); else look at RX, TX and ground"
    return _finding(name, Verdict.WARN, lines, advice)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
