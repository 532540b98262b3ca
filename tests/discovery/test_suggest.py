"""The YAML that is printed passes the check, and reads what was seen."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import Config, load
from agent.discovery.homeassistant import Announced
from agent.discovery.seen import Seen
from agent.discovery.suggest import grouped, sources_yaml


def suggested(seen: Seen, announced: list[Announced] | None = None) -> str:
    return sources_yaml(grouped(seen.places), announced or [], 10.0)


def loaded(folder: Path, text: str) -> Config:
    broker = 'version: 1\nbrokers: {house: {url: "mqtt://127.0.0.1"}}\n'
    (folder / "bellcrank.yaml").write_text(broker + text, encoding="utf-8")
    return load(folder / "bellcrank.yaml")


def test_topics_that_differ_in_one_level_become_one_source_with_a_placeholder(tmp_path: Path) -> None:
    seen = Seen()
    for room in ("kitchen", "bath", "hall"):
        seen.add(f"home/{room}/climate", b'{"t": 21}', 1.0)
    seen.add("home/kitchen/light", b'{"on": true}', 1.0)
    seen.add("home/garden/climate", b'{"rain": 3}', 1.0)
    topics = {source.topic for source in loaded(tmp_path, suggested(seen)).sources.values()}
    assert topics == {"home/{device}/climate", "home/kitchen/light", "home/garden/climate"}


def test_an_empty_level_is_a_level(tmp_path: Path) -> None:
    seen = Seen()
    seen.add("/a/t", b"1", 1.0)
    seen.add("/b/t", b"1", 1.0)
    assert [source.topic for source in loaded(tmp_path, suggested(seen)).sources.values()] == ["/{device}/t"]


def test_where_nothing_can_be_a_source_it_is_a_configuration_without_sources(tmp_path: Path) -> None:
    seen = Seen()
    seen.add("a/{b", b"1", 1.0)
    assert loaded(tmp_path, suggested(seen)).sources == {}


def test_names_and_units_come_from_what_was_announced(tmp_path: Path) -> None:
    seen = Seen()
    seen.add("bed/state", b'{"temperature": 23.2}', 1.0)
    seen.add("bed/power", b"41", 1.0)
    text = suggested(
        seen,
        [
            Announced("bed/state", ("temperature",), "Bedroom", "°C"),
            Announced("bed/power", (), "Heater power", "W"),
        ],
    )
    sources = loaded(tmp_path, text).sources
    assert sources["bed_state"].sensors["temperature"].unit == "°C"
    assert sources["bed_power"].sensors["heater_power"].unit == "W"
    assert "Bedroom" in text


@pytest.mark.parametrize("topic", ["a/{b", "$share/a/b", "$share"])
def test_a_topic_that_the_configuration_cannot_name_is_told_in_a_comment(tmp_path: Path, topic: str) -> None:
    seen = Seen()
    seen.add(topic, b"1", 1.0)
    seen.add("plain", b"1", 1.0)
    text = suggested(seen)
    assert f'# "{topic}" cannot be a source' in text
    assert list(loaded(tmp_path, text).sources) == ["plain"]


def test_a_first_level_of_a_dollar_makes_no_placeholder_as_no_wildcard_finds_it(tmp_path: Path) -> None:
    seen = Seen()
    for topic in ("$a", "$b", "$c/x", "$c/y"):
        seen.add(topic, b"1", 1.0)
    sources = loaded(tmp_path, suggested(seen)).sources
    assert sorted(source.topic for source in sources.values()) == ["$a", "$b", "$c/{device}"]


@pytest.mark.parametrize("word", ["true", "False", "null", "NULL"])
def test_a_field_named_by_a_word_that_is_no_text_in_yaml_is_found(tmp_path: Path, word: str) -> None:
    seen = Seen()
    seen.add("a", json.dumps({word: 5}).encode(), 1.0)
    (sensor,) = loaded(tmp_path, suggested(seen)).sources["a"].sensors.values()
    assert tuple(sensor.path or ()) == (word,)


def test_a_port_is_suggested_with_its_speed(tmp_path: Path) -> None:
    seen = Seen()
    seen.add("/dev/ttyUSB0", b"T=21.5,H=40", 1.0)
    text = sources_yaml(grouped(seen.places), [], 5.0, baudrate=115200)
    (source,) = loaded(tmp_path, text).sources.values()
    assert (source.driver, source.port) == ("serial", "/dev/ttyUSB0")
    assert (source.baudrate, source.format) == (115200, "keyvalue")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    messages=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12),
            JSON.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=12),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_devices_say_the_yaml_passes_the_check(tmp_path: Path, messages: list[tuple[str, bytes]]) -> None:
    seen = Seen()
    seen.add("plain", b"1", 1.0)
    for topic, payload in messages:
        seen.add(topic, payload, 1.0)
    loaded(tmp_path, suggested(seen))
