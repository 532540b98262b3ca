"""What arrived on topics or lines: which fields there are, of what kind, and how often.

Bounded, whatever arrives: so many places, so many fields of each.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from drivers.formats import Parser, compile_parser
from drivers.paths import Word as Format
from drivers.values import Refused, as_it_comes, shown

PLACES_MAX = 5_000
FIELDS_MAX = 64
_DEPTH_MAX = 5
_VALUES_KEPT = 8

Path = tuple[str | int, ...]
"""Of a field in a document; () is the whole payload."""
_FORMATS: tuple[Format, ...] = ("json", "number", "keyvalue", "text")
_PARSERS: Mapping[Format, Parser] = {format_: compile_parser(format_) for format_ in _FORMATS}


@dataclass(slots=True)
class Field:
    """One value of a payload, over all payloads of a place."""

    kinds: Counter[str] = field(default_factory=Counter)
    """number, text, bool, `no value`."""
    low: float = math.inf
    high: float = -math.inf
    texts: set[str] = field(default_factory=set)
    """The first few different ones, each as it may be shown."""

    def add(self, value: Any) -> None:
        """Take in one value that is no object and no list, as a sensor would."""
        try:
            value = as_it_comes(value)
        except Refused:
            self.kinds["no value"] += 1
            return
        if isinstance(value, bool):
            self.kinds["bool"] += 1
        elif isinstance(value, str):
            self.kinds["text"] += 1
            if len(self.texts) < _VALUES_KEPT:
                self.texts.add(shown(value))
        else:
            self.kinds["number"] += 1
            self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def kind(self) -> str:
        """What it mostly is."""
        return self.kinds.most_common(1)[0][0]

    def __str__(self) -> str:
        """For people: `number 19.8 .. 21.5`, `text "", "pressed"`, `bool`."""
        if self.kind == "number":
            span = f"{self.low:.10g}" if self.low == self.high else f"{self.low:.10g} .. {self.high:.10g}"
            return f"number {span}"
        if self.kind == "text":
            return "text " + ", ".join(json.dumps(text, ensure_ascii=False) for text in sorted(self.texts))
        return self.kind


@dataclass(slots=True)
class Place:
    """A topic or a port."""

    messages: int = 0
    retained: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    formats: Counter[Format] = field(default_factory=Counter)
    by_format: dict[Format, dict[Path, Field]] = field(default_factory=dict)
    qos: int = 0
    """The highest that came."""
    readable: int = 0
    """How many were text without control characters."""

    @property
    def format(self) -> Format:
        """What its payloads mostly are."""
        return self.formats.most_common(1)[0][0] if self.formats else "text"

    @property
    def fields(self) -> Mapping[Path, Field]:
        """What the payloads of that format held."""
        return self.by_format.get(self.format, {})

    def add(self, payload: bytes, at: float, *, retained: bool, qos: int) -> None:
        """Take in one payload; `at` in seconds."""
        self.first_at = self.first_at if self.messages else at
        self.last_at = at
        self.messages += 1
        self.retained += retained
        self.qos = max(self.qos, qos)
        self.readable += _is_text(payload)
        format_, document = _parsed(payload)
        self.formats[format_] += 1
        fields = self.by_format.setdefault(format_, {})
        for path, value in _flat(document):
            if path in fields or len(fields) < FIELDS_MAX:
                fields.setdefault(path, Field()).add(value)


class Seen:
    """All places."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.overlooked = 0
        """Messages of places beyond the bound."""

    def add(self, name: str, payload: bytes, at: float, *, retained: bool = False, qos: int = 0) -> None:
        """Take in one message of a topic or port."""
        if name not in self.places and len(self.places) >= PLACES_MAX:
            self.overlooked += 1
            return
        self.places.setdefault(name, Place()).add(payload, at, retained=retained, qos=qos)


def _is_text(payload: bytes) -> bool:
    try:
        return payload.decode().strip().replace("\t", " ").isprintable()
    except UnicodeDecodeError:
        return False


def _parsed(payload: bytes) -> tuple[Format, Any]:
    """The document of the first format that reads it, in the order of what says most."""
    for format_, parse in _PARSERS.items():
        with suppress(Refused):
            document = parse(payload).document
            if format_ != "json" or isinstance(document, dict | list):
                return format_, document
    return "text", shown(payload)


def _flat(document: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(document, dict | list):
        if len(path) < _DEPTH_MAX:
            items = document.items() if isinstance(document, dict) else enumerate(document[:FIELDS_MAX])
            for step, member in items:
                yield from _flat(member, (*path, step))
    else:
        yield path, document
