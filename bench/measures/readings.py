"""Readings that change nothing: what they cost, what they write, and what the broker has to drop meanwhile."""

import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench import figures
from bench.contenders.contender import Contender
from bench.figures import Figures
from bench.processes import Failed, cpu_s, wait_for, wait_until_idle, written_bytes
from bench.running import Running, Setting
from bench.size import Size
from bench.surroundings import Surroundings

_UNCHANGED = ("--value", -1)
_RATE = 8_000
_DROPPED = "$SYS/broker/publish/messages/dropped"


def measure(setting: Setting, contender: Contender, size: Size) -> Figures:
    """Some of them to see what they write, then a flood of them whose last one tells that all have been heard."""
    at, count = setting.surroundings, size.unchanged
    with setting.running(contender) as it:
        at.publish(1)  # bellcrank commits the first batch after a start, whatever it is
        at.settle(it.name, 1, 30)
        time.sleep(size.calm_s)
        written = _written(at, it, count // 4)
        at.forget(it.name)
        cpu = cpu_s(it.pid)
        sent = at.publish(count, *_UNCHANGED, "--tell-last")
        at.settle(it.name, 1, 60)
        took_s = at.came(it.name, count)[-1] - sent[0]
        if took_s < 0:
            raise Failed(f"{contender.name} does not come to the last of the readings")
        return {
            figures.READINGS: count / took_s,
            figures.CPU_READINGS: 1000 * (cpu_s(it.pid) - cpu) / count,
            figures.WRITTEN_READINGS: written,
        }


def _written(at: Surroundings, it: Running, count: int) -> int:
    before = written_bytes(it.pid)
    at.publish(count, *_UNCHANGED)
    wait_until_idle(it.pid)
    return written_bytes(it.pid) - before


def dropped(setting: Setting, contender: Contender, size: Size) -> Figures:
    """The share that the broker drops at 8,000 a second because the contender is too slow."""
    at, count = setting.surroundings, int(size.limits_s * _RATE)
    with setting.running(contender):
        before = _dropped(at)
        at.publish(count, *_UNCHANGED, "--rate", _RATE)
        time.sleep(size.calm_s)  # the broker tells each second
        return {figures.LOST_LIMITS: 100 * (_dropped(at) - before) / count}


def _dropped(at: Surroundings) -> int:
    """How many messages the broker has dropped since it began, for want of room in a client's queue."""
    told: list[int] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe(_DROPPED)
    client.on_message = lambda _, __, message: told.append(int(message.payload))
    client.connect("127.0.0.1", at.mqtt)
    client.loop_start()
    try:
        wait_for("the broker to tell what it dropped", lambda: told)
        return told[0]
    finally:
        client.disconnect()
        client.loop_stop()
