"""Texts with `{placeholders}`: of webhooks' bodies and headers, and the `summary` of rules.

A placeholder is a name of a fixed set, looked up in a mapping; there are no attributes, no indexes and no
conversions, so a template reaches nothing else. A format specification (`{value:.1f}`) that does not fit the value
is ignored. Null is empty, and a brace is written twice.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from string import Formatter
from typing import Any

from agent.model import Event

_OF_EVENT = (
    "id",
    "type",
    "time",
    "rule",
    "state",
    "severity",
    "sensor",
    "value",
    "unit",
    "condition",
    "started_at",
    "ended_at",
    "reason",
    "alert_id",
    "summary",
    "payload",
)
NAMES = frozenset({*_OF_EVENT, "agent", "sequence"})
"""Of a webhook's templates; `agent` is the agent's name, and `sequence` counts up for each webhook."""
SUMMARY_NAMES = frozenset(_OF_EVENT)
"""Of a rule's summary, which is the same for all webhooks; `summary` is the built-in one."""
HOLDERS = ("labels", "attributes")
"""`{labels.site}`: their members have names of their own."""

SUMMARY_CHARS_MAX = 1000
_PADDING_MAX = 100
"""Of a width and of digits behind the point: a specification must not make much of little."""
_SPECIFICATION = re.compile(
    r"(?:[^{}]?[<>=^])?[-+ ]?z?#?0?(?P<width>[0-9]*)[_,]?(?:\.(?P<digits>[0-9]+))?[bcdeEfFgGosxX%]?"
)
_MEMBER = re.compile(r"[^\s{}]{1,128}")
Facts = Mapping[str, Any]
"""Names to values of JSON; `labels` and `attributes` to mappings."""


class Template:
    """One text."""

    __slots__ = ("_parts",)

    def __init__(self, text: str, names: Collection[str] = NAMES) -> None:
        """Raises ValueError with a sentence where something stands in braces that cannot."""
        try:
            parsed = list(Formatter().parse(text))
        except ValueError:
            raise ValueError("a brace has to be doubled, {{ or }}, where no {placeholder} is meant") from None
        self._parts = [_part(*part, names) for part in parsed]

    @property
    def is_plain(self) -> bool:
        """Whether it has no placeholder."""
        return all(name is None for _, name, _ in self._parts)

    def fill(self, facts: Facts, most: int) -> Any:
        """The filled text; of one placeholder alone the value itself. Of a text at most so many characters."""
        if len(self._parts) == 1:
            literal, name, specification = self._parts[0]
            if name is not None and not literal and not specification:
                value = _look_up(facts, name)
                return value[:most] if isinstance(value, str) else value
        return self.text(facts, most)

    def text(self, facts: Facts, most: int) -> str:
        """The filled text, at most so many characters of it."""
        filled: list[str] = []
        for literal, name, specification in self._parts:
            piece = literal if name is None else literal + _formatted(_look_up(facts, name), specification)
            filled.append(piece[:most])
            most -= len(filled[-1])
            if most <= 0:
                break
        return "".join(filled)


def facts_of(event: Event) -> dict[str, Any]:
    """What an event has for placeholders, but for `agent` and `sequence`."""
    return {
        "id": event.id,
        "type": event.type,
        "time": rfc3339(event.wall),
        "rule": event.rule,
        "state": event.state,
        "severity": event.severity,
        "sensor": event.sensor,
        "value": event.value,
        "unit": event.unit,
        "condition": event.condition,
        "started_at": None if event.started_wall is None else rfc3339(event.started_wall),
        "ended_at": None if event.ended_wall is None else rfc3339(event.ended_wall),
        "reason": event.reason,
        "alert_id": event.alert_id,
        "summary": event.summary,
        "payload": event.payload if event.has_payload else None,
        "labels": event.labels,
        "attributes": event.attributes,
    }


def rfc3339(wall: float) -> str:
    """A time of RFC 3339 in UTC with milliseconds, of Unix seconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def nearest(given: str, known: Iterable[str]) -> str:
    """What to say of an unknown word: the one that may be meant, else all."""
    known = sorted(known)
    from difflib import get_close_matches  # only who mistypes needs it

    near = get_close_matches(given, known, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _part(
    literal: str, name: str | None, specification: str | None, conversion: str | None, names: Collection[str]
) -> tuple[str, str | None, str]:
    """Check what stands in braces. Raises ValueError."""
    if name is None:
        return literal, None, ""
    if conversion is not None:
        raise ValueError(f"{{{name}!{conversion}}}: there are no conversions: take !{conversion} away")
    _check_name(name, names)
    found = _SPECIFICATION.fullmatch(specification or "")
    if found is None:
        raise ValueError(f"{{{name}:{specification}}}: no format that is known here; such as {{value:.1f}}")
    if any(int(found[part] or 0) > _PADDING_MAX for part in ("width", "digits")):
        raise ValueError(f"{{{name}:{specification}}}: a width and digits of at most {_PADDING_MAX}")
    return literal, name, specification or ""


def _check_name(name: str, names: Collection[str]) -> None:
    holder, _, member = name.partition(".")
    if holder in HOLDERS:
        if not _MEMBER.fullmatch(member):
            raise ValueError(f"{{{name}}}: name one of them, such as {{{holder}.site}}")
    elif name not in names:
        raise ValueError(f"unknown placeholder {{{name}}}: {nearest(name, {*names, 'labels.X', 'attributes.X'})}")


def _look_up(facts: Facts, name: str) -> Any:
    holder, dot, member = name.partition(".")
    return facts[holder].get(member) if dot else facts[name]


def _formatted(value: Any, specification: str) -> str:
    text = _text(value)
    if not specification or value is None:
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return format(value if is_number else text, specification)
    except (ValueError, TypeError, OverflowError):
        return text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | list | Mapping):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)
