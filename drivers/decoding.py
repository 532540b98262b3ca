"""Payloads into values, without I/O. What is no value is refused with a reason.

Nothing here raises for what a sensor sends.

Formats: `json`, `keyvalue` (pairs such as `T=21.5,H=40` or `T: 21.5`), `number`, `text`. In JSON and pairs a
text that is wholly a decimal number counts as a number. An absent path is no reading and no refusal; null
is refused; an empty text is a reading.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from drivers.base import Format, Json, Origin, Reading, Refusal, Sensor, Value

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment, unused-ignore]

REASONS = (
    "not_utf8",
    "not_json",
    "too_deep",
    "bad_unicode",
    "not_a_number",
    "not_finite",
    "unavailable",
    "null",
    "not_a_scalar",
    "no_pairs",
    "too_large",
    "cut_line",
    "too_many_sensors",
    "no_availability",
    "failed",
    "not_storable",
)
"""Why something is no value; to count by. `not_finite` is also a number beyond every double."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# A pair begins where a word begins, and nothing is given back: linear in whatever a sensor sends. A value may
# stand behind a space, but not be the key of the next pair.
_PAIR = re.compile(
    r"(?<![^\s,;])([^\s,;=:]++)[ \t]*+[=:]"
    r"(?:([^\s,;]++)|[ \t]++(?![^\s,;=:]++[ \t]*+[=:])([^\s,;]++))?"
)
_NO_VALUE = {
    "unavailable": "unavailable",
    **{sign + word: "not_finite" for sign in ("", "+", "-") for word in ("nan", "inf", "infinity")},
}
"""What devices write, in whatever case, when they have nothing to say."""
_LONGEST_NO_VALUE = max(map(len, _NO_VALUE))
_DETAIL_MAX = 80
_DEPTH_MAX = 64
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
"""An integer beyond them is told as the double next to it, as orjson does."""
_INT_DIGITS = 20
_MISSING = object()


class Refused(Exception):
    """A whole payload or one value is no value: `args` are the reason and a detail."""


class Names(NamedTuple):
    """What a topic or port gives to every message of a source."""

    sensors: tuple[str, ...]
    """In full, in the order of the configuration."""
    labels: Mapping[str, str]


class Decoded(NamedTuple):
    """What one payload says to one source."""

    readings: tuple[Reading, ...]
    refusals: tuple[Refusal, ...]


class _Parsed(NamedTuple):
    document: Any
    """May hold what is no value, to be refused where a sensor asks for it."""
    payload: Json
    """The same without that."""


class Decoder:
    """The decoding of one source."""

    def __init__(self, source: str, format_: Format, sensors: Mapping[str, Sensor], labels: Mapping[str, str]) -> None:
        self.source = source
        self._parse = _PARSERS[format_]
        self._value = _said if format_ == "text" else _value
        self._names = tuple(sensors)
        self._labels = labels
        self._wanted = tuple((_steps(sensor.path, format_), sensor.unit) for sensor in sensors.values())

    def names(self, prefix: str, placeholders: Mapping[str, str]) -> Names:
        """The full names of the sensors under a prefix, and the labels with the topic's placeholders."""
        return Names(tuple(f"{prefix}.{name}" for name in self._names), {**self._labels, **placeholders})

    def decode(self, payload: bytes, names: Names, *, retained: bool) -> Decoded:
        """Take the sensors' values out of a payload."""
        try:
            document, clean = self._parse(payload)
        except Refused as refused:
            reason, detail = refused.args
            return Decoded((), (Refusal(self.source, None, reason, detail),))
        origin = Origin(self.source, names.labels, {}, clean, retained)
        readings, refusals = [], []
        for name, (steps, unit) in zip(names.sensors, self._wanted, strict=True):
            found = _walk(document, steps)
            if found is _MISSING:
                continue
            try:
                readings.append(Reading(name, self._value(found), unit, origin))
            except Refused as refused:
                reason, detail = refused.args
                refusals.append(Refusal(self.source, name, reason, detail))
        return Decoded(tuple(readings), tuple(refusals))


def shown(content: bytes | str) -> str:
    """The beginning of what stood there, for people: control characters escaped."""
    text = content[: _DETAIL_MAX * 4].decode(errors="replace") if isinstance(content, bytes) else content
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:_DETAIL_MAX])
    return text[:_DETAIL_MAX]


def _steps(path: str | None, format_: Format) -> tuple[str, ...]:
    if path is None:
        return ()
    return tuple(path.split(".")) if format_ == "json" else (path,)


