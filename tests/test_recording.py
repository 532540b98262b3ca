"""Recordings: what is written reads back, both forms are read, and a bad line is told with its number."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.recording import BadRecording, RecordedValue, read, write
from drivers.base import Raw

AT = 1767323045.678
WHEN = "2026-01-02T03:04:05.678Z"


@given(
    payload=st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode(errors="replace")),
    topic=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    qos=st.sampled_from([0, 1]),
    retained=st.booleans(),
)
def test_what_is_written_reads_back(payload: bytes, topic: str | None, qos: int, retained: bool) -> None:
    if topic is None:
        raw = Raw(AT, "serial:scale", None, "scale", payload)
    else:
        raw = Raw(AT, "broker:house", topic, None, payload, qos, retained)
    line = write(raw)
    assert "\n" not in line
    assert list(read([line + "\n"])) == [raw]


@pytest.mark.parametrize("time", [WHEN, "2026-01-02 03:04:05.678", "2026-01-02T04:04:05.678+01:00", AT, str(AT)])
def test_a_time_is_rfc_3339_or_unix_seconds(time: Any) -> None:
    (raw,) = read([json.dumps({"time": time, "source": "scale", "payload": "7"})])
    assert raw.at == pytest.approx(AT)


@pytest.mark.parametrize(("payload", "raw"), [("7", b"7"), (7, b"7"), ({"t": 21.5}, b'{"t": 21.5}'), (None, b"null")])
def test_a_payload_is_text_or_the_json_that_was_meant(payload: Any, raw: bytes) -> None:
    (found,) = read([json.dumps({"time": AT, "topic": "a", "payload": payload})])
    assert isinstance(found, Raw)
    assert found.payload == raw


@pytest.mark.parametrize("first", ["time,sensor,value\n", "\ufefftime, sensor, value\n", "\n"])
def test_csv_holds_the_values_of_sensors(first: str) -> None:
    lines = [first, f"{WHEN},freezer.t,-18.5\n", "\n", f'{AT},"bell.button",pressed\r\n', f"{AT},door.open,true\n"]
    assert list(read(lines)) == [
        RecordedValue(AT, "freezer.t", -18.5),
        RecordedValue(AT, "bell.button", "pressed"),
        RecordedValue(AT, "door.open", True),
    ]


def test_an_empty_recording_holds_nothing() -> None:
    assert list(read(["\n", "  \n"])) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"time": 1', "not JSON"),
        ("[" * 100_000, "columns"),
        ('{"a":' * 100_000, "not JSON"),
        ('{"time": 1, "payload": "x"}', "exactly one of `topic`"),
        ('{"time": 1, "topic": "a", "source": "b", "payload": "x"}', "exactly one of `topic`"),
        ('{"time": 1, "topic": 7, "payload": "x"}', "`topic` has to be text"),
        ('{"time": 1, "topic": "a"}', "neither `payload`"),
        ('{"time": 1, "topic": "a", "payload_b64": "%"}', "no base64"),
        ('{"time": 1, "topic": "a", "payload_b64": 7}', "no base64"),
        ('{"topic": "a", "payload": "x"}', "`time` has to be like"),
        ('{"time": "yesterday", "topic": "a", "payload": "x"}', "`time` has to be like"),
        ('{"time": 1e300, "topic": "a", "payload": "x"}', "`time` has to be like"),
        ('{"time": true, "topic": "a", "payload": "x"}', "`time` has to be like"),
        ("1,a.b", "2 columns"),
        ("noon,a.b,7", "`time` has to be like"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_what_would_be_right(line: str, why: str) -> None:
    good = '{"time": 1, "topic": "a", "payload": "x"}' if line.startswith("{") else "1,a.b,7"
    with pytest.raises(BadRecording) as caught:
        list(read([good, "\n", line]))
    assert str(caught.value).startswith("line 3: ")
    assert why in str(caught.value)
