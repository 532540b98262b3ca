"""Payloads into values; what is no value is refused with its reason, and nothing raises."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import formats
from drivers.base import Sensor
from drivers.decoding import REASONS, Decoded, Decoder, shown
from drivers.paths import Attributes, Csv, CsvFormat, Format, RegexFormat
from tests.support.backtracking import Search


@pytest.fixture(params=["orjson", "json"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With orjson, and as if it were not installed."""
    if request.param == "json":
        monkeypatch.setattr(formats, "orjson", None)
    else:
        pytest.importorskip("orjson")
    yield request.param


def decode(payload: bytes | str, format_: Format = "json", **paths: str | None) -> Decoded:
    sensors = {name: Sensor(path=path, unit="u") for name, path in paths.items()}
    decoder = Decoder("s", format_, sensors, {"site": "cabin"})
    raw = payload.encode() if isinstance(payload, str) else payload
    return decoder.decode(raw, decoder.names("s", {}), retained=False)


def values(decoded: Decoded) -> dict[str, object]:
    return {reading.sensor: reading.value for reading in decoded.readings}


def reasons(decoded: Decoded) -> dict[str | None, str]:
    assert all(refusal.reason in REASONS for refusal in decoded.refusals)
    return {refusal.sensor: refusal.reason for refusal in decoded.refusals}


# -- JSON


def test_names_units_labels_and_the_retained_flag_come_with_each_reading() -> None:
    decoder = Decoder("rooms", "json", {"t": Sensor(path="t", unit="°C")}, {"site": "cabin", "room": "?"})
    names = decoder.names("rooms.kitchen", {"room": "kitchen"})
    (reading,), () = decoder.decode(b'{"t": 21.5, "h": 40}', names, retained=True)
    assert (reading.sensor, reading.value, reading.unit) == ("rooms.kitchen.t", 21.5, "°C")
    assert reading.origin.source == "rooms"
    assert reading.origin.labels == {"site": "cabin", "room": "kitchen"}
    assert reading.origin.payload == {"t": 21.5, "h": 40}
    assert reading.origin.retained


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("payload", "path", "value"),
    [
        ('{"t": 21.5}', "t", 21.5),
        ('{"a": {"b": [1, {"c": 7}]}}', "a.b.1.c", 7),
        ('{"a": {"0": 3}}', "a.0", 3),
        ("21.5", None, 21.5),
        ('"21.5"', None, 21.5),
        ('{"t": "-3"}', "t", -3),
        ('{"t": "1e3"}', "t", 1000.0),
        ('{"t": "21.5 C"}', "t", "21.5 C"),
        ('{"t": "0x10"}', "t", "0x10"),
        ('{"t": "1_000"}', "t", "1_000"),
        ('{"t": "٣"}', "t", "٣"),
        ('{"t": true}', "t", True),
        ('{"t": "true"}', "t", "true"),
        ('{"t": ""}', "t", ""),
        ('{"t": "ON"}', "t", "ON"),
        ('{"t": -0}', "t", 0),
        ('{"t": 18446744073709551615}', "t", 18446744073709551615),
        ('{"t": 18446744073709551616}', "t", 18446744073709551616.0),
        ('{"t": "\\ud83d\\ude00"}', "t", "😀"),
        ('{"t": 1}\0', "t", 1),
        (' {"t": 1}\r\n', "t", 1),
    ],
)
def test_a_value_is_found_by_its_path_and_keeps_its_kind(payload: str, path: str | None, value: object) -> None:
    found = decode(payload, x=path)
    assert values(found) == {"s.x": value}
    assert type(found.readings[0].value) is type(value)
    assert not found.refusals


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ("{}", "t"),
        ('{"a": 1}', "a.b"),
        ('{"a": [1]}', "a.1"),
        ('{"a": [1]}', "a.-1"),
        ('{"a": [1]}', "a.²"),
        ('{"a": [0, 1, 2, 3]}', "a.٣"),
        ('{"a": [1]}', "a." + "9" * 500),
        ('{"a": "text"}', "a.0"),
        ("5", "t"),
    ],
)
def test_an_absent_path_is_no_reading_and_no_refusal(payload: str, path: str) -> None:
    assert decode(payload, x=path) == ((), ())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["params", "temperature:0", "tC"], 21.5),
        (["a.b", "c/d"], 1),
        (["list", 1, "x"], 7),
        (["list", "1", "x"], 7),
        (["", ""], 2),
        (["0"], 3),
        ([0], None),
        (["list", 2], None),
        (["list", 999_999], None),
        (["params", 0], None),
    ],
)
def test_a_path_as_a_list_reaches_keys_with_dots_colons_and_slashes(path: list[str | int], value: object) -> None:
    document = {
        "params": {"temperature:0": {"tC": 21.5}},
        "a.b": {"c/d": 1},
        "list": [0, {"x": 7}],
        "": {"": 2},
        "0": 3,
    }
    decoder = Decoder("s", "json", {"x": Sensor.model_validate({"path": path})}, {})
    found = decoder.decode(json.dumps(document).encode(), decoder.names("s", {}), retained=False)
    assert values(found) == ({} if value is None else {"s.x": value})
    assert not found.refusals


