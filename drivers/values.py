"""One value: what stood in a message into what a sensor says, without I/O.

In this order: `map`, `type`, `scale` and `offset`, `valid`. A sensor without them takes a scalar as it comes, and a
text that is wholly a decimal number as a number. What does not fit is refused with its reason.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from drivers.base import Sensor, Valid, Value

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NO_VALUE = {
    "unavailable": "unavailable",
    **{sign + word: "not_finite" for sign in ("", "+", "-") for word in ("nan", "inf", "infinity")},
}
"""What devices write, in whatever case, when they have nothing to say."""
_LONGEST_NO_VALUE = max(map(len, _NO_VALUE))
_DETAIL_MAX = 80
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
"""An integer beyond them is told as the double next to it, as orjson does."""
_INT_DIGITS = 20
_SIGNIFICANT = 12
"""Digits kept when scaled: 215 * 0.1 is 21.5, not 21.500000000000004.

A double has 15 that are true, no sensor or meter measures 12, and few sums eat up the three between.
"""
_JUMPERS_MAX = 10_000


class Refused(Exception):
    """A whole payload or one value is no value: `args` are the reason and a detail."""


def compile_value(sensor: Sensor, *, texts_stay: bool) -> Callable[[Any], Value]:
    """The function of one sensor that makes a value of what was found. It raises Refused.

    `texts_stay`: without a `type` a text is never read as a number.
    """
    steps = list(_steps_of(sensor, said if texts_stay else as_it_comes))
    if len(steps) == 1:
        return steps[0]

    def value_of(found: Any) -> Value:
        for step in steps:
            found = step(found)
        value: Value = found
        return value

    return value_of


def _steps_of(sensor: Sensor, otherwise: Callable[[Any], Value]) -> Iterator[Callable[[Any], Value]]:
    readers = {"number": number_of, "text": _text_of, "bool": _bool_of, None: otherwise}
    yield readers[sensor.kind] if sensor.map is None else partial(_mapped, _lookup(sensor.map))
    if (sensor.scale, sensor.offset) != (1, 0):
        yield partial(_scaled, sensor.scale, sensor.offset)
    if sensor.valid is not None:
        yield from _checks(sensor.valid)


def shown(content: bytes | str) -> str:
    """The beginning of what stood there, for people: control characters escaped."""
    text = content[: _DETAIL_MAX * 4].decode(errors="replace") if isinstance(content, bytes) else content
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:_DETAIL_MAX])
    return text[:_DETAIL_MAX]


def as_it_comes(found: Any) -> Value:
    """A scalar as it comes; a text that is a number as a number. Raises Refused."""
    if isinstance(found, str):
        return _number(found) if _NUMBER.fullmatch(found) else said(found)
    if isinstance(found, bool):
        return found
    if isinstance(found, float):
        return _finite(found)
    if isinstance(found, int):
        return bounded(found)
    if found is None:
        raise Refused("null", "")
    raise Refused("not_a_scalar", shown(type(found).__name__))


def said(text: str) -> str:
    """A text, if it is not one of the words for having no value. Raises Refused."""
    if len(text) <= _LONGEST_NO_VALUE and (reason := _NO_VALUE.get(text.lower())):
        raise Refused(reason, shown(text))
    return text


def _number(text: str) -> float | int:
    return bounded(integer(text)) if text.lstrip("+-").isdecimal() else _finite(float(text))


def integer(digits: str) -> float | int:
    """An integer; a double where Python would have to read very many digits."""
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)


def bounded(number: float) -> float | int:
    """A number; an integer of more than 64 bits as a double. Raises Refused."""
    if _INT_MIN <= number <= _INT_MAX:
        return number
    try:
        return _finite(float(number))
    except OverflowError:
        raise Refused("not_finite", "an integer beyond every double") from None


def _finite(number: float) -> float:
    if math.isfinite(number):
        return number
    raise Refused("not_finite", str(number))


def fits(scalar: Any) -> bool:
    """Whether it is no number beyond what JSON and most who read it can take."""
    if isinstance(scalar, float):
        return math.isfinite(scalar)
    return not isinstance(scalar, int) or _INT_MIN <= scalar <= _INT_MAX


# -- the kinds


def number_of(found: Any) -> float | int:
    """A number, also where a text is one. Raises Refused."""
    if isinstance(found, str) and _NUMBER.fullmatch(found):
        return _number(found)
    value = as_it_comes(found)
    if isinstance(value, str):
        raise Refused("null" if value.lower() in ("", "null") else "not_a_number", shown(value))
    if isinstance(value, bool):
        raise Refused("not_a_number", _written(value))
    return value


def _text_of(found: Any) -> str:
    return said(found) if isinstance(found, str) else _written(as_it_comes(found))


def _bool_of(found: Any) -> bool:
    value = as_it_comes(found)
    if isinstance(value, bool):
        return value
    raise Refused("not_a_bool", shown(str(value)))


def _written(value: Value) -> str:
    """A scalar as JSON writes it; a double in its shortest form."""
    return str(value).lower() if isinstance(value, bool) else str(value)


# -- map


def _lookup(configured: Mapping[str, Value]) -> Mapping[str | float, Value]:
    """A key that is a number also stands for all other ways of writing it."""
    values: dict[str | float, Value] = dict(configured.items())
    values.update({number_of(key): value for key, value in configured.items() if _NUMBER.fullmatch(key)})
    return values


def _mapped(values: Mapping[str | float, Value], found: Any) -> Value:
    if isinstance(found, str) and found in values:
        return values[found]
    value = as_it_comes(found)
    key = _written(value) if isinstance(value, bool) else value
    if key in values:
        return values[key]
    raise Refused("not_in_map", shown(_written(value)))


# -- scale and valid


def _scaled(scale: float, offset: float, value: Any) -> float | int:
    result = value * scale + offset
    return bounded(result) if isinstance(result, int) else float(f"{_finite(result):.{_SIGNIFICANT}g}")


def _checks(valid: Valid) -> Iterator[Callable[[Any], Value]]:
    if valid.min is not None or valid.max is not None:
        low = -math.inf if valid.min is None else valid.min
        yield partial(_in_range, low, math.inf if valid.max is None else valid.max)
    if valid.not_:
        yield partial(_none_of, frozenset(map(_kind_and_value, valid.not_)))


def _in_range(low: float, high: float, value: Any) -> Value:
    if low <= value <= high:
        number: Value = value
        return number
    raise Refused("out_of_range", str(value))


def _none_of(excluded: frozenset[tuple[bool, Value]], value: Value) -> Value:
    if _kind_and_value(value) in excluded:
        raise Refused("not_a_value", shown(_written(value)))
    return value


def _kind_and_value(value: Value) -> tuple[bool, Value]:
    """A bool equals only a bool."""
    return isinstance(value, bool), value


class Jumps:
    """`max_jump` of one configured sensor, for each of the sensors that a placeholder makes of it.

    A value too far from the last one believed is refused, unless the one refused just before it agrees. The first
    is believed, so the memory need not be kept: after a restart a wrong value costs one right one.
    """

    def __init__(self, max_jump: float) -> None:
        self._max = max_jump
        self._believed: dict[str, float] = {}
        self._doubted: dict[str, float] = {}

    def check(self, sensor: str, value: Any) -> None:
        """Raise Refused for a value that is not to be believed."""
        believed, doubted = self._believed.get(sensor), self._doubted.pop(sensor, None)
        if believed is None:
            self._make_room()
        elif not self._agrees(value, believed) and not self._agrees(value, doubted):
            self._doubted[sensor] = value
            raise Refused("jump", f"{value}, after {believed}")
        self._believed[sensor] = value

    def _agrees(self, value: float, other: float | None) -> bool:
        return other is not None and abs(value - other) <= self._max

    def _make_room(self) -> None:
        """Forget the sensor that was met first, where there are very many."""
        if len(self._believed) >= _JUMPERS_MAX:
            oldest = next(iter(self._believed))
            del self._believed[oldest]
            self._doubted.pop(oldest, None)
