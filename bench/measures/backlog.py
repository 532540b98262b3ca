"""bellcrank with many events waiting for a receiver that is away."""

import time
from pathlib import Path

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import peak_rss_mib
from bench.queue import fill
from bench.running import Setting
from bench.size import Size

_SUBJECTS = 1_000


def measure(setting: Setting, contender: Contender, size: Size) -> Figures:
    """The most memory that it takes to start with so many events and to try the first of them."""

    def prepare(folder: Path) -> None:
        fill(folder / "state", size.waiting, _SUBJECTS)

    setting.surroundings.take_receiver_away()
    try:
        with setting.running(contender, prepare) as it:
            time.sleep(size.begun_s)  # it reads what waits, and finds that nobody answers
            return {figures.RSS_WAITING: peak_rss_mib(it.pid)}
    finally:
        setting.surroundings.bring_receiver()
