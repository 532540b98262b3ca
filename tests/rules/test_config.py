"""What the configuration of a rule accepts, and how it says no."""

from typing import Any

import pytest
from pydantic import ValidationError

from agent.rules import Rule

LEVEL: dict[str, Any] = {"sensor": "a.t", "when": {"above": 5}}
PULSE: dict[str, Any] = {"sensor": "a.t", "each": "reading"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sensor": "a.t"}, "exactly one of"),
        (LEVEL | {"each": "reading"}, "exactly one of"),
        (LEVEL | {"throttle": "1m"}, "`throttle` goes with `each`"),
        (PULSE | {"for": "1m"}, "`for` goes with `when`"),
        (PULSE | {"clear_for": "1m"}, "`clear_for` goes with `when`"),
        (PULSE | {"clear": {"below": 5}}, "`clear` goes with `when`"),
        (LEVEL | {"clear": {"above": 7}}, "overlaps"),
        (LEVEL | {"when": {}}, "at least one of"),
        (LEVEL | {"when": {"above": None}}, "needs a value"),
        (LEVEL | {"when": {"above": 10, "below": 5}}, "no number"),
        (LEVEL | {"when": {"above": 5, "at_most": 5}}, "no number"),
        (LEVEL | {"when": {"above": True}}, "when.above"),
        (LEVEL | {"when": {"above": "5"}}, "when.above"),
        (LEVEL | {"when": {"above": float("nan")}}, "finite"),
        (LEVEL | {"when": {"below": float("inf")}}, "finite"),
        (LEVEL | {"when": {"equals": [1]}}, "when.equals"),
        (LEVEL | {"when": {"one_of": []}}, "when.one_of"),
        (LEVEL | {"when": {"silent_for": "15m"}}, "silent_for"),
        (LEVEL | {"when": {"changes_by": 5}}, "changes_by"),
        (LEVEL | {"clear": {"reading": True}}, "reading"),
        (PULSE | {"each": {"changes_by": 0}}, "greater than 0"),
        (PULSE | {"each": {"changes_by": 1, "above": 5}}, "`changes_by` stands alone"),
        (PULSE | {"each": {"reading": True, "above": 5}}, "`reading` stands alone"),
        (PULSE | {"each": {"reading": False}}, "each.reading"),
        (PULSE | {"each": "readings"}, "each"),
        (LEVEL | {"for": 60}, "not a duration"),
        (LEVEL | {"for_": "2m"}, "for_"),
        (LEVEL | {"severity": "fatal"}, "severity"),
        (LEVEL | {"event": "too warm"}, "event"),
        (LEVEL | {"event": "freezer..warm"}, "event"),
        (LEVEL | {"repeat": "4h"}, "repeat"),
        (LEVEL | {"send_to": "ops"}, "send_to"),
        (LEVEL | {"sensor": "thermostat"}, "sensor"),
        (LEVEL | {"sensor": "rooms.kit*.t"}, "sensor"),
        (LEVEL | {"sensor": "rooms..t"}, "sensor"),
        (LEVEL | {"sensor": "*.t"}, "sensor"),
    ],
)
def test_a_wrong_rule_is_refused_and_told_why(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rule.model_validate(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        LEVEL | {"for": "2m", "clear_for": "90s", "clear": {"at_most": 5}},
        LEVEL | {"sensor": "rooms.*.temperature"},
        LEVEL | {"sensor": "rooms.living room.temperature"},
        LEVEL | {"sensor": "rooms.K%2Eche.temperature"},
        LEVEL | {"when": {"one_of": ["a", 1, True]}, "clear": {"equals": "b"}},
        PULSE | {"throttle": "10s", "expires": "10m", "payload": True, "send_to": []},
        PULSE | {"each": {"equals": "pressed"}, "event": "door.rang"},
    ],
)
def test_a_right_rule_is_taken(given: dict[str, Any]) -> None:
    Rule.model_validate(given)


def test_reading_is_a_word_or_a_mapping() -> None:
    word, mapping = Rule.model_validate(PULSE), Rule.model_validate(PULSE | {"each": {"reading": True}})
    assert word == mapping
    assert word.meaning("") == mapping.meaning("")


def test_what_is_not_said_has_its_default() -> None:
    rule = Rule.model_validate(LEVEL)
    assert (rule.for_, rule.clear_for, rule.throttle, rule.expires) == (0, 0, 0, None)
    assert (rule.severity, rule.event, rule.payload, rule.send_to) == ("warning", None, False, None)


@pytest.mark.parametrize(
    "change",
    [
        {"sensor": "a.u"},
        {"when": {"above": 6}},
        {"clear": {"below": 3}},
        {"for": "1m"},
        {"clear_for": "1m"},
    ],
)
def test_what_decides_whether_it_fires_is_its_meaning(change: dict[str, Any]) -> None:
    assert Rule.model_validate(LEVEL).meaning("") != Rule.model_validate(LEVEL | change).meaning("")


def test_the_decoding_of_its_sensor_is_part_of_the_meaning() -> None:
    rule = Rule.model_validate(LEVEL)
    assert rule.meaning("path: t") != rule.meaning("path: u")


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "critical"},
        {"event": "x.y"},
        {"send_to": ["ops"]},
        {"payload": True},
        {"expires": "1h"},
    ],
)
def test_how_it_is_told_is_not_its_meaning(change: dict[str, Any]) -> None:
    assert Rule.model_validate(LEVEL).meaning("") == Rule.model_validate(LEVEL | change).meaning("")


def test_throttle_is_not_the_meaning_of_a_pulse() -> None:
    assert Rule.model_validate(PULSE).meaning("") == Rule.model_validate(PULSE | {"throttle": "1m"}).meaning("")
