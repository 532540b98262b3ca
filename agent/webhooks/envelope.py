"""An event on the wire: one body that is both a CloudEvents 1.0 JSON event and a Standard Webhooks payload.

The bytes are made once, when the event becomes owed, and are the same in every attempt.
"""

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.model import Event, Moment

log = logging.getLogger(__name__)

VALUE_BYTES_MAX = 1024
ATTRIBUTES_BYTES_MAX = 4096
PAYLOAD_BYTES_MAX = 48 * 1024
LARGE_BODY_BYTES = 20_000
"""Some receivers refuse larger ones: that is Standard Webhooks' advice."""
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
    return _encode(body)


class Writer:
    """Writes the bodies of one agent's events, and warns of large ones, once for each rule."""

    def __init__(self, agent_name: str, agent_id: str) -> None:
        self._agent_name, self._agent_id = agent_name, agent_id
        self._warned: set[str | None] = set()

    def __call__(self, event: Event, sequence: int) -> bytes:
        """The body of an event; see `envelope`."""
        body = envelope(event, agent_name=self._agent_name, agent_id=self._agent_id, sequence=sequence)
        if len(body) > LARGE_BODY_BYTES and event.rule not in self._warned:
            self._warned.add(event.rule)
            log.warning("%s: a body of %d bytes; some receivers refuse over 20 kB", event.rule or event.type, len(body))
        return body


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


def rfc3339(wall: float) -> str:
    """A time of RFC 3339 in UTC with milliseconds, of Unix seconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _data(event: Event, agent_id: str) -> dict[str, Any]:
    value, value_cut = _cut(event.value, VALUE_BYTES_MAX)
    attributes, attributes_cut = _cut(_strict(event.attributes), ATTRIBUTES_BYTES_MAX)
    payload, payload_cut = _cut(_strict(event.payload), PAYLOAD_BYTES_MAX) if event.has_payload else (None, False)
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
    cut = {"value": value_cut, "attributes": attributes_cut, "payload": payload_cut}
    if any(cut.values()):
        data["truncated"] = [name for name, was_cut in cut.items() if was_cut]
    return data


def _cut(value: Any, most: int) -> tuple[Any, bool]:
    """A value, or the beginning of it (of a list as text) where it is too long to be told.

    Returns also whether it was cut.
    """
    if value is None or isinstance(value, bool | float | int) or not value:
        return value, False
    written = _encode(value)
    if len(written) <= most:
        return value, False
    if isinstance(value, Mapping):
        return _cut_mapping(value, most), True
    return _cut_text(value if isinstance(value, str) else written.decode(), most), True


def _cut_text(text: str, most: int) -> str:
    """The beginning of a text that takes at most so many bytes when it is written, with its quotes and escapes."""
    text = text[:most]
    while (over := len(_encode(text)) - most) > 0:
        text = text[: -max(1, over // 6)]  # no character takes more than the 6 bytes of an escape
    return text


def _cut_mapping(value: Mapping[str, Any], most: int) -> Any:
    """The first members of an object that fit together."""
    kept: dict[str, Any] = {}
    left = most - 2
    for name, member in value.items():
        left -= len(_encode({name: member})) - 1
        if left < 0:
            break
        kept[name] = member
    return kept


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _strict(document: Any) -> Any:
    """A document with null for numbers that are not finite, which some devices write and JSON has not."""
    if isinstance(document, dict):
        return {key: _strict(member) for key, member in document.items()}
    if isinstance(document, list):
        return [_strict(member) for member in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return document
