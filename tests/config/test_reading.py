"""What is right is taken, with its defaults, and what the file says of all parts together."""

import re
from pathlib import Path

import pytest

from tests.config.files import GOOD, changed, read


def test_a_good_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    assert list(config.sources) == ["room", "rooms", "meter"]
    assert {name: list(them) for name, them in config.sources_by_driver().items()} == {
        "mqtt": ["room", "rooms"],
        "serial": ["meter"],
    }
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", config.agent.name)
    assert (config.status.address, config.status.on_loopback) == (("127.0.0.1", 8321), True)
    assert config.brokers["house"].port == 1883


@pytest.mark.parametrize(
    "text",
    [
        changed("sensor: room.t", "sensor: rooms.*.t"),
        changed("sensor: room.t", "sensor: rooms.kitchen.t"),
        changed("sensor: room.t", "sensor: room.*"),
        changed("sensor: room.t", "sensor: meter.power"),
        changed("{above: 5}", "{equals: on}"),
        changed("{above: 5}", "{above: 5}\n    for: 0"),
        changed("t: {path: t}\n  rooms", "t: {}\n  rooms"),
        GOOD + "status: {listen: '0.0.0.0:80', token: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}\n",
        GOOD + "status: {listen: '[::1]:80'}\n",
        GOOD + "status: {listen: 'localhost:80'}\n",
        GOOD + "status: {listen: false}\n",
        GOOD + "agent: {name: off, labels: {since: 2024-01-02, on: yes}}\n",
        changed("version: 1", "version: 1\nagent: &a {name: x}\nstatus: {hosts: [&h cabin, *h]}"),
        "\ufeff" + GOOD,
    ],
)
def test_what_is_right_is_taken(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).rules


def test_words_and_dates_of_yaml_1_1_stay_text(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD + "agent: {name: off, labels: {a: ON, b: yes, c: 2024-01-02}}\n")
    assert (config.agent.name, config.agent.labels) == ("off", {"a": "ON", "b": "yes", "c": "2024-01-02"})


def test_the_agent_tells_of_itself_where_the_body_is_the_standard_one(tmp_path: Path) -> None:
    more = """\
  chat: {url: "http://127.0.0.1/chat", unsigned: true, body: {text: "{summary}"}}
  team: {url: "http://127.0.0.1/team", unsigned: true, preset: slack}
  next: {url: "http://127.0.0.1/next", unsigned: true, headers: {X-A: "{id}"}, method: PUT}
"""
    assert read(tmp_path, GOOD + more).site().events_to == ("ops", "next")
    text = GOOD.replace("version: 1", "version: 1\nagent: {events_to: [chat]}", 1) + more
    assert read(tmp_path, text).site().events_to == ("chat",)
