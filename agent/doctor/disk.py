"""The disk below the outbox: room, what kind it is, how long it takes to keep something, how long it may last."""

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from agent.clock import monotonic_us
from agent.doctor.aside import aside
from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient
from agent.outbox.disk import default_min_free_bytes, size_bytes
from agent.outbox.placing import DAMAGED
from agent.status.words import age, size

SUBJECT = "disk"
_WRITES = 20
_WRITE_BYTES = 4096
_SLOW_MS = 100.0
"""A doorbell waits for one of them."""
_STUCK_MS = 2000.0
_FLEETING = {"tmpfs", "ramfs", "overlay"}
_ELSEWHERE = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}
_UNSAFE = {"nobarrier", "barrier=0", "data=writeback"}
_SPARE_INODES = 1000
_DAY_S = 86400
_BUDGET_AFTER_S = 3600
"""Before that an estimate for a day says nothing."""
_OVERWRITES, _AMPLIFICATION = 500, 10
"""Of a cheap card: how often each cell may be written, and how much it writes for a small one. Rough figures."""
_finding = partial(Finding, SUBJECT)


class Mount(NamedTuple):
    """Where a folder lies, see proc_pid_mountinfo(5)."""

    point: str
    kind: str
    device: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured."""

    folder: Path
    """The state directory, or where it is not there yet the one above it."""
    total_bytes: int
    free_bytes: int
    floor_bytes: int
    """What the outbox leaves alone."""
    max_bytes: int | None
    """Of the outbox; None: no configuration says."""
    used_bytes: int
    """By the state so far."""
    inodes: int
    inodes_free: int
    mount: Mount | None
    fsyncs_ms: Sequence[float] | str
    """Each small write with its fsync; or why none could be tried."""
    written_bytes: int | None = None
    """By the running agent since its start."""
    uptime_s: float = 0.0
    set_aside: Sequence[str] = ()
    """Damaged outboxes, by their folders."""


async def examine(patient: Patient) -> list[Finding]:
    """The disk of the state directory."""
    return judge(await aside(partial(_measure, patient)))


def _measure(patient: Patient) -> Facts:
    folder, agent = _existing(patient.state_dir), patient.agent
    outbox = patient.config.outbox.limits() if patient.config else None
    disk = os.statvfs(folder)
    total = disk.f_blocks * disk.f_frsize
    floor = outbox.min_free_bytes if outbox else None
    return Facts(
        folder=folder,
        total_bytes=total,
        free_bytes=disk.f_bavail * disk.f_frsize,
        floor_bytes=default_min_free_bytes(total) if floor is None else floor,
        max_bytes=outbox.max_bytes if outbox else None,
        used_bytes=_used(patient.state_dir),
        inodes=disk.f_files,
        inodes_free=disk.f_favail,
        mount=mount_of(str(folder), Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")),
        fsyncs_ms=_fsyncs_ms(folder),
        written_bytes=agent.outbox["written_bytes"] if agent else None,
        uptime_s=agent.agent["uptime_s"] if agent else 0.0,
        set_aside=[folder.name for folder in _beside(patient.state_dir, f"{DAMAGED}-*")],
    )


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.is_dir()).resolve()


def _used(folder: Path) -> int:
    return sum(size_bytes(file) for file in _beside(folder, "outbox.db*"))


def _beside(folder: Path, pattern: str) -> list[Path]:
    """Nothing where the folder is not there, or may not be looked into."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def mount_of(folder: str, mountinfo: str) -> Mount | None:
    """The mount that a folder lies on: of those above it the nearest, of several at one place the last."""
    found = None
    for line in mountinfo.splitlines():
        front, _, back = line.partition(" - ")
        fields, rest = front.split(" "), back.split(" ")
        if len(fields) < 6 or len(rest) < 3:
            continue
        point = _unescaped(fields[4])
        is_above = folder == point or folder.startswith(point.rstrip("/") + "/")
        if is_above and (found is None or len(point) >= len(found.point)):
            found = Mount(point, rest[0], _unescaped(rest[1]), frozenset([*fields[5].split(","), *rest[2].split(",")]))
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _fsyncs_ms(folder: Path) -> list[float] | str:
    took = []
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="bellcrank-doctor-", buffering=0) as file:
            for _ in range(_WRITES):
                begin = monotonic_us()
                file.write(bytes(_WRITE_BYTES))
                os.fsync(file.fileno())
                took.append((monotonic_us() - begin) / 1000)
    except OSError as error:
        return error.strerror or str(error)
    return took


def judge(it: Facts) -> list[Finding]:
    """All that is told of the disk."""
    return [_space(it), *_inodes(it), *_kind(it), _fsync(it), *_damage(it), _budget(it)]


