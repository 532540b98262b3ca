"""Sensors, rules, webhooks, events that wait: at each point a real agent between a real broker and a receiver."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.growth.agent import Agent
from bench.growth.judgement import Cost, Growth
from bench.growth.surroundings import Readings, Receiver, broker
from bench.processes import free_port
from bench.queue import fill

FLAT, LINEAR = Growth.FLAT, Growth.LINEAR
READING = Cost("a reading that changes nothing, in a flood", "us of CPU", FLAT, 4.0)
LONE = Cost("a reading that changes nothing, alone", "us of CPU", FLAT, 60.0, 0)
FIRST = Cost("the first reading of a sensor", "us of CPU", FLAT, 60.0)
WRITTEN = Cost("written over 1,000 readings that change nothing", "B", FLAT, 4096.0, 0)
EVENT = Cost("an event, from the reading until it waits", "us of CPU", FLAT, 200.0, 0)
EVENT_SENT = Cost("an event, to all webhooks", "us of CPU", LINEAR, 200.0, 0)
EVENT_WRITTEN = Cost("written for an event", "B", LINEAR, 2000.0, 0)
RSS = Cost("memory", "MiB", LINEAR, 2.0)
START = Cost("a start, until it is ready", "ms of CPU", LINEAR, 60.0, 0)
READY = Cost("the same by the wall clock", "ms", LINEAR, 500.0, 0)
RELOAD = Cost("a reload", "ms of CPU", LINEAR, 20.0, 0)
STATUS = Cost("a whole status, /api/v1/status", "ms of CPU", LINEAR, 2.0)
PAGE = Cost("the page", "ms of CPU", FLAT, 5.0)
PAGE_OF_RULES = Cost("the page", "ms of CPU", LINEAR, 5.0)

_CONFIG = """
version: 1
agent: {{name: bench, events_to: []}}
brokers: {{house: {{url: "mqtt://127.0.0.1:{mqtt}"}}}}
sources:
  meter: {{driver: mqtt, topic: "bench/{{unit}}", sensors: {{t: {{path: t}}}}}}
