"""The body: a CloudEvents 1.0 JSON event, judged by `cloudevents`, and a Standard Webhooks payload."""

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from cloudevents.v1.http import from_json

from agent.model import Event, Moment
from agent.templates import rfc3339
from agent.webhooks.config import Webhook
from agent.webhooks.envelope import encode, envelope, trial
from agent.webhooks.writer import Writer
from tests.webhooks.events import ALERT, PULSE

OPS = Webhook(url="https://ops.example.com", unsigned=True)


def body(event: Event, sequence: int | None = 42) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        envelope(event, agent_name="lakehouse", agent_id="a1", sequence=sequence), parse_constant=pytest.fail
    )
    return found


def test_an_alert_has_the_shape_of_the_design() -> None:
    time = "2026-01-02T03:04:05.678Z"
    assert body(ALERT) == {
        "specversion": "1.0",
        "id": "evt_1",
        "source": "urn:bellcrank:lakehouse",
        "type": "sensor.alert.firing",
        "time": time,
        "timestamp": time,
        "subject": "thermostat.temperature",
        "sequence": "00000000000000000042",
        "datacontenttype": "application/json",
        "data": {
            "alert_id": "alt_1",
            "rule": "too_cold",
            "state": "firing",
            "severity": "critical",
            "sensor": "thermostat.temperature",
            "value": 4.2,
            "unit": "°C",
            "condition": {"below": 5},
            "started_at": time,
            "ended_at": None,
            "reason": "condition",
            "labels": {"site": "cabin"},
            "agent": "a1",
            "clock": "synced",
            "attributes": {},
            "summary": "too_cold: thermostat.temperature is 4.2 °C",
        },
    }


@pytest.mark.parametrize("event", [ALERT, PULSE, trial("evt_9", Moment(1, 1767323045.0, synced=False), "ops")])
def test_the_cloudevents_package_takes_it(event: Event) -> None:
    taken = from_json(envelope(event, agent_name="lakehouse", agent_id="a1", sequence=42))  # type: ignore[no-untyped-call, unused-ignore]
    assert taken["id"] == event.id
    assert taken["type"] == event.type


def test_a_pulse_has_nothing_of_an_alert() -> None:
    assert not {"alert_id", "state", "started_at", "ended_at", "reason"} & set(body(PULSE)["data"])


def test_a_test_has_no_sequence() -> None:
    assert "sequence" not in body(trial("evt_9", Moment(1, 1.0, synced=False), "ops"), None)


def test_text_is_utf8_and_not_escaped() -> None:
    assert "°C".encode() in envelope(ALERT, agent_name="a", agent_id="b", sequence=1)


@pytest.mark.parametrize("payload", [{"t": float("nan")}, [float("inf"), 1], {"a": [{"b": float("-inf")}]}])
def test_what_is_no_json_in_a_payload_becomes_null(payload: Any) -> None:
    assert "null" in json.dumps(body(replace(PULSE, payload=payload, has_payload=True))["data"]["payload"])


def test_a_payload_is_told_only_where_the_rule_asks() -> None:
    assert "payload" not in body(replace(PULSE, payload={"a": 1}))["data"]
    assert body(replace(PULSE, payload={"a": 1}, has_payload=True))["data"]["payload"] == {"a": 1}


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        ({"value": "é" * 2000}, ["value"]),
        ({"attributes": {f"a{n}": "x" * 100 for n in range(99)}}, ["attributes"]),
        ({"payload": {f"a{n}": "x" * 1000 for n in range(99)}, "has_payload": True}, ["payload"]),
        ({"payload": "x" * 200_000, "has_payload": True}, ["payload"]),
        ({"payload": ["x" * 100] * 2000, "has_payload": True}, ["payload"]),
    ],
)
def test_what_is_too_long_is_cut_and_marked(change: dict[str, Any], cut: list[str]) -> None:
    event = replace(PULSE, **change)
    assert body(event)["data"]["truncated"] == cut
    assert len(envelope(event, agent_name="a", agent_id="b", sequence=1)) < 60_000


@pytest.mark.parametrize("char", ["x", '"', "é", "😀", "\x00", "\\"])
@pytest.mark.parametrize(("word", "most"), [("value", 1024), ("payload", 48 * 1024)])
def test_a_text_is_cut_by_what_it_takes_when_it_is_written(char: str, word: str, most: int) -> None:
    event = replace(PULSE, **{word: "<" + char * 200_000}, has_payload=True)  # type: ignore[arg-type]
    told = body(event)["data"][word]
    assert told.startswith("<" + char)
    assert set(told) == {"<", char}
    assert most - 6 <= len(json.dumps(told, ensure_ascii=False).encode()) <= most


def test_what_just_fits_is_not_cut() -> None:
    event = replace(
        PULSE, value="x" * 1022, attributes={"a": "x" * 4088}, payload="x" * (48 * 1024 - 2), has_payload=True
    )
    assert "truncated" not in body(event)["data"]
    assert body(replace(event, value="x" * 1023))["data"]["truncated"] == ["value"]
    assert body(replace(event, attributes={"a": "x" * 4089}))["data"]["truncated"] == ["attributes"]
    assert body(replace(event, payload="x" * (48 * 1024 - 1)))["data"]["truncated"] == ["payload"]


def test_a_large_body_is_warned_of_once_for_each_rule(caplog: pytest.LogCaptureFixture) -> None:
    write = Writer("lakehouse", "a1", {"ops": OPS})
    large = replace(PULSE, payload="x" * 20_000, has_payload=True)
    for event in (PULSE, large, large, replace(large, rule="other")):
        assert json.loads(write(event, "ops", 7).body)["sequence"] == "00000000000000000007"
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["too_cold", "other"]


def test_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"


def test_what_is_written_and_waits_holds_no_more_memory_than_it_has_bytes() -> None:
    tracemalloc.start()
    try:
        waiting = [encode({"number": number, "text": "x" * 400}) for number in range(100)]
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 2 * sum(map(len, waiting))
