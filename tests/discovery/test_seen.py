"""What arrived: fields, kinds, formats and bounds."""

import json

import pytest

from agent.discovery.seen import FIELDS_MAX, PLACES_MAX, Seen


def seen(*payloads: bytes) -> Seen:
    found = Seen()
    for payload in payloads:
        found.add("x", payload, 1.0)
    return found


@pytest.mark.parametrize(
    ("payload", "format_", "fields"),
    [
        (b'{"t": 21.5, "on": true, "s": "x"}', "json", {("t",): "number", ("on",): "bool", ("s",): "text"}),
        (b'{"a": {"b:c": [1, {"d": "7"}]}}', "json", {("a", "b:c", 0): "number", ("a", "b:c", 1, "d"): "number"}),
        (b'{"t": null}', "json", {("t",): "no value"}),
        (b"21.5", "number", {(): "number"}),
        (b"T=21.5,H=40", "keyvalue", {("T",): "number", ("H",): "number"}),
        (b"online", "text", {(): "text"}),
        (b"\xff\x00", "text", {(): "text"}),
        (b"nan", "text", {(): "no value"}),
    ],
)
def test_a_payload_has_its_format_and_its_fields(payload: bytes, format_: str, fields: object) -> None:
    place = seen(payload).places["x"]
    assert place.format == format_
    assert {path: field.kind for path, field in place.fields.items()} == fields


def test_a_field_tells_what_it_held() -> None:
    place = seen(b'{"t": 19, "s": "b"}', b'{"t": 21.5, "s": "a\\n"}').places["x"]
    assert str(place.fields["t",]) == "number 19 .. 21.5"
    assert str(place.fields["s",]) == 'text "a\\\\n", "b"'


def test_however_much_comes_what_is_kept_is_bounded() -> None:
    found = seen(json.dumps({str(n): n for n in range(FIELDS_MAX + 5)}).encode())
    for n in range(PLACES_MAX + 5):
        found.add(f"topic/{n}", b"1", 1.0)
    assert len(found.places["x"].fields) == FIELDS_MAX
    assert (len(found.places), found.overlooked) == (PLACES_MAX, 6)


def test_noise_is_told_from_text() -> None:
    assert seen(b"T=1\r\n", b"\xfe\xff", b"a\x01").places["x"].readable == 1