@pytest.mark.parametrize("payload", ["[5, 6]", '{"0": 5}'])
def test_a_number_as_a_path_is_the_place_in_a_list(payload: str) -> None:
    decoder = Decoder("s", "json", {"x": Sensor(path=0)}, {})
    found = decoder.decode(payload.encode(), decoder.names("s", {}), retained=False)
    assert values(found) == ({"s.x": 5} if payload.startswith("[") else {})


# -- attributes


MESSAGE = b'{"action": "pressed", "battery": 97, "a": {"rssi": -50, "list": [1, NaN]}, "b": {"rssi": null}}'


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ([], {}),
        (["battery", "a.rssi"], {"battery": 97, "rssi": -50}),
        ({"battery_percent": "battery", "links": ("a", "list", 0)}, {"battery_percent": 97, "links": 1}),
        (["a.list"], {"list": [1, None]}),
        (["a"], {"a": {"rssi": -50, "list": [1, None]}}),
        (["b.rssi", "b.absent", "absent", "battery.x"], {"rssi": None}),
    ],
)
def test_attributes_are_other_fields_of_the_message_as_strict_json(attributes: Attributes, told: object) -> None:
    decoder = Decoder("s", "json", {"x": Sensor(path="action")}, {}, attributes)
    (reading,), () = decoder.decode(MESSAGE, decoder.names("s", {}), retained=False)
    assert reading.origin.attributes == told
    strict(reading.origin.attributes)


def test_a_key_with_dots_is_one_attribute() -> None:
    decoder = Decoder("s", "keyvalue", {"x": Sensor(path="T")}, {}, ["room.b"])
    (reading,), () = decoder.decode(b"T=5 room.b=97", decoder.names("s", {}), retained=False)
    assert reading.origin.attributes == {"room.b": "97"}


def test_a_jump_is_judged_for_each_sensor_that_a_placeholder_makes() -> None:
    sensor = Sensor.model_validate({"path": "t", "valid": {"max_jump": 5}})
    decoder = Decoder("rooms", "json", {"t": sensor}, {})
    kitchen, sauna = decoder.names("rooms.kitchen", {}), decoder.names("rooms.sauna", {})
    assert decoder.decode(b'{"t": 20}', kitchen, retained=False).readings
    assert decoder.decode(b'{"t": 90}', sauna, retained=False).readings
    assert reasons(decoder.decode(b'{"t": 90}', kitchen, retained=False)) == {"rooms.kitchen.t": "jump"}
    assert decoder.decode(b'{"t": 91}', kitchen, retained=False).readings


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", "not_finite"),
        ("Infinity", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e999", "not_finite"),
        ("-1e999", "not_finite"),
        ("9" * 400, "not_finite"),
        ("9" * 5000, "not_finite"),
        ("-" + "9" * 5000, "not_finite"),
        ('"1e999"', "not_finite"),
        ('"' + "9" * 5000 + '"', "not_finite"),
        ('"nan"', "not_finite"),
        ('"-Infinity"', "not_finite"),
        ('"Unavailable"', "unavailable"),
        ("null", "null"),
        ("{}", "not_a_scalar"),
        ("[1]", "not_a_scalar"),
    ],
)
def test_what_is_no_value_is_refused_and_the_other_sensors_still_count(value: str, reason: str) -> None:
    found = decode(f'{{"bad": {value}, "good": 1}}', bad="bad", good="good")
    assert reasons(found) == {"s.bad": reason}
    assert values(found) == {"s.good": 1}
    assert type(found.readings[0].value) is int
    strict(found.readings[0].origin.payload)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"online", "not_json"),
        (b"", "not_json"),
        (b'{"t": 1', "not_json"),
        (b'{"t": 1}{"t": 2}', "not_json"),
        (b'{"t": 1,}', "not_json"),
        (b'{"t": "a\nb"}', "not_json"),
        (b"[" * 100_000, "too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "too_deep"),
        (b'{"t": 1, "a": ' + b"[" * 64 + b"]" * 64 + b"}", "too_deep"),
        (b'{"t": "\xff"}', "not_utf8"),
        (b'{"t": "\xed\xa0\x80"}', "not_utf8"),
        (b'{"t": 1, "a": "\\ud800"}', "bad_unicode"),
        (b'{"t": 1, "\\udfff": 1}', "bad_unicode"),
        (b'{"t": 1, "a": [["\\uD83D x"]]}', "bad_unicode"),
        (b'{"t": 1, "a": NaN, "b": "\\ud800"}', "bad_unicode"),
    ],
)
def test_a_message_that_is_no_json_is_refused_whole(payload: bytes, reason: str) -> None:
    found = decode(payload, t="t", u="u")
    assert found.readings == ()
    assert reasons(found) == {None: reason}


