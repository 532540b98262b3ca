"""What devices say becomes the values that people mean: each sample with the words of its source."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from drivers.base import Sensor
from drivers.decoding import Decoder
from drivers.paths import Format
from tests.support.samples import FOLDER, samples

ARDUINO = {
    "regex": r"Humidity: (?P<h>[-.0-9]+) %\s+Temperature: (?P<t>[-.0-9]+) \*C (?P<f>[-.0-9]+) \*F\s+"
    r"Heat index: (?P<i>[-.0-9]+) \*C"
}
METER = {"regex": r"1-0:1\.8\.1\((?P<energy>[0-9]+\.[0-9]+)\*kWh\)"}
ONLINE = {"online": True, "Online": True, "offline": False, "Offline": False}

TABLE: list[tuple[str, Any, dict[str, Any], list[Any]]] = [
    ("zigbee2mqtt_valve", "json", {"path": "local_temperature"}, [19.81, 19.81]),
    ("zigbee2mqtt_valve", "json", {"path": "pi_heating_demand", "type": "number"}, [0, 0]),
    ("zigbee2mqtt_doorbell", "json", {"path": "action"}, ["pressed", "", "not_json"]),
    ("zigbee2mqtt_doorbell", "json", {"path": "tamper", "type": "bool"}, [False, False, "not_json"]),
    ("zigbee2mqtt_bridge", "text", {"map": ONLINE}, [True, False, "not_in_map"]),
    ("zigbee2mqtt_bridge", "json", {"path": "state"}, ["not_json", "not_json", "online"]),
    ("tasmota_ds18b20", "json", {"path": "DS18B20.Temperature", "valid": {"not": [85, -127]}},
     [20.6, "not_a_value", 20.7]),
    ("tasmota_ds18b20", "json", {"path": ["DS18B20", "Temperature"], "valid": {"max_jump": 10}}, [20.6, "jump", 20.7]),
    ("tasmota_button", "json", {"path": "Button1.Action"}, ["SINGLE"]),
    ("tasmota_availability", "text", {"map": ONLINE, "type": "bool"}, [True, False]),
    ("tasmota_power", "text", {"map": {"ON": True, "OFF": False}}, [False, True, False]),
    ("shelly_gen1", "number", {}, [21.5]),
    ("shelly_gen1", "json", {}, [21.5]),
    ("shelly_plus", "json", {"path": ["params", "temperature:0", "tC"]}, [23.5, None, "null", 31.2, None, None]),
    ("shelly_plus", "json", {"path": ["params", "switch:0", "output"]}, [None, None, None, None, True, None]),
    ("esphome", "text", {"map": ONLINE}, [True, "not_in_map", "not_finite", False]),
    ("esphome", "number", {}, ["not_a_number", 21.5, "not_finite", "not_a_number"]),
    ("home_assistant", "json", {"path": "temperature"}, [None, 23.2]),
    ("rtl_433", "json", {"path": "temperature_C"}, [21.3, 21.3, None, None, None]),
    ("rtl_433", "json", {"path": "battery_ok", "map": {"1": False, "0": True}}, [False, False, None, None, None]),
    ("zigbee2mqtt_leak", "json", {"path": "water_leak"}, [False, True, False]),
    ("zigbee2mqtt_door", "json", {"path": "contact", "map": {"true": "closed", "false": "open"}},
     ["closed", "open", "closed"]),
    ("arduino_dht", ARDUINO, {"path": "t"}, ["no_match", 23.4, "no_match"]),
    ("arduino_dht", ARDUINO, {"path": "h", "type": "text"}, ["no_match", "45.10", "no_match"]),
    ("arduino_dht", "keyvalue", {"path": "Temperature"}, ["no_pairs", 23.4, "no_pairs"]),
    ("scale", "number", {"scale": 1000, "unit": "g"}, [6660.0, 76660.0]),
    ("json_lines", "json", {"path": "t"}, ["not_json", 21.5]),
    ("keyvalue", "keyvalue", {"path": "H"}, [40, 40]),
    ("keyvalue", "csv", {"path": 0, "type": "text"}, ["T=21.5", "T=21.5 H=40"]),
    ("smart_meter_p1", METER, {"path": "energy"}, ["no_match", 5779.835, "no_match"]),
]  # fmt: skip


@pytest.mark.parametrize(("device", "format_", "sensor", "expected"), TABLE)
def test_a_sample_says_what_its_device_means(
    device: str, format_: Any, sensor: dict[str, Any], expected: list[Any]
) -> None:
    checked: Format = TypeAdapter(Format).validate_python(format_)
    decoder = Decoder("s", checked, {"x": Sensor.model_validate(sensor)}, {})
    names = decoder.names("s", {})
    said = [decoder.decode(sample.payload, names, retained=sample.retained) for sample in samples(device)]
    told = [one.readings[0].value if one.readings else one.refusals[0].reason if one.refusals else None for one in said]
    assert [(type(value), value) for value in told] == [(type(value), value) for value in expected]


def test_each_sample_is_asked_for() -> None:
    assert {row[0] for row in TABLE} == {path.stem for path in FOLDER.glob("*.jsonl")}
