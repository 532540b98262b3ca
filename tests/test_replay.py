"""A recording through the rules: the states, the times and the counts that a running agent would have had."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.config import Config, load
from agent.recording import RecordedValue, read
from agent.replay import Happened, Replay
from drivers.base import Raw

CONFIG = """
version: 1
brokers: {house: {url: "mqtt://127.0.0.1"}}
sources:
  rooms: {driver: mqtt, topic: "home/{room}/climate", sensors: {t: {path: t, unit: "°C"}}}
  bell: {driver: serial, port: /dev/bell, format: text, sensors: {button: {}}}
rules:
  cold: {sensor: rooms.*.t, when: {below: 5}, clear: {above: 6}, for: 2m}
  ring: {sensor: bell.button, each: {equals: pressed}, throttle: 10s, send_to: [ops]}
webhooks:
  ops: {url: "http://127.0.0.1:1/", unsigned: true}
  log: {url: "http://127.0.0.1:1/", unsigned: true}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "bellcrank.yaml").write_text(CONFIG)
    return load(tmp_path / "bellcrank.yaml")


def climate(at: float, text: str, room: str = "kitchen") -> Raw:
    return Raw(at, "", f"home/{room}/climate", None, text.encode())


def pressed(at: float) -> Raw:
    return Raw(at, "", None, "bell", b"pressed")


def lines(happened: Sequence[Happened]) -> list[tuple[float, str, str]]:
    return [(one.at, one.rule, one.what) for one in happened]


def test_each_state_is_told_with_its_time_and_its_reason(config: Config) -> None:
    replay = Replay(config)
    happened = list(replay.happened([climate(100, '{"t": 4.2}'), climate(400, '{"t": 7}')]))
    assert lines(happened) == [
        (100, "cold", "ok -> pending"),
        (220, "cold", "pending -> firing"),
        (220, "cold", "tells firing"),
        (400, "cold", "firing -> ok"),
        (400, "cold", "tells resolved"),
    ]
    assert happened[0].why == "rooms.kitchen.t is 4.2 °C"
    assert happened[1].why == "its time is over"
    assert happened[2].told == ("ops", "log")
    assert replay.report.rules["cold"].told == {"firing": 1, "resolved": 1}
    assert replay.report.rules["cold"].readings == 2


def test_a_pulse_is_told_and_a_throttled_one_is_counted(config: Config) -> None:
    replay = Replay(config)
    assert lines(list(replay.happened([pressed(1), pressed(5), pressed(12)]))) == [
        (1, "ring", "tells pulse"),
        (12, "ring", "tells pulse"),
    ]
    assert (replay.report.rules["ring"].told["pulse"], replay.report.rules["ring"].throttled) == (2, 1)


def test_what_is_not_ok_at_the_end_is_named(config: Config) -> None:
    replay = Replay(config)
    cold = [climate(100, '{"t": 4}'), climate(101, '{"t": 4}', "hall")]
    list(replay.happened([*cold, climate(221, '{"t": 9}', "bath")]))
    assert replay.report.rules["cold"].at_the_end == {"rooms.kitchen.t": "firing", "rooms.hall.t": "firing"}


def test_the_values_of_a_csv_go_to_the_rules_as_they_are(config: Config) -> None:
    replay = Replay(config)
    happened = list(replay.happened([RecordedValue(1, "rooms.x.t", 4), RecordedValue(200, "rooms.x.t", 4.5)]))
    assert [one.what for one in happened] == ["ok -> pending", "pending -> firing", "tells firing"]


def test_what_nobody_wants_and_what_is_refused_is_counted(config: Config) -> None:
    replay = Replay(config)
    recorded = [climate(1, '{"t": null}'), climate(2, "x"), Raw(3, "", "other", None, b"1")]
    elsewhere = Raw(5, "broker:another", "home/a/climate", None, b"{}")
    assert list(replay.happened([*recorded, RecordedValue(4, "no.t", 1), elsewhere])) == []
    assert replay.report.refused == {"rooms: null": 1, "rooms: not_json": 1}
    assert replay.report.unwanted == {"other": 1, "no.t": 1, "home/a/climate": 1}
    assert replay.report.lines == 5


def test_a_line_that_goes_back_in_time_counts_as_of_the_same_time(config: Config) -> None:
    replay = Replay(config)
    happened = list(replay.happened([climate(100, '{"t": 7}'), climate(50, '{"t": 4}')]))
    assert [(one.at, one.what) for one in happened] == [(100, "ok -> pending")]
    assert replay.report.backwards == 1


def test_explain_shows_each_reading_of_a_rule_and_when_its_time_is_over(config: Config) -> None:
    replay = Replay(config, explain="cold")
    happened = list(replay.happened([climate(100, '{"t": 4}'), climate(130, '{"t": 4.5}')]))
    assert [(one.what, one.why) for one in happened if one.what.startswith("is ")] == [
        ("is pending", "rooms.kitchen.t is 4 °C; its time is over in 2m"),
        ("is pending", "rooms.kitchen.t is 4.5 °C; its time is over in 1m30s"),
    ]


def night(at: str, value: float) -> Raw:
    (line,) = read([json.dumps({"time": at, "source": "meter", "payload": str(value)})])
    assert isinstance(line, Raw)
    return line


@pytest.mark.parametrize(
    ("day", "begins", "ends"),
    [
        ("2026-10-24", "2026-10-24T20:00:00+00:00", "2026-10-25T05:00:00+00:00"),
        ("2027-03-27", "2027-03-27T21:00:00+00:00", "2027-03-28T04:00:00+00:00"),
    ],
)
def test_a_recorded_night_over_a_change_of_summer_time_is_active_by_the_clock_on_the_wall(
    tmp_path: Path, day: str, begins: str, ends: str
) -> None:
    (tmp_path / "bellcrank.yaml").write_text(
        """
version: 1
agent: {timezone: Europe/Berlin}
sources: {meter: {driver: serial, port: /dev/meter, format: number, sensors: {w: {}}}}
rules: {at_night: {sensor: meter.w, when: {above: 100}, active: {from: "22:00", to: "06:00"}}}
"""
    )
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    recorded = [night((noon + timedelta(minutes=10 * n)).isoformat(), 150) for n in range(6 * 24)]
    told = [one for one in Replay(load(tmp_path / "bellcrank.yaml")).happened(recorded) if one.what.startswith("tells")]
    assert [(datetime.fromtimestamp(one.at, UTC).isoformat(), one.what) for one in told] == [
        (begins, "tells firing"),
        (ends, "tells resolved"),
    ]
