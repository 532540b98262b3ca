"""The standard body: both a CloudEvents 1.0 JSON event and a Standard Webhooks payload."""

import json
import math
from collections.abc import Mapping
from typing import Any

from agent.model import Event, Moment
from agent.templates import rfc3339

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment, unused-ignore]

VALUE_BYTES_MAX = 1024
ATTRIBUTES_BYTES_MAX = 4096
PAYLOAD_BYTES_MAX = 48 * 1024
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ALERT_ONLY = ("alert_id", "state", "started_at", "ended_at", "reason")


def envelope(event: Event, *, agent_name: str, agent_id: str, sequence: int | None) -> bytes:
    """The body of an event; `sequence` is None for what is never owed.

    Raises ValueError for what is no JSON.
    """
    time = rfc3339(event.wall)
    numbered = {} if sequence is None else {"sequence": f"{sequence:020d}"}
    body = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"urn:bellcrank:{agent_name}",
        "type": event.type,
        "time": time,
        "timestamp": time,
        "subject": event.subject,
        **numbered,
        "datacontenttype": "application/json",
        "data": _data(event, agent_id),
    }
    return encode(body)


def trial(new_id: str, moment: Moment, webhook: str) -> Event:
    """What `bellcrank webhooks test` sends: never owed, without a sequence."""
    return Event(
        id=new_id,
        type="webhook.test",
        subject=f"webhook:{webhook}",
        at=moment.at,
        wall=moment.wall,
        synced=moment.synced,
        send_to=(webhook,),
        summary=f"A test of the webhook {webhook}",
    )


def _data(event: Event, agent_id: str) -> dict[str, Any]:
    (value, attributes, payload), truncated = told(event)
    data = {
        "alert_id": event.alert_id,
        "rule": event.rule,
        "state": event.state,
        "severity": event.severity,
        "sensor": event.sensor,
        "value": value,
        "unit": event.unit,
        "condition": event.condition,
        "started_at": None if event.started_wall is None else rfc3339(event.started_wall),
        "ended_at": None if event.ended_wall is None else rfc3339(event.ended_wall),
        "reason": event.reason,
        "labels": dict(event.labels),
        "agent": agent_id,
        "clock": "corrected" if event.corrected else "synced" if event.synced else "unsynced",
        "attributes": attributes,
        "summary": event.summary,
    }
    if event.state is None:
        for key in _ALERT_ONLY:
            del data[key]
    if event.has_payload:
        data["payload"] = payload
    if truncated:
        data["truncated"] = truncated
    return data


def told(event: Event) -> tuple[tuple[Any, Any, Any], list[str]]:
    """Value, attributes and payload of an event, as far as they are told, and the names of those that were cut."""
    value, value_cut = cut(event.value, VALUE_BYTES_MAX)
    attributes, attributes_cut = cut(_strict(event.attributes), ATTRIBUTES_BYTES_MAX)
    payload, payload_cut = cut(_strict(event.payload), PAYLOAD_BYTES_MAX) if event.has_payload else (None, False)
    were_cut = {"value": value_cut, "attributes": attributes_cut, "payload": payload_cut}
    return (value, attributes, payload), [name for name, was_cut in were_cut.items() if was_cut]


def cut(value: Any, most: int) -> tuple[Any, bool]:
    """A value, or the beginning of it (of a list as text) where it takes more bytes than that.

    Returns also whether it was cut.
    """
    if value is None or isinstance(value, bool | float | int) or not value:
        return value, False
    written = encode(value)
    if len(written) <= most:
        return value, False
    if isinstance(value, Mapping):
        return _cut_mapping(value, most), True
    return _cut_text(value if isinstance(value, str) else written.decode(), most), True


def _cut_text(text: str, most: int) -> str:
    """The beginning of a text that takes at most so many bytes when it is written, with its quotes and escapes."""
    text = text[:most]
    while (over := len(encode(text)) - most) > 0:
        text = text[: -max(1, over // 6)]  # no character takes more than the 6 bytes of an escape
    return text


def _cut_mapping(value: Mapping[str, Any], most: int) -> Any:
    """The first members of an object that fit together."""
    kept: dict[str, Any] = {}
    left = most - 2
    for name, member in value.items():
        left -= len(encode({name: member})) - 1
        if left < 0:
            break
        kept[name] = member
    return kept


def encode(value: Any) -> bytes:
    """JSON, strict and compact. Raises ValueError for what is none.

    By orjson where it is there, to which NaN is null. What it refuses may still be JSON: integers beyond 64 bits.
    """
    if orjson is not None:
        try:
            return bytes(memoryview(orjson.dumps(value)))  # a copy: what it returns holds on to a buffer of some KiB
        except TypeError:
            pass
    return _JSON.encode(value).encode()


def _strict(document: Any) -> Any:
    """A document with null for numbers that are not finite, which some devices write and JSON has not."""
    if isinstance(document, dict):
        return {key: _strict(member) for key, member in document.items()}
    if isinstance(document, list):
        return [_strict(member) for member in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return document
