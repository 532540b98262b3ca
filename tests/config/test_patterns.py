"""Which sensors a pattern may name."""

from itertools import product

from agent.config.patterns import may_match, named_by, sensor_parts
from drivers.mqtt import MqttSource
from drivers.simulated import SimulatedSource

WAVE = {"wave": {"noise": {"min": 0, "max": 1}}}
SOURCES = {
    "a": MqttSource.model_validate({"driver": "mqtt", "topic": "x/{room}", "sensors": {"t": {}, "h": {}}}),
    "b": SimulatedSource.model_validate({"driver": "simulated", "sensors": {"t": WAVE, "k": WAVE}}),
}
PARTS = ("a", "b", "t", "h", "*", "{room}", "{other}", "c")


def test_a_pattern_names_just_the_sensors_that_it_may_match() -> None:
    every = {(name, sensor): sensor_parts(name, it, sensor) for name, it in SOURCES.items() for sensor in it.sensors}
    for n in (1, 2, 3):
        for pattern in product(("a", "b", "c"), *[PARTS] * n):
            wanted = [named for named, parts in every.items() if may_match(pattern, parts)]
            assert list(named_by(".".join(pattern), SOURCES)) == wanted, pattern
