"""Each recipe passes the check, and makes of what its devices say the events that it promises."""

import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from agent.config import Config, load
from agent.model import Event, Moment
from agent.rules import Book, Engine
from drivers.base import FeedState, Presence
from drivers.decoding import Decoded, Decoder
from drivers.mqtt import MqttSource
from drivers.topics import parse_topic, sensor_prefix
from tests.support.samples import Sample, samples

RECIPES = Path(__file__).parent.parent / "config" / "recipes"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"


def configured(name: str, folder: Path) -> Config:
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    (folder / "bellcrank.yaml").write_text(text, encoding="utf-8")
    secrets = folder / "secrets.yaml"
    secrets.touch(0o600)
    secrets.write_text("".join(f"{word}: {SECRET}\n" for word in set(re.findall(r"!secret (\w+)", text))))
    return load(folder / "bellcrank.yaml")


class House:
    """A recipe's sources and rules, without a feed and without a disk."""

    def __init__(self, config: Config) -> None:
        self.at, ids = 1000.0, count(1)
        self.told: list[Event] = []
        self._decoders = {
            name: (source, Decoder(name, source.format, source.sensors, source.labels, source.attributes))
            for name, source in config.sources.items()
        }
        meanings, site = config.meanings(), config.site()
        webhooks = list(config.webhooks)
        self._engine = Engine(Book(config.rules, webhooks, {}, lambda prefix: f"{prefix}{next(ids)}", meanings, site))
        step = self._engine.load({}, 0.0, self._moment)
        for source in config.sources:
            step.presence(Presence(self.at, source, source, FeedState.OPEN), self.at)
        step.install(committed=True)

    def hears(self, sample: Sample) -> None:
        step = self._engine.step(self._moment)
        for decoded in self._decoded(sample):
            for reading in decoded.readings:
                step.reading(reading, self.at)
        step.install(committed=True)
        self.told += step.events

    def waits(self, seconds: float) -> None:
        self.at += seconds
        step = self._engine.step(self._moment)
        step.run_timers(self.at)
        step.install(committed=True)
        self.told += step.events

    @property
    def _moment(self) -> Moment:
        return Moment(self.at, 1_790_000_000 + self.at, synced=True)

    def _decoded(self, sample: Sample) -> Iterator[Decoded]:
        """What it says to each source that it belongs to."""
        for name, (source, decoder) in self._decoders.items():
            values = parse_topic(source.topic).match(sample.topic or "") if isinstance(source, MqttSource) else {}
            if values is not None:
                prefix = sensor_prefix(name, values)
                yield decoder.decode(sample.payload, decoder.names(prefix, values), retained=sample.retained)


def changed(sample: Sample, old: str, new: str) -> Sample:
    assert old.encode() in sample.payload
    return sample._replace(payload=sample.payload.replace(old.encode(), new.encode()))


(VALVE, *_), (DHT_BANNER, DHT, DHT_FAILED) = samples("zigbee2mqtt_valve"), samples("arduino_dht")
(SHELLY_GEN1,), SHELLY_PLUS = samples("shelly_gen1"), samples("shelly_plus")
COLD, JSON_LINE = changed(VALVE, "19.81", "7.5"), samples("json_lines")[-1]
FROST = SHELLY_GEN1._replace(payload=b"2.5")
LINES = [changed(JSON_LINE, "21.5", text) for text in ("-18.5", "-14.5", "85", "-14", "-17.5")]
HOT = [changed(DHT, "23.40", text) for text in ("33.40", "36.40", "31.00")]

TABLE: list[tuple[str, Sequence[Sample | float], list[str]]] = [
    ("zigbee2mqtt_thermostat", [VALVE, COLD, 599, VALVE, COLD, 600, changed(VALVE, '"battery":75', '"battery":9')],
     ["too_cold firing rooms.bedroom.temperature 7.5", "too_cold resolved rooms.bedroom.temperature 19.81",
      "battery_low firing rooms.bedroom.battery 9"]),
    ("zigbee2mqtt_doorbell", [*samples("zigbee2mqtt_doorbell"), 3, samples("zigbee2mqtt_doorbell")[0], 10,
                              samples("zigbee2mqtt_doorbell")[0]],
     ["someone_at_the_door None doorbell.button pressed"] * 2),
    ("tasmota", [*samples("tasmota_ds18b20"), *samples("tasmota_button"), *reversed(samples("tasmota_availability")),
                 samples("tasmota_availability")[1], 120],
     ["too_warm firing cellar.tasmota.temperature 20.6", "pressed None buttons.tasmota.first SINGLE",
      "away firing devices.tasmota.online False"]),
    ("shelly_gen1", [SHELLY_GEN1, FROST, SHELLY_GEN1],
     ["frost firing temperatures.shellyht-1.temperature 2.5",
      "frost resolved temperatures.shellyht-1.temperature 21.5"]),
    ("shelly_plus", SHELLY_PLUS,
     ["too_warm firing shelly.shellyplusht-08b61fcb7f3c.temperature 31.2",
      "switched_on None shelly.shellypro4pm-f008d1d8b8b8.switch True"]),
    ("esphome", [*samples("esphome"), 299, 1],
     ["too_warm firing cellar.temperature.value 21.5", "away firing device.online False"]),
    ("rtl_433", samples("rtl_433"),
     ["warm_outside firing temperature.attic.Acurite-Tower.A.12345.value 21.3",
      "battery_low firing battery.attic.Acurite-Tower.A.12345.ok False"]),
    ("arduino_serial", [DHT_BANNER, DHT, DHT_FAILED, *HOT[:2], 300, HOT[2]],
     ["too_dry firing greenhouse.humidity 45.1", "too_warm firing greenhouse.temperature 36.4",
      "too_warm resolved greenhouse.temperature 31.0"]),
    ("freezer_watch", [*LINES[:4], 600, LINES[4], 900, LINES[4]],
     ["too_warm firing freezer.temperature -14", "too_warm resolved freezer.temperature -17.5",
      "silent firing freezer.temperature -17.5", "silent resolved freezer.temperature -17.5"]),
    ("leak", [*samples("zigbee2mqtt_leak"), 60],
     ["water firing rooms.bathroom.water True", "water resolved rooms.bathroom.water False"]),
    ("door_left_open", [*samples("zigbee2mqtt_door"), 300, samples("zigbee2mqtt_door")[1], 300,
                        samples("zigbee2mqtt_door")[2]],
     ["left_open firing garage.door open", "left_open resolved garage.door closed"]),
    ("pump_never_stops", [*samples("tasmota_power"), 1800, samples("tasmota_power")[1], 1799, 1],
     ["never_stops firing pump.running True"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "story", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_a_recipe_tells_what_it_promises(
    tmp_path: Path, name: str, story: Sequence[Sample | float], expected: list[str]
) -> None:
    house = House(configured(name, tmp_path))
    for entry in story:
        if isinstance(entry, Sample):
            house.hears(entry)
        else:
            house.waits(entry)
    assert [f"{event.rule} {event.state} {event.sensor} {event.value}" for event in house.told] == expected
    assert all(event.send_to == ("ops",) for event in house.told)


def test_each_recipe_has_a_story() -> None:
    assert {row[0] for row in TABLE} == {path.stem for path in RECIPES.glob("*.yaml")}


def test_attributes_go_into_the_event(tmp_path: Path) -> None:
    house = House(configured("zigbee2mqtt_doorbell", tmp_path))
    house.hears(samples("zigbee2mqtt_doorbell")[0])
    assert [event.attributes for event in house.told] == [{"battery": 100, "linkquality": 26}]
