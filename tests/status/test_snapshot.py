"""What the snapshot makes of its facts: alerts, troubles, and the one sentence about both."""

from dataclasses import replace
from typing import Any

import pytest

from agent.status.snapshot import (
    AgentFacts,
    OutboxFacts,
    RuleFacts,
    Snapshot,
    SourceFacts,
    WebhookFacts,
)

COUNTS: dict[str, Any] = {"owed": 1, "delivered": 1, "pending": 0, "dead": 0, "dropped": 0, "dropped_by": {}}
LOST = SourceFacts("lost", "Connection refused", 0, 0, 0, {})
DISABLED = WebhookFacts(state="disabled", last_error="HTTP 410", **COUNTS)
WELL = Snapshot(
    agent=AgentFacts("abc", "cabin", "1.2.3", 61.0, "synced"),
    outbox=OutboxFacts(
        **COUNTS, balanced=True, oldest_pending_s=None, size_bytes=1, written_bytes_today=1, degraded=None
    ),
    webhooks={"ops": WebhookFacts(state="answering", **COUNTS)},
    sources={"room": SourceFacts("open", "", 1, 0, 0, {})},
    sensors={},
    rules={},
)


def at(state: str, since_s: float | None = None, value: Any = 9, unit: str | None = None) -> dict[str, Any]:
    return {"state": state, "since_s": since_s, "value": value, "unit": unit}


def rule(severity: str, more: int = 0, **states: dict[str, Any]) -> RuleFacts:
    firing = sum(state["state"] == "firing" for state in states.values())
    return RuleFacts("room.*.t", severity, True, states, counts={"firing": firing + more, "ok": 3})


@pytest.mark.parametrize(
    ("snapshot", "word", "sentence"),
    [
        (WELL, "well", "All is well."),
        (replace(WELL, rules={"warm": rule("critical", hall=at("ok"), attic=at("pending", 5.0))}), "well", None),
        (
            replace(WELL, sources={"room": LOST}),
            "trouble",
            "Source room is lost: Connection refused.",
        ),
        (
            replace(WELL, sources={"room": LOST}, webhooks={"ops": DISABLED}),
            "trouble",
            "Source room is lost: Connection refused (and 1 more).",
        ),
        (
            replace(WELL, rules={"warm": rule("warning", hall=at("firing", 61.0, 9.5, "°C"))}),
            "alert",
            "warm: hall (9.5 °C) fires for 1 m 1 s.",
        ),
        (
            replace(WELL, rules={"open": rule("info", hall=at("recovering", 5.0, value=True))}),
            "alert",
            "open: hall (true) recovers for 5 s.",
        ),
        (
            replace(WELL, rules={"silent": rule("info", hall=at("firing", 5.0, value=None))}),
            "alert",
            "silent: hall fires for 5 s.",
        ),
        (
            replace(WELL, rules={"long": rule("info", hall=at("firing", 5.0, value="x" * 99))}),
            "alert",
            f"long: hall ({'x' * 60}) fires for 5 s.",
        ),
        (
            replace(WELL, rules={"a": rule("info", hall=at("firing", 9.0)), "b": rule("critical", hall=at("firing"))}),
            "alert",
            "b: hall (9) fires for 0 s; 1 more alert.",
        ),
        (
            replace(
                WELL,
                sources={"room": LOST},
                webhooks={"ops": DISABLED},
                rules={"a": rule("info", more=400, hall=at("firing", 9.0))},
            ),
            "alert",
            "a: hall (9) fires for 9 s; 400 more alerts and 2 troubles of the agent.",
        ),
    ],
)
def test_whether_all_is_well_is_one_word_and_one_sentence(snapshot: Snapshot, word: str, sentence: str | None) -> None:
    found = snapshot.verdict()
    assert (found.word, found.sentence) == (word, sentence or "All is well.")


def test_alerts_are_those_that_are_on_the_worst_first_and_then_the_longest() -> None:
    rules = {
        "a": rule("info", hall=at("firing", 99.0)),
        "b": rule("critical", hall=at("firing", 1.0), attic=at("recovering", 2.0), cellar=at("ok")),
        "c": rule("warning", hall=at("pending", 500.0), attic=at("firing", 7.0)),
        "d": rule("critical", hall=at("firing", 3.0)),
    }
    found = replace(WELL, rules=rules).alerts()
    assert [(alert.rule, alert.sensor, alert.recovering) for alert in found] == [
        ("d", "hall", False),
        ("b", "attic", True),
        ("b", "hall", False),
        ("c", "attic", False),
        ("a", "hall", False),
    ]


def test_a_number_is_said_in_the_headline_as_in_the_table() -> None:
    found = replace(WELL, rules={"a": rule("critical", hall=at("firing", 9.0, 0.1 + 0.2))}).verdict()
    assert found.sentence == "a: hall (0.3) fires for 9 s."


def test_a_rule_that_fires_is_no_trouble_of_the_agent() -> None:
    assert replace(WELL, rules={"a": rule("critical", hall=at("firing", 9.0))}).troubles() == []


def outbox(**said: Any) -> OutboxFacts:
    return replace(WELL.outbox, max_size_bytes=64_000_000, max_events=100, **said)


@pytest.mark.parametrize(
    ("outbox", "waiting", "troubles"),
    [
        (outbox(dead=1), 0, ["1 delivery is dead, to be replayed or discarded: see Events"]),
        (outbox(dead=2), 0, ["2 deliveries are dead, to be replayed or discarded: see Events"]),
        (
            outbox(dropped_full_since_start=3, dropped_by={"full": 9}),
            0,
            ["3 deliveries are lost: dropped since the start, as the outbox was full"],
        ),
        (outbox(dropped_by={"full": 9}), 0, []),
        (outbox(), 89, []),
        (outbox(), 90, ["the outbox is nearly full: 90 of at most 100 events wait"]),
        (outbox(size_bytes=70_000_000), 0, []),
        (outbox(size_bytes=70_000_000, pending=7, oldest_pending_s=599.0), 7, []),
        (outbox(size_bytes=57_000_000, pending=7, oldest_pending_s=600.0), 7, []),
        (
            outbox(size_bytes=57_600_000, pending=7, oldest_pending_s=600.0),
            7,
            ["the outbox is nearly full: 57.6 MB of 64.0 MB, and something waits for 10 m"],
        ),
    ],
)
def test_what_is_dead_or_lost_or_soon_will_be_is_a_trouble(
    outbox: OutboxFacts, waiting: int, troubles: list[str]
) -> None:
    hooks = {"ops": replace(WELL.webhooks["ops"], pending=waiting)}
    found = replace(WELL, outbox=outbox, webhooks=hooks)
    assert found.troubles() == troubles
    assert found.verdict().word == ("trouble" if troubles else "well")
