"""What /proc tells of processes: who has a device or a lock, as whom one runs, what it takes. Nothing here raises.

Of other users' processes only root sees which files they have open.
"""

import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_SERVICE_USER = "bellcrank"
_PSEUDO_TERMINALS = range(136, 144)
"""Major numbers of /dev/pts, see the kernel's devices.txt."""


class Process(NamedTuple):
    """One that runs."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


class Account(NamedTuple):
    """Whom the agent runs as, or would run as."""

    name: str
    uid: int
    groups: frozenset[int]

    def may(self, status: os.stat_result, bits: int) -> bool:
        """Whether a file's mode lets it; `bits` as of `os.access`: R_OK, W_OK, X_OK."""
        if self.uid == 0:
            return True
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.groups else 0
        return status.st_mode >> shift & bits == bits


def account(agent: int | None) -> Account:
    """Whom the running agent runs as; where none runs, and root asks, the service's user; else who asks."""
    if agent is not None and (found := _account_of(agent)):
        return found
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam(_SERVICE_USER)
        except KeyError:
            pass
        else:
            groups = os.getgrouplist(_SERVICE_USER, user.pw_gid)
            return Account(_SERVICE_USER, user.pw_uid, frozenset(groups))
    return Account(_user_name(os.geteuid()), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def openers(device: Path) -> list[Process]:
    """The processes that have a device open, but for this one."""
    try:
        wanted = device.stat()
    except OSError:
        return []
    pids = (pid for pid in _pids() if pid != os.getpid())
    return [Process(pid, process_name(pid)) for pid in pids if _has_open(pid, wanted)]


def same_device(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two nodes are of one device; a container has nodes of its own, and pseudo-terminals of its own too."""
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return True
    both = stat.S_ISCHR(one.st_mode) and stat.S_ISCHR(other.st_mode)
    return both and one.st_rdev == other.st_rdev and os.major(one.st_rdev) not in _PSEUDO_TERMINALS


def lock_holder(path: Path) -> int | None:
    """Who has an flock(2) on a file, see proc_locks(5); None: nobody, or it cannot be seen from here."""
    try:
        inode = path.stat().st_ino
    except OSError:
        return None
    found = re.search(rf": FLOCK +\S+ +WRITE +(\d+) +\w+:\w+:{inode} ", _text(_PROC / "locks"))
    return int(found[1]) if found else None


def process_name(pid: int) -> str:
    """As `ps` shows it."""
    return _text(_PROC / str(pid) / "comm").strip() or "?"


def rss_bytes(pid: int) -> int | None:
    """What it has in memory."""
    kib = _status(pid).get("VmRSS", "").split()
    return 1024 * int(kib[0]) if kib else None


def descriptors(pid: int) -> tuple[int, int] | None:
    """How many file descriptors it has open, and how many it may."""
    limit = re.search(r"^Max open files\s+(\d+)", _text(_PROC / str(pid) / "limits"), re.MULTILINE)
    try:
        return (len(list((_PROC / str(pid) / "fd").iterdir())), int(limit[1])) if limit else None
    except OSError:
        return None


def _account_of(pid: int) -> Account | None:
    status = _status(pid)
    if "Uid" not in status or "Gid" not in status:
        return None
    uid = int(status["Uid"].split()[1])
    groups = {int(status["Gid"].split()[1]), *map(int, status.get("Groups", "").split())}
    return Account(_user_name(uid), uid, frozenset(groups))


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _status(pid: int) -> dict[str, str]:
    lines = _text(_PROC / str(pid) / "status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _pids() -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    try:
        return any(_leads_to(link, wanted) for link in (_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False


def _leads_to(link: Path, wanted: os.stat_result) -> bool:
    """Only devices are looked at: of a file behind a network that hangs stat(2) may not come back."""
    try:
        return str(link.readlink()).startswith("/dev/") and same_device(link.stat(), wanted)
    except OSError:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
