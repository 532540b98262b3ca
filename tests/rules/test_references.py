"""What rules say of the rest of the configuration: sensors, webhooks, the time zone."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.config import Config, ConfigErrors, load

FILE = """
version: 1
agent: {AGENT}
brokers: {{house: {{url: "mqtt://broker.lan"}}}}
sources:
  thermostat: {{driver: serial, port: /dev/ttyUSB0, sensors: {{temperature: {{path: t}}}}}}
  rooms: {{driver: mqtt, topic: "home/{{room}}/climate", sensors: {{temperature: {{}}, window: {{}}}}}}
rules: {{one: {RULE}}}
webhooks:
  ops: {{url: "https://ops.example.com", unsigned: true}}
  phone: {{url: "https://phone.example.com", unsigned: true}}
"""


def configured(folder: Path, rule: str, agent: str = "{}") -> Config:
    file = folder / "bellcrank.yaml"
    file.write_text(FILE.format(RULE=rule, AGENT=agent), encoding="utf-8")
    return load(file, {})


PLAIN = "{sensor: thermostat.temperature, when: {above: 5}}"


@pytest.mark.parametrize(
    "rule",
    [
        PLAIN,
        '{sensor: "rooms.*.temperature", when: {silent_for: 1m}}',
        "{sensor: rooms.kitchen.temperature, when: {above: 5}}",
        '{when: {all: [{sensor: "rooms.{room}.temperature", above: 5}, {sensor: thermostat.temperature, below: 5}]}}',
        "{when: {not: {any: [{sensor: rooms.hall.window, equals: open}]}}}",
    ],
)
def test_a_sensor_that_some_source_has_is_known(tmp_path: Path, rule: str) -> None:
    assert configured(tmp_path, rule).rules


@pytest.mark.parametrize(
    ("rule", "agent", "words"),
    [
        ("{sensor: thermostat.temp, when: {above: 5}}", "{}", "rules.one.sensor: unknown sensor 'thermostat.temp'"),
        ('{sensor: "rooms.*.temp", when: {above: 5}}', "{}", "did you mean rooms.*.temperature?"),
        (
            '{when: {all: [{sensor: "rooms.{rom}.temperature", above: 5}]}}',
            "{}",
            "rules.one.when.all.0.sensor: unknown sensor 'rooms.{rom}.temperature': did you mean rooms.{room}.t",
        ),
        ('{when: {not: {any: [{sensor: "thermostat.{x}", above: 5}]}}}', "{}", "rules.one.when.not.any.0.sensor"),
        (
            "{when: {all: [{sensor: thermostat.temperature, above: 5}]}, clear: {not: {sensor: a.b, above: 5}}}",
            "{}",
            "rules.one.clear.not.sensor: unknown sensor 'a.b'",
        ),
        (PLAIN, "{events_to: [ops, fone]}", "agent.events_to.1: unknown webhook 'fone': did you mean phone?"),
        (
            PLAIN,
            "{timezone: Europe/Berln}",
            "agent.timezone: unknown time zone 'Europe/Berln': did you mean Europe/Berlin?",
        ),
        (PLAIN, "{timezone: ../../etc/passwd}", "unknown time zone '../../etc/passwd': such as Europe/Berlin"),
    ],
)
def test_what_is_unknown_is_told_with_its_place_and_its_neighbour(
    tmp_path: Path, rule: str, agent: str, words: str
) -> None:
    with pytest.raises(ConfigErrors) as caught:
        configured(tmp_path, rule, agent)
    assert words in str(caught.value)


def test_the_rules_learn_which_sources_there_are_and_which_sensors_are_named_in_full(tmp_path: Path) -> None:
    site = configured(tmp_path, PLAIN, "{timezone: Europe/Berlin, events_to: [phone]}").site()
    assert site.sources == ("thermostat", "rooms")
    assert site.sensors == ["thermostat.temperature"]
    assert site.events_to == ("phone",)
    assert datetime(2026, 7, 1, tzinfo=site.timezone).utcoffset() == timedelta(hours=2)


def test_every_webhook_hears_of_the_agent_where_nobody_is_named(tmp_path: Path) -> None:
    assert configured(tmp_path, PLAIN).site().events_to == ("ops", "phone")
    assert configured(tmp_path, PLAIN, "{events_to: []}").site().events_to == ()


def test_the_time_zone_is_the_systems_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path, PLAIN)
    monkeypatch.setenv("TZ", "America/New_York")
    assert datetime(2026, 7, 1, tzinfo=config.site().timezone).utcoffset() == timedelta(hours=-4)
    monkeypatch.setenv("TZ", "nowhere")
    assert config.site().timezone.utcoffset(None) == timedelta(0)


@pytest.mark.parametrize("changed", ["temperature: {path: u}", "temperature: {path: t, scale: 2}"])
def test_a_compound_means_the_decoding_of_all_its_sensors(tmp_path: Path, changed: str) -> None:
    rule = "{when: {all: [{sensor: thermostat.temperature, above: 5}, {sensor: rooms.hall.window, equals: 1}]}}"
    before = configured(tmp_path, rule).meanings()
    file = tmp_path / "bellcrank.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("temperature: {path: t}", changed), encoding="utf-8")
    assert load(file, {}).meanings() != before
    file.write_text(
        file.read_text(encoding="utf-8").replace(changed, "temperature: {path: t}, other: {}"), encoding="utf-8"
    )
    assert load(file, {}).meanings() == before
