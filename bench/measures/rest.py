"""Contenders at rest, all at the same time, as they do not disturb one another then."""

import time
from collections.abc import Sequence
from contextlib import ExitStack

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import cpu_s, rss_mib, written_bytes
from bench.running import Running, Setting
from bench.surroundings import Surroundings, Ways

_BEGUN_S = 3.0
"""Until what belongs to a start has ended."""
_CALM_S = 2.0
"""Until a lone event has wholly been written: marks of bellcrank ride in the next commit, at the latest after 1 s."""
_RATE = 100
_QUIET_S = 6.0
"""What has not come when nothing has come for so long will not come."""


def measure(
    setting: Setting, contenders: Sequence[Contender], idle_s: float, lone: int, away_s: float
) -> dict[Contender, Figures]:
    """Start them one after another; let them idle; publish `lone` events; take the receiver away for some seconds."""
    with ExitStack() as stack:
        its = [stack.enter_context(setting.running(contender)) for contender in contenders]
        found = {it.contender: {figures.READY: it.ready_s} for it in its}
        time.sleep(_BEGUN_S)
        for part in (
            idle(its, idle_s),
            lone_events(setting.surroundings, its, lone),
            receiver_away(setting.surroundings, its, away_s),
        ):
            for contender, more in part.items():
                found[contender] |= more
        return found


def idle(its: Sequence[Running], seconds: float) -> dict[Contender, Figures]:
    before = [cpu_s(it.pid) for it in its]
    time.sleep(seconds)
    return {
        it.contender: {
            figures.CPU_IDLE: 100 * (cpu_s(it.pid) - cpu) / seconds,
            figures.RSS_IDLE: rss_mib(it.pid),
        }
        for it, cpu in zip(its, before, strict=True)
    }


def lone_events(at: Surroundings, its: Sequence[Running], count: int) -> dict[Contender, Figures]:
    before = [written_bytes(it.pid) for it in its]
    for _ in range(count):
        at.publish(1)
        time.sleep(_CALM_S)
    return {
        it.contender: {figures.WRITTEN_LONE: (written_bytes(it.pid) - written) / count}
        for it, written in zip(its, before, strict=True)
    }


def receiver_away(at: Surroundings, its: Sequence[Running], seconds: float) -> dict[Contender, Figures]:
    """The share of the readings published meanwhile that never comes, though the receiver is back."""
    count = int(seconds * _RATE)
    at.take_receiver_away()
    sent = at.publish(count, "--rate", _RATE)
    at.bring_receiver()
    for it in its:
        at.settle(it.name, count, _QUIET_S)
    return {it.contender: {figures.LOST_AWAY: 100 * Ways(sent, at.came(it.name, count)).lost} for it in its}
