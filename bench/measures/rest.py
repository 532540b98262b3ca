"""Contenders at rest, all at the same time, as they do not disturb one another then."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import cpu_s, rss_mib, written_bytes
from bench.running import Running, Setting
from bench.size import Size
from bench.surroundings import Surroundings, Ways

_RATE = 100


def measure(setting: Setting, contenders: Sequence[Contender], size: Size) -> Iterator[tuple[Contender, Figures]]:
    """Start one after another; let them idle; publish lone events; take the receiver away for some seconds."""
    at = setting.surroundings
    with ExitStack() as stack:
        its = [stack.enter_context(setting.running(contender)) for contender in contenders]
        time.sleep(size.begun_s)
        idle = _idle(its, size.idle_s)
        lone = _lone(at, its, size)
        lost = _receiver_away(at, its, size)
        for it, *parts in zip(its, idle, lone, lost, strict=True):
            yield it.contender, {figures.READY: it.ready_s} | parts[0] | parts[1] | parts[2]


def _idle(its: Sequence[Running], seconds: float) -> list[Figures]:
    before = [cpu_s(it.pid) for it in its]
    time.sleep(seconds)
    return [
        {figures.CPU_IDLE: 100 * (cpu_s(it.pid) - cpu) / seconds, figures.RSS_IDLE: rss_mib(it.pid)}
        for it, cpu in zip(its, before, strict=True)
    ]


def _lone(at: Surroundings, its: Sequence[Running], size: Size) -> list[Figures]:
    before = [written_bytes(it.pid) for it in its]
    for _ in range(size.lone):
        at.publish(1)
        time.sleep(size.calm_s)
    return [
        {figures.WRITTEN_LONE: (written_bytes(it.pid) - written) / size.lone}
        for it, written in zip(its, before, strict=True)
    ]


def _receiver_away(at: Surroundings, its: Sequence[Running], size: Size) -> list[Figures]:
    """The share of the readings published meanwhile that never comes, though the receiver is back."""
    at.take_receiver_away()
    sent = at.publish(size.away, "--rate", _RATE)
    at.bring_receiver()
    for it in its:
        at.settle(it.name, size.away, size.quiet_s)
    return [{figures.LOST_AWAY: 100 * Ways(sent, at.came(it.name, size.away)).lost} for it in its]
