"""Texts with placeholders: what they may say, what becomes of a value in them, and that they stay bounded."""

from typing import Any

import pytest

from agent.templates import NAMES, SUMMARY_NAMES, Template, facts_of
from tests.webhooks.events import ALERT

FACTS: dict[str, Any] = {
    **dict.fromkeys(NAMES),
    "value": 21.456,
    "rule": "too_cold",
    "condition": {"below": 5},
    "labels": {"site": "cabin", "a.b": "dotted"},
    "attributes": {"battery": 97, "on": True, "list": [1, "é"]},
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{rule} is {value:.1f}", "too_cold is 21.5"),
        ("{value:>10.2f}|", "     21.46|"),
        ("{rule:>10}|", "  too_cold|"),
        ("{rule:.3}", "too"),
        ("{rule:.1f}", "too_cold"),
        ("{value:d}", "21.456"),
        ("{attributes.on}/{attributes.on:.1f}", "true/true"),
        ("{unit}{unit:>5}{reason}.", "."),
        ("{{rule}} {{{rule}}}", "{rule} {too_cold}"),
        ("at {labels.site}, {labels.a.b}{labels.none}", "at cabin, dotted"),
        ("{attributes.battery:03d} %", "097 %"),
        ("{condition} {attributes.list}", '{"below":5} [1,"é"]'),
        ("", ""),
    ],
)
def test_a_text_is_filled(text: str, filled: str) -> None:
    assert Template(text).text(FACTS, 1000) == filled


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{value}", 21.456),
        ("{unit}", None),
        ("{attributes.on}", True),
        ("{condition}", {"below": 5}),
        ("{attributes.list}", [1, "é"]),
        ("{labels.none}", None),
        ("{value:.1f}", "21.5"),
        (" {value}", " 21.456"),
        ("{value}{value}", "21.45621.456"),
        ("{{value}}", "{value}"),
    ],
)
def test_one_placeholder_alone_keeps_the_type_of_its_value(text: str, value: object) -> None:
    assert Template(text).fill(FACTS, 1000) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{summry}", "unknown placeholder {summry}: did you mean summary?"),
        ("{colour}", "unknown placeholder {colour}: known: "),
        ("{value.__class__}", "unknown placeholder {value.__class__}"),
        ("{value[0]}", "unknown placeholder {value[0]}"),
        ("{labels[site]}", "unknown placeholder {labels[site]}"),
        ("{0}", "unknown placeholder {0}"),
        ("{}", "unknown placeholder {}"),
        ("{ value }", "unknown placeholder { value }: did you mean value?"),
        ("{labels}", "name one of them, such as {labels.site}"),
        ("{attributes.}", "name one of them"),
        ("{value!r}", "no conversions"),
        ("{value:.1q}", "no format that is known here"),
        ("{value:{unit}}", "no format that is known here"),
        ("{value:999999999}", "at most 100"),
        ("{value:.999999999f}", "at most 100"),
        ("{value:101}", "at most 100"),
        ("{", "doubled"),
        ("}", "doubled"),
        ("{value", "doubled"),
        ('{"value": 1}', "unknown placeholder"),
    ],
)
def test_what_cannot_stand_in_braces_is_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$") as caught:
        Template(text)
    assert why in str(caught.value)


def test_a_summary_is_the_same_for_all_webhooks() -> None:
    for name in ("sequence", "agent"):
        Template(f"{{{name}}}")
        with pytest.raises(ValueError, match="unknown placeholder"):
            Template(f"{{{name}}}", SUMMARY_NAMES)


@pytest.mark.parametrize("text", ["{rule}" * 10_000, "x{rule}" * 10_000, "{rule}", "{labels.site:100}" * 1000])
def test_a_text_is_no_longer_than_it_may_be(text: str) -> None:
    facts = {**FACTS, "rule": "é" * 100_000}
    for most in (1, 50, 999):
        assert len(Template(text).fill(facts, most)) <= most


@pytest.mark.parametrize("value", [10**400, -0.0, 1e308, float("nan"), "\ud800", [], {}, ["{rule}"], "{rule}", True])
@pytest.mark.parametrize("specification", ["", ":.2f", ":,", ":>9", ":x", ":e", ":%", ":#x", ":=+9"])
def test_no_value_and_no_format_raises(value: object, specification: str) -> None:
    template = Template(f"<{{value{specification}}}>")
    assert template.text({**FACTS, "value": value}, 1000).startswith("<")


def test_what_a_value_holds_is_never_a_template() -> None:
    assert Template("{rule}").text({**FACTS, "rule": "{value}{{"}, 100) == "{value}{{"


def test_an_event_has_all_names_that_a_summary_may_use() -> None:
    assert facts_of(ALERT).keys() == SUMMARY_NAMES | {"labels", "attributes"}
