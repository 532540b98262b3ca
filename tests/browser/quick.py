"""An agent to which an hour passes within seconds: `python -m tests.browser.quick run ...`, for pictures of a page.

From SIGUSR1 on its clock is `TIMES` as quick, until it has caught up with the one on the wall.
"""

import signal
import time

from agent import clock
from agent.cli import main

TIMES = 120
AHEAD_S = 70 * 60.0
"""How far its clock is behind at first."""

_begin: list[float] = []
_now, _wall = clock.SystemClock.now, clock.SystemClock.wall


def _gained_s() -> float:
    return min((time.monotonic() - _begin[0]) * (TIMES - 1), AHEAD_S) if _begin else 0.0


def run() -> None:
    """What the command line says, with another clock."""
    signal.signal(signal.SIGUSR1, lambda *_: _begin.append(time.monotonic()))
    clock.SystemClock.now = lambda self: _now(self) + _gained_s()  # type: ignore[method-assign]
    clock.SystemClock.wall = lambda self: _wall(self) + _gained_s() - AHEAD_S  # type: ignore[method-assign]
    clock.kernel_synced = lambda: True
    main(prog_name="bellcrank")


if __name__ == "__main__":
    run()
