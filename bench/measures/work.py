"""A contender at work: readings that are all told on, at a steady pace, in a flood, and through a `kill -9`."""

import time

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import Failed, cpu_s, forget_peak, peak_rss_mib, wait_for, written_bytes
from bench.running import Running, Setting
from bench.size import Size
from bench.surroundings import Ways

_RATE = 100
_PATIENCE_S = 30.0


def measure(setting: Setting, contender: Contender, size: Size) -> Figures:
    """One run: first what warms it up, then a steady pace, then a flood."""
    with setting.running(contender) as it:
        _all_told(setting, it, size.warm)
        p50_ms, p99_ms = _all_told(setting, it, size.paced, "--rate", _RATE).delays_ms()
        return {figures.P50: p50_ms, figures.P99: p99_ms} | flood(setting, it, size)


def flood(setting: Setting, it: Running, size: Size) -> Figures:
    """As many readings as it takes, all of them alerts."""
    forget_peak(it.pid)
    cpu, written = cpu_s(it.pid), written_bytes(it.pid)
    ways = _all_told(setting, it, size.flood)
    time.sleep(size.calm_s)
    return {
        figures.WEBHOOKS: ways.rate,
        figures.CPU: 1000 * (cpu_s(it.pid) - cpu) / size.flood,
        figures.RSS_FLOOD: peak_rss_mib(it.pid),
        figures.WRITTEN_FLOOD: (written_bytes(it.pid) - written) / size.flood,
    }


def killed(setting: Setting, contender: Contender, size: Size) -> Figures:
    """The share that is lost when it is killed once a quarter of a flood has come, and started again."""
    at, count = setting.surroundings, size.killed
    with setting.running(contender) as it:
        with at.publishing(count) as load:
            wait_for("a quarter of the flood", lambda: at.count(it.name) >= count / 4, every_s=0.005)
            it.kill()
            sent = load.wait()
            it.start()
        at.settle(it.name, count, size.quiet_s)
        return {figures.LOST_KILL: 100 * Ways(sent, at.came(it.name, count)).lost}


def _all_told(setting: Setting, it: Running, count: int, *options: object) -> Ways:
    """Publish so many, and wait until each has come to the receiver."""
    at = setting.surroundings
    at.forget(it.name)
    sent = at.publish(count, *options)
    at.settle(it.name, count, _PATIENCE_S)
    ways = Ways(sent, at.came(it.name, count))
    if ways.lost:
        raise Failed(f"{it.contender.name} lost {ways.lost:.1%} though nothing was in its way")
    return ways