@pytest.mark.usefixtures("parser")
def test_nesting_at_the_bound_and_many_brackets_side_by_side_are_fine() -> None:
    assert values(decode(b'{"t": 1, "a": ' + b"[" * 63 + b"]" * 63 + b"}", t="t")) == {"s.t": 1}
    assert values(decode(b'{"t": 1, "a": [' + b"[]," * 10_000 + b"{}]}", t="t")) == {"s.t": 1}


@pytest.mark.usefixtures("parser")
def test_the_kept_payload_has_null_for_numbers_that_are_no_values() -> None:
    huge = "9" * 400
    found = decode(f'{{"t": 1, "a": [NaN, {{"b": -Infinity}}, 1e999, {huge}, 2]}}', t="t")
    assert found.readings[0].origin.payload == {"t": 1, "a": [None, {"b": None}, None, None, 2]}


@pytest.mark.usefixtures("parser")
def test_a_megabyte_of_anything_is_refused_and_its_digits_are_not_counted_as_an_integer() -> None:
    for payload in (b"a" * 2**20, b'"' + b"9" * 2**20 + b'"', b"9" * 2**20, b'{"t": ' + b"9" * 2**20 + b"}"):
        assert decode(payload, t=None).readings == ()
    assert sys.get_int_max_str_digits() > 0, "reading an integer takes the square of its length: Python refuses to"


scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=[]))
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)


@pytest.mark.skipif(find_spec("orjson") is None, reason="orjson is not installed")
@given(documents, st.sampled_from([None, "a", "0", "a.0"]))
def test_both_parsers_say_the_same_of_every_document(document: Any, path: str | None) -> None:
    payload = json.dumps({"a": document, "0": document}).encode()
    with pytest.MonkeyPatch.context() as patch:
        fast = decode(payload, x=path)
        patch.setattr(formats, "orjson", None)
        assert decode(payload, x=path) == fast
    for reading in fast.readings:
        strict(reading.origin.payload)
        strict(reading.value)


FORMATS: list[Format] = [
    "json",
    "keyvalue",
    "number",
    "text",
    CsvFormat(csv=Csv()),
    CsvFormat(csv=Csv(delimiter=" ", columns=["a", "b"])),
    RegexFormat(regex="(?P<a>[-0-9.]+)|(?P<b>.+)"),
]


@given(st.binary(max_size=60) | st.text('a=1.," \n', max_size=20).map(str.encode), st.sampled_from(FORMATS))
def test_no_bytes_raise_and_all_that_comes_out_is_strict(payload: bytes, format_: Format) -> None:
    sensors = {"x": Sensor(), "y": Sensor(path="a"), "z": Sensor(path=0), "n": Sensor(path="b", scale=2)}
    decoder = Decoder("s", format_, sensors, {}, ["a", 0])
    found = decoder.decode(payload, decoder.names("s", {}), retained=False)
    reasons(found)
    for reading in found.readings:
        strict([reading.value, reading.origin.payload, reading.origin.attributes])
    for refusal in found.refusals:
        assert len(refusal.detail) <= 80
        assert refusal.detail.isprintable()


def strict(document: Any) -> None:
    """It can be written as strict JSON in UTF-8."""
    json.dumps(document, allow_nan=False, ensure_ascii=False).encode()


# -- the other formats