def _walk(document: Json, steps: tuple[str, ...]) -> Any:
    for step in steps:
        if isinstance(document, dict):
            document = document.get(step, _MISSING)
        elif isinstance(document, list) and step.isdecimal() and step.isascii() and len(step) < 7:
            document = document[int(step)] if int(step) < len(document) else _MISSING
        else:
            return _MISSING
    return document


def _value(found: Any) -> Value:
    """A scalar as it comes; a text that is a number as a number. Raises Refused."""
    if isinstance(found, str):
        return _number(found) if _NUMBER.fullmatch(found) else _said(found)
    if isinstance(found, bool):
        return found
    if isinstance(found, float):
        return _finite(found)
    if isinstance(found, int):
        return _bounded(found)
    if found is None:
        raise Refused("null", "")
    raise Refused("not_a_scalar", shown(type(found).__name__))


def _said(text: str) -> str:
    """A text, if it is not one of the words for having no value. Raises Refused."""
    if len(text) <= _LONGEST_NO_VALUE and (reason := _NO_VALUE.get(text.lower())):
        raise Refused(reason, shown(text))
    return text


def _number(text: str) -> float | int:
    return _bounded(_integer(text)) if text.lstrip("+-").isdecimal() else _finite(float(text))


def _integer(digits: str) -> float | int:
    """An integer; a double where Python would have to read very many digits."""
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)


def _bounded(number: float) -> float | int:
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


def _text(payload: bytes) -> str:
    try:
        return payload.decode().strip(" \t\r\n\0")
    except UnicodeDecodeError:
        raise Refused("not_utf8", shown(payload)) from None


def _parse_text(payload: bytes) -> _Parsed:
    text = _text(payload)
    return _Parsed(text, text)


def _parse_number(payload: bytes) -> _Parsed:
    text = _text(payload)
    if not _NUMBER.fullmatch(text):
        _said(text)
        raise Refused("null" if text.lower() in ("", "null") else "not_a_number", shown(text))
    number = _number(text)
    return _Parsed(number, number)


def _parse_keyvalue(payload: bytes) -> _Parsed:
    text = _text(payload)
    pairs = {key: at_once or later for key, at_once, later in _PAIR.findall(text)}
    if not pairs:
        raise Refused("no_pairs", shown(text))
    return _Parsed(pairs, pairs)


def _parse_json(payload: bytes) -> _Parsed:
    if orjson is not None:
        try:
            document = orjson.loads(payload)
        except ValueError:
            pass  # the other parser knows why, and lets a NaN cost no more than its own sensor
        else:
            if payload.count(b"[") + payload.count(b"{") > _DEPTH_MAX:
                _is_strict(document)
            return _Parsed(document, document)
    return _parse_loose_json(_text(payload))


def _parse_loose_json(text: str) -> _Parsed:
    try:
        document = _loads(text)
        strict = _is_strict(document)
    except RecursionError:
        raise Refused("too_deep", shown(text)) from None
    except ValueError:
        raise Refused("not_json", shown(text)) from None
    if "\\u" in text:
        _refuse_lone_surrogates(document)
    return _Parsed(document, document if strict else _made_strict(document))


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python reads
        return json.loads(text, parse_int=_integer)


def _is_strict(document: Any, depth: int = 0) -> bool:
    """Whether all numbers are finite and of 64 bits. Raises Refused for what is nested too deeply."""
    if not isinstance(document, dict | list):
        return _fits(document)
    if depth >= _DEPTH_MAX:
        raise Refused("too_deep", f"more than {_DEPTH_MAX} levels")
    strict = True
    for member in document.values() if isinstance(document, dict) else document:
        kind = type(member)
        if kind is str:
            continue
        if kind is float:
            strict = strict and math.isfinite(member)
        elif kind is dict or kind is list:
            strict = _is_strict(member, depth + 1) and strict
        elif not _fits(member):
            strict = False
    return strict


def _fits(scalar: Any) -> bool:
    """Whether it is no number beyond what JSON and most who read it can take."""
    if isinstance(scalar, float):
        return math.isfinite(scalar)
    return not isinstance(scalar, int) or _INT_MIN <= scalar <= _INT_MAX


def _made_strict(document: Any) -> Json:
    """The document with null for numbers that are no values."""
    if isinstance(document, dict):
        return {key: _made_strict(member) for key, member in document.items()}
    if isinstance(document, list):
        return [_made_strict(member) for member in document]
    if not _fits(document):
        try:
            return _bounded(document)
        except Refused:
            return None
    return document


def _refuse_lone_surrogates(document: Json) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refused("bad_unicode", shown(repr(error.object[error.start : error.end]))) from None


_PARSERS: Mapping[str, Callable[[bytes], _Parsed]] = {
    "json": _parse_json,
    "keyvalue": _parse_keyvalue,
    "number": _parse_number,
    "text": _parse_text,
}
