"""The only caller of `time.*`.

The agent has one time line of its own, `now()`: the kernel's boot-time clock (never set, counts suspended
time) plus an offset, so that it goes on over restarts and reboots by what is known to have passed
meanwhile. Durations, due times and ages are differences on it, so a stepped wall clock can neither fire an
alert nor expire one. Wall time is only for telling.
"""

import ctypes
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from agent.model import Moment

_BUILD_WALL = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""A device that says that it is earlier than that has a wrong clock."""
_ASK_KERNEL_EVERY_S = 10
_STEP_S = 1.0
"""A wall clock that was set by more may be right now: the kernel is asked again."""
_STA_UNSYNC = 0x0040  # adjtimex(2): the clock is unsynchronised
_TIMESYNC_MARK = Path("/run/systemd/timesync/synchronized")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class DeviceClock(Protocol):
    """Time as the agent needs it; tests set it by hand."""

    offset_s: float
    """Of the agent's time line to the boot-time clock; set once, when the outbox is opened."""

    def now(self) -> float:
        """Seconds on the agent's own time line."""

    def wall(self) -> float:
        """Unix seconds, as far as the device knows."""

    def moment(self) -> Moment:
        """Both, and whether the wall clock shows a sign of being right."""

    def boot_id(self) -> str:
        """The kernel's name for this boot."""


class SystemClock:
    """The device's clocks."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        self._synced = False
        self._asked_at = self._distance_s = -math.inf

    def now(self) -> float:
        """Seconds on the agent's own time line."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.offset_s

    def wall(self) -> float:
        """Unix seconds, as far as the device knows."""
        return time.time()

    def moment(self) -> Moment:
        """Both, and whether the wall clock shows a sign of being right."""
        now, wall = self.now(), self.wall()
        if abs(now - self._asked_at) > _ASK_KERNEL_EVERY_S or abs(wall - now - self._distance_s) > _STEP_S:
            self._synced, self._asked_at, self._distance_s = kernel_synced(), now, wall - now
        return Moment(now, wall, self._synced and plausible(wall))

    def boot_id(self) -> str:
        """The kernel's name for this boot."""
        return _BOOT_ID.read_text().strip()


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds, as systemd counts."""
    return time.monotonic_ns() // 1000


def plausible(wall: float) -> bool:
    """Whether a wall time can be right at all: not from before this program was built."""
    return wall >= _BUILD_WALL


def word_for(moment: Moment) -> str:
    """What the wall clock is: `synced`, `unsynced` (no sign of being right), `implausible` (surely wrong)."""
    return "synced" if moment.synced else "unsynced" if plausible(moment.wall) else "implausible"


def kernel_synced() -> bool:
    """Whether the kernel (adjtimex(2)) or systemd-timesyncd says that a time source set the wall clock."""
    if _TIMESYNC_MARK.exists():
        return True
    timex = (ctypes.c_char * 256)()  # struct timex, modes = 0: only read; status is its sixth member of type int
    try:
        state = ctypes.CDLL(None).adjtimex(timex)
    except (AttributeError, OSError):
        return False
    status = ctypes.cast(timex, ctypes.POINTER(ctypes.c_int))[_STATUS_INDEX]
    return state >= 0 and not status & _STA_UNSYNC


# struct timex { unsigned modes; long offset, freq, maxerror, esterror; int status; ... }, modes padded
_STATUS_INDEX = 5 * ctypes.sizeof(ctypes.c_long) // ctypes.sizeof(ctypes.c_int)
