"""Messages into readings, without I/O: the format's parser, then each sensor's path, then its value.

Nothing here raises for what a sensor sends: what is no value is refused with a reason. An absent path is no
reading and no refusal; null is refused; an empty text is a reading.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from drivers.base import Json, Origin, Reading, Refusal, Sensor, Value
from drivers.formats import compile_parser
from drivers.paths import Attributes, Format, Steps, attribute_paths, path_steps
from drivers.values import Jumps, Refused, compile_value, shown

__all__ = ["REASONS", "Decoded", "Decoder", "Names", "shown"]

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
    "not_csv",
    "field_count",
    "no_match",
    "not_in_map",
    "not_a_bool",
    "out_of_range",
    "not_a_value",
    "jump",
    "too_large",
    "topic_too_long",
    "cut_line",
    "too_many_sensors",
    "no_availability",
    "failed",
    "not_storable",
)
"""Why something is no value; to count by. `not_finite` is also a number beyond every double."""

_MISSING = object()


class Names(NamedTuple):
    """What a topic or port gives to every message of a source."""

    sensors: tuple[str, ...]
    """In full, in the order of the configuration."""
    labels: Mapping[str, str]


class Decoded(NamedTuple):
    """What one payload says to one source."""

    readings: tuple[Reading, ...]
    refusals: tuple[Refusal, ...]


_Wanted = tuple[Callable[[Json], Any], Callable[[Any], Value], str | None, Jumps | None]
"""One sensor, made ready: it finds, makes a value, its unit, its jumps. A plain tuple is unpacked fastest."""


class Decoder:
    """The decoding of one source. It remembers what `max_jump` needs."""

    def __init__(
        self,
        source: str,
        format_: Format,
        sensors: Mapping[str, Sensor],
        labels: Mapping[str, str],
        attributes: Attributes = (),
    ) -> None:
        self.source = source
        self._parse = compile_parser(format_)
        self._names = tuple(sensors)
        self._labels = labels
        self._wanted = tuple(_wanted(sensor, format_) for sensor in sensors.values())
        self._attributes = [
            (name, _finder(path_steps(path, format_))) for name, path in attribute_paths(attributes, format_)
        ]

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
        attributes = self._attributes_of(clean) if self._attributes else {}
        origin = Origin(self.source, names.labels, attributes, clean, retained)
        readings, refusals = [], []
        for name, (find, value_of, unit, jumps) in zip(names.sensors, self._wanted, strict=True):
            found = find(document)
            if found is _MISSING:
                continue
            try:
                value = value_of(found)
                if jumps is not None:
                    jumps.check(name, value)
            except Refused as refused:
                reason, detail = refused.args
                refusals.append(Refusal(self.source, name, reason, detail))
            else:
                readings.append(Reading(name, value, unit, origin))
        return Decoded(tuple(readings), tuple(refusals))

    def _attributes_of(self, clean: Json) -> dict[str, Json]:
        return {name: value for name, find in self._attributes if (value := find(clean)) is not _MISSING}


def _wanted(sensor: Sensor, format_: Format) -> _Wanted:
    max_jump = sensor.valid.max_jump if sensor.valid else None
    return (
        _finder(path_steps(sensor.path, format_)),
        compile_value(sensor, texts_stay=format_ == "text"),
        sensor.unit,
        None if max_jump is None else Jumps(max_jump),
    )


def _finder(steps: Steps) -> Callable[[Json], Any]:
    """The function that follows a path; it returns `_MISSING` where the path ends before."""
    first = steps[0] if len(steps) == 1 else None
    if isinstance(first, str):
        return lambda document: document.get(first, _MISSING) if type(document) is dict else _walk(steps, document)
    return partial(_walk, steps)


def _walk(steps: Steps, document: Json) -> Any:
    for step in steps:
        if isinstance(document, dict):
            document = document.get(step, _MISSING)
        elif isinstance(document, list):
            document = _member(document, step)
        else:
            return _MISSING
    return document


def _member(members: list[Any], step: str | int) -> Any:
    if isinstance(step, str):
        if not (step.isdecimal() and step.isascii() and len(step) < 7):
            return _MISSING
        step = int(step)
    return members[step] if step < len(members) else _MISSING
