"""A contender at work: readings that are all told on, at a steady pace, in a flood, and through a `kill -9`."""

import time

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import cpu_s, forget_peak, peak_rss_mib, wait_for, written_bytes
from bench.running import Running, Setting
from bench.surroundings import Surroundings, Ways

_RATE = 100
_MARKS_S = 2.0
"""Until the last marks of deliveries are written: bellcrank's ride in the next commit, at the latest after 1 s."""
_QUIET_S = 3.0
"""What has not come when nothing has come for so long will not come."""


def measure(setting: Setting, contender: Contender, count: int, paced: int) -> Figures:
    """A flood of `count`, and `paced` readings at 100 a second."""
    with setting.running(contender) as it:
        return at_a_pace(setting.surroundings, it, paced) | flood(setting.surroundings, it, count)


def killed(setting: Setting, contender: Contender, count: int) -> Figures:
    """The share that is lost when it is killed once a quarter has come, and started again."""
    at = setting.surroundings
    with setting.running(contender) as it:
        with at.publishing(count) as load:
            wait_for("a quarter of the flood", lambda: at.count(it.name) >= count / 4, every_s=0.005)
            it.kill()
            sent = load.wait()
            it.start()
        at.settle(it.name, count, _QUIET_S)
        return {figures.LOST_KILL: 100 * Ways(sent, at.came(it.name, count)).lost}


def at_a_pace(at: Surroundings, it: Running, count: int) -> Figures:
    at.forget(it.name)
    sent = at.publish(count, "--rate", _RATE)
    at.settle(it.name, count, 30)
    p50, p99 = Ways(sent, at.came(it.name, count)).delays_ms()
    return {figures.P50: p50, figures.P99: p99}


def flood(at: Surroundings, it: Running, count: int) -> Figures:
    at.forget(it.name)
    forget_peak(it.pid)
    cpu, written = cpu_s(it.pid), written_bytes(it.pid)
    sent = at.publish(count)
    at.settle(it.name, count, 30)
    time.sleep(_MARKS_S)
    ways = Ways(sent, at.came(it.name, count))
    if ways.lost:
        raise SystemExit(f"{it.contender.name} lost {ways.lost:.1%} of a plain flood")
    return {
        figures.WEBHOOKS: ways.rate,
        figures.CPU: 1000 * (cpu_s(it.pid) - cpu) / count,
        figures.RSS_FLOOD: peak_rss_mib(it.pid),
        figures.WRITTEN_FLOOD: (written_bytes(it.pid) - written) / count,
    }
