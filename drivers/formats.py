"""Payloads into documents, without I/O: one parser for each format.

`json`, `keyvalue` (pairs such as `T=21.5,H=40` or `T: 21.5`), `number`, `text`, `csv`, and `regex` with its
named groups. A payload of which nothing can be made is refused with a reason.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from drivers.base import Json
from drivers.paths import Csv, CsvFormat, Format, RegexFormat
from drivers.patterns import Pattern, compile_pattern
from drivers.values import Refused, bounded, fits, integer, number_of, shown

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment, unused-ignore]

# A pair begins where a word begins, and nothing is given back: linear in whatever a sensor sends. A value may
# stand behind a space, but not be the key of the next pair.
_PAIR = re.compile(
    r"(?<![^\s,;])([^\s,;=:]++)[ \t]*+[=:]"
    r"(?:([^\s,;]++)|[ \t]++(?![^\s,;=:]++[ \t]*+[=:])([^\s,;]++))?"
)
_DEPTH_MAX = 64
_BLANKS = " \t\r\n\0"


class Parsed(NamedTuple):
    """What a payload holds."""

    document: Any
    """May hold what is no value, to be refused where a sensor asks for it."""
    payload: Json
    """The same without that."""


Parser = Callable[[bytes], Parsed]


def compile_parser(format_: Format) -> Parser:
    """The function that reads a payload of this format. It raises Refused."""
    if isinstance(format_, CsvFormat):
        return partial(_parse_csv, format_.csv)
    if isinstance(format_, RegexFormat):
        return partial(_parse_regex, compile_pattern(format_.regex))
    return _PARSERS[format_]


def _text(payload: bytes, around: str = _BLANKS) -> str:
    try:
        return payload.decode().strip(around)
    except UnicodeDecodeError:
        raise Refused("not_utf8", shown(payload)) from None


def _parse_text(payload: bytes) -> Parsed:
    text = _text(payload)
    return Parsed(text, text)


def _parse_number(payload: bytes) -> Parsed:
    number = number_of(_text(payload))
    return Parsed(number, number)


def _parse_keyvalue(payload: bytes) -> Parsed:
    text = _text(payload)
    pairs = {key: at_once or later for key, at_once, later in _PAIR.findall(text)}
    if not pairs:
        raise Refused("no_pairs", shown(text))
    return Parsed(pairs, pairs)


def _parse_csv(how: Csv, payload: bytes) -> Parsed:
    text = _text(payload, "\r\n\0")
    try:
        # A space cannot both separate fields and be skipped in front of them.
        (fields,) = csv.reader([text], delimiter=how.delimiter, strict=True, skipinitialspace=how.delimiter != " ")
    except (csv.Error, ValueError):
        raise Refused("not_csv", shown(text)) from None
    fields = [field.strip(_BLANKS) for field in fields]
    if how.columns is None:
        return Parsed(fields, fields)
    if len(fields) != len(how.columns):
        raise Refused("field_count", f"{len(fields)}, not {len(how.columns)}: {shown(text)}"[:80])
    named = dict(zip(how.columns, fields, strict=True))
    return Parsed(named, named)


def _parse_regex(pattern: Pattern, payload: bytes) -> Parsed:
    text = _text(payload)
    if len(text) > pattern.text_max:
        raise Refused("too_large", f"{len(text)} characters; this pattern is safe to search in {pattern.text_max}")
    found = pattern.compiled.search(text)
    if found is None:
        raise Refused("no_match", shown(text))
    groups = {name: value.strip(_BLANKS) for name, value in found.groupdict().items() if value is not None}
    return Parsed(groups, groups)


def _parse_json(payload: bytes) -> Parsed:
    if orjson is not None:
        try:
            document = orjson.loads(payload)
        except ValueError:
            pass  # the other parser knows why, and lets a NaN cost no more than its own sensor
        else:
            if payload.count(b"[") + payload.count(b"{") > _DEPTH_MAX:
                _is_strict(document)
            return Parsed(document, document)
    return _parse_loose_json(_text(payload))


def _parse_loose_json(text: str) -> Parsed:
    try:
        document = _loads(text)
        strict = _is_strict(document)
    except RecursionError:
        raise Refused("too_deep", shown(text)) from None
    except ValueError:
        raise Refused("not_json", shown(text)) from None
    if "\\u" in text:
        _refuse_lone_surrogates(document)
    return Parsed(document, document if strict else _made_strict(document))


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python reads
        return json.loads(text, parse_int=integer)


def _is_strict(document: Any, depth: int = 0) -> bool:
    """Whether all numbers are finite and of 64 bits. Raises Refused for what is nested too deeply."""
    if not isinstance(document, dict | list):
        return fits(document)
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
        elif not fits(member):
            strict = False
    return strict


def _made_strict(document: Any) -> Json:
    """The document with null for numbers that are no values."""
    if isinstance(document, dict):
        return {key: _made_strict(member) for key, member in document.items()}
    if isinstance(document, list):
        return [_made_strict(member) for member in document]
    if not fits(document):
        try:
            return bounded(document)
        except Refused:
            return None
    return document


def _refuse_lone_surrogates(document: Json) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refused("bad_unicode", shown(repr(error.object[error.start : error.end]))) from None


_PARSERS: Mapping[str, Parser] = {
    "json": _parse_json,
    "keyvalue": _parse_keyvalue,
    "number": _parse_number,
    "text": _parse_text,
}
