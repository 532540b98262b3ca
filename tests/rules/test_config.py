"""What the configuration of a rule accepts, and how it says no."""

from typing import Any

import pytest
from pydantic import ValidationError

from agent.rules import Rule

LEVEL: dict[str, Any] = {"sensor": "a.t", "when": {"above": 5}}
PULSE: dict[str, Any] = {"sensor": "a.t", "each": "reading"}
COMPOUND: dict[str, Any] = {"all": [{"sensor": "a.t", "above": 5}, {"not": {"sensor": "a.u", "equals": "x"}}]}


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
        (LEVEL | {"when": {"silent_for": 0}}, "longer than 0"),
        (LEVEL | {"when": {"inside": [5, 5]}}, "5 is not below 5"),
        (LEVEL | {"when": {"outside": [6, 5]}}, "6 is not below 5"),
        (LEVEL | {"when": {"inside": [1]}}, "two numbers"),
        (LEVEL | {"when": {"inside": [1, 2], "above": 2}}, "no number"),
        (LEVEL | {"when": {"inside": [1, 2], "outside": [0, 3]}}, "no number"),
        (LEVEL | {"when": {"outside": [1, 2]}, "clear": {"inside": [1, 3]}}, "overlaps"),
        (LEVEL | {"when": {"matches": "("}}, "not a regular expression"),
        (LEVEL | {"when": {"matches": "(a+)+b"}}, "for ever"),
        (LEVEL | {"when": {"matches": "a.*b.*c.*d"}}, "too long"),
        (LEVEL | {"when": {"rising": {"by": 5}}}, "when.rising.within"),
        (LEVEL | {"when": {"rising": {"by": 0, "within": "1m"}}}, "greater than 0"),
        (LEVEL | {"when": {"falling": {"by": 1, "within": 0}}}, "longer than 0"),
        (
            LEVEL | {"when": {"rising": {"by": 1, "within": "1m"}}, "clear": LEVEL["when"] | {"sensor": "a.t"}},
            "only in",
        ),
        (LEVEL | {"count": 3}, "`count` and `within` go together"),
        (LEVEL | {"within": "1m"}, "`count` and `within` go together"),
        (LEVEL | {"count": 1, "within": "1m"}, "greater than or equal to 2"),
        (LEVEL | {"count": 1001, "within": "1m"}, "less than or equal to 1000"),
        (LEVEL | {"when": {"silent_for": "1m"}, "count": 3, "within": "1m"}, "single values"),
        (PULSE | {"each": {"silent_for": "1m"}}, "silent_for"),
        (PULSE | {"each": {"all": []}}, "all"),
        (PULSE | {"repeat": "4h"}, "`repeat` goes with `when`"),
        (LEVEL | {"repeat": "10ms"}, "at least 1s"),
        (LEVEL | {"when": COMPOUND}, "`sensor` does not go with"),
        ({"when": {"above": 5}}, "`sensor` is missing"),
        ({"when": COMPOUND, "clear": {"below": 3}}, "so has the other"),
        ({"when": COMPOUND, "count": 3, "within": "1m"}, "single values"),
        ({"when": COMPOUND, "clear": COMPOUND}, "overlaps"),
        ({"when": {"all": []}}, "at least 1"),
        ({"when": {"all": [{"above": 5}]}}, "names its `sensor`"),
        ({"when": {"not": {"above": 5}}}, "names its `sensor`"),
        ({"when": {"all": [{"sensor": "a.t"}]}}, "more than a sensor"),
        ({"when": COMPOUND | {"above": 5}}, "no other words"),
        ({"when": {"any": [{"sensor": "a.*", "above": 5}]}}, "in place of `*`"),
        ({"when": {"any": [{"sensor": "a.{x}.{x}", "above": 5}]}}, "stands twice"),
        (
            {"when": {"any": [{"sensor": "a.{x}.t", "above": 5}, {"sensor": "a.{y}.t", "above": 5}]}},
            "all of its placeholders, or none",
        ),
        ({"when": {"any": [{"sensor": "a.t", "above": 5}] * 65}}, "at most 64"),
        (LEVEL | {"sensor": "a.{x}.t"}, "here use `*`"),
        (LEVEL | {"active": {"from": "22", "to": "23:00"}}, "time of day"),
        (LEVEL | {"active": {"from": "22:00", "to": "22:00"}}, "no hours"),
        (LEVEL | {"active": {"from": "24:00", "to": "22:00"}}, "no hours"),
        (LEVEL | {"active": {"days": []}}, "at least 1"),
        (LEVEL | {"active": {"days": ["sunday"]}}, "active.days"),
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
        PULSE | {"count": 3, "within": "5m", "active": {"from": "22:00", "to": "06:00", "days": ["sat", "sun"]}},
        LEVEL | {"when": {"above": 5, "rising": {"by": 5, "within": "10m"}, "silent_for": "1m"}, "repeat": "4h"},
        LEVEL | {"when": {"matches": "^err"}, "clear": {"matches": "^ok"}},
        LEVEL | {"when": {"unchanged_for": "1h"}, "active": {"days": ["mon"]}},
        LEVEL | {"count": 3, "within": "5m", "clear": {"below": 3}},
        {"when": COMPOUND, "clear": {"not": {"sensor": "a.t", "above": 3}}, "for": "1m"},
        {"when": {"any": [COMPOUND, {"sensor": "rooms.{room}.t", "silent_for": "1m"}]}},
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
        {"count": 2, "within": "1m"},
        {"active": {"from": "22:00", "to": "06:00"}},
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
        {"repeat": "1h"},
    ],
)
def test_how_it_is_told_is_not_its_meaning(change: dict[str, Any]) -> None:
    assert Rule.model_validate(LEVEL).meaning("") == Rule.model_validate(LEVEL | change).meaning("")


def test_throttle_is_not_the_meaning_of_a_pulse() -> None:
    assert Rule.model_validate(PULSE).meaning("") == Rule.model_validate(PULSE | {"throttle": "1m"}).meaning("")
