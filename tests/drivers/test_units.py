"""Durations, sizes, rates, names, addresses and tokens as people write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from drivers.units import (
    Duration,
    Name,
    Rate,
    Size,
    Token,
    format_duration,
    format_size,
    parse_address,
    parse_duration,
    parse_size,
)

durations: TypeAdapter[float] = TypeAdapter(Duration)
sizes: TypeAdapter[int] = TypeAdapter(Size)
names: TypeAdapter[str] = TypeAdapter(Name)
rates: TypeAdapter[Any] = TypeAdapter(Rate)
tokens: TypeAdapter[Any] = TypeAdapter(Token)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2m", 120), ("1h30m", 5400), ("500ms", 0.5), ("7d", 604_800), ("1w1ms", 604_800.001), (0, 0)],
)
def test_a_duration_is_integers_with_units_or_a_bare_zero(text: Any, seconds: float) -> None:
    assert durations.validate_python(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "wrong", ["", "5", 5, 1.5, "1.5h", "-1s", "1 h", "1h 30m", "h", "1y", "٣s", "9" * 13 + "s", None, True, False, []]
)
def test_what_is_no_duration_says_what_would_be(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="such as 90s or 1h30m"):
        durations.validate_python(wrong)


@pytest.mark.parametrize(("wrong", "hint"), [("00:02:00", "`2m`"), (90, "`90s`"), (1.5, "a unit is missing")])
def test_a_duration_that_people_type_wrong_has_a_hint(wrong: Any, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_duration(wrong)


@given(st.integers(0, 10**12))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    text = format_duration(milliseconds / 1000)
    assert parse_duration(0 if text == "0s" else text) == pytest.approx(milliseconds / 1000)
    assert durations.dump_python(milliseconds / 1000) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MB", 64_000_000), ("256KiB", 262_144), ("4 kB", 4000), ("1GiB", 2**30), ("0B", 0), ("1MiB", 2**20)],
)
def test_a_size_counts_by_1000_or_by_1024(text: str, size: int) -> None:
    assert sizes.validate_python(text) == parse_size(text) == size


@pytest.mark.parametrize("wrong", ["", "64", 64, "64mb", "64KB", "1.5MB", "-1B", "٣B", None, True])
def test_what_is_no_size_says_what_would_be(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="such as 64MB or 256KiB"):
        sizes.validate_python(wrong)


@pytest.mark.parametrize("name", ["a", "Front_Door-2", "x" * 64])
def test_a_name_is_letters_digits_dash_and_underscore(name: str) -> None:
    assert names.validate_python(name) == name


@pytest.mark.parametrize("wrong", ["", "a.b", "a b", "x" * 65, "ä", "a\n", "a/b", "*"])
def test_what_is_no_name_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        names.validate_python(wrong)


@pytest.mark.parametrize(("text", "rate"), [("50/s", (50, 1)), ("10/m", (10, 60)), ("1/h", (1, 3600))])
def test_a_rate_is_so_many_in_a_second_minute_or_hour(text: str, rate: tuple[int, int]) -> None:
    assert rates.validate_python(text) == rate
    assert rates.dump_python(rates.validate_python(text)) == text


@pytest.mark.parametrize("wrong", ["", "50", 50, "0/s", "1.5/s", "50/d", "50 / s", "٣/s", "9999999/s", None, (5, 1)])
def test_what_is_no_rate_says_what_would_be(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="such as 50/s"):
        rates.validate_python(wrong)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8322", ("127.0.0.1", 8322)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_an_address_to_listen_on_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "wrong",
    ["", "8322", ":8322", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:٣", "x.example:80", "a:b:1"],
)
def test_what_is_no_address_says_what_would_be(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        parse_address(wrong)


def test_a_short_token_is_refused_without_showing_it() -> None:
    assert tokens.validate_python("0123456789abcdef").get_secret_value() == "0123456789abcdef"
    with pytest.raises(ValidationError, match="at least 16 bytes") as caught:
        tokens.validate_python("hunter2")
    assert "hunter2" not in str(caught.value.errors(include_input=False))


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_a_size_is_written_as_it_is_read(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (4096, "4KiB"),
        (4000, "4kB"),
        (64_000_000, "64MB"),
        (262_144, "256KiB"),
        (1_048_576, "1MiB"),
    ],
)
def test_a_size_is_written_the_short_way(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text
