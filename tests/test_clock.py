"""The device's clocks: the time line that never goes back, and what tells that the wall clock is right."""

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent import clock as module
from agent.clock import SystemClock, kernel_synced, plausible, word_for
from agent.model import Moment

STA_UNSYNC = 0x0040


class Timex(ctypes.Structure):
    """`struct timex` as adjtimex(2) has it, as far as the status."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 128),
    )


class Kernel:
    """A C library whose kernel says what it is told to: neither a right nor a wrong clock can be had at will."""

    def __init__(self, state: int = 0, status: int = 0) -> None:
        self.state, self.status, self.modes, self.asked = state, status, None, 0

    def adjtimex(self, buffer: Any) -> int:
        timex = Timex.from_buffer(buffer)
        self.modes, self.asked = timex.modes, self.asked + 1
        timex.status = self.status
        return self.state


@pytest.fixture
def no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mark = tmp_path / "synchronized"
    monkeypatch.setattr(module, "_TIMESYNC_MARK", mark)
    return mark


def set_kernel(monkeypatch: pytest.MonkeyPatch, kernel: Any) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: kernel)


def test_the_agents_time_never_goes_back_and_counts_seconds_since_boot() -> None:
    clock = SystemClock()
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(times)
    assert before <= times[0]
    assert times[-1] <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_stepped_wall_clock_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: 5.0)
    moment = clock.moment()
    assert moment.wall == 5.0
    assert before <= moment.at <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_it_goes_on_where_it_was_by_the_offset() -> None:
    clock = SystemClock()
    clock.offset_s = 1_000_000.0
    assert clock.now() >= 1_000_000.0
    assert clock.moment().at >= 1_000_000.0


@pytest.mark.parametrize(
    ("year", "possible"), [(1970, False), (2000, False), (2025, False), (2026, True), (2040, True), (2250, True)]
)
def test_a_year_before_the_programs_own_is_wrong(year: int, possible: bool) -> None:
    for month in (1, 12):
        assert plausible(datetime(year, month, 28, tzinfo=UTC).timestamp()) is possible


@pytest.mark.parametrize(
    ("state", "status", "synced"),
    [
        (0, 0, True),
        (0, 0x2001, True),  # STA_PLL, STA_NANO: as chrony and ntpd leave it
        (0, STA_UNSYNC, False),
        (5, STA_UNSYNC | 0x2000, False),  # TIME_ERROR
        (5, 0, True),  # TIME_ERROR for another reason, such as a lost PPS signal
        (-1, 0, False),  # EPERM in a sandbox
    ],
)
@pytest.mark.usefixtures("no_mark")
def test_the_kernel_says_whether_its_clock_is_set(
    state: int, status: int, synced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(state, status)
    set_kernel(monkeypatch, kernel)
    assert kernel_synced() is synced
    assert kernel.modes == 0, "adjtimex is only to be read"


@pytest.mark.usefixtures("no_mark")
def test_the_real_kernel_is_understood() -> None:
    timex = Timex()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    assert kernel_synced() is (state >= 0 and not timex.status & STA_UNSYNC)


@pytest.mark.usefixtures("no_mark")
def test_a_library_without_adjtimex_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_kernel(monkeypatch, object())
    assert kernel_synced() is False


def test_the_mark_of_systemd_timesyncd_is_enough(no_mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_kernel(monkeypatch, Kernel(status=STA_UNSYNC))
    assert kernel_synced() is False
    no_mark.touch()
    assert kernel_synced() is True


@pytest.mark.parametrize(("wall", "synced"), [(1_800_000_000.0, True), (1_000_000_000.0, False)])
@pytest.mark.usefixtures("no_mark")
def test_a_synced_kernel_with_an_impossible_year_is_not_believed(
    wall: float, synced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_kernel(monkeypatch, Kernel())
    monkeypatch.setattr(time, "time", lambda: wall)
    assert SystemClock().moment().synced is synced


@pytest.mark.usefixtures("no_mark")
def test_the_kernel_is_asked_every_ten_seconds_and_not_for_each_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, clock = Kernel(status=STA_UNSYNC), SystemClock()
    set_kernel(monkeypatch, kernel)
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    assert [clock.moment().synced for _ in range(3)] == [False] * 3
    assert kernel.asked == 1
    kernel.status = 0
    clock.offset_s += 11.0
    assert clock.moment().synced is True
    assert kernel.asked == 2


@pytest.mark.usefixtures("no_mark")
def test_a_wall_clock_that_was_set_is_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, clock = Kernel(status=STA_UNSYNC), SystemClock()
    set_kernel(monkeypatch, kernel)
    monkeypatch.setattr(time, "time", lambda: 946_684_800.0)
    assert clock.moment().synced is False
    kernel.status = 0
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    assert clock.moment().synced is True


@pytest.mark.parametrize(
    ("wall", "synced", "word"),
    [(1_800_000_000.0, True, "synced"), (1_800_000_000.0, False, "unsynced"), (946_684_800.0, False, "implausible")],
)
def test_a_clock_is_right_or_shows_no_sign_of_it_or_is_surely_wrong(wall: float, synced: bool, word: str) -> None:
    assert word_for(Moment(1.0, wall, synced)) == word


def test_the_boot_has_the_kernels_name() -> None:
    assert SystemClock().boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