def _space(it: Facts) -> Finding:
    room = it.free_bytes - it.floor_bytes
    seen = f"{size(it.free_bytes)} of {size(it.total_bytes)} are free; the outbox leaves {size(it.floor_bytes)} alone"
    if room <= 0:
        advice = "make room: `sudo journalctl --vacuum-size=50M`, `sudo apt-get clean`; until then pulses are refused"
        return _finding("space", Verdict.BAD, seen, advice)
    missing = (it.max_bytes or 0) - it.used_bytes - room
    if missing > 0:
        advice = "make room, or lower `outbox.max_size`"
        seen += f", so it can take {size(room)} more, which is less than its `max_size` of {size(it.max_bytes or 0)}"
        return _finding("space", Verdict.WARN, seen, advice)
    return _finding("space", Verdict.OK, seen)


def _inodes(it: Facts) -> Iterable[Finding]:
    if it.inodes:  # btrfs and others do not count them
        few = it.inodes_free < _SPARE_INODES
        advice = "no more files can be made soon: some program leaves many small ones" if few else ""
        seen = f"{it.inodes_free:,} of {it.inodes:,} are free"
        yield _finding("inodes", Verdict.WARN if few else Verdict.OK, seen, advice)


def _kind(it: Facts) -> Iterable[Finding]:
    if it.mount is None:
        return
    mount, unsafe = it.mount, sorted(it.mount.options & _UNSAFE)
    seen = f"{it.folder} lies on {mount.kind} ({mount.device} at {mount.point})"
    if "ro" in mount.options:
        advice = "after an error a card is mounted so: `dmesg` tells; then copy what is on it and replace it"
        yield _finding("file system", Verdict.BAD, f"{seen}, mounted read-only", advice)
    elif mount.kind in _FLEETING:
        advice = "put `agent.state_dir` on a disk that stays: what waits is forgotten with this one"
        yield _finding("file system", Verdict.WARN, f"{seen}, which may forget all at a restart", advice)
    elif mount.kind in _ELSEWHERE:
        advice = "SQLite needs a local disk for its locks: move `agent.state_dir`"
        yield _finding("file system", Verdict.WARN, f"{seen}, which is on another machine", advice)
    elif unsafe:
        advice = f"take {', '.join(unsafe)} out of /etc/fstab: with it a power cut loses what was acknowledged"
        yield _finding("file system", Verdict.WARN, f"{seen}, mounted with {', '.join(unsafe)}", advice)
    else:
        yield _finding("file system", Verdict.OK, seen)


def _fsync(it: Facts) -> Finding:
    if isinstance(it.fsyncs_ms, str):
        advice = "ask as the agent's user, or as root: sudo bellcrank doctor"
        return _finding("fsync", Verdict.SKIPPED, f"no file can be written in {it.folder}: {it.fsyncs_ms}", advice)
    usual, worst = median(it.fsyncs_ms), max(it.fsyncs_ms)
    seen = f"{len(it.fsyncs_ms)} small writes took {usual:.2f} ms in the median, {worst:.1f} ms at worst"
    if worst > _STUCK_MS or usual > _SLOW_MS:
        advice = "every event waits for one: a card that is slow so is worn out or of a poor kind; replace it"
        return _finding("fsync", Verdict.WARN, seen, advice)
    return _finding("fsync", Verdict.OK, seen)


def _damage(it: Facts) -> Iterable[Finding]:
    if it.set_aside:
        advice = "a card that damages files once does so again: copy what is on it, and replace it"
        seen = f"damaged outboxes were set aside in {it.folder}: {', '.join(it.set_aside)}"
        yield _finding("damage", Verdict.WARN, seen, advice)


def _budget(it: Facts) -> Finding:
    if it.written_bytes is None:
        return _finding("wear", Verdict.SKIPPED, "only a running agent knows what it writes")
    if it.uptime_s < _BUDGET_AFTER_S:
        seen = f"the agent runs for {age(it.uptime_s)}: after an hour there is an estimate"
        return _finding("wear", Verdict.SKIPPED, seen)
    a_day = it.written_bytes * _DAY_S / it.uptime_s
    years = it.total_bytes * _OVERWRITES / _AMPLIFICATION / max(a_day, 1) / 365
    lasts = "decades" if years > 30 else f"about {years:.0f} years" if years >= 1 else "less than a year"
    seen = (
        f"the agent writes {size(int(a_day))} a day; a cheap card of this size would last {lasts}"
        f" (very roughly: {_OVERWRITES} overwrites, {_AMPLIFICATION} times as much written inside; other programs"
        " write too)"
    )
    if years < 3:
        advice = "which rule tells so much? `throttle`, `changes_by` and hysteresis save writes"
        return _finding("wear", Verdict.WARN, seen, advice)
    return _finding("wear", Verdict.OK, seen)
