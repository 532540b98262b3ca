"""What the agent tells about itself: which webhook hears what, in which words."""

import json
from typing import Any

import pytest

from agent import notices
from agent.model import DeadLetters, Event, Moment, Notice
from agent.webhooks.envelope import envelope

MOMENT = Moment(1000.0, 1_790_000_000.0, synced=True)


def event(notice: Notice, *events_to: str) -> Event:
    return notices.event_of(
        notice, 990.0, MOMENT, new_id=lambda prefix: f"{prefix}1", labels={"site": "lake"}, events_to=events_to
    )


@pytest.mark.parametrize(
    ("notice", "severity", "data", "summary"),
    [
        (
            notices.started("1.2", 61.5, ended_well=True),
            "info",
            {"version": "1.2", "downtime_s": 61.5, "ended_well": True},
            "bellcrank 1.2 runs after 62 s",
        ),
        (
            notices.started("1.2", None, ended_well=False),
            "info",
            {"version": "1.2", "downtime_s": None, "ended_well": False},
            "bellcrank 1.2 runs, and had not ended in order",
        ),
        (
            notices.started("1.2", 0.0, ended_well=None),
            "info",
            {"version": "1.2", "downtime_s": None, "ended_well": None},
            "bellcrank 1.2 runs",
        ),
        (
            notices.disabled("ops", "gone"),
            "warning",
            {"reason": "gone"},
            "nothing is sent to the webhook ops any more, it said that it is gone; its queue is kept",
        ),
        (
            notices.recovered("ops", "answers", 600.0),
            "info",
            {"reason": "answers", "away_s": 600.0},
            "the webhook ops answers again after 600 s",
        ),
        (
            notices.recovered("ops", "enabled"),
            "info",
            {"reason": "enabled"},
            "the webhook ops is enabled again",
        ),
        (
            Notice("outbox.dropped", "webhook:ops", {"dropped": 12}, "ops"),
            "critical",
            {"dropped": 12},
            "the outbox was full: 12 events for the webhook ops will never be sent",
        ),
        (Notice("outbox.odd", "agent", {}, None), "warning", {}, "outbox.odd of agent"),
    ],
)
def test_a_notice_becomes_an_event(notice: Notice, severity: str, data: dict[str, Any], summary: str) -> None:
    made = event(notice, "ops", "phone")
    assert (made.id, made.type, made.subject) == ("evt_1", notice.type, notice.subject)
    assert (made.at, made.wall, made.synced) == (990.0, 1_789_999_990.0, True)
    assert (made.severity, made.attributes, made.summary) == (severity, data, summary)
    assert (made.rule, made.state, made.labels) == (None, None, {"site": "lake"})


def test_a_webhook_is_not_told_of_itself() -> None:
    assert event(notices.disabled("ops", "asked"), "ops", "phone").send_to == ("phone",)
    assert event(notices.disabled("ops", "asked"), "ops").send_to == ()
    assert event(notices.started("1.2", None, ended_well=None), "ops", "phone").send_to == ("ops", "phone")


def test_dead_letters_are_told_by_webhook_and_by_rule_with_their_numbers() -> None:
    found = [
        DeadLetters("ops", "cold", 2, 3, 9),
        DeadLetters("ops", "warm", 5, 4, 12),
        DeadLetters("phone", "cold", 1, 7, 7),
    ]
    ops, phone = notices.exhausted(found)
    assert (ops.subject, ops.about, ops.data) == (
        "webhook:ops",
        "ops",
        {
            "count": 7,
            "first": 3,
            "last": 12,
            "rules": {"warm": {"count": 5, "first": 4, "last": 12}, "cold": {"count": 2, "first": 3, "last": 9}},
            "more_rules": 0,
        },
    )
    assert phone.about == "phone"
    assert event(ops).summary == "7 events became dead letters at the webhook ops, with a sequence of 3 to 12"
    assert event(phone).summary == "1 event became a dead letter at the webhook phone, with a sequence of 7 to 7"


def test_many_rules_with_long_names_fit_into_one_event() -> None:
    found = [DeadLetters("ops", f"{n:064d}", 10**9 + n, 10**9, 10**10) for n in range(100)]
    [notice] = notices.exhausted(found)
    assert notice.data["more_rules"] == 84
    assert max(notice.data["rules"]) == f"{99:064d}", "those with most"
    body = json.loads(envelope(event(notice, "phone"), agent_name="a", agent_id="b", sequence=1))
    assert body["data"]["attributes"] == notice.data
    assert "truncated" not in body["data"]