rules:
{rules}
webhooks:
{webhooks}
outbox: {{max_size: 4GB, max_events: 2000000}}
status: {{listen: "{{status}}"}}
"""
_RULES_OF_ALL = {
    "high": '{sensor: "meter.*.t", when: {above: 1000}, for: 1m}',
    "jump": '{sensor: "meter.*.t", when: {rising: {by: 1000, within: 10m}}}',
    "silent": '{sensor: "meter.*.t", when: {silent_for: 1h}}',
}
_EACH = {"each": '{sensor: "meter.*.t", each: {above: 0}}'}
_SENSORS = 100
_ROUNDS = 3
"""Readings are measured so often, and the median counts."""
READINGS = 4000
"""So many are heard at a time, where they are measured."""

Figures = Mapping[Cost, float]


@dataclass(frozen=True)
class Cause:
    """What grows."""

    name: str
    title: str
    what: str
    """How it is made, for people."""
    axis: str
    points: tuple[int, ...]
    measure: Callable[[Sequence[int], int], list[Figures]]
    """Points and how many readings are heard at a time -> the figures of each point."""
    why: str = ""
    """Of what grows, where it is not plain to see."""


@contextmanager
def _house() -> Iterator[tuple[Path, int]]:
    """A folder and the port of a broker."""
    with tempfile.TemporaryDirectory(prefix="bellcrank-growth-") as text, broker(Path(text)) as port:
        yield Path(text), port


def config_text(mqtt: int, rules: Mapping[str, str], webhooks: Mapping[str, int]) -> str:
    """`webhooks`: name -> port."""
    hooks = (f'  {name}: {{url: "http://127.0.0.1:{port}/{name}", unsigned: true}}' for name, port in webhooks.items())
    lines = (f"  {name}: {rule}" for name, rule in rules.items())
    return _CONFIG.format(mqtt=mqtt, rules="\n".join(lines), webhooks="\n".join(hooks))


@contextmanager
def _publishing(mqtt: int, sensors: int) -> Iterator[Readings]:
    readings = Readings(mqtt, sensors)
    try:
        yield readings
    finally:
        readings.close()


def _heard(agent: Agent, readings: Readings, count: int) -> dict[Cost, float]:
    """The costs of readings: the first ones, those that follow, what they write."""
    agent.listen()
    first_us = agent.flooded_us(readings, readings.sensors)
    before = agent.written_bytes()
    reading_us = statistics.median(agent.flooded_us(readings, count) for _ in range(_ROUNDS))
    lone_us = statistics.median(agent.lone_us(readings, count // 20) for _ in range(_ROUNDS))
    written = agent.written_bytes() - before
    return {
        READING: reading_us,
        LONE: lone_us,
        FIRST: first_us,
        WRITTEN: written * 1000 / (readings.said - readings.sensors),
        RSS: agent.rss_mib(),
        STATUS: agent.get_ms("/api/v1/status"),
        PAGE: agent.get_ms("/"),
    }


def _started(agent: Agent) -> dict[Cost, float]:
    with agent.run() as (wall_s, cpu_s):
        return {START: cpu_s * 1000, READY: wall_s * 1000}


def _sensors(points: Sequence[int], count: int) -> list[Figures]:
    return [_with_sensors(n, count) for n in points]


def _with_sensors(n: int, count: int) -> Figures:
    with _house() as (folder, mqtt), _publishing(mqtt, n) as readings:
        agent = Agent(folder, config_text(mqtt, _RULES_OF_ALL, {"here": free_port()}))
        with agent.run():
            found = _heard(agent, readings, max(count, n))
        return {**found, **_started(agent)}


def _rules(points: Sequence[int], count: int) -> list[Figures]:
    return [_with_rules(n, max(points), count) for n in points]


def _with_rules(n: int, sensors: int, count: int) -> Figures:
    """One is about all that is said, the others about sensors of their own that say nothing."""
    rules = {"rule_0": '{sensor: "meter.*.t", when: {above: 1000}}'}
    rules |= {f"rule_{i}": f"{{sensor: meter.no_{i}.t, when: {{above: 1000}}}}" for i in range(1, n)}
    with _house() as (folder, mqtt), _publishing(mqtt, sensors) as readings:
        config = config_text(mqtt, rules, {"here": free_port()})
        agent = Agent(folder, config)
        with agent.run():
            found = _heard(agent, readings, max(count, sensors))
            found[PAGE_OF_RULES] = found.pop(PAGE)
            found[RELOAD] = agent.reload_cpu_s(config.replace("above: 1000", "above: 1001")) * 1000
        return {**found, **_started(agent)}


def _webhooks(points: Sequence[int], count: int) -> list[Figures]:
    return [_with_webhooks(n, count) for n in points]


def _with_webhooks(n: int, count: int) -> Figures:
    receiver = Receiver()
    with receiver.open(), _house() as (folder, mqtt), _publishing(mqtt, _SENSORS) as readings:
        agent = Agent(folder, config_text(mqtt, _EACH, {f"hook_{i}": receiver.port for i in range(n)}))
        with agent.run():
            found = _heard(agent, readings, count)
            events = count // 8
            before = agent.written_bytes()
            taken_us = agent.flooded_us(readings, events, 1.0)
            while receiver.count < events * n:
                agent.rest()
            found[EVENT_SENT] = taken_us
            found[EVENT_WRITTEN] = (agent.written_bytes() - before) / events
            found[RSS] = agent.rss_mib()
        return {**found, **_started(agent)}


def _waiting(points: Sequence[int], count: int) -> list[Figures]:
    return [_with_waiting(n, count) for n in points]


def _with_waiting(n: int, count: int) -> Figures:
    """Ten of each subject, and a receiver that is away."""
    with _house() as (folder, mqtt), _publishing(mqtt, _SENSORS) as readings:
        fill(folder / "state", n, max(1, n // 10))
        agent = Agent(folder, config_text(mqtt, _EACH, {"here": free_port()}))
        with agent.run() as (wall_s, cpu_s):
            agent.rest()  # it reads the subjects beside the work
            found = _heard(agent, readings, count)
            found |= {START: cpu_s * 1000, READY: wall_s * 1000}
            events = count // 8
            before = agent.written_bytes()
            found[EVENT] = agent.flooded_us(readings, events, 1.0)
            found[EVENT_WRITTEN] = (agent.written_bytes() - before) / events
        return found


CAUSES = (
    Cause(
        "sensors",
        "Sensors",
        "All are watched by three rules: a threshold with `for`, `rising`, and `silent_for`. They speak in turn. The"
        " page shows a window of them, the status all.",
        "sensors",
        (10, 100, 1_000, 10_000),
        _sensors,
        "A whole status names every sensor, and is written in one piece, so it holds up the agent for as long as it"
        " takes; `/api/v1/sensors` tells of them in pages. A start takes up a memory of each sensor and rule.",
    ),
    Cause(
        "rules",
        "Rules",
        "1,000 sensors speak in turn, and one rule watches them all; each of the others has a sensor of its own that"
        " says nothing.",
        "rules",
        (1, 10, 100, 1_000),
        _rules,
        "The page shows 50 rules; what still grows is the look at all of them for its headline. A reload and a start"
        " read, check and compile every rule.",
    ),
    Cause(
        "webhooks",
        "Webhooks",
        "Each event is sent to all of them; the readings that change nothing concern none.",
        "webhooks",
        (1, 2, 5, 10, 20),
        _webhooks,
        "An event is a delivery of its own to each webhook: a row, a request, a mark. Each webhook has a courier with"
        " its connections.",
    ),
    Cause(
        "waiting",
        "Events that wait",
        "Ten of each subject, so that a million are of 100,000 subjects; the receiver is away.",
        "events that wait",
        (0, 1_000, 10_000, 100_000, 1_000_000),
        _waiting,
        "What waits is on the disk. In memory is which subjects wait, of which there are a tenth as many; they are read"
        " beside the work, so that a start does not wait for them.",
    ),
)
