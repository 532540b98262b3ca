"""Payloads into values, without I/O. What is no value is refused with a reason.

Nothing here raises for what a sensor sends.

Formats: `json`, `keyvalue` (pairs such as `T=21.5,H=40` or `T: 21.5`), `number`, `text`. In JSON a string
that is wholly a decimal number counts as a number. An absent path is no reading and no refusal; null is
refused; an empty text is a reading.
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
    "out_of_range",
    "null",
    "not_a_scalar",
    "no_pairs",
    "too_large",
    "cut_line",
    "too_many_sensors",
    "failed",
    "not_storable",
)
"""Why something is no value; to count by."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PAIR = re.compile(r"([A-Za-z_][\w.\-/ ]{0,63}?)\s*[=:]\s*([^\s,;=]+)")
_DETAIL_MAX = 80
_DIGITS_MAX = 400
"""A longer number is beyond every double."""
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


class Decoder:
    """The decoding of one source."""

    def __init__(
        self, source: str, format_: Format, sensors: Mapping[str, Sensor], labels: Mapping[str, str]
    ) -> None:
        self.source = source
        self._parse = _PARSERS[format_]
        self._names = tuple(sensors)
        self._labels = labels
        self._wanted = tuple((_steps(sensor.path), sensor.unit) for sensor in sensors.values())

    def names(self, prefix: str, placeholders: Mapping[str, str]) -> Names:
        """The full names of the sensors under a prefix, and the labels with the topic's placeholders."""
        return Names(tuple(f"{prefix}.{name}" for name in self._names), {**self._labels, **placeholders})

    def decode(self, payload: bytes, names: Names, *, retained: bool) -> Decoded:
        """Take the sensors' values out of a payload."""
        try:
            document = self._parse(payload)
        except Refused as refused:
            reason, detail = refused.args
            return Decoded((), (Refusal(self.source, None, reason, detail),))
        origin = Origin(self.source, names.labels, {}, document, retained)
        readings, refusals = [], []
        for name, (steps, unit) in zip(names.sensors, self._wanted, strict=True):
            found = _walk(document, steps)
            if found is _MISSING:
                continue
            try:
                readings.append(Reading(name, _value(found), unit, origin))
            except Refused as refused:
                reason, detail = refused.args
                refusals.append(Refusal(self.source, name, reason, detail))
        return Decoded(tuple(readings), tuple(refusals))


def shown(content: bytes | str) -> str:
    """The beginning of what stood there, for people: control characters escaped."""
    text = content[: _DETAIL_MAX * 4].decode(errors="replace") if isinstance(content, bytes) else content
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:_DETAIL_MAX])
    return text[:_DETAIL_MAX]


def _steps(path: str | None) -> tuple[str, ...]:
    return tuple(path.split(".")) if path is not None else ()


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
        return _number(found) if _NUMBER.fullmatch(found) else found
    if isinstance(found, bool):
        return found
    if isinstance(found, float):
        if math.isfinite(found):
            return found
        raise Refused("not_finite", str(found))
    if isinstance(found, int):
        return _bounded(found)
    if found is None:
        raise Refused("null", "")
    raise Refused("not_a_scalar", shown(type(found).__name__))


def _bounded(number: int) -> int:
    try:
        float(number)
    except OverflowError:
        raise Refused("out_of_range", "an integer beyond every double") from None
    return number


def _number(text: str) -> float | int:
    if len(text) > _DIGITS_MAX:
        raise Refused("out_of_range", shown(text))
    try:
        return _bounded(int(text))
    except ValueError:
        number = float(text)
    if not math.isfinite(number):
        raise Refused("not_finite", shown(text))
    return number


def _text(payload: bytes) -> str:
    try:
        return payload.decode().strip(" \t\r\n\0")
    except UnicodeDecodeError:
        raise Refused("not_utf8", shown(payload)) from None


def _parse_number(payload: bytes) -> Json:
    text = _text(payload)
    if not _NUMBER.fullmatch(text):
        words = {"nan": "not_finite", "inf": "not_finite", "-inf": "not_finite", "null": "null", "": "null"}
        raise Refused(words.get(text.lower(), "not_a_number"), shown(text))
    return _number(text)


def _parse_keyvalue(payload: bytes) -> Json:
    text = _text(payload)
    pairs = {key.strip(): value for key, value in _PAIR.findall(text)}
    if not pairs:
        raise Refused("no_pairs", shown(text))
    return pairs


def _parse_json(payload: bytes) -> Json:
    if orjson is not None:
        try:
            return orjson.loads(payload)
        except ValueError:
            pass  # the other parser knows why, and lets a NaN cost no more than its own sensor
    text = _text(payload)
    try:
        document = json.loads(text, parse_int=_parse_int)
    except RecursionError:
        raise Refused("too_deep", shown(text)) from None
    except ValueError:
        raise Refused("not_json", shown(text)) from None
    if "\\u" in text:
        _refuse_lone_surrogates(document)
    return document


def _parse_int(digits: str) -> float | int:
    """An integer; one that is too long for it becomes infinite, which is no value."""
    return int(digits) if len(digits) <= _DIGITS_MAX else math.inf


def _refuse_lone_surrogates(document: Json) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refused("bad_unicode", shown(repr(error.object[error.start : error.end]))) from None


_PARSERS: Mapping[str, Callable[[bytes], Json]] = {
    "json": _parse_json,
    "keyvalue": _parse_keyvalue,
    "number": _parse_number,
    "text": _text,
}
