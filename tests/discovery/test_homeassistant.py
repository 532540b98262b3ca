"""Home Assistant's discovery topics, as its documentation shows them."""

import json
from typing import Any

import pytest

from agent.discovery.homeassistant import announced, is_announcement


@pytest.mark.parametrize(
    ("topic", "is_one"),
    [
        ("homeassistant/sensor/sensorBedroomT/config", True),
        ("homeassistant/binary_sensor/garden/motion/config", True),
        ("homeassistant/status", False),
        ("homeassistant/sensor/sensorBedroom/state", False),
        ("a/config", False),
    ],
)
def test_a_topic_is_an_announcement(topic: str, *, is_one: bool) -> None:
    assert is_announcement(topic) is is_one


@pytest.mark.parametrize(
    ("said", "topic", "path", "unit"),
    [
        ({"state_topic": "a/b", "value_template": "{{ value_json.temperature}}"}, "a/b", ("temperature",), None),
        (
            {"~": "a/b", "stat_t": "~/c", "val_tpl": "{{ value_json['t:0'].tC | round(1) }}", "unit_of_meas": "°C"},
            "a/b/c",
            ("t:0", "tC"),
            "°C",
        ),
        ({"~": "a", "stat_t": "b/~", "val_tpl": '{{value_json["x"][0]}}'}, "b/a", ("x", 0), None),
        ({"state_topic": "a/b", "unit_of_measurement": "%"}, "a/b", (), "%"),
        ({"state_topic": "a/b", "value_template": "{{ value | float }}"}, "a/b", (), None),
    ],
)
def test_it_says_where_a_value_comes_and_what_it_is(
    said: dict[str, Any], topic: str, path: object, unit: str | None
) -> None:
    found = announced(json.dumps({"name": "Temperature", **said}).encode())
    assert found is not None
    assert (found.topic, found.path, found.unit, found.name) == (topic, path, unit, "Temperature")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        b'{"name": "x"}',
        b'{"state_topic": 7}',
        b'{"state_topic": "a", "value_template": "{% if value_json.x %}1{% endif %}"}',
        b'{"state_topic": "a", "value_template": "{{ states(\'sensor.x\') }}"}',
        b"[" * 100_000,
    ],
)
def test_what_deletes_or_cannot_be_read_announces_nothing(payload: bytes) -> None:
    assert announced(payload) is None
