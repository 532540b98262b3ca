"""bellcrank with many events waiting for a receiver that is away."""

import time
from pathlib import Path

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import peak_rss_mib
from bench.queue import fill
from bench.running import Setting

_SUBJECTS = 1_000
_BEGUN_S = 5.0
"""Until it has read what waits, and found that nobody answers."""


def measure(setting: Setting, contender: Contender, events: int) -> Figures:
    """The most memory that it takes to start with so many events and to try the first of them."""

    def prepare(folder: Path) -> None:
        fill(folder / "state", events, _SUBJECTS)

    setting.surroundings.take_receiver_away()
    try:
        with setting.running(contender, prepare) as it:
            time.sleep(_BEGUN_S)
            return {figures.RSS_WAITING: peak_rss_mib(it.pid)}
    finally:
        setting.surroundings.bring_receiver()