@pytest.mark.parametrize(
    ("payload", "pairs"),
    [
        ("T=21.5,H=40", {"T": 21.5, "H": 40}),
        ("T=21.5 H=40", {"T": 21.5, "H": 40}),
        ("T=21.5;H=40\r\n", {"T": 21.5, "H": 40}),
        ("T:21.5\tH:40", {"T": 21.5, "H": 40}),
        ("T: 21.5, H: 40", {"T": 21.5, "H": 40}),
        ("T = 21.5 C H = 40 %", {"T": 21.5, "H": 40}),
        ("ok T=21.5 H=40 end", {"T": 21.5, "H": 40}),
        ("T=+21.5,H=040", {"T": 21.5, "H": 40}),
        ("T=21.5C,H=", {"T": "21.5C", "H": ""}),
        ("T= H=40", {"T": "", "H": 40}),
        ("T=12:30:05,H=a=b", {"T": "12:30:05", "H": "a=b"}),
        ("T=1,T=2,H=3", {"T": 2, "H": 3}),
        ("H=40", {"H": 40}),
    ],
)
def test_pairs_stand_between_commas_semicolons_and_blanks(payload: str, pairs: Mapping[str, object]) -> None:
    found = decode(payload, "keyvalue", T="T", H="H")
    assert values(found) == {f"s.{key}": value for key, value in pairs.items()}
    assert not found.refusals


def test_a_key_may_hold_dots() -> None:
    assert values(decode("room.t=5", "keyvalue", x="room.t")) == {"s.x": 5}


def test_a_pair_without_a_value_is_refused_and_the_others_count() -> None:
    found = decode("T=nan,H=40", "keyvalue", T="T", H="H")
    assert reasons(found) == {"s.T": "not_finite"}
    assert values(found) == {"s.H": 40}


@pytest.mark.parametrize("payload", ["", "Hello world", "=5", ": :", "\x1b[2J"])
def test_a_banner_has_no_pairs(payload: str) -> None:
    assert reasons(decode(payload, "keyvalue", T="T")) == {None: "no_pairs"}


@pytest.mark.parametrize("text", ["a", "a ", "= ", "a" + " " * 200, "a" * 63 + " " * 300, "a=", "a= ", " :", "\t"])
def test_no_text_makes_the_search_for_pairs_take_more_than_a_few_steps_a_character(text: str) -> None:
    length = 1000
    assert Search(formats._PAIR.pattern, (text * length)[:length]).steps < 6 * length


@pytest.mark.parametrize(
    ("payload", "value"),
    [("21.5", 21.5), (" 7\r\n", 7), ("+3", 3), ("-4e2", -400.0), ("5\0", 5), ("0", 0), ("-0.0", 0.0)],
)
def test_a_number_may_have_blanks_around_it_and_a_plus(payload: str, value: float) -> None:
    found = decode(payload, "number", x=None)
    assert values(found) == {"s.x": value}
    assert type(found.readings[0].value) is type(value)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "null"),
        (b"null", "null"),
        (b"nan", "not_finite"),
        (b"NaN", "not_finite"),
        (b"inf", "not_finite"),
        (b"-Infinity", "not_finite"),
        (b"1e999", "not_finite"),
        (b"9" * 5000, "not_finite"),
        (b"unavailable", "unavailable"),
        (b"unknown", "not_a_number"),
        (b"true", "not_a_number"),
        (b"21,5", "not_a_number"),
        (b"21.5 C", "not_a_number"),
        (b"1_000", "not_a_number"),
        (b"0x10", "not_a_number"),
        ("٣".encode(), "not_a_number"),
        (b"1 2", "not_a_number"),
        (b"--1", "not_a_number"),
        (b"\xff\xfe", "not_utf8"),
    ],
)
def test_what_is_no_number_is_refused(payload: bytes, reason: str) -> None:
    found = decode(payload, "number", x=None)
    assert found.readings == ()
    assert list(reasons(found).values()) == [reason]


@pytest.mark.parametrize(
    ("payload", "value"), [("open", "open"), (" ON \r\n\0", "ON"), ("21.5", "21.5"), ("", ""), ("ä b", "ä b")]
)
def test_a_text_is_the_payload_without_blanks_around_it(payload: str, value: str) -> None:
    assert values(decode(payload, "text", x=None)) == {"s.x": value}


def test_a_text_that_says_unavailable_is_no_value() -> None:
    assert reasons(decode("unavailable", "text", x=None)) == {"s.x": "unavailable"}


def test_a_text_that_is_no_utf8_is_refused() -> None:
    assert reasons(decode(b"\x80abc", "text", x=None)) == {None: "not_utf8"}


