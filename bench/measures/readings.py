"""Readings that change nothing: what they cost, what they write, and what the broker has to drop meanwhile."""

import time

from paho.mqtt import subscribe

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import cpu_s, written_bytes
from bench.running import Setting

_CALM_S = 2.0
"""Until all that was caused has been written: bellcrank's marks ride in the next commit, at the latest after 1 s."""
_UNCHANGED = ("--value", -1)
_RATE = 8_000
_DROPPED = "$SYS/broker/publish/messages/dropped"


def measure(setting: Setting, contender: Contender, count: int) -> Figures:
    """A flood of `count` that all change nothing but the last, whose webhook tells that all have been heard."""
    at = setting.surroundings
    with setting.running(contender) as it:
        at.publish(1)
        at.settle(it.name, 1, 30)
        time.sleep(_CALM_S)
        at.forget(it.name)
        written = written_bytes(it.pid)
        at.publish(count // 4, *_UNCHANGED)
        time.sleep(_CALM_S)
        written = written_bytes(it.pid) - written
        cpu = cpu_s(it.pid)
        sent = at.publish(count, *_UNCHANGED, "--tell-last")
        at.settle(it.name, 1, 60)
        took_s = at.came(it.name, count)[-1] - sent[0]
        return {
            figures.READINGS: count / took_s,
            figures.CPU_READINGS: 1000 * (cpu_s(it.pid) - cpu) / count,
            figures.WRITTEN_READINGS: written,
        }


def dropped(setting: Setting, contender: Contender, seconds: float) -> Figures:
    """The share that the broker drops at 8,000 a second because the contender is too slow."""
    count = int(seconds * _RATE)
    with setting.running(contender):
        before = _dropped(setting)
        setting.surroundings.publish(count, *_UNCHANGED, "--rate", _RATE)
        time.sleep(_CALM_S)  # the broker tells each second
        return {figures.LOST_LIMITS: 100 * (_dropped(setting) - before) / count}


def _dropped(setting: Setting) -> int:
    """How many messages the broker has dropped for want of room in a client's queue."""
    message = subscribe.simple(_DROPPED, port=setting.surroundings.mqtt)  # type: ignore[no-untyped-call]
    assert not isinstance(message, list)
    return int(message.payload)
