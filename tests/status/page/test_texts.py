"""How values, ages and conditions are worded."""

from typing import Any

import pytest

from agent.status.page import texts


@pytest.mark.parametrize(
    ("said", "unit", "text"),
    [
        (4.2, "°C", "4.2 °C"),
        (20.299999999999997, None, "20.3"),
        (12345678.9, None, "12345678.9"),
        (2**53, None, "9007199254740992"),
        (True, None, "true"),
        (None, "%", "–"),  # noqa: RUF001
        ("", None, "(empty)"),
        ("x" * 100, None, "x" * 39 + "…"),
    ],
)
def test_a_value_is_told_as_people_write_it(said: Any, unit: str | None, text: str) -> None:
    assert texts.value(said, unit) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("°C äöü 温度", "°C äöü 温度"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("a\u200bb", "a\\u200bb"),
        ("a\nb", "a\\nb"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_acts_on_the_text_around_it_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert texts.visible(text) == shown


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"below": 5}, "below 5 °C"),
        ({"at_least": 5, "below": 8}, "at least 5 °C and below 8 °C"),
        ({"inside": [2, 8]}, "inside 2 to 8 °C"),
        ({"equals": "open"}, "equals open"),
        ({"one_of": ["a", True]}, "one of a, true"),
        ({"silent_for": 900.0}, "silent for 15 m"),
        ({"rising": {"by": 5, "within": 600.0}}, "rising by 5 °C within 10 m"),
        ({"reading": True}, "every reading"),
        (
            {"all": [{"sensor": "a.b", "above": 5}, {"not": {"sensor": "c.d", "equals": True}}]},
            "all of (a.b above 5; not (c.d equals true))",
        ),
    ],
)
def test_a_condition_is_told_as_people_say_it(words: dict[str, Any], text: str) -> None:
    assert texts.condition(words, "°C") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "just now"), (4.9, "just now"), (14, "10 s ago"), (119, "1 m ago"), (7384, "2 h 3 m ago")],
)
def test_an_age_does_not_change_each_second(seconds: float, text: str) -> None:
    assert texts.calm_age(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(1.0, "100 %"), (0.9999, "99.9 %"), (0.5, "50.0 %"), (None, "–")])  # noqa: RUF001
def test_what_is_not_all_is_never_told_as_all(rate: float | None, text: str) -> None:
    assert texts.percent(rate) == text
