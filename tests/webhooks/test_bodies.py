"""`body:` and `headers:` of a webhook: what becomes of their texts."""

import json
from dataclasses import replace
from email.header import decode_header, make_header
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Content, Event
from agent.webhooks.bodies import FILLED_BYTES_MAX, wrong_places
from agent.webhooks.config import Webhook
from agent.webhooks.headers import encoded, fixed
from agent.webhooks.writer import Writer
from tests.webhooks.events import ALERT, EVENTS, PULSE, RESOLVED


def content(event: Event, sequence: int | None = 42, **given: Any) -> Content:
    webhook = Webhook.model_validate({"url": "https://chat.example.com/x", "unsigned": True, **given})
    assert not list(webhook.wrong_places())
    return Writer("lakehouse", "a1", {"chat": webhook})(event, "chat", sequence)


def body(event: Event, document: Any, sequence: int | None = 42) -> Any:
    return json.loads(content(event, sequence, body=document).body, parse_constant=pytest.fail)


def test_the_body_of_the_configuration_replaces_the_standard_one() -> None:
    text = "{rule}: {sensor} is {value:.1f} {unit}"
    assert body(ALERT, {"text": text, "level": "{value}", "tags": ["{labels.site}", 1, None]}) == {
        "text": "too_cold: thermostat.temperature is 4.2 °C",
        "level": 4.2,
        "tags": ["cabin", 1, None],
    }


def test_every_placeholder_is_filled_for_every_event() -> None:
    names = "id type time rule state severity sensor value unit condition started_at ended_at reason agent alert_id"
    document = {name: f"{{{name}}}" for name in [*names.split(), "sequence", "summary", "payload", "labels.site"]}
    filled = {kind: body(event, document) for kind, event in EVENTS.items()}
    assert filled["firing"]["time"] == "2026-01-02T03:04:05.678Z"
    assert filled["firing"]["agent"] == "lakehouse"
    assert filled["firing"]["sequence"] == 42
    assert filled["resolved"]["ended_at"] == "2026-01-02T05:04:05.678Z"
    assert filled["pulse"]["state"] is None
    assert filled["lost"]["labels.site"] is None
    assert filled["started"]["type"] == "agent.started"


def test_a_payload_is_there_where_the_rule_asks_for_it() -> None:
    event = replace(PULSE, payload={"t": [1, float("nan")]}, has_payload=True)
    assert body(event, {"p": "{payload}", "s": "{payload}!"}) == {"p": {"t": [1, None]}, "s": '{"t":[1,null]}!'}
    assert body(replace(event, has_payload=False), {"p": "{payload}"}) == {"p": None}


@given(value=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_breaks_out_of_its_string(value: str) -> None:
    found = body(replace(ALERT, value=value[:200]), {"a": "<{value}>", "b": "{value}", "c": {"d": 1}})
    assert found == {"a": f"<{value[:200]}>", "b": value[:200], "c": {"d": 1}}


def test_no_value_is_longer_than_the_standard_body_tells_it() -> None:
    event = replace(ALERT, value="x" * 5000, attributes={"a": "y" * 3000, "b": "z" * 3000})
    found = body(event, {"value": "{value}", "a": "{attributes.a}", "b": "{attributes.b}"})
    assert found == {"value": "x" * 1022, "a": "y" * 3000, "b": None}


def test_a_test_has_no_sequence() -> None:
    assert body(ALERT, {"n": "{sequence}"}, None) == {"n": None}


@pytest.mark.parametrize("text", ["{payload}", "x{payload}", "{payload:>100}"])
@pytest.mark.parametrize(
    "payload",
    ["é" * 200_000, {f"k{n}": "x" * 100 for n in range(2000)}, ["y"] * 100_000, 9**999],
    ids=["text", "object", "list", "number"],
)
def test_a_body_is_bounded_whatever_is_filled_in(text: str, payload: Any) -> None:
    event = replace(PULSE, payload=payload, has_payload=True)
    made = content(event, body={"all": [text] * 2000}).body
    assert len(made) <= FILLED_BYTES_MAX + 2000 * len("null,") + 2000


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"a": {"b": ["fine", "{summry}"]}}, ("a", "b", 1)),
        ([{"a": float("inf")}], (0, "a")),
        ({"a": {1: "x"}}, ("a", 1)),
        ({"a": object()}, ("a",)),
        ({"a": "{value!s}"}, ("a",)),
    ],
)
def test_what_is_wrong_is_told_with_its_place(document: Any, where: tuple[str | int, ...]) -> None:
    assert [found for found, _ in wrong_places(document)] == [where]


def test_headers_are_filled_and_stand_beside_the_body() -> None:
    made = content(ALERT, headers={"Title": "{rule} {labels.site}", "X-Static": "1", "Authorization": "Bearer {id}"})
    assert made.headers == {"Title": "too_cold cabin", "Authorization": "Bearer evt_1"}
    assert json.loads(made.body)["specversion"] == "1.0"


def test_headers_without_placeholders_are_not_kept_with_each_delivery() -> None:
    assert content(ALERT, headers={"X-Static": "1 {{x}}"}).headers == {}
    assert fixed({"X-Static": "1 {{x}}", "Title": "{rule}"}) == {"X-Static": "1 {x}"}


def test_a_content_type_of_its_own_is_kept_with_the_bytes() -> None:
    assert content(ALERT, content_type="application/cloudevents+json").headers == {
        "content-type": "application/cloudevents+json"
    }
    assert content(ALERT, body={"a": "{id}"}).headers == {}


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=1200))
def test_every_text_fits_into_a_header(text: str) -> None:
    header = encoded(text)
    assert header.isascii()
    assert not any(ord(char) < 32 or ord(char) == 127 for char in header)


@pytest.mark.parametrize("text", ["Tür offen", "é" * 300, "🔔" * 99, "21.5 °C"], ids=["word", "long", "bells", "unit"])
def test_what_is_not_ascii_goes_by_rfc_2047(text: str) -> None:
    header = encoded(text)
    assert all(len(word) <= 75 for word in header.split(" "))
    assert str(make_header(decode_header(header))) == text


def test_control_characters_go() -> None:
    assert encoded("a\r\nX-Evil: 1\x00\x7f") == "a X-Evil: 1"
    assert content(replace(RESOLVED, value="4\r\nX-Evil: 1"), headers={"X-V": "{value}"}).headers == {
        "X-V": "4 X-Evil: 1"
    }


@pytest.mark.parametrize("text", ["\ud800", "a\ud800é"])
def test_half_a_character_fits_too(text: str) -> None:
    assert encoded(text).isascii()