# -- csv


def decode_with(format_: Format, payload: bytes | str, *paths: str | int) -> Decoded:
    decoder = Decoder("s", format_, {f"x{i}": Sensor(path=path) for i, path in enumerate(paths)}, {})
    raw = payload.encode() if isinstance(payload, str) else payload
    return decoder.decode(raw, decoder.names("s", {}), retained=False)


@pytest.mark.parametrize(
    ("delimiter", "payload", "fields"),
    [
        (",", "21.5,40", ["21.5", "40"]),
        (",", " 21.5 , 40 \r\n", ["21.5", "40"]),
        (",", "21.5,,", ["21.5", "", ""]),
        (";", "21,5;40", ["21,5", "40"]),
        ("\t", "\t40\t\r\n", ["", "40", ""]),
        (" ", "21.5 40", ["21.5", "40"]),
        (" ", "21.5  40", ["21.5", "", "40"]),
        ("|", "a|b", ["a", "b"]),
        (",", '"a, ""b""", 5', ['a, "b"', "5"]),
        (",", '"a\nb",5', ["a\nb", "5"]),
        (",", "ON", ["ON"]),
        (",", "", []),
        (",", "a\0,b", ["a", "b"]),
    ],
)
def test_a_line_of_csv_is_its_fields_without_blanks_around_them(
    delimiter: str, payload: str, fields: list[str]
) -> None:
    assert formats.compile_parser(CsvFormat(csv=Csv(delimiter=delimiter)))(payload.encode()).payload == fields


def test_fields_are_numbered_from_0_or_named_by_columns() -> None:
    numbered, named = CsvFormat(csv=Csv()), CsvFormat(csv=Csv(columns=["t", "state"]))
    assert values(decode_with(numbered, "21.5,open", 0, "1", 2)) == {"s.x0": 21.5, "s.x1": "open"}
    assert values(decode_with(named, "21.5,open", "t", "state")) == {"s.x0": 21.5, "s.x1": "open"}
    assert decode_with(named, "21.5,open", "t").readings[0].origin.payload == {"t": "21.5", "state": "open"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"21.5", "field_count"),
        (b"21.5,open,1", "field_count"),
        (b"", "field_count"),
        (b'"21.5,open', "not_csv"),
        (b'"21.5"x,open', "not_csv"),
        (b"21.5,open\n22,open", "not_csv"),
        (b"a," + b"9" * 200_000, "not_csv"),
        (b"\xff,open", "not_utf8"),
    ],
)
def test_a_line_that_has_not_these_columns_is_refused_whole(payload: bytes, reason: str) -> None:
    found = decode_with(CsvFormat(csv=Csv(columns=["t", "state"])), payload, "t", "state")
    assert found.readings == ()
    assert reasons(found) == {None: reason}


# -- regex


def test_named_groups_are_the_paths_and_one_that_took_no_part_is_absent() -> None:
    format_ = RegexFormat(regex=r"T=(?P<t>[-.0-9]+)(?: S=(?P<s> *\w+))?")
    assert values(decode_with(format_, "ok T=21.5 S= open", "t", "s")) == {"s.x0": 21.5, "s.x1": "open"}
    found = decode_with(format_, "T=-3!", "t", "s")
    assert values(found) == {"s.x0": -3}
    assert not found.refusals
    assert found.readings[0].origin.payload == {"t": "-3"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"DHTxx test!", "no_match"),
        (b"", "no_match"),
        (b"T=" + b"1" * 2000, "too_large"),
        (b"T=\xff", "not_utf8"),
    ],
)
def test_a_text_that_does_not_match_is_refused_whole(payload: bytes, reason: str) -> None:
    found = decode_with(RegexFormat(regex="T=(?P<t>[-.0-9]+)"), payload, "t")
    assert found.readings == ()
    assert reasons(found) == {None: reason}


# -- what is shown to people


def test_what_is_shown_is_short_and_shows_control_characters() -> None:
    assert shown(b"a\x1b[2J\n\xff") == "a\\x1b[2J\\n\ufffd"
    assert len(shown("\x00" * 500)) <= 80
    assert len(shown("x" * 500)) == 80


def test_each_number_that_is_a_value_is_a_finite_double() -> None:
    for number in (sys.float_info.max, int(sys.float_info.max), 2**64, -(2**63) - 1):
        found = values(decode(str(number), "number", x=None))
        assert math.isfinite(float(found["s.x"]))  # type: ignore[arg-type]
