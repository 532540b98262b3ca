"""The clock of this machine: set by somebody, possible at all, kept over a power cut, and that of the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agent.clock import word_for
from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient
from agent.status.snapshot import SKEW_SHOWN_S
from agent.status.words import age

SUBJECT = "clock"
_RTC = Path("/sys/class/rtc/rtc0")
_finding = partial(Finding, SUBJECT)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured."""

    wall: float
    """Unix seconds."""
    word: str
    """synced, unsynced or implausible, see `agent.clock.word_for`."""
    has_rtc: bool
    """A clock that runs while the power is off."""
    skew_s: float | None
    """How far the running agent is ahead of its receivers."""


async def examine(patient: Patient) -> list[Finding]:
    """The clock."""
    return judge(_measure(patient))


def _measure(patient: Patient) -> Facts:
    moment = patient.clock.moment()
    skew_s = patient.agent.agent["clock_skew_s"] if patient.agent else None
    return Facts(moment.wall, word_for(moment), _RTC.exists(), skew_s)


def judge(it: Facts) -> list[Finding]:
    """All that is told of the clock."""
    return [_time(it), _rtc(it), *_skew(it)]


def _time(it: Facts) -> Finding:
    now = datetime.fromtimestamp(it.wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if it.word == "implausible":
        advice = "set it (sudo date -s ...) and see why nobody does: timedatectl; receivers refuse signatures by it"
        return _finding("time", Verdict.BAD, f"{now} is surely wrong: it is before this program was made", advice)
    if it.word == "unsynced":
        advice = "start systemd-timesyncd or chrony (timedatectl set-ntp true); events say `clock: unsynced` meanwhile"
        return _finding("time", Verdict.WARN, f"{now}; the kernel does not know of anybody who sets it", advice)
    return _finding("time", Verdict.OK, f"{now}, synchronised")


def _rtc(it: Facts) -> Finding:
    if it.has_rtc:
        return _finding("battery", Verdict.OK, "there is a clock that runs while the power is off")
    seen = "no clock runs while the power is off: after a cut the time is wrong until the network is there"
    return _finding("battery", Verdict.OK, seen, "an RTC module helps a device that is often without network")


def _skew(it: Facts) -> Iterable[Finding]:
    if it.skew_s is None:
        return
    side = "ahead of" if it.skew_s > 0 else "behind"
    if abs(it.skew_s) > SKEW_SHOWN_S:
        seen = f"it is {age(abs(it.skew_s))} {side} that of the receiver that agrees with it most"
        yield _finding("receivers", Verdict.WARN, seen, "receivers refuse signatures that are older than 5 minutes")
    else:
        yield _finding("receivers", Verdict.OK, f"it agrees with a receiver's within {abs(it.skew_s):.0f} s")
