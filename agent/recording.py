r"""Recordings: what arrived, with its time, one a line, to be put through the rules again.

JSON lines, as `bellcrank record` writes them:

    {"time": "2026-01-02T03:04:05.678Z", "feed": "broker:house", "topic": "home/kitchen/climate",
     "payload": "{\"t\": 21.5}", "qos": 1, "retain": false}
    {"time": 1767323045.678, "source": "freezer", "payload": "T=-18.5"}

`payload` is text, or any JSON that was meant; `payload_b64` stands in its place for what is no text. `time` is
RFC 3339 or Unix seconds. Or CSV of a sensor's values, whose first line may be the header:

    time,sensor,value
    2026-01-02T03:04:05Z,freezer.temperature,-18.5
"""

import base64
import binascii
import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from agent.templates import rfc3339
from drivers.base import Raw, Value

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_HEADER = ["time", "sensor", "value"]


class BadRecording(Exception):
    """A line that is none: the message has its number, what is wrong, and what would be right."""


class RecordedValue(NamedTuple):
    """A line of CSV: a value as it is."""

    at: float
    """Unix seconds."""
    sensor: str
    value: Value


def read(lines: Iterable[str]) -> Iterator[Raw | RecordedValue]:
    """What a recording holds, in its order; of JSON lines or CSV, as the first line shows. Raises BadRecording."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    make = _from_json if first[1].lstrip("\ufeff \t").startswith("{") else _from_csv
    if make is _from_json or _cells(first[1]) != _HEADER:
        yield _made(make, *first)
    for number, line in numbered:
        yield _made(make, number, line)


def write(raw: Raw) -> str:
    """One line of JSON."""
    found: dict[str, Any] = {"time": rfc3339(raw.at), "feed": raw.feed}
    found |= {"topic": raw.topic} if raw.topic is not None else {"source": raw.source}
    try:
        found["payload"] = raw.payload.decode()
    except UnicodeDecodeError:
        found["payload_b64"] = base64.b64encode(raw.payload).decode()
    if raw.topic is not None:
        found |= {"qos": raw.qos, "retain": raw.retained}
    return json.dumps(found, ensure_ascii=False)


def _made(make: Any, number: int, line: str) -> Raw | RecordedValue:
    try:
        made: Raw | RecordedValue = make(line.strip("\ufeff\r\n"))
    except ValueError as error:
        raise BadRecording(f"line {number}: {error}") from None
    return made


def _from_json(line: str) -> Raw:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON: each line is an object such as {time, topic, payload}") from None
    if not isinstance(found, dict):
        raise ValueError("not an object such as {time, topic, payload}")
    topic, source = (_text(found, key) for key in ("topic", "source"))
    if (topic is None) == (source is None):
        raise ValueError("has to have exactly one of `topic` (MQTT) and `source` (a source of the configuration)")
    return Raw(
        at=_time(found.get("time")),
        feed=_text(found, "feed") or "",
        topic=topic,
        source=source,
        payload=_payload(found),
        qos=1 if found.get("qos", 0) else 0,
        retained=bool(found.get("retain", False)),
    )


def _from_csv(line: str) -> RecordedValue:
    cells = _cells(line)
    if len(cells) != len(_HEADER):
        raise ValueError(f"has {len(cells)} columns; use time,sensor,value")
    time, sensor, value = cells
    return RecordedValue(_time(time), sensor, _value(value))


def _cells(line: str) -> Sequence[str]:
    return [cell.strip() for cell in next(csv.reader([line.strip("\ufeff\r\n")]))]


def _text(found: dict[str, Any], key: str) -> str | None:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`{key}` has to be text")
    return value


def _payload(found: dict[str, Any]) -> bytes:
    if "payload_b64" in found:
        try:
            return base64.b64decode(found["payload_b64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise ValueError("`payload_b64` is no base64") from None
    if "payload" not in found:
        raise ValueError("has neither `payload` nor `payload_b64`")
    payload = found["payload"]
    return (payload if isinstance(payload, str) else json.dumps(payload)).encode(errors="surrogatepass")


def _time(given: Any) -> float:
    """Unix seconds of RFC 3339 or of a number."""
    if isinstance(given, str) and not _NUMBER.fullmatch(given):
        try:
            time = datetime.fromisoformat(given)
        except ValueError:
            time = None
        if time is not None:
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    elif isinstance(given, int | float | str) and not isinstance(given, bool) and abs(float(given)) < 1e11:
        return float(given)
    raise ValueError("`time` has to be like 2026-01-02T03:04:05Z, or Unix seconds")


def _value(text: str) -> Value:
    if _NUMBER.fullmatch(text):
        return float(text) if any(char in text for char in ".eE") else int(text)
    return {"true": True, "false": False}.get(text.lower(), text)
