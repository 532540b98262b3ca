"""What is measured, with its unit."""

from typing import NamedTuple


class Figure(NamedTuple):
    """One column of the tables."""

    name: str
    unit: str


WEBHOOKS = Figure("webhooks in a flood", "/s")
CPU = Figure("CPU for 1,000 webhooks", "s")
RSS_FLOOD = Figure("memory in a flood, the most", "MiB")
WRITTEN_FLOOD = Figure("written for an event in a flood", "B")
P50 = Figure("publish to receipt at 100/s, p50", "ms")
P99 = Figure("publish to receipt at 100/s, p99", "ms")
LOST_KILL = Figure("lost by `kill -9` in mid-flood", "%")
READINGS = Figure("readings that change nothing", "/s")
CPU_READINGS = Figure("CPU for 1,000 readings that change nothing", "s")
WRITTEN_READINGS = Figure("written over all those readings", "B")
LOST_LIMITS = Figure("lost at 8,000/s by mosquitto's default limits", "%")
READY = Figure("from the start to the subscription", "s")
RSS_IDLE = Figure("memory idle", "MiB")
CPU_IDLE = Figure("CPU idle", "% of a core")
WRITTEN_LONE = Figure("written for a lone event", "B")
LOST_AWAY = Figure("lost while the receiver was away", "%")
RSS_WAITING = Figure("memory with 100,000 events waiting, the most", "MiB")

CPU_OF = {WEBHOOKS: CPU, READINGS: CPU_READINGS}
"""The CPU time behind a rate: a machine that is busy with other things disturbs it less."""

Figures = dict[Figure, float]
