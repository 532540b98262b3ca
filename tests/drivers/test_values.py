"""One value: `map`, `type`, `scale` and `offset`, `valid`, in this order; what does not fit is refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers import values
from drivers.base import Sensor
from drivers.decoding import REASONS
from drivers.values import Jumps, Refused, compile_value


def value(found: Any, *, texts_stay: bool = False, **words: Any) -> Any:
    """The value of what was found, or the reason why it is none."""
    try:
        return compile_value(Sensor.model_validate(words), texts_stay=texts_stay)(found)
    except Refused as refused:
        reason, detail = refused.args
        assert reason in REASONS
        assert len(detail) <= 80
        return f"refused: {reason}"


def same(told: Any, expected: Any) -> bool:
    return type(told) is type(expected) and told == expected


NUMBER, TEXT, BOOL = {"type": "number"}, {"type": "text"}, {"type": "bool"}


@pytest.mark.parametrize(
    ("words", "found", "expected"),
    [
        (NUMBER, 21.5, 21.5),
        (NUMBER, "21.50", 21.5),
        (NUMBER, "-3", -3),
        (NUMBER, "9" * 400, "refused: not_finite"),
        (NUMBER, 10**400, "refused: not_finite"),
        (NUMBER, "21.5 C", "refused: not_a_number"),
        (NUMBER, "", "refused: null"),
        (NUMBER, "null", "refused: null"),
        (NUMBER, None, "refused: null"),
        (NUMBER, "nan", "refused: not_finite"),
        (NUMBER, "unavailable", "refused: unavailable"),
        (NUMBER, True, "refused: not_a_number"),
        (NUMBER, [1], "refused: not_a_scalar"),
        (TEXT, "21.50", "21.50"),
        (TEXT, 21.5, "21.5"),
        (TEXT, 40, "40"),
        (TEXT, 0.1, "0.1"),
        (TEXT, 1e300, "1e+300"),
        (TEXT, True, "true"),
        (TEXT, "", ""),
        (TEXT, math.nan, "refused: not_finite"),
        (TEXT, "NaN", "refused: not_finite"),
        (TEXT, "Unavailable", "refused: unavailable"),
        (TEXT, None, "refused: null"),
        (TEXT, {}, "refused: not_a_scalar"),
        (BOOL, True, True),
        (BOOL, False, False),
        (BOOL, "true", "refused: not_a_bool"),
        (BOOL, 1, "refused: not_a_bool"),
        (BOOL, "on", "refused: not_a_bool"),
        (BOOL, None, "refused: null"),
    ],
)
def test_a_type_takes_what_fits_and_refuses_the_rest(words: dict[str, Any], found: Any, expected: Any) -> None:
    told = value(found, **words)
    assert same(told, expected)
    assert same(value(found, texts_stay=True, **words), told)


MAP = {
    "ON": True,
    "OFF": False,
    "1": True,
    "0": False,
    "true": True,
    "2.50": "half",
    "": "empty",
    "unavailable": "away",
}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("ON", True),
        ("OFF", False),
        ("on", "refused: not_in_map"),
        ("ON ", "refused: not_in_map"),
        (1, True),
        (1.0, True),
        ("1", True),
        ("1.0", True),
        ("+1", True),
        (0, False),
        (-0.0, False),
        (2.5, "half"),
        ("2.5", "half"),
        ("2.50", "half"),
        (True, True),
        ("true", True),
        (False, "refused: not_in_map"),
        (3, "refused: not_in_map"),
        ("", "empty"),
        ("unavailable", "away"),
        ("nan", "refused: not_finite"),
        (math.nan, "refused: not_finite"),
        (10**400, "refused: not_finite"),
        (None, "refused: null"),
        ([], "refused: not_a_scalar"),
        ("x" * 5000, "refused: not_in_map"),
    ],
)
def test_a_map_knows_each_way_of_writing_a_number_and_nothing_beyond(found: Any, expected: Any) -> None:
    assert same(value(found, map=MAP), expected)
    assert same(value(found, texts_stay=True, map=MAP), expected)


def test_a_map_comes_before_scale_and_valid() -> None:
    words: dict[str, Any] = {"map": {"low": 1, "high": 10}, "scale": 2, "offset": 1, "valid": {"max": 20}}
    assert value("low", **words) == 3
    assert value("high", **words) == "refused: out_of_range"


@pytest.mark.parametrize(
    ("scale", "offset", "found", "expected"),
    [
        (0.1, 0, 215, 21.5),
        (0.1, 0, 3, 0.3),
        (0.001, 0, 5779835, 5779.835),
        (0.01, 0, 32767, 327.67),
        (1.8, 32, 21.5, 70.7),
        (1, -273.15, 293.15, 20.0),
        (1, 0.1, 0.2, 0.3),
        (1000, 0, "76.66", 76660.0),
        (2, 1, 10**15, 2 * 10**15 + 1),
        (1, 1, 123456789012345.6, 123456789012000.0),
        (2**40, 0, 2**40, float(2**80)),
        (1e300, 0, 1e300, "refused: not_finite"),
        (10**300, 0, 10**10, "refused: not_finite"),
        (10, 0, "open", "refused: not_a_number"),
        (10, 0, True, "refused: not_a_number"),
    ],
)
def test_a_scaled_number_has_no_noise_of_doubles(scale: float, offset: float, found: Any, expected: Any) -> None:
    assert same(value(found, scale=scale, offset=offset), expected)


@pytest.mark.parametrize(
    ("valid", "found", "expected"),
    [
        ({"min": -40, "max": 60}, -40, -40),
        ({"min": -40, "max": 60}, 60, 60),
        ({"min": -40, "max": 60}, 60.1, "refused: out_of_range"),
        ({"min": -40}, -40.1, "refused: out_of_range"),
        ({"max": 60}, -1e9, -1e9),
        ({"min": 0}, "5", 5),
        ({"min": 0}, "open", "refused: not_a_number"),
        ({"min": 0}, True, "refused: not_a_number"),
        ({"not": [85, -127]}, 85, "refused: not_a_value"),
        ({"not": [85, -127]}, 85.0, "refused: not_a_value"),
        ({"not": [85, -127]}, "-127.0", "refused: not_a_value"),
        ({"not": [85, -127]}, 84.9, 84.9),
        ({"not": [1]}, True, True),
        ({"not": [True]}, 1, 1),
        ({"not": [True]}, True, "refused: not_a_value"),
        ({"not": ["unknown", ""]}, "unknown", "refused: not_a_value"),
        ({"not": ["unknown", ""]}, "", "refused: not_a_value"),
        ({"not": ["unknown"]}, "known", "known"),
        ({"min": 0, "not": [5]}, 5, "refused: not_a_value"),
    ],
)
def test_what_is_not_valid_is_refused(valid: dict[str, Any], found: Any, expected: Any) -> None:
    assert same(value(found, valid=valid), expected)


def test_valid_judges_what_comes_out_of_scale() -> None:
    assert value(32767, scale=0.01, valid={"not": [327.67]}) == "refused: not_a_value"
    assert value(-80000, scale=0.1, valid={"not": [-8000]}) == "refused: not_a_value"


# -- max_jump


def believed(jumps: Jumps, *said: float, sensor: str = "s.t") -> list[float]:
    """Those of some values, one behind the other, that were believed."""
    kept = []
    for one in said:
        try:
            jumps.check(sensor, one)
        except Refused as refused:
            assert refused.args[0] == "jump"
        else:
            kept.append(one)
    return kept


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([20, 25, 30], [20, 25, 30]),
        ([20, 35.1, 21], [20, 21]),
        ([20, 35, 21], [20, 35, 21]),
        ([20, 85, 85, 20], [20, 85]),
        ([20, 85, 85, 84], [20, 85, 84]),
        ([20, 85, -127, 85, 20], [20, 20]),
        ([20, 85, 21, 85, 22], [20, 21, 22]),
        ([85, 20, 20, 21], [85, 20, 21]),
        ([20, 85, 95, 100], [20, 95, 100]),
    ],
)
def test_a_jump_is_believed_only_when_the_next_value_agrees(said: list[float], expected: list[float]) -> None:
    assert believed(Jumps(15), *said) == expected


def test_each_sensor_has_its_own_last_value() -> None:
    jumps = Jumps(15)
    assert believed(jumps, 20, sensor="rooms.kitchen.t") == [20]
    assert believed(jumps, 90, sensor="rooms.sauna.t") == [90]
    assert believed(jumps, 90, sensor="rooms.kitchen.t") == []
    assert believed(jumps, 20, sensor="rooms.sauna.t") == []


def test_the_memory_of_jumps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_JUMPERS_MAX", 2)
    jumps = Jumps(1)
    for number in range(10):
        assert believed(jumps, 20, 90, sensor=f"s{number}") == [20]
    assert len(jumps._believed) == 2
    assert len(jumps._doubted) <= 2
    assert believed(jumps, 90, sensor="s0") == [90]


# -- what fits together


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"type": "float"}, "'number', 'text' or 'bool'"),
        ({"scale": "10"}, "has to be a number"),
        ({"scale": True}, "has to be a number"),
        ({"offset": math.inf}, "has to be a number"),
        ({"offset": 10**400}, "has to be a number"),
        ({"scale": 0}, "makes all values the same"),
        ({"type": "text", "scale": 2}, "are for numbers"),
        ({"type": "bool", "valid": {"min": 2}}, "are for numbers"),
        ({"type": "text", "valid": {"max_jump": 2}}, "are for numbers"),
        ({"map": {}}, "map"),
        ({"map": {"ON": None}}, "has to be a number, text, true or false"),
        ({"map": {"ON": math.nan}}, "has to be a number, text, true or false"),
        ({"map": {"ON": "1"}, "type": "number"}, "makes ON a text, but the sensor has to be a number"),
        ({"map": {"ON": 1}, "type": "bool"}, "makes ON a number, but the sensor has to be a bool"),
        ({"map": {"ON": True}, "scale": 5}, "makes ON a bool, but the sensor has to be a number"),
        ({"valid": {}}, "name min, max, not or max_jump"),
        ({"valid": {"min": 5, "max": 4}}, "`min` is above `max`"),
        ({"valid": {"max_jump": 0}}, "has to be above 0"),
        ({"valid": {"not": []}}, "not"),
        ({"valid": {"not": 85}}, "valid list"),
        ({"valid": {"not": [None]}}, "has to be a number, text, true or false"),
        ({"path": ""}, "has to be a path"),
        ({"path": []}, "has to be a path"),
        ({"path": ["a", -1]}, "has to be a path"),
        ({"path": ["a", True]}, "has to be a path"),
        ({"path": {"a": "b"}}, "has to be a path"),
        ({"path": 1.5}, "has to be a path"),
        ({"path": "a" * 513}, "at most 512"),
        ({"unit": 5}, "unit"),
    ],
)
def test_a_sensor_that_cannot_be_meant_is_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Sensor.model_validate(words)
    assert told in str(caught.value)


scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.sampled_from(["1", "nan"])
sensors = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["number", "text", "bool"]),
        "map": st.dictionaries(st.sampled_from(["1", "a", "true"]), st.booleans() | st.integers(0, 9), min_size=1),
        "scale": st.floats(1e-300, 1e300),
        "offset": st.integers(-(10**300), 10**300),
        "valid": st.fixed_dictionaries({"not": st.just([1])}, optional={"min": st.integers(-9, 9)}),
    },
)


@given(sensors, scalars | st.lists(scalars, max_size=2), st.booleans())
def test_whatever_was_found_is_a_value_or_refused(words: dict[str, Any], found: Any, texts_stay: bool) -> None:
    try:
        kind = Sensor.model_validate(words).kind
    except ValidationError:
        return
    told = value(str(found) if texts_stay else found, texts_stay=texts_stay, **words)
    if isinstance(told, str) and told.startswith("refused: "):
        return
    assert isinstance(told, str | bool) or math.isfinite(told)
    kinds: dict[str | None, Any] = {"number": (int, float), "text": str, "bool": bool, None: object}
    assert isinstance(told, kinds[kind])
    assert kind != "number" or not isinstance(told, bool)
